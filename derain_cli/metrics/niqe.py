"""NIQE, a score of how much a picture has the statistics of natural pictures; lower is more natural.

A. Mittal, R. Soundararajan and A. C. Bovik, Making a "Completely Blind" Image Quality Analyzer, IEEE Signal Processing
Letters 20 (3), 2013: locally normalised luminance and the products of its neighbours, in blocks of 96x96 pixels and at
half size, are described by generalised gaussians; the distance of their mean and covariance to those of pristine
photographs is the score. The model of pristine photographs is the one that its authors published with their code
(`niqe_model.npz`; its notice, which must go with it, is `niqe_model.txt`). As their code does, grey is MATLAB's
`rgb2gray` of the uint8 picture. Measured against that code's translation in BasicSR 1.4.2, in float64: equal to 1e-12,
and to 0.02 for photographs with flat places, where the sign of rounding errors enters there and not here.
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
    """The score of (H, W, 3) uint8: photographs 2 to 5, damaged ones more; None where it has fewer than two blocks.

    Rows and columns beyond the last whole block are left out.
    """
    rows, columns = picture.shape[0] // BLOCK, picture.shape[1] // BLOCK
    if rows * columns < 2:
        return None
    weights = np.array([0.2989, 0.5870, 0.1140])
    grey = np.rint(picture[: rows * BLOCK, : columns * BLOCK] @ weights)
    features = np.concatenate([_features(grey, BLOCK), _features(_half(grey), BLOCK // 2)], axis=1)
    # Blocks without any texture have no generalised gaussian.
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
    """(H, W) levels -> (blocks, 18), blocks of `side` x `side`: shape and scale of the generalised gaussians."""
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
    """Local mean taken away, divided by the local deviation (plus one level)."""
    import cv2

    offsets = np.arange(-_REACH, _REACH + 1)
    kernel = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    kernel /= kernel.sum()

    def blur(values: Floats) -> Any:
        return cv2.sepFilter2D(values, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_REPLICATE)

    mean = blur(grey)
    deviation = np.sqrt(np.abs(blur(grey * grey) - mean * mean))
    difference = grey - mean
    difference[np.abs(difference) < 1e-9] = 0  # flat places: what rounding leaves has a sign, which would be counted
    normalised: Floats = difference / (deviation + 1)
    return normalised


def _half(grey: Floats) -> Floats:
    """Half size as MATLAB's `imresize`: bicubic (a = -1/2) stretched to twice its width, borders mirrored."""
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
    """Shapes of generalised gaussians that are tried, the ratio that tells which it is, and gamma functions of them."""

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
    """Shape, left and right scale, and mean, of the asymmetric generalised gaussian with each block's moments.

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
