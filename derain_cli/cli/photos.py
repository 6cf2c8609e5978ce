"""Jobs on photos, on this machine or on many: what they consist of, and their results."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from derain_cli.cli.items import FEW, ItemTally
from derain_cli.cli.reporter import Bar
from derain_cli.errors import UsageError, printable
from derain_cli.jobs.photos.options import BatchOptions

if TYPE_CHECKING:
    from derain_cli.checkpoints.header import Head
    from derain_cli.config import RestoreOptions
    from derain_cli.jobs.items import Item, Naming
    from derain_cli.jobs.made import MadeRecord
    from derain_cli.jobs.photos.outcome import PhotoOutcome
    from derain_cli.system.finder import Selection

__all__ = ["PhotoJob", "PhotoTally", "other_kinds"]


@dataclass(frozen=True)
class PhotoJob:
    """What a job on photos consists of.

    Attributes:
        paths: files, folders, patterns.
        selection: which files are selected.
        naming: how outputs are named.
        model: the weights.
        restore: how pictures are restored.
        batch: how photos are read and written, but for the record of outputs.
    """

    paths: Sequence[str]
    selection: Selection
    naming: Naming
    model: str
    restore: RestoreOptions
    batch: BatchOptions


def other_kinds(unread: Mapping[str, int]) -> list[str]:
    """Notes on files in folders that are ignored: unreadable photos, and clips."""
    from derain_cli.media.clip.names import READABLE_CLIPS
    from derain_cli.media.photo import HEIF_HINT, HEIF_SUFFIXES, UNREAD_SUFFIXES

    notes = []
    for kinds, one, many, words in (
        (UNREAD_SUFFIXES, "photo", "photos", "in unsupported formats"),
        (HEIF_SUFFIXES, "photo", "photos", f"in a format that needs a plug-in, {HEIF_HINT}"),
        (READABLE_CLIPS, "clip", "clips", "left for `derain video`"),
    ):
        found = {suffix: count for suffix, count in sorted(unread.items()) if suffix in kinds}
        if count := sum(found.values()):
            notes.append(f"{count} {one if count == 1 else many} {words}: {' '.join(found)}")
    return notes


@dataclass
class PhotoTally(ItemTally):
    """Results of the photos.

    Attributes:
        finding: inputs are still being found while others are restored: `total` is not the last word.
    """

    finding: bool = False
    _items: tuple[Item, ...] = ()
    _bar: Bar = field(default_factory=Bar)

    def head_and_record(self, job: PhotoJob) -> tuple[Head, MadeRecord]:
        """The header of the weights, and the record of outputs made with the settings of a job.

        Raises:
            WeightsError: the weights are missing or invalid.
            ResourceError: the device is not available.
            UsageError: the weights are for clips.
        """
        from derain_cli.jobs.made import MadeRecord
        from derain_cli.media.photo import LOSSY_SUFFIXES

        head = self.check_engine(job.model, job.restore)
        if head.config.frames > 1:
            reason = f"{job.model} needs {head.config.frames} frames of a clip at once"
            raise UsageError(reason, hint="use `derain video`")
        settings = self.settings(head, job.restore) | {"quality": job.batch.encode.quality}
        return head, MadeRecord(settings, {"quality": LOSSY_SUFFIXES})

    def watch(self, items: tuple[Item, ...], bar: Bar) -> None:
        """Set the bar to update while `items` are done."""
        self._items, self._bar = items, bar

    def report_found(self, outcome: PhotoOutcome, bar: Bar) -> None:
        """Report a finished photo while others are still being found."""
        self.report(outcome)
        name = printable(os.path.basename(outcome.item.source))  # noqa: PTH119  (sources are strings)
        bar.update(self.tried, name, None if self.finding else self.total)

    def progress(self, done: float) -> None:
        """Update the bar."""
        current = self._items[min(int(done), len(self._items) - 1)].source
        self._bar.update(done, printable(os.path.basename(current)))  # noqa: PTH119  (sources are strings)

    @property
    def _are_few(self) -> bool:
        return not self.finding and (len(self._items) or self.total) <= FEW

    def report(self, outcome: PhotoOutcome) -> None:
        """Report a finished photo."""
        if self.is_repeated(outcome):
            return
        item, size = outcome.item, {"width": outcome.width, "height": outcome.height}
        if outcome.error is not None:
            self.failed_by(outcome, item.source, output=item.target, **size)
            return
        if outcome.skipped:
            self.skipped += 1
            self.reporter.say(f"{item.source}: skipped, another run has just written {item.target}")
            self.record_item(item, "skipped", notes=["another run has just written the output"])
            return
        self.ok += 1
        megapixels = outcome.width * outcome.height / 1e6
        if not self.reporter.shows_bar or self._are_few or self.reporter.verbose:
            what = f"{megapixels:.1f} Mpx, {outcome.seconds:.1f} s"
            number = f"{self.tried}" if self.finding else f"{self.tried}/{self.total}"
            self.reporter.say(f"[{number}] {item.source} -> {item.target} ({what})")
        for path in outcome.companions:
            self.reporter.detail(f"{item.source} -> {path}")
        for note in outcome.notes:
            self.reporter.note(note, item.source)
        self.record_item(
            item,
            "ok",
            seconds=round(outcome.seconds, 3),
            megapixels=round(megapixels, 3),
            **size,
            companions=list(outcome.companions),
            notes=list(outcome.notes),
        )
