"""What takes the rain out of a clip's pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from derain_cli.media.pixels import Pixels

if TYPE_CHECKING:
    from derain_cli.engine.restorer import Restorer

__all__ = ["FrameRestorer"]

_BATCH = {"cuda": 8}
"""Frames that the network is given at once, by device; on a processor more than one at a time brings nothing."""


@dataclass(frozen=True)
class FrameRestorer:
    """What takes the rain out.

    Attributes:
        restore: pictures of one clip, (H, W, 3) uint8 or uint16 RGB, to the same without rain; called from one thread.
            Where it sees F frames, windows (H, W, 3*F) of `derain_cli.motion.windows`, to the frame in the middle.
        identity: says all that its results hang on; segments are kept only of the same.
        batch: pictures given at once.
        frames: F, odd: frames that it sees to restore the one in the middle.
        notes: one-line remarks on the last pictures.
    """

    restore: Callable[[Sequence[Pixels]], Sequence[Pixels]]
    identity: str
    batch: int = 1
    frames: int = 1
    notes: Callable[[], Sequence[str]] = tuple

    @classmethod
    def of(cls, restorer: Restorer) -> FrameRestorer:
        """What `restorer` does: several frames at once where that pays."""
        frames = restorer.frames
        # With several frames for each one, a job that goes on would have to know where its batches began.
        batch = _BATCH.get(restorer.device.type, 1) if frames == 1 else 1
        return cls(restorer.batch, restorer.fingerprint(), batch, frames, lambda: restorer.notes)
