"""Curtains of very fine rain: so many drops that no single streak stands out, a texture with a direction.

Rendered as noise blurred along the wind, at a cost independent of the number of drops (that of `streak_layer` grows
with it).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import UsageError

__all__ = ["curtain"]

_SIGMA_PER_FWHM = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))


def curtain(
    height: int,
    width: int,
    *,
    rng: np.random.Generator,
    density: float,
    length: float,
    thickness: float,
    angle: float,
    angle_jitter: float = 0.0,
) -> NDArray[np.float32]:
    """A field of a great many fine streaks.

    Args:
        height: rows, at least 1.
        width: columns, at least 1.
        rng: the only source of randomness; it is advanced.
        density: expected number of drops per pixel, in (0, 4].
        length: of a streak, px, 0 to 200.
        thickness: full width at half maximum, px.
        angle: tilt from the vertical, degrees; positive leans the upper end to the right.
        angle_jitter: standard deviation of the tilt, degrees; streaks have one of three tilts around `angle`.

    Returns:
        (height, width) float32, non-negative, with expected mean 1.

    Raises:
        UsageError: a size below 1, or an argument out of range.
    """
    if height < 1 or width < 1:
        raise UsageError(f"a curtain needs at least one pixel, not {height}x{width}")
    if not (0.0 < density <= 4.0 and 0.0 <= length <= 200.0 and thickness > 0.0):
        raise UsageError("a curtain needs a density in (0, 4], a length of 0 to 200 px and a thickness above 0")
    tilts = [angle + angle_jitter * step for step in ((-1.2, 0.0, 1.2) if angle_jitter > 0.0 else (0.0,))]
    field = np.zeros((height, width), np.float32)
    for tilt in tilts:
        kernel = _streak(length, thickness, tilt)
        rows, columns = (side // 2 for side in kernel.shape)
        shape = (height + 2 * rows, width + 2 * columns)
        # Exponentially distributed brightness: drops of all sizes at all distances.
        drops = rng.poisson(density / len(tilts), shape).astype(np.float32) * rng.standard_exponential(
            shape, np.float32
        )
        smeared = cv2.filter2D(drops, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
        field += smeared[rows : rows + height, columns : columns + width]
    # cv2 applies large kernels by Fourier transform, which leaves noise around zero.
    return np.asarray(np.maximum(field / np.float32(density), 0), np.float32)


def _streak(length: float, thickness: float, angle: float) -> NDArray[np.float32]:
    """One streak as a kernel with sum 1 and odd sides: a line with gaussian profile and fading ends."""
    sigma = max(thickness * _SIGMA_PER_FWHM, 0.35)
    theta = math.radians(angle)
    down, across = math.cos(theta), -math.sin(theta)
    reach = length / 2.0 + 2.5 * sigma
    rows, columns = (max(1, math.ceil(abs(part) * reach + 2.5 * sigma)) for part in (down, across))
    y, x = np.mgrid[-rows : rows + 1, -columns : columns + 1].astype(np.float32)
    along, off = y * down + x * across, x * down - y * across
    ends = np.maximum(np.abs(along) - length / 2.0, 0.0)
    made = np.exp(-(off * off + ends * ends) / (2.0 * sigma * sigma))
    return np.asarray(made / made.sum(), np.float32)
