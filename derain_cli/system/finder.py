"""Expands files, folders and patterns into inputs; the only place that searches for them."""

# Paths are strings here: a hundred thousand `Path` objects take ten times the memory, and a trailing slash or a
# leading `./`, which `Path` drops, is significant.
# ruff: noqa: PTH112, PTH116, PTH118, PTH119, PTH122, PTH206

from __future__ import annotations

import fnmatch
import functools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from derain_cli.errors import DerainError, InputError
from derain_cli.remedies import Remedy

__all__ = ["Finder", "FoundFile", "Identity", "Selection", "SkippedEntries", "identity_of", "is_pattern", "separators"]

Identity = tuple[int, int]


@dataclass(frozen=True)
class Selection:
    """Which files are selected.

    Attributes:
        readable: suffixes (lower case, with dot) selected in folders and by patterns; explicitly named files are always
            selected.
        depth: levels of subfolders to search; None for all.
        file_links: select symbolic links to files in folders (always selected if named explicitly or matched by a
            pattern).
        folder_links: enter symbolic links to folders in folders.
        include: patterns of names, or of paths below the folder, one of which must match; empty selects all.
        exclude: patterns, none of which may match; a matching subfolder is not entered.
        whole: explicitly named folders that are one input each.
    """

    readable: frozenset[str]
    depth: int | None = 0
    file_links: bool = False
    folder_links: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()

    def is_readable(self, name: str) -> bool:
        """Whether a file of that name is selected when found in a folder."""
        return os.path.splitext(name)[1].lower() in self.readable


@dataclass(frozen=True)
class FoundFile:
    """An input.

    Attributes:
        source: its path.
        below: its folder relative to the searched folder, or to the fixed part of the pattern.
        folder: the named folder it was found in; None for a file named explicitly or found by a pattern.
    """

    source: str
    below: str = ""
    folder: str | None = None

    @functools.cached_property
    def identity(self) -> Identity | None:
        """Device and inode; None if it does not exist. Computed on demand, since it needs a system call."""
        return identity_of(self.source)


@dataclass
class SkippedEntries:
    """Number of skipped entries in folders, by reason; `unread` counts other files by suffix, lower case."""

    folders: int = 0
    links: int = 0
    outputs: int = 0
    filtered: int = 0
    unread: dict[str, int] = field(default_factory=dict)

    def remedy(self) -> Remedy | None:
        """What would include more inputs."""
        if self.folders:
            return Remedy.SUB_FOLDERS
        if self.links:
            return Remedy.FOLLOW_LINKS
        if self.filtered:
            return Remedy.OTHER_PATTERNS
        return Remedy.ONLY_OUTPUTS if self.outputs else None


