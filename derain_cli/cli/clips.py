"""Messages about clips: progress and results."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from derain_cli.cli.items import ItemTally
from derain_cli.cli.reporter import Bar
from derain_cli.cli.times import clock
from derain_cli.errors import InputError, printable
from derain_cli.jobs.items import WorkList

if TYPE_CHECKING:
    from derain_cli.jobs.clips.outcome import ClipOutcome, Pace

__all__ = ["ClipTally"]

_LINE_EVERY = 60.0
"""Seconds between progress lines when there is no bar."""


@dataclass
class ClipTally(ItemTally):
    """Results of the clips."""

    unusable: int = 0
    _work: WorkList | None = None
    _bar: Bar = field(default_factory=Bar)
    _told: float = field(default_factory=time.perf_counter)

    @property
    def exit_code(self) -> int:
        """4 if none of the inputs is a clip."""
        if self.unusable and self.unusable == len(self.codes) == self.tried:
            return 4
        return super().exit_code

    def without_photos(self, work: WorkList) -> WorkList:
        """The plan without photos, which are reported as errors."""
        from derain_cli.media.photo import refuse_still

        left = []
        for item in work.items:
            try:
                refuse_still(item.source)
            except InputError as error:
                self.unusable += 1
                self.refused_item(item, error)
            else:
                left.append(item)
        return replace(work, items=tuple(left))

    def watch(self, work: WorkList, bar: Bar) -> None:
        """Set the bar to update while `work` is done."""
        self._work, self._bar = work, bar

    def progress(self, index: int, pace: Pace) -> None:
        """Update the bar; without a bar, print a line now and then."""
        name = printable(os.path.basename(self._work.items[index].source)) if self._work else ""  # noqa: PTH119
        self._bar.update(pace.done, f"{name} {pace.rate:.1f} fps", pace.total)
        now = time.perf_counter()
        if not self.reporter.shows_bar and now - self._told > _LINE_EVERY:
            self._told = now
            of = f" of {pace.total}" if pace.total else ""
            left = f", {clock(pace.left)} left" if pace.left is not None else ""
            self.reporter.say(f"{name}: {pace.done}{of} frames, {pace.rate:.2f} fps{left}")

    def report(self, outcome: ClipOutcome) -> None:
        """Report a finished clip."""
        if self.is_repeated(outcome):
            return
        item, size = outcome.item, {"width": outcome.width, "height": outcome.height}
        for note in outcome.notes:
            self.reporter.note(note, item.source)
        if outcome.stopped:
            self._stopped(outcome)
            return
        if outcome.error is not None:
            self.unusable += outcome.unusable
            self.failed_by(outcome, item.source, output=item.target, **size)
            return
        fresh = outcome.frames - outcome.resumed
        values = {
            **size,
            "frames": outcome.frames,
            "resumed": outcome.resumed,
            "duration": round(outcome.duration, 6),
            "codec": outcome.codec,
            "seconds": round(outcome.seconds, 3),
            "fps": round(fresh / outcome.seconds, 3) if outcome.seconds else 0.0,
            "notes": list(outcome.notes),
        }
        if outcome.incomplete:
            error = InputError(
                "the clip ends early", path=item.source, hint=f"{item.target} contains the readable part"
            )
            self.failed(error, input=item.source, output=item.target, **values)
            return
        self.ok += 1
        what = f"{outcome.frames} frames, {outcome.duration:.1f} s in {clock(outcome.seconds)}, {values['fps']} fps"
        self.reporter.say(f"[{self.tried}/{self.total}] {item.source} -> {item.target} ({what})")
        self.record_item(item, "ok", **values)

    def _stopped(self, outcome: ClipOutcome) -> None:
        item = outcome.item
        if outcome.partial:
            self.reporter.say(f"{item.source} -> {outcome.partial} ({outcome.frames} frames, then interrupted)")
        self.reporter.say(f"{item.source}: interrupted; run the same command to resume")
        self.record_item(item, "stopped", partial=outcome.partial, frames=outcome.frames)
