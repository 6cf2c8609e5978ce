"""Which of two pictures of one scene has the rain: rain adds light (O = B + R with R >= 0), in thin bright streaks."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["TWINS", "likeness", "looks_rainier"]

Picture = NDArray[np.uint8]

TWINS = 0.2
"""Median `likeness` from which the pictures of a folder are taken to show the same scenes. Measured: halves of one
photo lie between -0.08 and 0.08 with one in a hundred above 0.2; rainy and clean at 0.5 and more with one in
fifty below 0.2, where the rain is heaviest."""

_SIDE = 768


def _luma(picture: Picture) -> NDArray[np.float32]:
    """Luma of the middle of the picture, at most `_SIDE` pixels a side: at its own scale, since streaks are thin."""
    height, width = picture.shape[:2]
    top, left = max(0, (height - _SIDE) // 2), max(0, (width - _SIDE) // 2)
    cut = np.ascontiguousarray(picture[top : top + _SIDE, left : left + _SIDE])
    return np.asarray(cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY), np.float32)


def _blur(values: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def looks_rainier(one: Picture, other: Picture) -> float:
    """How much `one` looks like `other` with rain on it: -1 (the other way round) to 1; 0 cannot tell.

    Two signs, each the better one where the other fails. Added rain only ever adds light, so that nearly the
    whole difference has one sign (dense streaks). Behind a veil or with another exposure that is lost, but the
    fine part of the difference keeps a long tail on the bright side, since streaks are sparse and bright.

    Args:
        one, other: uint8 HxWx3 of the same size.
    """
    difference = _luma(one) - _luma(other)
    size = float(np.abs(difference).mean())
    if size < 0.1:
        return 0.0
    one_sided = float(difference.mean()) / size
    fine = difference - _blur(difference, 12)
    scale = float(np.sqrt(np.mean(fine**2)))
    skew = float(np.mean((fine / max(scale, 1e-3)) ** 3))
    # The ninth power leaves only differences that are one-sided nearly everywhere: a change of exposure is not.
    return float(0.6 * one_sided**9 + 0.4 * np.tanh(skew))


def likeness(one: Picture, other: Picture) -> float:
    """Correlation of the edges of two pictures, -1 to 1; 0 when they differ in size. See `TWINS`."""
    if one.shape != other.shape or min(one.shape[:2]) < 16:
        return 0.0
    bands = [_blur(luma, 1.5) - _blur(luma, 6) for luma in (_luma(one), _luma(other))]
    energy = float(np.sqrt(np.mean(bands[0] ** 2) * np.mean(bands[1] ** 2)))
    return float(np.mean(bands[0] * bands[1])) / energy if energy > 0 else 0.0
