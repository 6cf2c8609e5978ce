"""Who may be in memory at a time: items enter strictly in order, and when there is room for them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

__all__ = ["Closed", "Room", "Share"]


class Closed(Exception):
    """Nobody is let in any more."""


@dataclass(frozen=True)
class Share:
    """What one takes of a room.

    Attributes:
        places: of those there are; any unit.
        size: bytes.
    """

    places: int
    size: int


@dataclass
class Room:
    """Lets in 0, 1, 2, ... strictly in this order, each when all limits hold with it; one alone is always let in.

    Whoever is let in leaves by `leave` at some time. The order is why nobody waits forever: those inside came before
    the one that waits, so they need nothing that comes after it. Methods may be called from any thread.

    Attributes:
        limit: places and bytes that those inside may have together.
    """

    limit: Share
    _inside: dict[int, Share] = field(default_factory=dict)
    _next: int = 0
    _closed: bool = False
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def enter(self, number: int, share: Share) -> None:
        """Wait until it is the turn of `number` and there is room for it.

        Raises:
            Closed: `close` was called before that.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (number == self._next and self._fits(share)))
            if self._closed:
                raise Closed
            self._inside[number] = share
            self._next += 1
            self._changed.notify_all()

    def leave(self, number: int) -> None:
        """`number` is gone; once is enough, more do no harm."""
        with self._changed:
            self._inside.pop(number, None)
            self._changed.notify_all()

    def close(self) -> None:
        """Let nobody in any more: who waits gets `Closed`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _fits(self, share: Share) -> bool:
        inside = [*self._inside.values(), share]
        return len(inside) == 1 or (
            sum(one.places for one in inside) <= self.limit.places
            and sum(one.size for one in inside) <= self.limit.size
        )
