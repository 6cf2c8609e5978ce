"""Messages about clips: the plan, progress and time left, results, the joined file."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from derain_cli.cli.console import print_data
from derain_cli.cli.hints import reason_of
from derain_cli.cli.items import ItemTally
from derain_cli.cli.reporter import Bar
from derain_cli.cli.times import about, clock, until
from derain_cli.errors import DerainError, InputError, printable
from derain_cli.jobs.items import Item, WorkList

if TYPE_CHECKING:
    from derain_cli.jobs.clips.forecast import Forecast
    from derain_cli.jobs.clips.join import JoinOutcome
    from derain_cli.jobs.clips.outcome import ClipOutcome, Pace
    from derain_cli.jobs.clips.survey import Load

__all__ = ["ClipTally"]

_LINE_EVERY = 60.0
"""Seconds between progress lines when there is no bar."""
_WORTH_TELLING = 5.0
"""Seconds left, from which on the first estimate is printed."""


@dataclass
class ClipTally(ItemTally):
    """Results of the clips.

    Attributes:
        unusable: number of inputs that are not clips.
        without_output: sources of clips that failed.
        on_the_way: the outputs of clips are only kept until they are joined, and are not named in messages.
    """

    unusable: int = 0
    without_output: set[str] = field(default_factory=set)
    on_the_way: bool = False
    _items: Sequence[Item] = ()
    _forecast: Forecast | None = None
    _bar: Bar = field(default_factory=Bar)
    _told: float = 0.0
    _begun: float = 0.0
    _estimate: float | None = None
    _frames: int = 0
    _seconds: float = 0.0

    @property
    def exit_code(self) -> int:
        """4 if none of the inputs is a clip."""
        if self.unusable and self.unusable == len(self.codes) == self.tried:
            return 4
        return super().exit_code

    # --- beforehand ---------------------------------------------------------------------------------------------

    def without_photos(self, work: WorkList) -> WorkList:
        """The plan without photos, which are reported as errors."""
        from derain_cli.media.photo import refuse_still

        left = []
        for item in work.items:
            try:
                refuse_still(item.source)
            except InputError as error:
                self.unusable += 1
                self.without_output.add(item.source)
                self.refused_item(item, error)
            else:
                left.append(item)
        return replace(work, items=tuple(left))

    def planned_clips(self, items: Sequence[Item], loads: Sequence[Load], pixels_per_second: float | None) -> None:
        """Print the clips of a dry run, and how long they would take.

        Args:
            items: the clips.
            loads: the size of each.
            pixels_per_second: measured rate; None if unknown.
        """
        for item, load in zip(items, loads, strict=True):
            self.ok += 1
            seconds = load.weight / pixels_per_second if pixels_per_second and load.weight else None
            if self.reporter.json:
                values: dict[str, Any] = {"width": load.width, "height": load.height, "frames": load.frames}
                values |= {"duration": round(load.seconds, 3), "estimated_seconds": _rounded(seconds)}
                self.record_item(item, "planned", **values, notes=[item.note] if item.note else [])
                continue
            size = f"{load.frames} frames of {load.width}x{load.height}, {clock(load.seconds)} long"
            took = f", about {about(seconds)}" if seconds is not None else ""
            told = f" ({size}{took})" if load.frames else ""
            print_data(f"{printable(item.source)} -> {printable(item.target)}{told}")
        whole = sum(load.weight for load in loads)
        if pixels_per_second and whole:
            self._estimate = whole / pixels_per_second
            self._frames = sum(load.frames for load in loads)
            what = f"about {about(self._estimate)} for {_counted(self._frames, 'frame')}"
            self.reporter.say(f"{what}, until {until(self._estimate)} if started now")

    def no_estimate(self, error: DerainError) -> None:
        """Print why a dry run has no estimate."""
        self.reporter.note(f"no estimate: {reason_of(error)}", None if error.path is None else str(error.path))

    # --- on the way ---------------------------------------------------------------------------------------------

    def watch(self, items: Sequence[Item], loads: Sequence[Load], bar: Bar) -> None:
        """Set the bar to update while all `items` are processed."""
        from derain_cli.jobs.clips.forecast import Forecast

        self._items, self._bar, self._forecast = items, bar, Forecast(loads)
        self._begun = self._told = time.monotonic()

    def progress(self, index: int, pace: Pace) -> None:
        """Update the bar; without a bar, print a line now and then. The first estimate is always printed."""
        forecast, now = self._forecast, time.monotonic()
        assert forecast is not None  # `watch` comes before
        forecast.update(index, pace, now)
        name = printable(os.path.basename(self._items[index].source))  # noqa: PTH119
        place = f"{name} [{index + 1}/{len(self._items)}]" if len(self._items) > 1 else name
        left, fps = forecast.left, forecast.fps
        told = [f"{fps:.1f} fps" if fps >= 1 else f"{1 / fps:.1f} s a frame"] if fps else []
        if left is not None and forecast.settled:
            told += [f"{about(left)} left", f"until {until(left)}"]
        self._bar.update(forecast.share, place, 1, pace=", ".join(told))
        if forecast.settled and left is not None and self._estimate is None:
            self._estimate = now - self._begun + left
            if left > _WORTH_TELLING:
                clips = "" if len(self._items) == 1 else f" for {len(self._items)} clips"
                self.reporter.say(f"about {about(left)}{clips}, until {until(left)} ({told[0]})")
                self._told = now
        elif not self.reporter.shows_bar and now - self._told > _LINE_EVERY:
            self._told = now
            self.reporter.say(f"{place}: {forecast.share:.0%} of all, {', '.join(told)}")

    def whole_estimate(self, loads: Sequence[Load]) -> str | None:
        """How long clips would take at the measured rate, as text; None if no rate is known."""
        rate = self._forecast.rate if self._forecast is not None else None
        whole = sum(load.weight for load in loads)
        if not rate or not whole:
            return None
        return f"about {about(whole / rate)}, until {until(whole / rate)}"

    # --- what became of them ------------------------------------------------------------------------------------

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
            self.without_output.add(item.source)
            self.failed_by(outcome, item.source, output=item.target, **size)
            return
        fresh = outcome.frames - outcome.resumed
        self._frames += fresh
        self._seconds += outcome.seconds
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
            kept = "the readable part is used" if self.on_the_way else f"{item.target} contains the readable part"
            error = InputError("the clip ends early", path=item.source, hint=kept)
            self.failed(error, input=item.source, output=self._named(item), **values)
            return
        self.ok += 1
        what = f"{outcome.frames} frames, {outcome.duration:.1f} s in {clock(outcome.seconds)}, {values['fps']} fps"
        named = "" if self.on_the_way else f" -> {item.target}"
        self.reporter.say(f"[{self.tried}/{self.total}] {item.source}{named} ({what})")
        self.record("ok", input=item.source, output=self._named(item), **values)

    def _named(self, item: Item) -> str | None:
        return None if self.on_the_way else item.target

    def _stopped(self, outcome: ClipOutcome) -> None:
        item = outcome.item
        if outcome.partial:
            self.reporter.say(f"{item.source} -> {outcome.partial} ({outcome.frames} frames, then interrupted)")
        self.reporter.say(f"{item.source}: interrupted; run the same command to resume")
        self.record_item(item, "stopped", partial=outcome.partial, frames=outcome.frames)

    def joining(self, name: str, bar: Bar, share: float) -> None:
        """Show the progress of joining."""
        bar.update(share, f"joining {printable(name)}", 1)

    def joined(self, outcome: JoinOutcome) -> None:
        """Report the joined file."""
        item = outcome.item
        for note in outcome.notes:
            self.reporter.note(note, item.target)
        if outcome.stopped:
            self.reporter.say(f"{item.target}: interrupted; run the same command to resume")
            return
        if outcome.error is not None:
            self.total += 1
            self.failed_by(outcome, item.target, inputs=list(item.sources), output=item.target)
            return
        what = f"{_counted(outcome.frames, 'frame')}, {clock(outcome.duration)} in {clock(outcome.seconds)}"
        self.reporter.say(f"{_counted(len(item.sources), 'clip')} -> {item.target} ({what})")
        values: dict[str, Any] = {"frames": outcome.frames, "duration": round(outcome.duration, 6)}
        values |= {"seconds": round(outcome.seconds, 3), "notes": list(outcome.notes)}
        self.record("joined", input=None, inputs=list(item.sources), output=item.target, **values)

    def summary_values(self) -> dict[str, Any]:
        """Number of frames, frames per second over all clips, and the first estimate of the total time in seconds."""
        rate = round(self._frames / self._seconds, 3) if self._seconds else 0.0
        return {**self.engine, "frames": self._frames, "fps": rate, "estimated_seconds": _rounded(self._estimate)}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
