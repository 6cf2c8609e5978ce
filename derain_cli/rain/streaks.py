"""One population of rain streaks, drawn streak by streak on a float32 canvas.

Every streak is a soft line: gaussian across, with a profile along it (even, tapered, lopsided, beaded).
Streaks add up, as they do in the layers of Rain100L and Rain100H. Drawing them one by one takes time
proportional to density and area, needs no large filter, and allows every streak its own length, width,
angle and brightness, which a shared blur kernel does not.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import UsageError

__all__ = ["streak_layer", "streak_mass"]

_SIGMA_PER_FWHM = 1.0 / (2.0 * math.sqrt(2.0 * math.log(2.0)))
# A gaussian narrower than this aliases on the pixel grid; thinner streaks are drawn this wide and dimmer.
_MIN_SIGMA = 0.45
_REACH = 2.6  # a gaussian is drawn out to this many sigmas (3 % of its peak)
_CHUNK_ROWS = 100_000  # streak rows drawn at once: bounds memory on large photographs
_MAX_STREAKS_PER_PIXEL = 1.0


def streak_mass(
    length: float,
    thickness: float,
    *,
    taper: float = 0.0,
    pointed: float = 0.0,
    length_spread: float = 0.0,
    thickness_spread: float = 0.0,
    beads: float = 0.0,
) -> float:
    """The expected sum of the pixel values of one streak of brightness 1; arguments as in `streak_layer`.

    Returns:
        The mean of a layer is `density / 10000 * brightness * streak_mass(...)`, to within a few percent (the ends
        are soft, and the spreads are truncated at two standard deviations).
    """

    def mean_of_power(n: float) -> float:  # mean of (1 - u^2)^n over -1 < u < 1
        return math.sqrt(math.pi) / 2.0 * math.gamma(n + 1.0) / math.gamma(n + 1.5)

    along = (1.0 - pointed) * mean_of_power(2.0 * taper) + pointed * mean_of_power(2.0 * taper + 1.0)
    spreads = math.exp(0.5 * (length_spread**2 + thickness_spread**2))
    rippled = 1.0 - 0.375 * beads  # depth is uniform in [0, beads]; two raised cosines average to 1/4
    return length * along * thickness * _SIGMA_PER_FWHM * math.sqrt(2.0 * math.pi) * spreads * rippled


def streak_layer(
    height: int,
    width: int,
    *,
    rng: np.random.Generator,
    density: float,
    length: float,
    thickness: float,
    angle: float,
    brightness: float = 1.0,
    angle_jitter: float = 0.0,
    length_spread: float = 0.0,
    thickness_spread: float = 0.0,
    brightness_spread: float = 0.0,
    taper: float = 0.0,
    pointed: float = 0.0,
    lopsided: float = 0.0,
    beads: float = 0.0,
    bundle: float = 1.0,
    end_softness: float = 1.0,
) -> NDArray[np.float32]:
    """One population of streaks under one wind.

    Streak centres are a Poisson process on the picture and a margin around it, so border and centre have the
    same statistics. The same generator state gives bit-identical results.

    Args:
        height: rows, at least 1.
        width: columns, at least 1.
        rng: the only source of randomness; it is advanced.
        density: expected number of streak centres per 100x100 px, at least 0.
        length: median length, end to end, in px.
        thickness: median full width at half maximum in px.
        angle: mean tilt from the vertical in degrees; positive leans the upper end to the right.
        brightness: mean brightness of a streak, in units of the layer (1 is white).
        angle_jitter: standard deviation of the tilt, degrees.
        length_spread: standard deviation of the logarithm of the length.
        thickness_spread: standard deviation of the logarithm of the thickness.
        brightness_spread: standard deviation of the brightness over its mean (gamma distributed; 0 makes
            all streaks equal, 1 is exponential).
        taper: how streaks fade towards both ends: as (1 - u^2)^(2 taper) from their brightest point; 0 is even.
        pointed: how streaks narrow towards both ends, from 0 (constant width) to 1 (to a point).
        lopsided: maximum offset of the brightest point from the middle, 0 to 0.9 of half the length.
        beads: maximum depth of the brightness ripple along a streak (an oscillating drop), 0 to 1.
        bundle: mean number of streaks per bundle, at least 1. Streaks of a bundle lie side by side; 1 scatters
            them independently.
        end_softness: length in px over which the ends fade, above 0.

    Returns:
        (height, width) float32, non-negative, without an upper bound: overlapping streaks add up.

    Raises:
        UsageError: a size below 1, a negative or zero amount, or more than one streak per pixel.
    """
    _check(height, width, density, length, thickness, end_softness)
    theta = math.remainder(math.radians(angle), math.pi)
    if abs(theta) > math.pi / 4.0:
        # Nearly horizontal: `_draw` steps along a streak row by row, so draw the transposed picture.
        flipped = math.copysign(math.pi / 2.0, theta) - theta
        return _draw(
            width, height, rng, density, length, thickness, flipped, brightness, angle_jitter, length_spread,
            thickness_spread, brightness_spread, taper, pointed, lopsided, beads, bundle, end_softness,
        ).T.copy()  # fmt: skip
    return _draw(
        height, width, rng, density, length, thickness, theta, brightness, angle_jitter, length_spread,
        thickness_spread, brightness_spread, taper, pointed, lopsided, beads, bundle, end_softness,
    )  # fmt: skip


def _check(height: int, width: int, density: float, length: float, thickness: float, end_softness: float) -> None:
    if height < 1 or width < 1:
        raise UsageError(f"a rain layer needs at least one pixel, not {height}x{width}")
    if not (math.isfinite(density) and 0.0 <= density <= 1e4 * _MAX_STREAKS_PER_PIXEL):
        raise UsageError(f"rain density must be between 0 and 10000 streaks per 100x100 px, not {density}")
    if not (length > 0.0 and thickness > 0.0 and end_softness > 0.0):
        raise UsageError("length, thickness and end softness of streaks must be greater than 0")


def _draw(
    height: int,
    width: int,
    rng: np.random.Generator,
    density: float,
    length: float,
    thickness: float,
    theta: float,
    brightness: float,
    angle_jitter: float,
    length_spread: float,
    thickness_spread: float,
    brightness_spread: float,
    taper: float,
    pointed: float,
    lopsided: float,
    beads: float,
    bundle: float,
    end_softness: float,
) -> NDArray[np.float32]:
    f32 = np.float32
    # Lengths and widths are truncated at two standard deviations, so the margin is known before drawing.
    longest = length * math.exp(2.0 * length_spread)
    widest = max(thickness * math.exp(2.0 * thickness_spread) * _SIGMA_PER_FWHM, _MIN_SIGMA)
    steepest = min(abs(theta) + 2.5 * math.radians(angle_jitter), math.radians(60.0))
    reach = math.ceil(_REACH * widest * 2.0) + 2  # steep streaks are wider along the row
    margin_y = longest / 2.0 + end_softness + 1.25 * widest
    margin_x = longest / 2.0 * math.sin(steepest) + reach
    area = (height + 2.0 * margin_y) * (width + 2.0 * margin_x)
    count = int(rng.poisson(density * 1e-4 * area))
    if count == 0:
        return np.zeros((height, width), f32)
    # A streak centred up to `reach` outside the picture writes up to `reach` further out, always within the padding.
    pad = 2 * reach
    canvas = np.zeros((height, width + 2 * pad), f32)

    y = rng.random(count, f32) * f32(height + 2.0 * margin_y) - f32(margin_y)
    x = rng.random(count, f32) * f32(width + 2.0 * margin_x) - f32(margin_x)
    if bundle > 1.0:
        # Scatter bundles, and streaks around them, wrapping at the margin's edges so that none is lost: each
        # single streak is still uniform over the area.
        parent = rng.integers(0, max(1, math.ceil(count / bundle)), count)
        aside = rng.standard_normal((2, count), f32)
        y = y[parent] + f32(0.3 * length) * aside[0]
        x = x[parent] + f32(2.0 * thickness) * aside[1]
        y = np.remainder(y + f32(margin_y), f32(height + 2.0 * margin_y)) - f32(margin_y)
        x = np.remainder(x + f32(margin_x), f32(width + 2.0 * margin_x)) - f32(margin_x)
    spread = np.clip(rng.standard_normal((3, count), f32), -2.0, 2.0)
    half = f32(length / 2.0) * np.exp(f32(length_spread) * spread[0])
    sigma = f32(thickness * _SIGMA_PER_FWHM) * np.exp(f32(thickness_spread) * spread[1])
    tilt = np.clip(f32(theta) + f32(math.radians(angle_jitter)) * spread[2], -steepest, steepest)
    peak = np.full(count, brightness, f32)
    if brightness_spread > 0.0:
        shape = 1.0 / brightness_spread**2
        peak *= rng.standard_gamma(shape, count, f32) / f32(shape)
    top = f32(lopsided) * (rng.random(count, f32) * 2 - 1)
    ripple = rng.random((5, count), f32) if beads > 0.0 else np.zeros((5, 1), f32)

    cos = np.cos(tilt)
    # Each row ends at once, but a slanted streak's end spans as many rows as the streak is wide: fade over those.
    soft = f32(end_softness) + f32(2.5) * sigma * np.abs(np.sin(tilt))
    drift = -np.tan(tilt)  # px to the right for each row down
    rows_half = (half + f32(0.5) * soft) * cos
    first = np.maximum(np.ceil(y - rows_half), 0).astype(np.int64)
    last = np.minimum(np.floor(y + rows_half), height - 1).astype(np.int64)
    # Sort by width, so that thin streaks are not drawn with the window of a wide one.
    order = np.argsort(sigma, kind="stable") if thickness_spread > 0.0 else np.arange(count)
    rows = np.maximum(last - first + 1, 0)[order]
    ends = np.cumsum(rows)
    total = int(ends[-1])
    pieces = 1 if total < 2000 else (4 if total < 4 * _CHUNK_ROWS else math.ceil(total / _CHUNK_ROWS))
    cuts = np.searchsorted(ends, np.linspace(0, total, pieces + 1)[1:-1])
    flat = canvas.reshape(-1)
    for chosen, many in zip(np.split(order, cuts), np.split(rows, cuts), strict=True):
        n = int(many.sum())
        if n == 0:
            continue
        which = np.repeat(chosen, many)
        row = np.arange(n) - np.repeat(np.cumsum(many) - many, many) + first[which]
        dy = row.astype(f32) - y[which]
        centre = x[which] + drift[which] * dy
        window = math.ceil(_REACH * float((np.maximum(sigma[chosen], f32(_MIN_SIGMA)) / cos[chosen]).max()))
        inside = (centre > -window) & (centre < width - 1 + window)
        if not inside.all():
            which, row, dy, centre = which[inside], row[inside], dy[inside], centre[inside]
        if which.size == 0:
            continue
        along = dy / cos[which]
        value = np.clip((half[which] - np.abs(along)) / soft[which] + f32(0.5), 0, 1) * peak[which]
        wide = sigma[which]
        if taper > 0.0 or pointed > 0.0:
            t = along / half[which]
            m = top[which]
            u = (t - m) / np.where(t > m, 1 - m, 1 + m)
            fade = np.maximum(1 - u * u, 0)
            if taper > 0.0:
                value *= np.power(fade, f32(2.0 * taper))
            if pointed > 0.0:
                wide *= 1 - f32(pointed) + f32(pointed) * fade
        value *= np.minimum(wide / f32(_MIN_SIGMA), 1)
        np.maximum(wide, f32(_MIN_SIGMA), out=wide)
        if beads > 0.0:
            # Knots of an oscillating drop: bright where two waves of different period agree, so that they are not
            # evenly spaced (a single wave looks like a string of pearls).
            phase = along[None, :] / (f32(1.5) + 5 * ripple[:2, which]) + f32(6.2831855) * ripple[2:4, which]
            waves = f32(0.5) + f32(0.5) * np.cos(phase)
            value *= 1 - f32(beads) * ripple[4, which] * (1 - waves[0] * waves[1])
        left = np.floor(centre)
        start = row * canvas.shape[1] + left.astype(np.int64) + (pad - window)
        across = np.arange(-window, window + 2, dtype=f32)[:, None] - (centre - left)[None, :]
        across *= cos[which] / (wide * f32(math.sqrt(2.0)))
        np.multiply(across, across, out=across)
        np.negative(across, out=across)
        np.exp(across, out=across)
        across *= value
        # One column of every streak at a time, which avoids an index array of the size of `across`.
        for k, column in enumerate(across):
            np.add.at(flat[k:], start, column)
    return np.ascontiguousarray(canvas[:, pad : pad + width])
