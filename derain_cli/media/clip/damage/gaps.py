"""Frames that are missing without a trace: timestamps further apart than others, where the file is broken.

A gap alone says nothing, since a clip's rate may be variable, or frames that change nothing were left out on purpose.
A hole in the file alone does not say what was in it. Both at one place do.
"""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from derain_cli.media.clip.damage.holes import Hole, holes

__all__ = ["Gaps", "Losses"]

_AROUND = 8
"""Steps on either side that a step is compared with."""
_WIDE = 1.5
"""Times the usual step from which on there is a gap."""
_EVEN, _MOST = 0.02, 0.75
"""The rate counts as constant where so many steps differ by no larger share from the usual one, or by a tick."""
_REACH = 16
"""Usual steps between a hole and a gap of its making: frames are stored out of order."""
_JOINED = 10
"""Seconds: a longer gap where a transport stream's counters jump is one between recordings."""
_KEPT = 10_000
"""Gaps that are remembered."""


@dataclass(frozen=True)
class Losses:
    """What holes took.

    Attributes:
        frames: how many are missing; None when the rate does not tell.
        after: timestamp of the last frame before the first gap; None without a gap: no frame is known to be missing.
        broken: whether the file is broken anywhere but at its end.
        breaks_off: whether the file breaks off.
    """

    frames: int | None = None
    after: int | None = None
    broken: bool = False
    breaks_off: bool = False


@dataclass(frozen=True)
class _Gap:
    before: int
    after: int
    usual: float
    missing: int | None


@dataclass
class Gaps:
    """Put together from what goes into the decoder and what comes out of it.

    Args:
        path: the clip.
        container: FFmpeg's name of the format.
        tick: seconds per tick of timestamps.
    """

    path: Path
    container: str
    tick: float
    _walk: Iterator[tuple[int, Hole | None]] | None = None
    _walked: int = -1
    _from_start: bool = True
    _ahead: deque[Hole] = field(default_factory=deque)
    _highest: int | None = None
    _holes: list[tuple[Hole, int, int]] = field(default_factory=list)
    _cut_off: bool = False
    _short: bool = False
    _times: deque[int] = field(default_factory=lambda: deque(maxlen=2 * _AROUND + 2))
    _judged: int = 0
    _gaps: list[_Gap] = field(default_factory=list)

    @property
    def met(self) -> bool:
        """Whether there was a hole so far."""
        return bool(self._holes)

    @property
    def broken(self) -> bool:
        """Whether there was one, so far, that took something for sure."""
        return any(hole.certain for hole, _, _ in self._holes)

    def restart(self) -> None:
        """What follows comes from another place of the file."""
        self._walk, self._walked, self._from_start = None, -1, False
        self._ahead.clear()
        self._times.clear()
        self._highest, self._judged = None, 0

    def sent(self, position: int | None, pts: int | None) -> None:
        """A packet goes into the decoder: where it lies in the file, bytes, and its timestamp."""
        if position is not None and position >= 0:
            self._follow(position, pts)
        if pts is not None:
            self._highest = pts if self._highest is None else max(self._highest, pts)

    def shown(self, pts: int) -> None:
        """A frame comes out; timestamps increase."""
        self._judged -= len(self._times) == self._times.maxlen  # all move on
        self._times.append(pts)
        if len(self._times) == self._times.maxlen:
            self._judge_up_to(_AROUND)

    def losses(self, *, complete: bool) -> Losses:
        """What is known once the last frame has come out.

        Args:
            complete: whether that frame is the last one that the file declares, as far as is known.
        """
        self._judge_up_to(len(self._times) - 2)
        self._follow(None, None)
        short = self._short and complete
        broken = short or self.broken
        found = [gap for gap in self._gaps if self._is_loss(gap) or (short and gap.missing is not None)]
        if not found:
            return Losses(broken=broken, breaks_off=self._cut_off)
        counts = [gap.missing for gap in found]
        frames = None if None in counts else sum(count for count in counts if count is not None)
        return Losses(frames, found[0].before, broken=True, breaks_off=self._cut_off)

    def _follow(self, position: int | None, pts: int | None) -> None:
        """Walk through the file's structure up to a packet, or to the end."""
        try:
            if self._walk is None:
                self._walk = holes(self.path, self.container, 0 if self._from_start else position or 0)
            while position is None or self._walked < position:
                step = next(self._walk, None)
                if step is None:
                    break
                self._walked, hole = step
                if hole is not None and hole.where == "end":
                    self._cut_off = True
                elif hole is not None and hole.where == "before":
                    self._short = True
                elif hole is not None:
                    self._ahead.append(hole)
        except OSError:
            self._walk = iter(())  # the demuxer meets the same and says so
        while self._ahead and (position is None or self._ahead[0].position <= position):
            near = [time for time in (self._highest, pts) if time is not None]
            if near:
                self._holes.append((self._ahead[0], min(near), max(near)))
            self._ahead.popleft()

    def _judge_up_to(self, last: int) -> None:
        while self._judged <= last:
            self._judge(self._judged)
            self._judged += 1

    def _judge(self, step: int) -> None:
        """Whether there is a gap between two frames in view."""
        steps = [self._times[n + 1] - self._times[n] for n in range(len(self._times) - 1)]
        this = steps.pop(step)
        if len(steps) < 2 or len(self._gaps) == _KEPT:
            return
        usual = statistics.median(steps)
        if this <= _WIDE * usual:
            return
        even = sum(abs(each - usual) <= max(1, _EVEN * usual) for each in steps)
        missing = round(this / usual) - 1 if even >= _MOST * len(steps) else None
        self._gaps.append(_Gap(self._times[step], self._times[step + 1], usual, missing))

    def _is_loss(self, gap: _Gap) -> bool:
        for hole, first, last in self._holes:
            near = first - _REACH * gap.usual <= gap.after and last + _REACH * gap.usual >= gap.before
            if near and (hole.certain or (gap.after - gap.before) * self.tick <= _JOINED):
                return True
        return False
