"""The steps of `derain video`: plan, preview, restoring, joining; the network is loaded once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from derain_cli.cli.clips import ClipTally
from derain_cli.cli.console import can_be_asked, print_data
from derain_cli.errors import DerainError, DestinationError, InputError, UsageError, printable
from derain_cli.jobs.items import Item, Naming, WorkList, listed
from derain_cli.jobs.outputs import folder_problem, plan_outputs
from derain_cli.remedies import Remedy
from derain_cli.system.finder import identity_of

if TYPE_CHECKING:
    from derain_cli.checkpoints.header import Head
    from derain_cli.cli.clip_flags import ClipFlags
    from derain_cli.config import ModelConfig, RestoreOptions, VideoOptions
    from derain_cli.jobs.clips.frame_restorer import FrameRestorer
    from derain_cli.jobs.clips.survey import Load
    from derain_cli.jobs.made import MadeRecord

__all__ = ["ClipJobs"]

_NO_EFFECT_ON_OUTPUT = ("keep_partial", "segment", "hw")
"""Options that the finished clip does not depend on, or hardly."""


@dataclass(frozen=True)
class _Join:
    """The joined file.

    Attributes:
        item: the file, with the sources of all clips in order.
        pieces: the clips and their outputs, in order.
        hidden: temporary folder of the outputs; None if they are kept.
    """

    item: Item
    pieces: tuple[Item, ...]
    hidden: Path | None


@dataclass(frozen=True)
class _Plan:
    """A plan.

    Attributes:
        wanted: how clips are restored.
        naming: where outputs go.
        work: settled.
        record: how outputs were made.
        join: the joined file; None if there is none to write.
    """

    wanted: VideoOptions
    naming: Naming
    work: WorkList
    record: MadeRecord
    join: _Join | None
    config: ModelConfig


@dataclass
class ClipJobs:
    """One call of the command.

    Attributes:
        flags: of the command.
        restore: device, precision, engine and the like.
        tally: reports everything.
    """

    flags: ClipFlags
    restore: RestoreOptions
    tally: ClipTally
    _engine: FrameRestorer | None = None
    _loads: dict[tuple[str, VideoOptions], Load] = field(default_factory=dict)

    def run(self) -> None:
        """Plan and process the clips, or print the plan."""
        planned = self._plan(self.flags)
        if self.flags.dry_run:
            self._say_what_would_be(planned)
            return
        self._do(planned)
        if planned.wanted.preview is not None and planned.work.items:
            self._go_on_with_all(planned)

    # --- plans --------------------------------------------------------------------------------------------------

    def _plan(self, flags: ClipFlags) -> _Plan:
        from derain_cli.jobs.made import MadeRecord, settled
        from derain_cli.media.clip.names import READABLE_CLIPS
        from derain_cli.media.clip.pictures import named_sequence, sequence_in

        wanted, naming = flags.video_options(), flags.naming()
        target = flags.join if wanted.preview is None else None
        hidden = None
        if target is not None:
            hidden, naming = _pieces_of(target, naming)
        paths = [named_sequence(path) or path for path in flags.paths]
        whole = frozenset(path for path in paths if sequence_in(Path(path)) is not None)
        selection = replace(flags.files.selection(READABLE_CLIPS), whole=whole)
        work = plan_outputs(paths, selection, naming)
        head: Head = self.tally.check_engine(flags.model, self.restore)
        settings = self.tally.settings(head, self.restore)
        record = MadeRecord(settings | {k: v for k, v in asdict(wanted).items() if k not in _NO_EFFECT_ON_OUTPUT})
        if target is not None:
            work = _without_joined(work, target)
        work = settled(work, record, naming.companions_of)
        join = None
        if target is not None and (work.items or work.done):
            join = _join_of(target, work, hidden)
            left = set(work.items)
            work = replace(work, items=tuple(item for item in join.pieces if item in left))
            if os.path.lexists(target) and not flags.overwrite:
                if (problem := record.problem(join.item)) is not None:
                    raise problem
                there = tuple(Item(piece.source, target) for piece in join.pieces)
                work, join = replace(work, items=(), done=there), None
        self.tally.report_plan(work, "clips", _other_kinds(work.unread))
        return _Plan(wanted, naming, self.tally.without_photos(work), record, join, head.config)

    def _say_what_would_be(self, planned: _Plan) -> None:
        items = planned.work.items
        loads = self._surveyed(items, planned.wanted)
        rate = None
        if any(load.weight for load in loads):
            from derain_cli.jobs.clips.calibration import measured_rate

            largest = max(range(len(items)), key=lambda number: loads[number].weight)
            try:
                fps = measured_rate(items[largest], self._loaded(planned), planned.wanted)
                rate = fps * loads[largest].pixels if fps else None
            except DerainError as error:
                self.tally.no_estimate(error)
        self.tally.planned_clips(items, loads, rate)
        if planned.join is not None and not self.flags.messages.json:
            print_data(f"{len(planned.join.pieces)} clips -> {printable(planned.join.item.target)}")

    # --- the work -----------------------------------------------------------------------------------------------

    def _do(self, planned: _Plan) -> None:
        from derain_cli.jobs.clips.beforehand import require_encodings
        from derain_cli.jobs.clips.join import require_alike
        from derain_cli.jobs.clips.parts import forget_work
        from derain_cli.jobs.clips.run import restore_clips

        work, wanted, join = planned.work, planned.wanted, planned.join
        self.tally.on_the_way = join is not None and join.hidden is not None
        for item in work.done:
            forget_work(item.target)
        rate: Fraction | None = None
        if work.items:
            require_encodings(work.items, wanted)
            if join is not None:
                rate = require_alike(join.pieces, wanted)
            loads = self._surveyed(work.items, wanted)
            engine = self._loaded(planned)
            with self.tally.reporter.bar(1, own_pace=True) as bar:
                self.tally.watch(work.items, loads, bar)
                restore_clips(
                    work.items,
                    engine,
                    wanted,
                    overwrite=self.flags.overwrite,
                    record=planned.record,
                    fail_fast=self.flags.fail_fast,
                    coded_rate=rate,
                    report=self.tally.report,
                    progress=self.tally.progress,
                )
        if join is not None:
            self._join(planned, join)

    def _join(self, planned: _Plan, join: _Join) -> None:
        from derain_cli.jobs.clips.join import JoinOutcome, join_clips

        target = join.item.target
        ready = [p for p in join.pieces if p.source not in self.tally.without_output and os.path.lexists(p.target)]
        missing = len(join.pieces) - len(ready) + len(planned.work.failed)
        if missing:
            reason = f"not joined: {missing} of {len(join.pieces) + len(planned.work.failed)} clips are missing"
            error = InputError(reason, path=target, remedy=Remedy.LEAVE_CLIP_OUT)
            self.tally.joined(JoinOutcome(join.item, error))
            return
        with self.tally.reporter.bar(1, own_pace=True) as bar:
            outcome = join_clips(
                join.item,
                join.pieces,
                overwrite=self.flags.overwrite,
                record=planned.record,
                progress=lambda share: self.tally.joining(target, bar, share),
            )
        self.tally.joined(outcome)
        if outcome.error is None and join.hidden is not None:
            shutil.rmtree(join.hidden, ignore_errors=True)

    def _go_on_with_all(self, planned: _Plan) -> None:
        """After a preview: print how long the whole clips would take, or ask on a terminal whether to continue."""
        flags = replace(self.flags, preview=None)
        loads = self._surveyed(planned.work.items, flags.video_options())
        estimate = self.tally.whole_estimate(loads)
        if estimate is None:
            return
        one_file = flags.output is not None and not os.path.isdir(flags.output)  # noqa: PTH112
        messages = flags.messages
        if one_file or messages.json or messages.quiet or not can_be_asked():
            self.tally.reporter.say(f"without --preview: {estimate}")
            return
        if typer.confirm(f"Continue with the whole ({estimate})?", default=False, err=True):
            before = self.tally.tried
            planned = self._plan(flags)
            self.tally.total += before
            self._do(planned)

    def _surveyed(self, items: Sequence[Item], wanted: VideoOptions) -> list[Load]:
        """What the clips amount to; each header is read once."""
        from derain_cli.jobs.clips.survey import survey

        for item in items:
            if (item.source, wanted) not in self._loads:
                self._loads[item.source, wanted] = survey(item.source, wanted)
        return [self._loads[item.source, wanted] for item in items]

    def _loaded(self, planned: _Plan) -> FrameRestorer:
        """The engine, loaded on first use."""
        if self._engine is None:
            from derain_cli.engine.choice import Work
            from derain_cli.jobs.clips.frame_restorer import FrameRestorer
            from derain_cli.jobs.clips.parts import engine_begun_with

            items, wanted = planned.work.items, planned.wanted
            begun = engine_begun_with(item.target for item in items)
            # A preview is made as that which it is a preview of.
            loads = self._surveyed(items, replace(wanted, preview=None))
            amount = Work(planned.config, [round(load.weight * wanted.scale**2) for load in loads], begun)
            self._engine = FrameRestorer.of(self.tally.load(self.flags.model, self.restore, amount))
        return self._engine


def _pieces_of(target: str, naming: Naming) -> tuple[Path | None, Naming]:
    """The folder of the single clips: a hidden one next to the file, or None for that of `-o`; and the naming for it.

    Raises:
        UsageError: the suffix of the file cannot be written, or `-o` is not a folder.
        DestinationError: the file cannot be written there.
    """
    from derain_cli.jobs.clips.parts import work_folder

    suffix = os.path.splitext(target)[1].lower()  # noqa: PTH122
    if suffix not in naming.writable:
        known = listed(naming.writable)
        raise UsageError(f"cannot join clips in a file of type {suffix or 'none'}", path=target, hint=f"one of {known}")
    if os.path.isdir(target):  # noqa: PTH112
        raise DestinationError("the destination is a folder", path=target)
    if (problem := folder_problem(os.path.dirname(target))) is not None:  # noqa: PTH120
        raise problem
    if naming.output is not None:
        if os.path.splitext(naming.output)[1].lower() in naming.writable:  # noqa: PTH122
            raise UsageError("the clips that are joined need a folder", path=naming.output, remedy=Remedy.OUTPUT_FOLDER)
        return None, naming
    hidden = work_folder(target)
    return hidden, replace(naming, output=f"{hidden}{os.sep}", format=naming.format or suffix[1:], suffix="")


def _without_joined(work: WorkList, target: str) -> WorkList:
    """The plan without the joined file of an earlier run, which may be among the clips."""
    identity = identity_of(target)
    if identity is None:
        return work
    ours = [item.source for item in (*work.items, *work.done) if identity_of(item.source) == identity]
    return replace(
        work,
        items=tuple(item for item in work.items if item.source not in ours),
        done=tuple(item for item in work.done if item.source not in ours),
        notes=(*work.notes, *((source, "is the joined file: ignored") for source in ours)),
    )


def _join_of(target: str, work: WorkList, hidden: Path | None) -> _Join:
    from derain_cli.jobs.clips.join import natural_order

    pieces = tuple(sorted((*work.items, *work.done), key=lambda item: natural_order(item.source)))
    item = Item(pieces[0].source, target, further=tuple(piece.source for piece in pieces[1:]))
    return _Join(item, pieces, hidden)


def _other_kinds(unread: Mapping[str, int]) -> list[str]:
    """A note on photos in folders, which are ignored."""
    from derain_cli.media.photo import READABLE_SUFFIXES

    count = sum(count for suffix, count in unread.items() if suffix in READABLE_SUFFIXES)
    return [f"{count} {'photo' if count == 1 else 'photos'} left for `derain` without video"] if count else []
