"""Colours of fully transparent pixels, which must not influence visible ones.

Pixels with alpha 0 contain whatever a program left there: black, white, an old background. A network that looks at
neighbouring pixels would see edges that are not visible.
"""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.media.pixels import Pixels

__all__ = ["fill_hidden", "keep_hidden"]

_WORKED_ON = 2**21
"""Maximum number of pixels for the fill; larger pictures are filled from a downscaled copy."""


def fill_hidden(pixels: Pixels, alpha: Pixels | None) -> Pixels:
    """The picture with fully transparent areas filled from the colours of their visible surroundings.

    A smooth fill by the pull-push method (Gortler et al., SIGGRAPH 1996): visible colours are averaged over ever larger
    squares, and a hidden pixel takes the average of the smallest square around it with visible pixels.

    Args:
        pixels: (H, W, 3) uint8 or uint16.
        alpha: (H, W) of the same dtype, 0 is transparent; None means opaque.

    Returns:
        `pixels` itself if nothing or everything is hidden; otherwise a new array.
    """
    if alpha is None:
        return pixels
    visible: NDArray[np.bool_] = alpha > 0
    if visible.all() or not visible.any():
        return pixels
    height, width = alpha.shape
    step = max(1, math.ceil(math.sqrt(height * width / _WORKED_ON)))
    size = (math.ceil(width / step), math.ceil(height / step))
    weight = cv2.resize(visible.astype(np.float32), size, interpolation=cv2.INTER_AREA).reshape(size[::-1])
    seen: NDArray[Any] = np.where(visible[..., None], pixels, 0).astype(pixels.dtype)
    colours = cv2.resize(seen, size, interpolation=cv2.INTER_AREA).reshape(*size[::-1], 3).astype(np.float32)
    filled = _pull_push(colours, weight)
    # A no-op if the size is the same.
    large = cv2.resize(filled, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, 3)
    levels = np.rint(np.clip(large, 0, np.iinfo(pixels.dtype).max)).astype(pixels.dtype)
    return np.where(visible[..., None], pixels, levels)


def keep_hidden(restored: Pixels, original: Pixels, alpha: Pixels | None) -> Pixels:
    """`restored` with the original colours of fully transparent pixels; `restored` itself if there are none."""
    if alpha is None or alpha.all():
        return restored
    return np.where((alpha > 0)[..., None], restored, original)


def _pull_push(sums: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[Any]:
    """Filled colours, from `sums` of colours times `weight` and the `weight`, (h, w, 3) and (h, w)."""
    height, width = weight.shape
    if min(height, width) == 1 or weight.min() > 0:
        total = max(float(weight.sum()), 1e-6)
        mean = sums.reshape(-1, 3).sum(0) / total
        return np.where(weight[..., None] > 0, sums / np.maximum(weight, 1e-6)[..., None], mean)
    smaller, less = (np.asarray(cv2.pyrDown(part), np.float32) for part in (sums, weight))
    coarse = np.asarray(_pull_push(smaller, less), np.float32)
    around = cv2.pyrUp(coarse, dstsize=(width, height))
    share = np.clip(weight, 0, 1)[..., None]
    return np.asarray(share * (sums / np.maximum(weight, 1e-6)[..., None]) + (1 - share) * around, np.float32)
