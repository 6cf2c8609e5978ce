"""Decides where the output of each input goes, before any work starts.

Nothing here creates or changes a file. A plan that would overwrite an input, or write two inputs to one output,
is refused as a whole; problems of single inputs are listed separately, so that the others are processed.
"""

# Paths are strings here: a hundred thousand `Path` objects take ten times the memory, and a trailing slash or a
# leading `./`, which `Path` drops, is significant.
# ruff: noqa: PTH100, PTH112, PTH114, PTH118, PTH119, PTH120, PTH122

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from derain_cli.errors import DerainError, DestinationError, UsageError, printable
from derain_cli.jobs.items import DEFAULT_SUFFIX, Item, Naming, WorkList, listed, own_tails
from derain_cli.remedies import Remedy
from derain_cli.system.finder import Finder, FoundFile, Selection, identity_of, is_pattern, separators

__all__ = ["folder_problem", "plan_in_parts", "plan_outputs"]


_NAME_MAX = 255
_PART = 1000


def plan_outputs(paths: Sequence[str], selection: Selection, naming: Naming) -> WorkList:
    """The work list for files, folders and patterns given on the command line.

    The tree of a folder, or of the matches of a pattern (below its fixed part), is mirrored in the output folder.

    Args:
        paths: files, folders, patterns.
        selection: which files are selected.
        naming: how outputs are named.

    Raises:
        UsageError: the output's suffix is not writable, or one output file is given for several inputs.
        DestinationError: an output is an input, two inputs have the same output, or the output cannot be a folder.
    """
    return _Planner(paths, selection, naming).plan()


def plan_in_parts(paths: Sequence[str], selection: Selection, naming: Naming) -> Iterator[WorkList]:
    """The work list in parts, found as they are asked for, so that a folder may hold millions of files.

    Parts hold up to 1,000 files of one folder; the last one, without items, has the counts of ignored files. A part is
    checked by itself, which is enough for one folder whose outputs go elsewhere; two inputs with the same output that
    come in different parts are reported in `failed`. Anything else is one part.

    Args:
        paths, selection, naming: as for `plan_outputs`.

    Raises:
        UsageError, DestinationError: as `plan_outputs`, when a part is asked for.
    """
    planner = _Planner(paths, selection, naming)
    if planner.comes_in_parts():
        yield from planner.parts()
    else:
        yield planner.plan()


