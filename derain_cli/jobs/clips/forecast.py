"""How far a job of several clips is, how quickly it goes and how long it still takes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from derain_cli.jobs.clips.outcome import Pace
from derain_cli.jobs.clips.survey import Load

__all__ = ["Forecast"]

_WINDOW = 120.0
"""Seconds whose pace counts: other programs come and go."""
_SETTLED = 4.0
"""Seconds of finished frames after which the pace can be told."""


@dataclass
class Forecast:
    """Progress over all clips. A frame weighs as many units as it has pixels, so clips of other sizes count right.

    Frames of an earlier run count as done, but not for the pace, which is measured from the first frame that comes
    out: loading and filling the chain take time once.

    Args:
        loads: of the clips, in order.
    """

    loads: Sequence[Load]
    _done: list[int] = field(init=False)
    _resumed: list[int] = field(init=False)
    _totals: list[int] = field(init=False)
    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    _first: tuple[float, int] | None = None
    _current: int = 0

    def __post_init__(self) -> None:
        self._totals = [load.frames for load in self.loads]
        self._done = [0] * len(self.loads)
        self._resumed = [0] * len(self.loads)

    def update(self, index: int, pace: Pace, now: float) -> None:
        """Clip `index` is so far; `now` is a time in seconds that only goes on."""
        self._current = index
        for ended in range(index):
            self._totals[ended] = self._done[ended]  # headers may promise more than there is, and clips may fail
        if not self.loads[index].pixels or (self._done[index], self._resumed[index]) == (pace.done, pace.resumed):
            return
        self._done[index], self._resumed[index] = pace.done, pace.resumed
        self._totals[index] = max(pace.total or self._totals[index], pace.done)
        fresh = self._fresh
        if not fresh:
            return
        sample = now, fresh
        self._first = self._first or sample
        self._samples.append(sample)
        while len(self._samples) > 2 and self._samples[0][0] < now - _WINDOW:
            self._samples.popleft()

    @property
    def frames_made(self) -> int:
        """Of this run."""
        return sum(self._done) - sum(self._resumed)

    @property
    def frames_left(self) -> int:
        """Of all clips, as far as they can be counted."""
        return sum(self._totals) - sum(self._done)

    @property
    def share(self) -> float:
        """Of the whole job that is done, 0 to 1."""
        total = self._weight(self._totals)
        return self._weight(self._done) / total if total else 0.0

    @property
    def rate(self) -> float | None:
        """Pixels per second; None before two frames have come out."""
        if len(self._samples) < 2:
            return None
        (began, before), (now, after) = self._samples[0], self._samples[-1]
        return (after - before) / (now - began) if now > began and after > before else None

    @property
    def fps(self) -> float | None:
        """Frames per second of the clip that is worked on."""
        pixels, rate = self.loads[self._current].pixels if self.loads else 0, self.rate
        return rate / pixels if rate and pixels else None

    @property
    def left(self) -> float | None:
        """Seconds still to go."""
        rate = self.rate
        return None if rate is None else (self._weight(self._totals) - self._weight(self._done)) / rate

    @property
    def settled(self) -> bool:
        """Whether enough frames have come out for an estimate."""
        return self._first is not None and len(self._samples) > 1 and self._samples[-1][0] - self._first[0] >= _SETTLED

    @property
    def _fresh(self) -> int:
        return self._weight(self._done) - self._weight(self._resumed)

    def _weight(self, frames: Sequence[int]) -> int:
        return sum(n * load.pixels for n, load in zip(frames, self.loads, strict=True))
