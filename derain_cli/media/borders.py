"""Flat borders around a picture, which contain no rain: scans, screenshots, letterboxed films."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from derain_cli.media.pixels import Pixels

__all__ = ["content_box"]

_TOLERANCE = 3
"""Maximum deviation within a flat border, in levels of 255, to allow for JPEG compression."""

_THINNEST = 4
"""Minimum width in pixels; anything thinner may be part of the picture."""


def content_box(pixels: Pixels) -> tuple[slice, slice]:
    """Rows and columns of the content inside a flat border.

    On each side, the border has a single colour, that of the outermost line, and consists of complete rows or columns.

    Args:
        pixels: (H, W, C) uint8 or uint16; with the channels of several frames, a border must be flat in all of them.

    Returns:
        The box; the whole picture if there is no border of at least four pixels, or nothing but border.
    """
    height, width = pixels.shape[:2]
    tolerance = _TOLERANCE * (257 if pixels.dtype == np.uint16 else 1)
    top, bottom = _flat(pixels, tolerance), _flat(pixels[::-1], tolerance)
    if top + bottom >= height:
        return slice(0, height), slice(0, width)
    # Without the bars above and below, which would keep columns from being flat.
    inside = pixels[top : height - bottom].transpose(1, 0, 2)
    left, right = _flat(inside, tolerance), _flat(inside[::-1], tolerance)
    if left + right >= width:
        return slice(0, height), slice(0, width)
    if top == bottom == 0 and (left or right):
        # Conversely, bars at the sides keep rows from being flat.
        rows = pixels[:, left : width - right]
        top, bottom = _flat(rows, tolerance), _flat(rows[::-1], tolerance)
        if top + bottom >= height:
            return slice(0, height), slice(0, width)
    return slice(top, height - bottom), slice(left, width - right)


def _flat(lines: NDArray[np.generic], tolerance: int) -> int:
    """Number of leading lines (L, N, C) in the colour of the first; 0 if below the minimum width."""
    first = np.asarray(lines[0], np.int32)
    colour = np.median(first, axis=0)
    count = 0
    for line in lines:
        if np.abs(np.asarray(line, np.int32) - colour).max() > tolerance:
            break
        count += 1
    return count if count >= _THINNEST else 0
