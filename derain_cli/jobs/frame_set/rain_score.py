"""Rain score of a frame, from its two neighbours in the shot. Pure arrays."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["rain_score", "streaks"]

_Luma = NDArray[np.float32]
_DIRECTIONS = 12
_LENGTH, _WIDTH, _REACH = 6.0, 1.2, 14
"""Sigma along and across a streak, and filter radius, in pixels at the working size."""

_STREAK_LEVEL = 8.0
"""Response that counts as a streak. The filters have norm 1, so noise of 2 levels reaches it at 4 sigma."""

_MOST_LEVEL = 32.0
"""Residuals are clipped here: a single bright pixel responds with 0.22 of its level and does not count as a streak."""

_NEIGHBOURHOOD = 61
"""Side, in pixels, of the squares over which brightness is matched, since exposure and light change between frames."""

_BLOCKS = (8, 6)


@lru_cache(maxsize=1)
def _line_filters() -> tuple[_Luma, ...]:
    """Zero-mean filters of norm 1 for thin bright lines in all directions."""
    rows, columns = np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1].astype(np.float64)
    filters = []
    for angle in np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS:
        along = columns * np.sin(angle) + rows * np.cos(angle)
        across = (columns * np.cos(angle) - rows * np.sin(angle)) / _WIDTH
        line = np.exp(-0.5 * (along / _LENGTH) ** 2 - 0.5 * across**2) * (1 - across**2)
        line -= line.mean()
        filters.append((line / np.linalg.norm(line)).astype(np.float32))
    return tuple(filters)


def streaks(residual: _Luma) -> _Luma:
    """Line strength at each pixel of a non-negative residual (H, W): the response in the best direction, minus the
    response that a dot or patch would give in all directions. Levels, non-negative."""
    import cv2

    best = total = None
    for line in _line_filters():
        answer = cv2.filter2D(residual, -1, line, borderType=cv2.BORDER_REFLECT_101)
        best = answer if best is None else np.maximum(best, answer)
        total = answer.copy() if total is None else total + answer
    assert best is not None and total is not None
    found: _Luma = np.maximum(best - np.maximum(total, 0) * np.float32(2 / _DIRECTIONS), 0)
    return found


def rain_score(before: _Luma, now: _Luma, after: _Luma) -> float:
    """Rain score of a frame: percentage of the picture covered by streaks that appear only in this frame and not in
    its two neighbours in the shot.

    The neighbours are warped onto the frame by optical flow and matched in local brightness, and residuals that a
    further shift of one pixel explains are ignored, so edges of moving objects do not count. Remaining residuals of
    motion, noise and compression are equally often darker and brighter than both neighbours, while rain is only
    brighter. So twice the area of dark streaks is subtracted from that of bright ones, and each block of the picture is
    capped at the upper quartile of all blocks: rain is everywhere, a moving white sleeve is not.

    Args:
        before, now, after: (H, W) luma in 0..255, of the same size.

    Returns:
        0 to 100.
    """
    import cv2

    spot = np.ones((3, 3), np.uint8)
    moved = [_as_bright(_moved(other, now), now) for other in (before, after)]
    brightest = np.maximum(*(cv2.dilate(other, spot) for other in moved))
    darkest = np.minimum(*(cv2.erode(other, spot) for other in moved))
    bright, dark = (_streaked_share(np.maximum(rest, 0)) for rest in (now - brightest, darkest - now))
    return max(0.0, 100 * (bright - 2 * dark))


def _streaked_share(residual: _Luma) -> float:
    import cv2

    covered = (streaks(np.minimum(residual, _MOST_LEVEL)) > _STREAK_LEVEL).astype(np.float32)
    blocks = cv2.resize(covered, _BLOCKS, interpolation=cv2.INTER_AREA)
    return float(np.minimum(blocks, np.quantile(blocks, 0.75)).mean())


def _as_bright(other: _Luma, now: _Luma) -> _Luma:
    import cv2

    side = (_NEIGHBOURHOOD, _NEIGHBOURHOOD)
    return np.asarray(other * ((cv2.blur(now, side) + 1) / (cv2.blur(other, side) + 1)), np.float32)


def _moved(other: _Luma, now: _Luma) -> _Luma:
    """`other` warped onto `now`, with Farneback's flow, since that of DIS depends on the number of threads."""
    import cv2

    height, width = now.shape
    half = max(16, width // 2), max(16, height // 2)
    one, two = (cv2.resize(each, half, interpolation=cv2.INTER_AREA).astype(np.uint8) for each in (now, other))
    coarse = cv2.calcOpticalFlowFarneback(one, two, np.zeros((*one.shape, 2), np.float32), 0.5, 4, 15, 3, 5, 1.1, 0)
    flow = cv2.resize(coarse, (width, height)) * np.array([width / half[0], height / half[1]], np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    warped = cv2.remap(
        other, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.float32)
