"""Which inputs there are and where each output goes, settled before any work begins.

Nothing here opens, makes or changes a file. What would overwrite an input, or put two inputs on one output,
is refused as a whole; what concerns one input only is kept beside the list, so that the others go on.
"""

# Paths are strings here: a hundred thousand `Path` objects take ten times the memory, and a slash at the end or a
# `./` at the front, which `Path` drops, have a meaning.
# ruff: noqa: PTH100, PTH112, PTH118, PTH119, PTH120, PTH122, PTH206

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from derain_cli.errors import DerainError, DestinationError, InputError, UsageError, printable
from derain_cli.jobs.inputs import (
    Found,
    Identity,
    PassedOver,
    any_matches,
    bytewise,
    has_magic,
    identity_of,
    is_folder,
    is_pattern,
    matches,
)
from derain_cli.jobs.items import COMPARE, DEFAULT_SUFFIX, LAYERS, Item, Rules, WorkList, listed, separators

__all__ = ["plan"]


_NAME_MAX = 255


def plan(paths: Sequence[str], rules: Rules) -> WorkList:
    """The work list for files, folders and patterns as they were given on the command line.

    A folder's tree is mirrored below the output folder, and so is what a pattern matches (below its fixed part).

    Raises:
        UsageError: the output's suffix cannot be written, or one output file is named for several inputs.
        DestinationError: an output is an input, two inputs have one output, or the output cannot be a folder.
    """
    return _Planner(paths, rules).plan()