@dataclass
class _Planner:
    paths: Sequence[str]
    selection: Selection
    naming: Naming
    _folders: dict[str, tuple[str, DerainError | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.output_file = self._output_is_file()
        output = None if self.output_file else self.naming.output
        self.finder = Finder(self.paths, self.selection, own_tails(self._suffix), output)
        self.failed, self.notes, self.skipped = self.finder.failed, self.finder.notes, self.finder.skipped

    def plan(self) -> WorkList:
        self._refuse_output()
        return self._with_counts(self._planned(list(self.finder.find())))

    def comes_in_parts(self) -> bool:
        """Whether no file of one part can be an output of another."""
        links = self.selection.file_links or self.selection.folder_links
        if len(self.paths) != 1 or self.paths[0] in self.selection.whole or links or self.output_file:
            return False
        return os.path.isdir(self.paths[0]) and not _is_within(self._root, self._output_root)

    def parts(self) -> Iterator[WorkList]:
        self._refuse_output()
        for _, files in itertools.groupby(self.finder.find(), lambda one: one.below):
            taken: set[int] = set()
            while part := list(itertools.islice(files, _PART)):
                yield self._planned(self._without_taken(part, taken))
                self.failed.clear()
                self.notes.clear()
            self._folders.clear()
        yield self._with_counts(self._planned([]))

    def _planned(self, found: list[FoundFile]) -> WorkList:
        found = self._without_own_outputs(found)
        targets = [self._target(one) for one in found]
        found, targets = self._without_collisions(found, targets)
        self._refuse_replacing_inputs(found, targets)
        items, done = [], []
        for one, (target, note) in zip(found, targets, strict=True):
            problem = self._problem(target)
            if problem is not None:
                self.failed.append(problem)
            elif os.path.lexists(target) and not self.naming.overwrite:
                done.append(Item(one.source, target, note))
            else:
                items.append(Item(one.source, target, note))
        return WorkList(tuple(items), tuple(done), tuple(self.failed), tuple(self.notes))

    def _with_counts(self, work: WorkList) -> WorkList:
        return replace(work, unread=self.skipped.unread, remedy=self.skipped.remedy())

    # --- the output ---------------------------------------------------------------------------------------------

    def _output_is_file(self) -> bool:
        """Whether `-o` names a single file; otherwise it is a folder, which may have to be created."""
        out = self.naming.output
        if out is None or out.endswith(tuple(separators())) or os.path.isdir(out):
            return False
        suffix = os.path.splitext(out)[1]
        format_suffix = f".{self.naming.format.lower().lstrip('.')}" if self.naming.format else None
        only = self.paths[0] if len(self.paths) == 1 else None
        lone = only in self.selection.whole or (only and not os.path.isdir(only) and not is_pattern(only))
        writable = suffix.lower() in self.naming.writable
        if lone and writable:
            if format_suffix and suffix.lower() != format_suffix:
                raise UsageError(f"the output name ends in {suffix}, but the format is {self.naming.format}")
            return True
        if lone and suffix:
            raise UsageError(
                f"cannot write files of type {suffix}",
                path=out,
                hint=f"one of {listed(self.naming.writable)}; or a folder: {printable(out)}{os.sep}",
            )
        if os.path.lexists(out):
            hint = None if lone else "several inputs need a folder"
            raise DestinationError("the output is a file, not a folder", path=out, hint=hint)
        if writable:
            raise UsageError("one output file for several inputs", path=out, remedy=Remedy.OUTPUT_FOLDER)
        return False

    @property
    def _suffix(self) -> str:
        return DEFAULT_SUFFIX if self.naming.suffix is None else self.naming.suffix

    def _place(self, one: FoundFile) -> tuple[str, str]:
        """The folder of an output, and the text appended to its name: in `-o`, or else next to the input."""
        naming = self.naming
        if naming.output is not None:
            return os.path.join(naming.output, one.below), naming.suffix or ""
        if one.folder is not None:
            return os.path.join(one.folder + self._suffix, one.below), ""  # the folder's own name carries the suffix
        return os.path.dirname(one.source), self._suffix

    def _target(self, one: FoundFile) -> tuple[str, str]:
        """The output's path, and a remark if its format differs from the input's."""
        naming = self.naming
        if self.output_file and naming.output:
            return naming.output, ""
        folder, tag = self._place(one)
        stem, suffix = os.path.splitext(os.path.basename(one.source))
        note = ""
        if naming.format:
            suffix = f".{naming.format.lstrip('.')}"
        elif suffix.lower() not in naming.writable:
            known = naming.suffix_of(one.source) if naming.suffix_of else None
            if suffix and known not in naming.writable:
                note = f"cannot write {suffix}: the output is {naming.fallback}"
            suffix = known if known is not None and known in naming.writable else naming.fallback
            stem = stem.removesuffix(suffix)  # photo.jpg.part
        return os.path.join(folder, f"{stem}{tag}{suffix}"), note

    def _problem(self, target: str) -> DerainError | None:
        """Why this output cannot be written, as far as that is known without trying."""
        longest = max(len(os.fsencode(os.path.basename(p))) for p in (target, *self.naming.companions_of(target)))
        if longest > _NAME_MAX:
            return DestinationError("the output name would be too long", path=target, remedy=Remedy.KEEP_NAMES)
        if os.path.isdir(target):
            return DestinationError("the destination is a folder", path=target)
        return self._folder(os.path.dirname(target))[1]

    def _folder(self, folder: str) -> tuple[str, DerainError | None]:
        """The canonical name of a folder, and the reason if it is not writable."""
        known = self._folders.get(folder)
        if known is None:
            known = self._folders[folder] = (os.path.realpath(folder), folder_problem(folder))
        return known

    @property
    def _root(self) -> str:
        """The canonical name of the only input folder."""
        return os.path.realpath(self.paths[0])

    @property
    def _output_root(self) -> str:
        """The canonical name of the folder that all its outputs go to."""
        return os.path.realpath(self.naming.output) if self.naming.output else self._root + self._suffix

    # --- safety checks ------------------------------------------------------------------------------------------

    def _refuse_output(self) -> None:
        if self.naming.output is not None:
            root = os.path.dirname(self.naming.output) if self.output_file else self.naming.output
            problem = folder_problem(root)
            if problem is not None:
                raise problem
        self._refuse_outputs_among_inputs()

    def _refuse_outputs_among_inputs(self) -> None:
        if self.naming.output is None and not self._suffix:
            for path in filter(os.path.isdir, self.paths):
                raise UsageError(
                    "an empty suffix would put outputs into the input folder", path=path, remedy=Remedy.OUTPUT_FOLDER
                )

    def _without_own_outputs(self, found: list[FoundFile]) -> list[FoundFile]:
        """Drops files that an earlier run made from other inputs, which a pattern such as `*.jpg` includes again."""
        owned = {
            i
            for one in found
            if self._place(one)[1] and (i := identity_of(self._target(one)[0])) not in (None, one.identity)
        }
        kept = []
        for one in found:
            if one.identity is not None and one.identity in owned:
                self.notes.append((one.source, "is the output of another input: skipped"))
                self.skipped.outputs += 1
            else:
                kept.append(one)
        return kept

    def _without_collisions(
        self, found: list[FoundFile], targets: list[tuple[str, str]]
    ) -> tuple[list[FoundFile], list[tuple[str, str]]]:
        """Drops inputs that were given twice.

        Raises:
            DestinationError: two inputs have the same output.
        """
        takers: dict[str, int] = {}
        clashes: list[tuple[str, int, int]] = []
        kept: list[int] = []
        for index, (one, (target, _)) in enumerate(zip(found, targets, strict=True)):
            before = takers.get(self._key(target))
            if before is not None and one.identity is not None and found[before].identity == one.identity:
                self.notes.append((one.source, "was given twice"))
                continue
            kept.append(index)
            for path in (target, *self.naming.companions_of(target)):
                other = takers.setdefault(self._key(path), index)
                if other != index:
                    clashes.append((path, other, index))
        if clashes:
            path, one_index, other_index = clashes[0]
            more = f"; and {len(clashes) - 1} more" if len(clashes) > 1 else ""
            raise DestinationError(
                f"two inputs have the same output: {found[one_index].source} and {found[other_index].source}{more}",
                path=path,
                remedy=Remedy.OTHER_FOLDER_OR_SUFFIX,
            )
        return [found[i] for i in kept], [targets[i] for i in kept]

    def _without_taken(self, found: list[FoundFile], taken: set[int]) -> list[FoundFile]:
        """Drops files whose outputs were those of earlier parts, or lead back into the input folder.

        Args:
            found: of one folder.
            taken: hashes of the outputs of this folder, to which those of `found` are added: a million of them take
                less memory than their names.
        """
        root, output = self._root, self._output_root
        kept, claimed = [], set[int]()
        for one in found:
            target, _ = self._target(one)
            paths = (target, *self.naming.companions_of(target))
            places = [self._key(path) for path in paths]
            places += [os.path.realpath(path) for path in paths if os.path.islink(path)]
            hashes = set(map(hash, places))
            if any(_is_within(place, root) and not _is_within(place, output) for place in places):
                reason, remedy = "the output is in the input folder", Remedy.OTHER_OUTPUT_OR_SUFFIX
                self.failed.append(DestinationError(reason, path=target, remedy=remedy))
            elif hashes & taken:
                reason, remedy = f"another input has the same output as {one.source}", Remedy.OTHER_FOLDER_OR_SUFFIX
                self.failed.append(DestinationError(reason, path=target, remedy=remedy))
            else:
                kept.append(one)
                claimed |= hashes
        taken |= claimed
        return kept

    def _key(self, path: str) -> str:
        folder, name = os.path.split(path)
        key = os.path.join(self._folder(folder)[0], name)
        return key.casefold() if sys.platform == "darwin" else os.path.normcase(key)

    def _refuse_replacing_inputs(self, found: list[FoundFile], targets: list[tuple[str, str]]) -> None:
        # By device and inode, to handle different spellings, both kinds of links and case-insensitive file systems.
        there = [
            (one, path, identity)
            for one, (target, _) in zip(found, targets, strict=True)
            for path in (target, *self.naming.companions_of(target))
            if (identity := identity_of(path)) is not None
        ]
        inputs = {one.identity: one.source for one in found if one.identity is not None} if there else {}
        for one, path, identity in there:
            if identity in inputs:
                which = "the input" if identity == one.identity else f"another input, {inputs[identity]}"
                raise DestinationError(f"the output is {which}", path=path, remedy=Remedy.OTHER_OUTPUT_OR_SUFFIX)


def _is_within(path: str, folder: str) -> bool:
    """Whether a canonical path is that folder, or lies below it."""
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)


def folder_problem(folder: str) -> DerainError | None:
    """Why files cannot be written to `folder`, which need not exist yet; None if they can."""
    place = os.path.abspath(folder)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        return DestinationError("not a folder", path=place, remedy=Remedy.OTHER_OUTPUT)
    if not os.access(place, os.W_OK | os.X_OK):
        return DestinationError("the folder is not writable", path=place, remedy=Remedy.OTHER_OUTPUT)
    return None
