"""Streaks of near drops out of focus: discs, the image of the aperture, swept along the drop's path.

Unlike a blurred line, such a streak has a plateau and edges: across it the exposure falls off like the chord of a
circle, and a drop that hardly moves is a disc.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import UsageError

__all__ = ["defocused_layer"]


def defocused_layer(
    height: int,
    width: int,
    *,
    rng: np.random.Generator,
    density: float,
    length: float,
    diameter: float,
    angle: float,
    angle_jitter: float = 0.0,
    spread: float = 0.3,
    brightness_spread: float = 0.5,
    softness: float = 1.0,
) -> NDArray[np.float32]:
    """One population of out-of-focus streaks under one wind.

    Args:
        height: rows, at least 1.
        width: columns, at least 1.
        rng: the only source of randomness; it is advanced.
        density: expected number of streaks per 100x100 px.
        length: median length of the path, px.
        diameter: median diameter of the disc, px.
        angle: mean tilt from the vertical, degrees; positive leans the upper end to the right.
        angle_jitter: standard deviation of the tilt, degrees.
        spread: standard deviation of the logarithms of length and diameter, truncated at two standard deviations.
        brightness_spread: standard deviation of the brightness over its mean (gamma distributed).
        softness: width of the disc's edge in px, above 0.

    Returns:
        (height, width) float32, non-negative; a streak longer than its disc has mean brightness 1 in its middle.

    Raises:
        UsageError: a size below 1, or an argument out of range.
    """
    if height < 1 or width < 1:
        raise UsageError(f"a rain layer needs at least one pixel, not {height}x{width}")
    if not (0.0 <= density <= 1e3 and length >= 0.0 and diameter > 0.0 and softness > 0.0 and brightness_spread > 0.0):
        raise UsageError("out-of-focus streaks need a density of 0 to 1000, a length of at least 0, all else above 0")
    layer = np.zeros((height, width), np.float32)
    margin = (length / 2.0 + diameter / 2.0) * math.exp(2.0 * spread) + softness
    count = int(rng.poisson(density * 1e-4 * (height + 2.0 * margin) * (width + 2.0 * margin)))
    shape = 1.0 / brightness_spread**2
    for _ in range(count):
        y, x = rng.uniform(-margin, height + margin), rng.uniform(-margin, width + margin)
        sizes = np.exp(spread * np.clip(rng.standard_normal(2), -2.0, 2.0))
        theta = math.radians(angle + angle_jitter * float(rng.standard_normal()))
        bright = float(rng.standard_gamma(shape)) / shape
        _draw(layer, (y, x), length / 2.0 * float(sizes[0]), diameter / 2.0 * float(sizes[1]), theta, bright, softness)
    return layer


def _draw(
    layer: NDArray[np.float32],
    centre: tuple[float, float],
    half: float,
    radius: float,
    theta: float,
    bright: float,
    softness: float,
) -> None:
    """Add one streak to the layer."""
    down, across = math.cos(theta), -math.sin(theta)
    reach = radius + softness
    tall, wide = abs(down) * half + reach, abs(across) * half + reach
    top, bottom = max(0, math.floor(centre[0] - tall)), min(layer.shape[0], math.ceil(centre[0] + tall) + 1)
    left, right = max(0, math.floor(centre[1] - wide)), min(layer.shape[1], math.ceil(centre[1] + wide) + 1)
    if top >= bottom or left >= right:
        return
    y = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(centre[0])
    x = np.arange(left, right, dtype=np.float32)[None, :] - np.float32(centre[1])
    along, off = y * np.float32(down) + x * np.float32(across), x * np.float32(down) - y * np.float32(across)
    # Time the moving disc covers a pixel: the overlap of its chord there with the path.
    chord = np.sqrt(np.maximum(np.float32(radius * radius) - off * off, 0))
    over = np.minimum(along + chord, half) - np.maximum(along - chord, -half)
    longest = min(2.0 * half, 2.0 * radius)
    if longest < 1.0:  # a drop that does not move
        distance = np.sqrt(along * along + off * off)
        exposure = np.clip((radius - distance) / softness + 0.5, 0, 1)
    else:
        edge = np.clip((radius - np.abs(off)) / softness + 0.5, 0, 1)
        exposure = np.clip(over / longest, 0, 1) * edge
    layer[top:bottom, left:right] += np.float32(bright) * exposure.astype(np.float32)