@dataclass
class _Planner:
    paths: Sequence[str]
    rules: Rules
    failed: list[DerainError] = field(default_factory=list)
    notes: list[tuple[str, str]] = field(default_factory=list)
    passed_over: PassedOver = field(default_factory=PassedOver)
    _folders: dict[str, tuple[str, DerainError | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.output_file = self._output_is_file()
        self.output_identity = identity_of(self.rules.output) if self.rules.output and not self.output_file else None

        tags = ("", *(tag for tag, _ in (COMPARE, *LAYERS)))
        self.own_tails = [f"{self._suffix}{tag}" for tag in tags] if self._suffix else []

    def plan(self) -> WorkList:
        if self.rules.output is not None:
            root = os.path.dirname(self.rules.output) if self.output_file else self.rules.output
            problem = _folder_problem(root)
            if problem is not None:
                raise problem
        found = self._without_own_outputs(list(self._find()))
        targets = [self._target(one) for one in found]
        found, targets = self._without_collisions(found, targets)
        self._refuse_replacing_inputs(found, targets)
        items, done = [], []
        for one, (target, note) in zip(found, targets, strict=True):
            problem = self._problem(target)
            if problem is not None:
                self.failed.append(problem)
            elif os.path.lexists(target) and not self.rules.overwrite:
                if self.output_file:
                    raise DestinationError("the destination exists", path=target, hint="--overwrite replaces it")
                done.append(Item(one.source, target, note))
            else:
                items.append(Item(one.source, target, note))
        return WorkList(tuple(items), tuple(done), tuple(self.failed), tuple(self.notes), self.passed_over.hint())

    # --- the output ---------------------------------------------------------------------------------------------

    def _output_is_file(self) -> bool:
        """Whether `-o` names one file; else it is a folder, there or to be made."""
        out = self.rules.output
        if out is None or out.endswith(tuple(separators())) or os.path.isdir(out):
            return False
        suffix = os.path.splitext(out)[1]
        format_suffix = f".{self.rules.format.lower().lstrip('.')}" if self.rules.format else None
        lone = len(self.paths) == 1 and not os.path.isdir(self.paths[0]) and not is_pattern(self.paths[0])
        writable = suffix.lower() in self.rules.writable
        if lone and writable:
            if format_suffix and suffix.lower() != format_suffix:
                raise UsageError(f"the output is to be {suffix} by its name and {self.rules.format} by --format")
            return True
        if lone and suffix:
            raise UsageError(
                f"cannot write files of type {suffix}",
                path=out,
                hint=f"one of {listed(self.rules.writable)}; or a folder: {printable(out)}{os.sep}",
            )
        if os.path.lexists(out):
            hint = None if lone else "several inputs need a folder"
            raise DestinationError("the output is a file, not a folder", path=out, hint=hint)
        if writable:
            raise UsageError("one output file for several inputs", path=out, hint="-o FOLDER")
        return False

    def _target(self, one: Found) -> tuple[str, str]:
        """The output's path, and a remark when its format is not the input's."""
        rules = self.rules
        if self.output_file and rules.output:
            return rules.output, ""
        stem, suffix = os.path.splitext(os.path.basename(one.source))
        note = ""
        if rules.format:
            suffix = f".{rules.format.lstrip('.')}"
        elif suffix.lower() not in rules.writable:
            if suffix:
                note = f"{suffix} cannot be written: the output is {rules.fallback}"
            suffix = rules.fallback
        return os.path.join(one.folder, f"{stem}{one.tag}{suffix}"), note

    def _problem(self, target: str) -> DerainError | None:
        """Why this output cannot be written, as far as that can be seen without trying."""
        longest = max(len(os.fsencode(os.path.basename(p))) for p in (target, *self.rules.companions_of(target)))
        if longest > _NAME_MAX:
            return DestinationError(
                "the output's name would be too long", path=target, hint="-o FOLDER keeps names as they are"
            )
        if os.path.isdir(target):
            return DestinationError("the destination is a folder", path=target)
        return self._folder(os.path.dirname(target))[1]

    def _folder(self, folder: str) -> tuple[str, DerainError | None]:
        """The one name of a folder that may have several, and why nothing can be written there."""
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = (os.path.realpath(folder), _folder_problem(folder))
        return known

    # --- what would destroy something ---------------------------------------------------------------------------

    def _without_own_outputs(self, found: list[Found]) -> list[Found]:
        """Leaves out files that an earlier run made of other inputs: `*.jpg` brings them in again."""
        owned = {i for one in found if one.tag and (i := identity_of(self._target(one)[0])) not in (None, one.identity)}
        kept = []
        for one in found:
            if one.identity is not None and one.identity in owned:
                self.notes.append((one.source, "is the output of another input: passed over"))
                self.passed_over.outputs += 1
            else:
                kept.append(one)
        return kept

    def _without_collisions(
        self, found: list[Found], targets: list[tuple[str, str]]
    ) -> tuple[list[Found], list[tuple[str, str]]]:
        """Drops inputs that were named twice.

        Raises:
            DestinationError: two inputs have one output.
        """
        takers: dict[str, int] = {}
        clashes: list[tuple[str, int, int]] = []
        kept: list[int] = []
        for index, (one, (target, _)) in enumerate(zip(found, targets, strict=True)):
            before = takers.get(self._key(target))
            if before is not None and one.identity is not None and found[before].identity == one.identity:
                self.notes.append((one.source, "is named twice"))
                continue
            kept.append(index)
            for path in (target, *self.rules.companions_of(target)):
                other = takers.setdefault(self._key(path), index)
                if other != index:
                    clashes.append((path, other, index))
        if clashes:
            path, one_index, other_index = clashes[0]
            more = f"; {len(clashes) - 1} more such outputs" if len(clashes) > 1 else ""
            raise DestinationError(
                f"two inputs for one output: {found[one_index].source} and {found[other_index].source}{more}",
                path=path,
                hint="run them with different -o folders or another --suffix",
            )
        return [found[i] for i in kept], [targets[i] for i in kept]

    def _key(self, path: str) -> str:
        folder, name = os.path.split(path)
        key = os.path.join(self._folder(folder)[0], name)
        return key.casefold() if sys.platform == "darwin" else os.path.normcase(key)

    def _refuse_replacing_inputs(self, found: list[Found], targets: list[tuple[str, str]]) -> None:
        # By device and inode: sees through other spellings, links of both kinds and file systems without case.
        inputs = {one.identity: one.source for one in found if one.identity is not None}
        for one, (target, _) in zip(found, targets, strict=True):
            for path in (target, *self.rules.companions_of(target)):
                identity = identity_of(path)
                if identity is not None and identity in inputs:
                    which = "the input" if identity == one.identity else f"another input, {inputs[identity]}"
                    raise DestinationError(f"the output is {which}", path=path, hint="another -o, or --suffix")

    # --- the inputs ---------------------------------------------------------------------------------------------

    def _find(self) -> Iterator[Found]:
        for path in self.paths:
            if os.path.isdir(path):
                yield from self._in_folder(path)
            elif is_pattern(path):
                yield from self._by_pattern(path)
            elif path and os.path.lexists(path):
                name = os.path.basename(path)
                if self._is_wanted(path, name):
                    yield self._found(path)
            else:
                self.failed.append(InputError("no such file or folder", path=path or "''"))

    def _found(self, source: str, below: str = "", beside: str | None = None) -> Found:
        """An input found `below` its folder; without `-o` its output lies in `beside`, or next to it."""
        rules = self.rules
        if rules.output is not None:
            folder, tag = os.path.join(rules.output, below), rules.suffix or ""
        elif beside is not None:
            folder, tag = os.path.join(beside, below), ""  # the folder's own name carries the suffix
        else:
            folder, tag = os.path.dirname(source), self._suffix
        return Found(source, folder, tag, identity_of(source))

    @property
    def _suffix(self) -> str:
        return DEFAULT_SUFFIX if self.rules.suffix is None else self.rules.suffix

    def _in_folder(self, folder: str) -> Iterator[Found]:
        name = folder.rstrip(separators()) or folder
        if os.path.basename(name) in ("", os.curdir, os.pardir):
            name = os.path.realpath(name)
        if self.rules.output is None and not self._suffix:
            raise UsageError("without -o an empty --suffix would write into the input folder", path=folder)
        depth = None if self.rules.recursive else 0
        for below, file in self._walk(folder, depth, file_links=self.rules.follow_symlinks):
            yield self._found(os.path.join(folder, below, file), below, name + self._suffix)

    def _by_pattern(self, pattern: str) -> Iterator[Found]:
        parts = pattern.split(os.sep)
        first = next(i for i, part in enumerate(parts) if has_magic(part))
        base, wanted = os.sep.join(parts[:first]), parts[first:]
        if first and not base:
            base = os.sep
        depth = None if "**" in wanted else len(wanted) - 1
        matched = False
        for below, file in self._walk(base or os.curdir, depth, file_links=True, note_folders=False):
            below_parts = below.split(os.sep) if below else []
            if matches([*below_parts, file], wanted):
                matched = True
                source = os.path.join(base, below, file)
                yield self._found(source, below)
        if not matched:
            self.failed.append(InputError("no image matches", path=pattern))

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
                    entries = sorted((e for e in listing if not e.name.startswith(".")), key=bytewise)
            except OSError as error:
                self.failed.append(InputError(f"cannot be read: {error.strerror}", path=place))
                continue
            stems = {os.path.splitext(e.name)[0] for e in entries} | {e.name for e in entries}
            deeper = []
            for entry in entries:
                inner = os.path.join(below, entry.name)
                if not is_folder(entry):
                    if self._is_taken(entry, inner, stems, file_links=file_links):
                        yield below, entry.name
                elif depth is not None and level >= depth:
                    self._pass_over_folder(entry, note=note_folders)
                elif self._is_entered(entry, inner, stems, entered):
                    deeper.append((inner, level + 1))
            stack += reversed(deeper)

    def _is_taken(self, entry: os.DirEntry[str], inner: str, stems: set[str], *, file_links: bool) -> bool:
        stem, suffix = os.path.splitext(entry.name)
        if suffix.lower() not in self.rules.readable:
            return False
        if entry.is_symlink() and not file_links:
            self.passed_over.links += 1
            return False
        if self._is_own_output(stem, stems):
            self.passed_over.outputs += 1
            return False
        return self._is_wanted(inner, entry.name)

    def _is_entered(self, entry: os.DirEntry[str], inner: str, stems: set[str], entered: set[Identity | None]) -> bool:
        if entry.is_symlink() and not self.rules.follow_symlinks:
            self.passed_over.links += 1
            return False
        if any_matches(inner, entry.name, self.rules.exclude):
            return False
        identity = identity_of(entry.path)
        if self._is_own_output(entry.name, stems) or (identity and identity == self.output_identity):
            self.passed_over.outputs += 1
            return False
        if self.rules.follow_symlinks:  # links may lead round in a circle, or to one folder twice
            if identity in entered:
                return False
            entered.add(identity)
        return True

    def _pass_over_folder(self, entry: os.DirEntry[str], *, note: bool) -> None:
        self.passed_over.folders += 1
        if note and os.path.splitext(entry.name)[1].lower() in self.rules.readable:
            self.notes.append((entry.path, "is a folder: passed over"))

    def _is_own_output(self, stem: str, stems: set[str]) -> bool:
        """`a_derained`, or a companion of it, with an `a` beside it."""
        return any(stem.endswith(tail) and stem[: -len(tail)] in stems for tail in self.own_tails)

    def _is_wanted(self, path: str, name: str) -> bool:
        rules = self.rules
        wanted = not rules.include or any_matches(path, name, rules.include)
        if wanted and not any_matches(path, name, rules.exclude):
            return True
        self.passed_over.filtered += 1
        return False


def _folder_problem(folder: str) -> DerainError | None:
    """Why files cannot be put into `folder`, which may still have to be made."""
    place = os.path.abspath(folder)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        return DestinationError("is not a folder", path=place, hint="choose another -o")
    if not os.access(place, os.W_OK | os.X_OK):
        return DestinationError("the folder cannot be written to", path=place, hint="choose another -o")
    return None
