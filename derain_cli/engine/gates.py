"""Gates of a whole picture. Its tiles share them; gates of their own would make seams visible."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from derain_cli.engine.arrays import to_batch
from derain_cli.engine.memory import NO_MEMORY, is_out_of_memory
from derain_cli.engine.protocol import Engine
from derain_cli.engine.tiling import SMALLEST_TILE, Box, sample_crops
from derain_cli.errors import OutOfMemoryError

__all__ = ["are_sampled", "picture_gates"]

_GATE_PIXELS = 2**22
_GATE_CROPS, _GATE_SIDE = 8, 512
"""Up to this many pixels, gates are measured on the whole picture; for larger pictures on this many crops of this side,
regardless of the tiling, since otherwise seams would show."""


def are_sampled(height: int, width: int) -> bool:
    """Whether the gates of a picture of this size are measured on crops."""
    return height * width > _GATE_PIXELS


def picture_gates(engine: Engine, image: NDArray[Any]) -> Any:
    """Gates of (H, W, 3*F) uint8 or uint16; None for a network without gates.

    Args:
        engine: measures the gates; gets a note if they are measured on less of the picture because memory ran out.
        image: the whole picture.

    Raises:
        OutOfMemoryError: out of memory even with one small crop.
    """
    if not engine.gated:
        return None
    height, width = image.shape[:2]
    boxes = [Box(0, 0, height, width)]
    side, count, grid = _GATE_SIDE, _GATE_CROPS, engine.grid
    sampled = are_sampled(height, width)
    while True:
        if sampled:
            boxes = sample_crops(height, width, side - side % grid, count, grid)
        try:
            return engine.measure_gates(to_batch([image[box.slices] for box in boxes], engine.device))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            if side <= SMALLEST_TILE and count == 1:
                raise OutOfMemoryError(NO_MEMORY, hint="close other programs") from error
        # All crops are in memory at once, possibly more than a tile: try smaller ones, then fewer.
        engine.empty_cache()
        if not sampled:
            sampled = True
        elif side > SMALLEST_TILE:
            side = max(SMALLEST_TILE, side // 2)
        else:
            count //= 2
        engine.notes.append(f"out of memory: gates measured on up to {count} crops of {side} px")
