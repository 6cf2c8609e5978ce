"""Timestamps that decoded pictures are expected with."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field

__all__ = ["Expected"]


@dataclass
class Expected:
    """Timestamps sent to the decoder whose pictures have not been returned."""

    waiting: list[int] = field(default_factory=list)
    lost: set[int] = field(default_factory=set)

    def sent(self, pts: int) -> None:
        """Add the timestamp of a packet that is sent."""
        heapq.heappush(self.waiting, pts)

    def next(self) -> int | None:
        """The earliest one not known to be lost; it is not removed."""
        for each in sorted(self.waiting):
            if each not in self.lost:
                return each
        return None

    def before(self, pts: int) -> list[int]:
        """Remove `pts` and all earlier timestamps; returns the earlier ones."""
        missed = []
        while self.waiting and self.waiting[0] <= pts:
            first = heapq.heappop(self.waiting)
            self.lost.discard(first)
            if first != pts:
                missed.append(first)
        return missed
