"""Which inputs there are in files, folders and patterns: the one place that looks for them."""

# Paths are strings here: a hundred thousand `Path` objects take ten times the memory, and a slash at the end or a
# `./` at the front, which `Path` drops, have a meaning.
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

__all__ = ["Finder", "Found", "Identity", "PassedOver", "Selection", "identity_of", "is_pattern", "separators"]

Identity = tuple[int, int]


@dataclass(frozen=True)
class Selection:
    """What is taken.

    Attributes:
        readable: suffixes (lower case, with dot) taken in folders and by patterns; files named outright are always
            taken.
        depth: levels of sub-folders that are looked into; None looks into all.
        file_links: take symbolic links to files found in folders (those named outright, or matched by a pattern, are
            always taken).
        folder_links: enter symbolic links to folders found in folders.
        include: patterns of names, or of paths below the folder, one of which must match; empty takes all.
        exclude: patterns, none of which may match; a sub-folder that matches is not entered.
        whole: folders named outright that are one input each.
    """

    readable: frozenset[str]
    depth: int | None = 0
    file_links: bool = False
    folder_links: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    whole: frozenset[str] = frozenset()

    def is_readable(self, name: str) -> bool:
        """Whether a file of that name is taken where it is found."""
        return os.path.splitext(name)[1].lower() in self.readable


@dataclass(frozen=True)
class Found:
    """An input.

    Attributes:
        source: its path.
        below: where it lies below the folder, or the fixed part of the pattern, that it was found by.
        folder: the named folder it was found in; None for a file named outright or found by a pattern.
    """

    source: str
    below: str = ""
    folder: str | None = None

    @functools.cached_property
    def identity(self) -> Identity | None:
        """Who it is on the disk; None where nothing is. Asked for only where it is needed: it takes a look there."""
        return identity_of(self.source)


@dataclass
class PassedOver:
    """How many things in folders were left out, by reason; `unread` counts other files by suffix, lower case."""

    folders: int = 0
    links: int = 0
    outputs: int = 0
    filtered: int = 0
    unread: dict[str, int] = field(default_factory=dict)

    def remedy(self) -> Remedy | None:
        """How more could be found."""
        if self.folders:
            return Remedy.SUB_FOLDERS
        if self.links:
            return Remedy.FOLLOW_LINKS
        if self.filtered:
            return Remedy.OTHER_PATTERNS
        return Remedy.ONLY_OUTPUTS if self.outputs else None


