"""Pixel arrays, and processing of large ones with little memory."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["Pixels", "Pixels8", "row_blocks", "to_uint8"]

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Pixels8 = npt.NDArray[np.uint8]

_BLOCK = 1 << 20  # samples converted, compared or compressed at a time


def to_uint8(pixels: Pixels) -> Pixels8:
    """uint16 in 0..65535 to uint8 in 0..255, rounded to nearest; uint8 unchanged. Any shape."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    deep = np.ascontiguousarray(pixels).reshape(-1)
    shallow = np.empty(deep.shape, np.uint8)
    for block in row_blocks(len(deep), 1):
        shallow[block] = (deep[block].astype(np.uint32) + 128) // 257
    return shallow.reshape(pixels.shape)


def row_blocks(rows: int, samples: int) -> Iterator[slice]:
    """Slices of rows in blocks of about a million samples, at least one row each, to limit memory.

    Args:
        rows: of the picture.
        samples: per row.
    """
    step = max(1, _BLOCK // max(1, samples))
    return (slice(row, min(row + step, rows)) for row in range(0, rows, step))
