"""Files that arrive in a watched folder: which of them are complete."""

# Paths are strings here: see `jobs.items`.
# ruff: noqa: PTH116

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field

__all__ = ["Arrivals"]

_State = tuple[int, int]
"""Size and time of the last change, nanoseconds."""


@dataclass
class Arrivals:
    """Remembers what was seen of each file; takes every state of a file once.

    A file counts as complete when neither its size nor its time has changed for `settle` seconds. Nothing tells that
    reliably at once on all systems and network drives; a copy that pauses for longer gives a truncated file, which
    fails, and is taken again once it has grown.

    Attributes:
        settle: seconds.
    """

    settle: float
    _waiting: dict[str, tuple[_State, float]] = field(default_factory=dict)
    _taken: dict[str, _State] = field(default_factory=dict)

    def take(self, paths: Iterable[str], now: float) -> list[str]:
        """The files that are complete and have not been taken in this state before, in the order given.

        Args:
            paths: all files that are there now; what is known of others is forgotten.
            now: seconds on a clock that never goes back.
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
    except OSError:  # gone again
        return None
    return status.st_size, status.st_mtime_ns
