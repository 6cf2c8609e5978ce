"""What takes the rain out of a clip's pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from derain_cli.media.pixels import Pixels

if TYPE_CHECKING:
    from derain_cli.engine.restorer import Restorer

__all__ = ["Engine"]

_BATCH = {"cuda": 8}
"""Frames that the network is given at once, by device; on a processor more than one at a time brings nothing."""


@dataclass(frozen=True)
class Engine:
    """What takes the rain out.

    Attributes:
        restore: pictures of one clip, (H, W, 3) uint8 or uint16 RGB, to the same without rain; called from one thread.
        identity: says all that its results hang on; segments are kept only of the same.
        batch: pictures given at once.
        notes: one-line remarks on the last pictures.
    """

    restore: Callable[[Sequence[Pixels]], Sequence[Pixels]]
    identity: str
    batch: int = 1
    notes: Callable[[], Sequence[str]] = tuple

    @classmethod
    def of(cls, restorer: Restorer) -> Engine:
        """What `restorer` does: several frames at once where that pays."""
        batch = _BATCH.get(restorer.device.type, 1)
        return cls(restorer.batch, restorer.fingerprint(), batch, lambda: restorer.notes)
