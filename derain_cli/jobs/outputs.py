"""Decides where the output of each input goes, before any work starts.

Nothing here creates or changes a file. A plan that would overwrite an input, or write two inputs to one output,
is refused as a whole; problems of single inputs are listed separately, so that the others are processed.
"""

# Paths are strings here: a hundred thousand `Path` objects take ten times the memory, and a trailing slash or a
# leading `./`, which `Path` drops, is significant.
# ruff: noqa: PTH100, PTH112, PTH118, PTH119, PTH120, PTH122

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field

from derain_cli.errors import DerainError, DestinationError, UsageError, printable
from derain_cli.jobs.items import DEFAULT_SUFFIX, Item, Naming, WorkList, listed, own_tails
from derain_cli.remedies import Remedy
from derain_cli.system.finder import Finder, FoundFile, Selection, identity_of, is_pattern, separators

__all__ = ["folder_problem", "plan_outputs"]


_NAME_MAX = 255


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


@dataclass
class _Planner:
    paths: Sequence[str]
    selection: Selection
    naming: Naming
    _folders: dict[str, tuple[str, DerainError | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.output_file = self._output_is_file()
        output = identity_of(self.naming.output) if self.naming.output and not self.output_file else None
        self.finder = Finder(self.paths, self.selection, own_tails(self._suffix), output)
        self.failed, self.notes, self.skipped = self.finder.failed, self.finder.notes, self.finder.skipped

    def plan(self) -> WorkList:
        if self.naming.output is not None:
            root = os.path.dirname(self.naming.output) if self.output_file else self.naming.output
            problem = folder_problem(root)
            if problem is not None:
                raise problem
        self._refuse_outputs_among_inputs()
        found = self._without_own_outputs(list(self.finder.find()))
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
        return WorkList(
            tuple(items),
            tuple(done),
            tuple(self.failed),
            tuple(self.notes),
            self.skipped.unread,
            self.skipped.remedy(),
        )

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

    # --- safety checks ------------------------------------------------------------------------------------------

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

    def _key(self, path: str) -> str:
        folder, name = os.path.split(path)
        key = os.path.join(self._folder(folder)[0], name)
        return key.casefold() if sys.platform == "darwin" else os.path.normcase(key)

    def _refuse_replacing_inputs(self, found: list[FoundFile], targets: list[tuple[str, str]]) -> None:
        # By device and inode, to handle different spellings, both kinds of links and case-insensitive file systems.
        inputs = {one.identity: one.source for one in found if one.identity is not None}
        for one, (target, _) in zip(found, targets, strict=True):
            for path in (target, *self.naming.companions_of(target)):
                identity = identity_of(path)
                if identity is not None and identity in inputs:
                    which = "the input" if identity == one.identity else f"another input, {inputs[identity]}"
                    raise DestinationError(f"the output is {which}", path=path, remedy=Remedy.OTHER_OUTPUT_OR_SUFFIX)


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
