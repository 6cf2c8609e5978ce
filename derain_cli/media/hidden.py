"""Colours of fully transparent pixels, which must not influence visible ones.

Pixels with alpha 0 contain whatever a program left there: black, white, an old background. A network that looks at
neighbouring pixels would see edges that are not visible.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from derain_cli.media.pixels import Pixels

__all__ = ["fill_hidden", "keep_hidden"]

_Floats = NDArray[np.float32]

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
    weight = _resized(visible[..., None].astype(np.float32), size, Image.Resampling.BOX)
    seen: NDArray[Any] = np.where(visible[..., None], pixels, np.float32(0))
    colours = _resized(seen, size, Image.Resampling.BOX)
    large = _resized(_pull_push(colours, weight), (width, height), Image.Resampling.BILINEAR)
    levels = np.rint(np.clip(large, 0, np.iinfo(pixels.dtype).max)).astype(pixels.dtype)
    return np.where(visible[..., None], pixels, levels)


def keep_hidden(restored: Pixels, original: Pixels, alpha: Pixels | None) -> Pixels:
    """`restored` with the original colours of fully transparent pixels; `restored` itself if there are none."""
    if alpha is None or alpha.all():
        return restored
    return np.where((alpha > 0)[..., None], restored, original)


def _pull_push(sums: _Floats, weight: _Floats) -> _Floats:
    """Filled colours, from `sums` of colours times `weight` and the `weight`, (h, w, 3) and (h, w, 1)."""
    height, width = weight.shape[:2]
    if min(height, width) == 1 or weight.min() > 0:
        mean = sums.reshape(-1, 3).sum(0) / max(float(weight.sum()), 1e-6)
        return np.where(weight > 0, sums / np.maximum(weight, 1e-6), mean).astype(np.float32)
    half = (math.ceil(width / 2), math.ceil(height / 2))
    coarse = _pull_push(*(_resized(part, half, Image.Resampling.BOX) for part in (sums, weight)))
    around = _resized(coarse, (width, height), Image.Resampling.BILINEAR)
    share = np.clip(weight, 0, 1)
    return share * (sums / np.maximum(weight, 1e-6)) + (1 - share) * around


def _resized(planes: _Floats, size: tuple[int, int], filter: Image.Resampling) -> _Floats:
    """(H, W, C) resized to `size`, width and height."""
    if planes.shape[1::-1] == size:
        return planes
    channels = (np.asarray(Image.fromarray(planes[..., n]).resize(size, filter)) for n in range(planes.shape[2]))
    return np.stack(tuple(channels), axis=2)
