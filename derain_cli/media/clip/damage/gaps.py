"""Detects missing frames: a gap between timestamps at a place where the file is broken.

A gap alone proves nothing, since the frame rate may be variable or unchanged frames may have been omitted on purpose. A
hole in the file alone does not tell what it contained. Both at the same place do.
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
"""Steps on either side to compare a step with."""
_WIDE = 1.5
"""Ratio to the usual step above which a step is a gap."""
_EVEN, _MOST = 0.02, 0.75
"""The rate counts as constant if at least the share `_MOST` of the steps deviates from the usual one by at most the
share `_EVEN`, or by one tick."""
_REACH = 16
"""Maximum distance, in usual steps, between a hole and the gap it causes, since frames are stored out of order."""
_JOINED = 10
"""Seconds; a longer gap at a jump of transport stream counters is a gap between recordings."""
_KEPT = 10_000
"""Maximum number of gaps to remember."""


@dataclass(frozen=True)
class Losses:
    """Losses caused by holes.

    Attributes:
        frames: number of missing frames; None if the rate is not constant.
        after: timestamp of the last frame before the first gap; None if no frame is known to be missing.
        broken: the file is damaged somewhere before its end.
        breaks_off: the file is truncated.
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
    """Finds gaps from the packets sent to the decoder and the frames it returns.

    Args:
        path: the clip.
        container: FFmpeg name of the format.
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
        """Whether a hole has been found so far."""
        return bool(self._holes)

    @property
    def broken(self) -> bool:
        """Whether a hole with certain loss has been found so far."""
        return any(hole.certain for hole, _, _ in self._holes)

    def restart(self) -> None:
        """Start over at another place in the file."""
        self._walk, self._walked, self._from_start = None, -1, False
        self._ahead.clear()
        self._times.clear()
        self._highest, self._judged = None, 0

    def sent(self, position: int | None, pts: int | None) -> None:
        """Register a packet sent to the decoder: its byte position in the file, and its timestamp."""
        if position is not None and position >= 0:
            self._follow(position, pts)
        if pts is not None:
            self._highest = pts if self._highest is None else max(self._highest, pts)

    def shown(self, pts: int) -> None:
        """Register a decoded frame; timestamps must increase."""
        self._judged -= len(self._times) == self._times.maxlen  # indices shift by one
        self._times.append(pts)
        if len(self._times) == self._times.maxlen:
            self._judge_up_to(_AROUND)

    def losses(self, *, complete: bool) -> Losses:
        """The losses, after the last frame.

        Args:
            complete: whether that frame is the last one declared by the file, as far as is known.
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
        """Parse the structure of the file up to a packet, or to the end."""
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
            self._walk = iter(())  # the demuxer reports the same error
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
        """Record a gap if there is one after frame `step` of the window."""
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
