"""Baselines: the unchanged input and classical filters, uint8 HxWx3 in and out.

`input`    the unchanged picture: the score of doing nothing.
`median`   5x5 median of each channel. Streaks narrower than half the window disappear, with all other fine detail.
`guided`   "rain only brightens": the guided filter (He, Sun and Tang, ECCV 2010; self-guided, radius 8, eps 0.04)
           gives a base without streaks, each pixel takes the darker of base and picture, and a second guided
           filter (radius 2, eps 0.0025) smooths the result, preserving its edges. Based on the idea of Xu et al.,
           "Removing rain and snow in a single image using guided filter" (CSAE 2012); the constants are ours and
           not tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["BASELINES"]

Picture = NDArray[np.uint8]


def _same(picture: Picture) -> Picture:
    return picture


def _median(picture: Picture) -> Picture:
    import cv2

    return cv2.medianBlur(np.ascontiguousarray(picture), 5).astype(np.uint8, copy=False)


def _guided(picture: Picture) -> Picture:
    levels = picture.astype(np.float32) / np.float32(255)
    base = _guided_filter(levels, levels, 8, 0.04)
    darker = np.minimum(levels, base)
    return _to_picture(_guided_filter(darker, darker, 2, 0.0025))


def _guided_filter(source: NDArray[np.float32], guide: NDArray[np.float32], radius: int, eps: float) -> Any:
    """Per channel: the local linear model of the guide that is closest to the source."""
    import cv2

    def mean(x: Any) -> Any:
        return cv2.blur(x, (2 * radius + 1, 2 * radius + 1), borderType=cv2.BORDER_REFLECT)

    mean_guide, mean_source = mean(guide), mean(source)
    slope = (mean(guide * source) - mean_guide * mean_source) / (mean(guide * guide) - mean_guide**2 + eps)
    return mean(slope) * guide + mean(mean_source - slope * mean_guide)


def _to_picture(levels: Any) -> Picture:
    picture: Picture = np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)
    return picture


BASELINES: dict[str, tuple[Callable[[Picture], Picture], str]] = {
    "input": (_same, "the unchanged input"),
    "median": (_median, "5x5 median of each channel"),
    "guided": (_guided, "two guided filters, rain only brightens (radius 8 and 2, eps 0.04 and 0.0025)"),
}
"""Baselines by name, each with a one-line description."""