@dataclass
class Finder:
    """Finds the inputs that files, folders and patterns stand for.

    Attributes:
        paths: as they were given on the command line.
        selection: what is taken.
        own_tails: what ends the names of earlier outputs, which are no inputs where their own input lies beside them.
        output: the output folder, which is not entered.
        failed: what cannot be used, each with its path; complete once the search has ended, as are the next two.
        notes: path and remark on what was passed over.
        passed_over: how much that was, by reason.
    """

    paths: Sequence[str]
    selection: Selection
    own_tails: Sequence[str] = ()
    output: Identity | None = None
    failed: list[DerainError] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    passed_over: PassedOver = field(default_factory=PassedOver)

    def find(self) -> Iterator[Found]:
        """All inputs, in the order of `paths`; those in a folder sorted."""
        for path in self.paths:
            if path in self.selection.whole:
                yield Found(path)
            elif os.path.isdir(path):
                yield from self._in_folder(path)
            elif is_pattern(path):
                yield from self._by_pattern(path)
            elif path and os.path.lexists(path):
                name = os.path.basename(path)
                if self._is_wanted(path, name):
                    yield Found(path)
            elif _is_address(path):
                self.failed.append(InputError(f"{path} is an address: download it first"))
            else:
                self.failed.append(InputError("no such file or folder", path=path or "''"))

    def _in_folder(self, folder: str) -> Iterator[Found]:
        name = folder.rstrip(separators()) or folder
        if os.path.basename(name) in ("", os.curdir, os.pardir):
            name = os.path.realpath(name)
        selection = self.selection
        for below, file in self._walk(folder, selection.depth, file_links=selection.file_links):
            yield Found(os.path.join(folder, below, file), below, name)

    def _by_pattern(self, pattern: str) -> Iterator[Found]:
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
                yield Found(source, below)
        if not matched:
            self.failed.append(InputError("nothing matches", path=pattern))

    def _walk(
        self, root: str, depth: int | None, *, file_links: bool, note_folders: bool = True
    ) -> Iterator[tuple[str, str]]:
        """Readable files below `root` as (folder below it, name), sorted, at most `depth` folders down."""
        entered = {identity_of(root)}
        stack = [("", 0)]
        while stack:
            below, level = stack.pop()
            place = os.path.join(root, below) if below else root
            try:
                with os.scandir(place) as listing:
                    entries = sorted((e for e in listing if not e.name.startswith(".")), key=_bytewise)
            except OSError as error:
                self.failed.append(InputError(f"cannot be read: {error.strerror}", path=place))
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
            self.passed_over.unread[suffix] = self.passed_over.unread.get(suffix, 0) + 1
            return False
        if entry.is_symlink() and not file_links:
            self.passed_over.links += 1
            return False
        if self._is_own_output(os.path.splitext(entry.name)[0], stems):
            self.passed_over.outputs += 1
            return False
        return self._is_wanted(inner, entry.name)

    def _is_entered(self, entry: os.DirEntry[str], inner: str, stems: set[str], entered: set[Identity | None]) -> bool:
        if entry.is_symlink() and not self.selection.folder_links:
            self.passed_over.links += 1
            return False
        if _any_matches(inner, entry.name, self.selection.exclude):
            return False
        identity = identity_of(entry.path)
        if self._is_own_output(entry.name, stems) or (identity and identity == self.output):
            self.passed_over.outputs += 1
            return False
        if self.selection.folder_links:  # links may lead round in a circle, or to one folder twice
            if identity in entered:
                return False
            entered.add(identity)
        return True

    def _pass_over_folder(self, entry: os.DirEntry[str], *, note: bool) -> None:
        self.passed_over.folders += 1
        if note and self.selection.is_readable(entry.name):
            self.notes.append((entry.path, "is a folder: passed over"))

    def _is_own_output(self, stem: str, stems: set[str]) -> bool:
        """`a_derained`, or a companion of it, with an `a` beside it."""
        return any(stem.endswith(tail) and stem[: -len(tail)] in stems for tail in self.own_tails)

    def _is_wanted(self, path: str, name: str) -> bool:
        include, exclude = self.selection.include, self.selection.exclude
        if (not include or _any_matches(path, name, include)) and not _any_matches(path, name, exclude):
            return True
        self.passed_over.filtered += 1
        return False


def identity_of(path: str) -> Identity | None:
    """Who a file is on the disk, links followed; None where nothing is."""
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
    # Names may hold bytes that are no text; the order must not hang on the locale either.
    return os.fsencode(entry.name)


def _has_magic(part: str) -> bool:
    return any(c in part for c in "*?[")


def _is_there(parts: Sequence[str]) -> bool:
    """Whether a folder goes by that very name: brackets in it are no pattern then."""
    return os.path.isdir(os.sep.join(parts))


def _is_address(path: str) -> bool:
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", path) is not None


def separators() -> str:
    """All characters that part folders in a path."""
    return os.sep + (os.altsep or "")


def is_pattern(path: str) -> bool:
    """Whether a shell would have taken this for a pattern; a file of that very name comes first."""
    return _has_magic(path) and not os.path.lexists(path)


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_matches(parts[i:], wanted[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatch(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def _any_matches(path: str, name: str, patterns: Sequence[str]) -> bool:
    """A pattern with a slash is for the path below the folder, one without for the name."""
    slashed = path.replace(os.sep, "/")
    return any(fnmatch.fnmatch(slashed if "/" in pattern else name, pattern) for pattern in patterns)
