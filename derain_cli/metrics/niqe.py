"""NIQE: how far a picture's statistics are from those of natural pictures; lower is more natural.

A. Mittal, R. Soundararajan and A. C. Bovik, Making a "Completely Blind" Image Quality Analyzer, IEEE Signal Processing
Letters 20 (3), 2013: generalised gaussians are fitted to the locally normalised luminance and to products of
neighbouring values, in blocks of 96x96 pixels and at half size; the score is the distance of their mean and covariance
from those of pristine photographs. The pristine model is the one the authors published with their code
(`niqe_model.npz`; its notice, which must accompany it, is `niqe_model.txt`). As in their code, grey is MATLAB's
`rgb2gray` of the uint8 picture. Compared with the port of that code in BasicSR 1.4.2, in float64: equal to 1e-12,
and to 0.02 for photographs with flat regions, where the port depends on the sign of rounding errors.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["BLOCK", "niqe"]

Floats = NDArray[np.float64]

BLOCK = 96
"""Side of a block in pixels. Pictures of fewer than two blocks have no score."""

_SIGMA, _REACH = 7 / 6, 3
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))


def niqe(picture: NDArray[np.uint8]) -> float | None:
    """The score of (H, W, 3) uint8: 2 to 5 for photographs, more for degraded ones; None for fewer than two blocks.

    Rows and columns beyond the last whole block are ignored.
    """
    rows, columns = picture.shape[0] // BLOCK, picture.shape[1] // BLOCK
    if rows * columns < 2:
        return None
    weights = np.array([0.2989, 0.5870, 0.1140])
    grey = np.rint(picture[: rows * BLOCK, : columns * BLOCK] @ weights)
    features = np.concatenate([_features(grey, BLOCK), _features(_half(grey), BLOCK // 2)], axis=1)
    # A block without any texture has no generalised gaussian.
    whole = features[np.isfinite(features).all(axis=1)]
    if len(whole) < 2:
        return None
    model = _model()
    distance = model.mean - np.nanmean(np.where(np.isfinite(features), features, np.nan), axis=0)
    spread = np.linalg.pinv((model.covariance + np.cov(whole, rowvar=False)) / 2)
    return float(np.sqrt(max(0.0, distance @ spread @ distance)))


class _Model(NamedTuple):
    mean: Floats
    covariance: Floats


@lru_cache(maxsize=1)
def _model() -> _Model:
    with np.load(Path(__file__).with_name("niqe_model.npz"), allow_pickle=False) as stored:
        return _Model(stored["mean"], stored["covariance"])


def _features(grey: Floats, side: int) -> Floats:
    """(H, W) levels -> (blocks, 18): shape and scale of the generalised gaussians of each `side` x `side` block."""
    blocks = _blocks(_normalised(grey), side)
    shape, left, right, _ = _asymmetric_gaussian(blocks)
    found = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        shape, left, right, mean = _asymmetric_gaussian(blocks * np.roll(blocks, shift, axis=(1, 2)))
        found += [shape, mean, left, right]
    return np.stack(found, axis=1)


def _blocks(values: Floats, side: int) -> Floats:
    rows, columns = values.shape[0] // side, values.shape[1] // side
    split = values.reshape(rows, side, columns, side).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(split).reshape(-1, side, side)


def _normalised(grey: Floats) -> Floats:
    """Local mean subtracted, then divided by the local standard deviation plus one level."""
    import cv2

    offsets = np.arange(-_REACH, _REACH + 1)
    kernel = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel /= kernel.sum()

    def blur(values: Floats) -> Any:
        return cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)

    mean = blur(grey)
    deviation = np.sqrt(np.abs(blur(grey * grey) - mean * mean))
    difference = grey - mean
    difference[np.abs(difference) < 1e-9] = 0  # flat regions: the sign of a rounding residue would be counted
    normalised: Floats = difference / (deviation + 1)
    return normalised


def _half(grey: Floats) -> Floats:
    """Half size as in MATLAB's `imresize`: bicubic (a = -1/2), kernel stretched to double width, mirrored borders."""
    distances = np.abs(np.arange(8) - 3.5) / 2
    near = 1.5 * distances**3 - 2.5 * distances**2 + 1
    far = -0.5 * distances**3 + 2.5 * distances**2 - 4 * distances + 2
    weights = np.where(distances <= 1, near, far)
    weights /= weights.sum()
    for axis in (0, 1):
        length = grey.shape[axis]
        padded = np.pad(grey, [(4, 4) if axis == each else (0, 0) for each in (0, 1)], mode="symmetric")
        taps = (np.take(padded, range(1 + k, 1 + k + length, 2), axis) * weights[k] for k in range(8))
        grey = sum(taps, start=np.zeros(()))
    return grey


class _Shapes(NamedTuple):
    """Lookup table: candidate shapes of generalised gaussians, the moment ratio of each, and gamma functions."""

    shape: Floats
    ratio: Floats
    gamma1: Floats
    gamma2: Floats
    gamma3: Floats


@lru_cache(maxsize=1)
def _shapes() -> _Shapes:
    shape = np.arange(0.2, 10.001, 0.001)
    gamma1, gamma2, gamma3 = (np.array([math.gamma(k / each) for each in shape]) for k in (1, 2, 3))
    return _Shapes(shape, gamma2**2 / (gamma1 * gamma3), gamma1, gamma2, gamma3)


def _asymmetric_gaussian(blocks: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Shape, left and right scale, and mean of the asymmetric generalised gaussian that matches each block's moments.

    Lasmar, Stitou and Berthoumieu, Multiscale skewed heavy tailed model for texture analysis, ICIP 2009.
    """
    values = blocks.reshape(len(blocks), -1)
    below = np.minimum(values, 0.0)
    squares, squares_below = (np.einsum("ij,ij->i", each, each) for each in (values, below))
    count_below, count_above = (values < 0).sum(1), (values > 0).sum(1)
    absolute = (values.sum(1) - 2 * below.sum(1)) / values.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        left = np.sqrt(squares_below / count_below)
        right = np.sqrt((squares - squares_below) / count_above)
        skew = left / right
        ratio = absolute**2 / (squares / values.shape[1])
        ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    known = _shapes()
    after = np.clip(np.searchsorted(known.ratio, ratio), 1, len(known.ratio) - 1)
    nearer = ratio - known.ratio[after - 1] <= known.ratio[after] - ratio
    place = np.where(nearer, after - 1, after)
    to_scale = np.sqrt(known.gamma1[place] / known.gamma3[place])
    left, right = left * to_scale, right * to_scale
    mean = (right - left) * known.gamma2[place] / known.gamma1[place]
    shape = np.where(np.isfinite(ratio), known.shape[place], np.nan)
    return shape, left, right, mean
