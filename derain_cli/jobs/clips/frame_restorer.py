"""Restoration of the frames of a clip."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from derain_cli.media.pixels import Pixels

if TYPE_CHECKING:
    from derain_cli.engine.restorer import Restorer

__all__ = ["FrameRestorer"]

_BATCH = {"cuda": 8}
"""Batch size by device; on a CPU batches have no benefit."""


@dataclass(frozen=True)
class FrameRestorer:
    """Restores frames.

    Attributes:
        restore: removes rain from pictures of one clip, (H, W, 3) uint8 or uint16 RGB; called from one thread. For
            multi-frame networks, maps windows (H, W, 3*F) of `derain_cli.motion.windows` to the middle frames.
        identity: identifies everything that results depend on; segments are only reused if it is equal.
        batch: pictures per call.
        frames: F, odd: frames used to restore the middle one.
        notes: returns one-line notes on the last pictures.
        name: name of the engine.
    """

    restore: Callable[[Sequence[Pixels]], Sequence[Pixels]]
    identity: str
    batch: int = 1
    frames: int = 1
    notes: Callable[[], Sequence[str]] = tuple
    name: str = "torch"

    @classmethod
    def of(cls, restorer: Restorer) -> FrameRestorer:
        """Use `restorer`, with batches where they are faster."""
        frames = restorer.frames
        # No batches of windows: to resume, a job would have to know where its batches started.
        batch = _BATCH.get(restorer.device.type, 1) if frames == 1 else 1
        return cls(restorer.batch, restorer.fingerprint(), batch, frames, lambda: restorer.notes, restorer.engine.name)
