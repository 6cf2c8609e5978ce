"""Ordered admission control: item n starts only after item n-1, and when the limits allow it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

__all__ = ["AdmissionQueue", "Closed", "Cost"]


class Closed(Exception):
    """The queue is closed: no further items are admitted."""


@dataclass(frozen=True)
class Cost:
    """Resources used by an item.

    Attributes:
        places: number of places, in any unit.
        size: bytes.
    """

    places: int
    size: int


@dataclass
class AdmissionQueue:
    """Admits items 0, 1, 2, ... strictly in order, each as soon as it fits within the limit; a single item always does.

    Every admitted item must eventually be released. The strict order rules out deadlocks: admitted items precede the
    waiting one, so they cannot depend on anything after it. Methods are thread-safe.

    Attributes:
        limit: total places and bytes of the admitted items.
    """

    limit: Cost
    _inside: dict[int, Cost] = field(default_factory=dict)
    _next: int = 0
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def acquire(self, number: int, cost: Cost) -> None:
        """Wait until it is the turn of `number` and it fits within the limit.

        Raises:
            Closed: `close` was called first.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (number == self._next and self._fits(cost)))
            if self._closed:
                raise Closed
            self._inside[number] = cost
            self._next += 1
            self._changed.notify_all()

    def release(self, number: int) -> None:
        """Release `number`; repeated calls have no effect."""
        with self._changed:
            self._inside.pop(number, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Admit no further items; waiting threads get `Closed`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, cost: Cost) -> bool:
        inside = [*self._inside.values(), cost]
        return len(inside) == 1 or (
            sum(one.places for one in inside) <= self.limit.places
            and sum(one.size for one in inside) <= self.limit.size
        )
