"""Detects which files in a watched folder are complete."""

# Paths are strings here: see `jobs.items`.
# ruff: noqa: PTH116

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Arrivals"]

_State = tuple[int, int]
"""Size in bytes and modification time in nanoseconds."""


@dataclass
class Arrivals:
    """Tracks the state of files; each state of a file is returned once.

    A file counts as complete when its size and modification time have not changed for `settle` seconds. No faster
    method works on all systems and network drives. If a copy pauses for longer, the truncated file fails, and is
    returned again once it has grown.

    Attributes:
        settle: seconds without change.
    """

    settle: float
    _waiting: dict[str, tuple[_State, float]] = field(default_factory=dict)
    _taken: dict[str, _State] = field(default_factory=dict)

    def take(self, paths: Iterable[str], now: float) -> list[str]:
        """The complete files that have not been returned in this state before, in the given order.

        Args:
            paths: all existing files; the state of others is dropped.
            now: time in seconds from a monotonic clock.
        """
        ready, waiting, taken = [], {}, {}
        for path in paths:
            state = _state(path)
            if state is None:
                continue
            if self._taken.get(path) == state:
                taken[path] = state
                continue
            before, since = self._waiting.get(path, (state, now))
            if before != state:
                since = now
            if state[0] and now - since >= self.settle:
                ready.append(path)
                taken[path] = state
            else:
                waiting[path] = (state, since)
        self._waiting, self._taken = waiting, taken
        return ready


def _state(path: str) -> _State | None:
    try:
        status = os.stat(path)
    except OSError:  # already gone
        return None
    return status.st_size, status.st_mtime_ns
