"""Flat borders around a picture: scans, screenshots, films between black bars. There is no rain in them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from derain_cli.media.pixels import Pixels

__all__ = ["content_box"]

_TOLERANCE = 3
"""Levels of 255 that a flat border's pixels may differ by: JPEG leaves that much."""

_THINNEST = 4
"""Pixels; what is thinner may as well be part of the picture."""


def content_box(pixels: Pixels) -> tuple[slice, slice]:
    """Rows and columns of what lies inside a flat border.

    A border is of one colour: that of a corner of the picture, or, for each side for itself, that of its outermost
    line. Only full rows and columns belong to it.

    Args:
        pixels: (H, W, C) uint8 or uint16; with the channels of several frames, what is flat in all of them.

    Returns:
        The box; the whole picture where there is no border of at least four pixels, or nothing else.
    """
    height, width = pixels.shape[:2]
    tolerance = _TOLERANCE * (257 if pixels.dtype == np.uint16 else 1)
    top, bottom = _flat(pixels, tolerance), _flat(pixels[::-1], tolerance)
    if top + bottom >= height:
        return slice(0, height), slice(0, width)
    # Bars above and below would keep the columns from being flat.
    inside = pixels[top : height - bottom].transpose(1, 0, 2)
    left, right = _flat(inside, tolerance), _flat(inside[::-1], tolerance)
    if left + right >= width:
        return slice(0, height), slice(0, width)
    if top == bottom == 0 and (left or right):
        # And bars at the sides keep the rows from it.
        rows = pixels[:, left : width - right]
        top, bottom = _flat(rows, tolerance), _flat(rows[::-1], tolerance)
        if top + bottom >= height:
            return slice(0, height), slice(0, width)
    return slice(top, height - bottom), slice(left, width - right)


def _flat(lines: NDArray[np.generic], tolerance: int) -> int:
    """How many of the first lines (L, N, C) are of one colour, that of the first; 0 if fewer than the thinnest."""
    first = np.asarray(lines[0], np.int32)
    colour = np.median(first, axis=0)
    count = 0
    for line in lines:
        if np.abs(np.asarray(line, np.int32) - colour).max() > tolerance:
            break
        count += 1
    return count if count >= _THINNEST else 0
