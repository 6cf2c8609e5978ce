"""Processes one upload with the same jobs as the command line, so that the output is identical."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from derain_cli.config import VideoOptions
from derain_cli.jobs.items import DEFAULT_SUFFIX, Item, Naming
from derain_cli.jobs.outcome import Outcome
from derain_cli.jobs.outputs import plan_outputs
from derain_cli.jobs.photos.options import BatchOptions
from derain_cli.media.clip.encoding import WRITABLE_CLIPS
from derain_cli.media.photo import WRITABLE_SUFFIXES, suffix_by_content
from derain_cli.serve.entry import Entry, Pace, Result, Settings, Stills
from derain_cli.serve.previews import write_clip_stills, write_photo_still
from derain_cli.system.finder import Selection

if TYPE_CHECKING:
    from derain_cli.engine.restorer import Restorer
    from derain_cli.jobs.clips.outcome import Pace as ClipPace

__all__ = ["Cancelled", "Round"]


class Cancelled(BaseException):
    """The processing was cancelled. A BaseException, so that jobs do not treat it as a failure of the file."""


@dataclass(frozen=True)
class Round:
    """Processing of an upload with certain settings.

    Attributes:
        entry: the upload.
        settings: of this round.
        stop: set to cancel; checked between tiles and frames.
        max_pixels: larger photos are refused.
        restorer: returns the restorer for given settings.
    """

    entry: Entry
    settings: Settings
    stop: threading.Event
    max_pixels: int
    restorer: Callable[[Settings], Restorer]

    def run(self, expected: float | None) -> Result:
        """Process the upload; updates its stills and pace.

        Args:
            expected: estimated seconds for a photo; None if unknown.

        Raises:
            Cancelled: `stop` was set.
            DerainError: it failed.
        """
        started = time.perf_counter()
        self._heed_stop()
        folder = self.entry.folder / f"round-{self.entry.rounds:04d}"
        try:
            if self.entry.look.kind == "photo":
                item, notes = self._photo(folder, expected)
            else:
                item, notes = self._clip(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        target, stem = Path(item.target), Path(self.entry.name).stem
        return Result(
            target,
            f"{stem}{DEFAULT_SUFFIX}{target.suffix}",
            target.stat().st_size,
            self.settings,
            time.perf_counter() - started,
            notes,
        )

    # --- photos -------------------------------------------------------------------------------------------------

    def _photo(self, folder: Path, expected: float | None) -> tuple[Item, tuple[str, ...]]:
        full = replace(self.settings, strength=1.0)
        self.entry.pace = Pace(begun=time.monotonic(), expected=expected)
        after = self.entry.after
        if after is None or after.settings != full:
            # The page blends before and after by the strength, so it needs the result at full strength.
            item, notes = self._restored_photo(folder / "full", full)
            still = write_photo_still(Path(item.target), folder / "after", self.max_pixels)
            self._show((still,), full)
            if self.settings == full:
                return item, notes
            shutil.rmtree(folder / "full", ignore_errors=True)
        return self._restored_photo(folder / "output", self.settings)

    def _restored_photo(self, folder: Path, settings: Settings) -> tuple[Item, tuple[str, ...]]:
        from derain_cli.jobs.photos.run import restore_photos

        naming = Naming(WRITABLE_SUFFIXES, output=f"{folder}{os.sep}", suffix_of=suffix_by_content)
        outcomes: list[Outcome[Item]] = []
        restore_photos(
            [self._item(naming)],
            self.restorer(settings),
            BatchOptions(max_pixels=self.max_pixels, jobs=0),
            report=outcomes.append,
            progress=self._photo_progress,
        )
        return _made(outcomes)

    def _photo_progress(self, share: float) -> None:
        self._heed_stop()
        self.entry.pace = replace(self.entry.pace, share=share)

    # --- clips --------------------------------------------------------------------------------------------------

    def _clip(self, folder: Path) -> tuple[Item, tuple[str, ...]]:
        from derain_cli.jobs.clips.frame_restorer import FrameRestorer
        from derain_cli.jobs.clips.run import restore_clips

        item = self._item(Naming(WRITABLE_CLIPS, fallback=".mp4", output=f"{folder}{os.sep}"))
        outcomes: list[Outcome[Item]] = []
        restore_clips(
            [item],
            FrameRestorer.of(self.restorer(self.settings)),
            VideoOptions(),
            report=outcomes.append,
            progress=self._clip_progress,
        )
        _, notes = _made(outcomes)
        stills = write_clip_stills(Path(item.target), folder / "after", self.entry.look.moments)
        self._show(tuple(stills.values()), self.settings)
        return item, notes

    def _clip_progress(self, index: int, pace: ClipPace) -> None:
        self._heed_stop()
        share = pace.done / pace.total if pace.total else 0.0
        left = (pace.total - pace.done) / pace.rate if pace.total and pace.rate else None
        self.entry.pace = Pace(min(1.0, share), left, pace.done)

    # --- both ---------------------------------------------------------------------------------------------------

    def _item(self, naming: Naming) -> Item:
        work = plan_outputs([str(self.entry.source)], Selection(frozenset()), naming)
        for error in work.failed:
            raise error
        return work.items[0]

    def _show(self, paths: tuple[Path, ...], settings: Settings) -> None:
        before = self.entry.after
        self.entry.after = Stills(paths, settings, before.version + 1 if before else 1)
        for path in before.paths if before else ():
            path.unlink(missing_ok=True)

    def _heed_stop(self) -> None:
        if self.stop.is_set():
            raise Cancelled


def _made(outcomes: list[Outcome[Item]]) -> tuple[Item, tuple[str, ...]]:
    """Item and notes of the only outcome.

    Raises:
        Cancelled: there is none, or it was stopped.
        DerainError: it failed.
    """
    if not outcomes:
        raise Cancelled
    (outcome,) = outcomes
    if outcome.error is not None:
        raise outcome.error
    if getattr(outcome, "stopped", False):
        raise Cancelled
    incomplete = getattr(outcome, "incomplete", False)
    notes = ("the clip ends early: the result contains the readable part",) if incomplete else ()
    return outcome.item, (*notes, *outcome.notes)
