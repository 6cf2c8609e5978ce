"""Rain found on smaller pictures and taken out of the large ones: much quicker, and the picture keeps its detail.

The network sees each frame reduced. What it took out there, the rain layer, is enlarged and subtracted from the frame
as it is. A streak is sharper in the frame than in a layer that was enlarged, and its edges would stay: where the layer
is strong, the network's own picture, enlarged, takes the place of the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.media.pixels import Pixels
from derain_cli.motion.stacking import middle

__all__ = ["reduced"]

_STRONG = 16.0
"""Levels of 255 that are taken out, from which on the network's picture stands for the frame."""
_LEAST = 16
"""Pixels of the shorter side below which pictures are not reduced any further."""


def reduced(engine: FrameRestorer, scale: float) -> FrameRestorer:
    """The same engine at a reduced size; results have the size of what is given.

    Args:
        engine: what restores the small pictures.
        scale: of their sides, above 0 and below 1; 1 returns `engine` as it is.
    """
    if scale == 1.0:
        return engine

    def restore(pictures: Sequence[Pixels]) -> list[Pixels]:
        small = [_smaller(each, scale) for each in pictures]
        found = engine.restore(small)
        return [
            _taken_out(middle(full), middle(before), after)
            for full, before, after in zip(pictures, small, found, strict=True)
        ]

    return replace(engine, restore=restore, identity=f"{engine.identity} at {scale:g} of the size")


def _smaller(window: Pixels, scale: float) -> Pixels:
    import cv2

    height, width = window.shape[:2]
    scale = max(scale, min(1.0, _LEAST / min(height, width)))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    # Three channels at a time: OpenCV averages no more than four of them well.
    frames = [window[:, :, at : at + 3] for at in range(0, window.shape[2], 3)]
    return _of_kind(np.dstack([cv2.resize(each, size, interpolation=cv2.INTER_AREA) for each in frames]), window)


def _taken_out(full: Pixels, before: Pixels, after: Pixels) -> Pixels:
    import cv2

    height, width = full.shape[:2]
    level = np.float32(257 if full.dtype == np.uint16 else 1)

    def enlarged(small: npt.NDArray[Any]) -> npt.NDArray[Any]:
        return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC))

    derained = after.astype(np.float32)
    rain = enlarged(before.astype(np.float32) - derained)
    share = np.minimum(np.abs(rain).max(axis=2) / (_STRONG * level), 1)
    share = cv2.GaussianBlur(share, (0, 0), 1.0)[:, :, None]
    made = full - rain  # float32
    made += share * (enlarged(derained) - made)
    return _of_kind(np.clip(np.rint(made), 0, np.iinfo(full.dtype).max), full)


def _of_kind(values: npt.NDArray[Any], like: Pixels) -> Pixels:
    return values.astype(np.uint16) if like.dtype == np.uint16 else values.astype(np.uint8)