@dataclass
class Finder:
    """Expands files, folders and patterns into inputs.

    Attributes:
        paths: as given on the command line.
        selection: which files are selected.
        own_tails: name endings of earlier outputs, which are skipped if their input is next to them.
        output: the output folder, which is not entered, even if it is created while the search goes on.
        failed: unusable inputs, each with its path; complete once the search is finished, like the next two.
        notes: path and remark for skipped entries.
        skipped: number of skipped entries, by reason.
    """

    paths: Sequence[str]
    selection: Selection
    own_tails: Sequence[str] = ()
    output: str | None = None
    failed: list[DerainError] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    skipped: SkippedEntries = field(default_factory=SkippedEntries)

    def find(self) -> Iterator[FoundFile]:
        """All inputs, in the order of `paths`; those in a folder sorted."""
        for path in self.paths:
            if path in self.selection.whole:
                yield FoundFile(path)
            elif os.path.isdir(path):
                yield from self._in_folder(path)
            elif is_pattern(path):
                yield from self._by_pattern(path)
            elif path and os.path.lexists(path):
                name = os.path.basename(path)
                if self._is_wanted(path, name):
                    yield FoundFile(path)
            elif _is_address(path):
                self.failed.append(InputError(f"{path} is a URL: download it first"))
            else:
                self.failed.append(InputError("no such file or folder", path=path or "''"))

    def _in_folder(self, folder: str) -> Iterator[FoundFile]:
        name = folder.rstrip(separators()) or folder
        if os.path.basename(name) in ("", os.curdir, os.pardir):
            name = os.path.realpath(name)
        selection = self.selection
        for below, file in self._walk(folder, selection.depth, file_links=selection.file_links):
            yield FoundFile(os.path.join(folder, below, file), below, name)

    def _by_pattern(self, pattern: str) -> Iterator[FoundFile]:
        parts = pattern.split(os.sep)
        first = next(i for i, part in enumerate(parts) if _has_magic(part) and not _is_there(parts[: i + 1]))
        base, wanted = os.sep.join(parts[:first]), parts[first:]
        if first and not base:
            base = os.sep
        depth = None if "**" in wanted else len(wanted) - 1
        matched = False
        for below, file in self._walk(base or os.curdir, depth, file_links=True, note_folders=False):
            below_parts = below.split(os.sep) if below else []
            if _matches([*below_parts, file], wanted):
                matched = True
                source = os.path.join(base, below, file)
                yield FoundFile(source, below)
        if not matched:
            self.failed.append(InputError("no files match", path=pattern))

    def _walk(
        self, root: str, depth: int | None, *, file_links: bool, note_folders: bool = True
    ) -> Iterator[tuple[str, str]]:
        """Readable files below `root` as (relative folder, name), sorted, at most `depth` levels deep."""
        entered = {identity_of(root)}
        stack = [("", 0)]
        while stack:
            below, level = stack.pop()
            place = os.path.join(root, below) if below else root
            try:
                with os.scandir(place) as listing:
                    entries = sorted((e for e in listing if not e.name.startswith(".")), key=_bytewise)
            except OSError as error:
                self.failed.append(InputError(f"cannot read the folder: {error.strerror}", path=place))
                continue
            stems = {os.path.splitext(e.name)[0] for e in entries} | {e.name for e in entries}
            deeper = []
            for entry in entries:
                inner = os.path.join(below, entry.name)
                if not _is_folder(entry):
                    if self._is_taken(entry, inner, stems, file_links=file_links):
                        yield below, entry.name
                elif depth is not None and level >= depth:
                    self._pass_over_folder(entry, note=note_folders)
                elif self._is_entered(entry, inner, stems, entered):
                    deeper.append((inner, level + 1))
            stack += reversed(deeper)

    def _is_taken(self, entry: os.DirEntry[str], inner: str, stems: set[str], *, file_links: bool) -> bool:
        if not self.selection.is_readable(entry.name):
            suffix = os.path.splitext(entry.name)[1].lower()
            self.skipped.unread[suffix] = self.skipped.unread.get(suffix, 0) + 1
            return False
        if entry.is_symlink() and not file_links:
            self.skipped.links += 1
            return False
        if self._is_own_output(os.path.splitext(entry.name)[0], stems):
            self.skipped.outputs += 1
            return False
        return self._is_wanted(inner, entry.name)

    def _is_entered(self, entry: os.DirEntry[str], inner: str, stems: set[str], entered: set[Identity | None]) -> bool:
        if entry.is_symlink() and not self.selection.folder_links:
            self.skipped.links += 1
            return False
        if _any_matches(inner, entry.name, self.selection.exclude):
            return False
        identity = identity_of(entry.path)
        if self._is_own_output(entry.name, stems) or (
            self.output and identity and identity == identity_of(self.output)
        ):
            self.skipped.outputs += 1
            return False
        if self.selection.folder_links:  # links may form a loop, or lead to the same folder twice
            if identity in entered:
                return False
            entered.add(identity)
        return True

    def _pass_over_folder(self, entry: os.DirEntry[str], *, note: bool) -> None:
        self.skipped.folders += 1
        if note and self.selection.is_readable(entry.name):
            self.notes.append((entry.path, "is a folder: skipped"))

    def _is_own_output(self, stem: str, stems: set[str]) -> bool:
        """Whether it is `a_derained` or one of its companion files, with `a` next to it."""
        return any(stem.endswith(tail) and stem[: -len(tail)] in stems for tail in self.own_tails)

    def _is_wanted(self, path: str, name: str) -> bool:
        include, exclude = self.selection.include, self.selection.exclude
        if (not include or _any_matches(path, name, include)) and not _any_matches(path, name, exclude):
            return True
        self.skipped.filtered += 1
        return False


def identity_of(path: str) -> Identity | None:
    """Device and inode of a file, following links; None if it does not exist."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _bytewise(entry: os.DirEntry[str]) -> bytes:
    # Names may contain undecodable bytes, and the order must not depend on the locale.
    return os.fsencode(entry.name)


def _has_magic(part: str) -> bool:
    return any(c in part for c in "*?[")


def _is_there(parts: Sequence[str]) -> bool:
    """Whether a folder has exactly that name: its brackets are then not a pattern."""
    return os.path.isdir(os.sep.join(parts))


def _is_address(path: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def separators() -> str:
    """All characters that separate folders in a path."""
    return os.sep + (os.altsep or "")


def is_pattern(path: str) -> bool:
    """Whether a shell would treat this as a pattern; a file with exactly that name takes precedence."""
    return _has_magic(path) and not os.path.lexists(path)


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_matches(parts[i:], wanted[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatch(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def _any_matches(path: str, name: str, patterns: Sequence[str]) -> bool:
    """A pattern with a slash is matched against the relative path, one without against the name."""
    slashed = path.replace(os.sep, "/")
    return any(fnmatch.fnmatch(slashed if "/" in pattern else name, pattern) for pattern in patterns)
