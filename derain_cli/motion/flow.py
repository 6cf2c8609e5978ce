"""Dense optical flow between frames, and warping.

DIS flow (Kroeger et al., ECCV 2016) from OpenCV. Rain does not move with the scene and differs in every frame, so
frames are compared after warping with the motion of the scene around each pixel (`scene_flow`).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from derain_cli.media.pixels import Pixels, to_uint8

__all__ = ["consistent", "fetched", "flow_between", "followed", "grey_of", "is_cut", "is_repeated", "scene_flow"]

FLOW_SIDE = 640
"""Longer side in pixels of the pictures that motion is measured on."""

_CUT_LEVELS = 24.0
"""Mean absolute difference of two grey thumbnails after subtracting their means, in levels of 255, above which there is
a cut."""

_REPEATED_MEAN, _REPEATED_MOST = 0.15, 32
"""Bounds on the differences of a repeated frame, in levels of 255; measured in a clip of 25 frames per second that
shows 12 pictures: 0.04 and 22, where the frames between differ by 10 and 230."""

Array = npt.NDArray[Any]


def grey_of(pixels: Pixels, side: int = FLOW_SIDE) -> Array:
    """Grey uint8 picture for measuring motion, with sides of at most `side` pixels."""
    grey = cv2.cvtColor(to_uint8(pixels), cv2.COLOR_RGB2GRAY)
    height, width = grey.shape
    share = side / max(height, width)
    if share < 1:
        size = (max(1, round(width * share)), max(1, round(height * share)))
        grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
    return np.asarray(grey)


def is_cut(before: Array, after: Array) -> bool:
    """Whether two grey uint8 pictures of the same size show different scenes, judging by their coarse content."""
    small = [_thumbnail(picture).astype(np.float32) for picture in (before, after)]
    return float(np.abs((small[0] - small[0].mean()) - (small[1] - small[1].mean())).mean()) > _CUT_LEVELS


def is_repeated(before: Array, after: Array) -> bool:
    """Whether two grey uint8 pictures of the same size are one picture, apart from traces of its compression.

    Rain, noise and motion differ by far more: by a mean of 1 level and more in recordings, and streaks by their own
    brightness.
    """
    gap = cv2.absdiff(before, after)
    return float(cv2.mean(gap)[0]) < _REPEATED_MEAN and int(gap.max()) < _REPEATED_MOST


def _thumbnail(grey: Array) -> Array:
    return np.asarray(cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA))


def flow_between(first: Array, second: Array) -> Array:
    """Flow, (h, w, 2) float32: pixel (y, x) of `first` is at (x, y) + flow in `second`."""
    if min(first.shape) < 16:  # too small for the patches of DIS
        return np.zeros((*first.shape, 2), np.float32)
    dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    return np.asarray(dis.calc(first, second, np.zeros((*first.shape, 2), np.float32)), np.float32)


def consistent(there: Array, back: Array) -> Array:
    """(h, w) bool: whether flow `there` and flow `back` cancel to within about a pixel."""
    height, width = there.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x += there[:, :, 0]
    y += there[:, :, 1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    returned = cv2.remap(back, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE).reshape(back.shape)
    gap = np.square(there + returned).sum(axis=2)
    long = np.square(there).sum(axis=2) + np.square(returned).sum(axis=2)
    return np.asarray(inside & (gap < 0.5 + 0.01 * long))


def scene_flow(flow: Array, block: int = 8) -> Array:
    """Motion of the scene around each pixel, (h, w, 2): the median over 5x5 blocks, far wider than a streak."""
    height, width = flow.shape[:2]
    rows, columns = max(1, height // block), max(1, width // block)
    small = cv2.resize(flow, (columns, rows), interpolation=cv2.INTER_AREA)
    smooth = cv2.medianBlur(small.reshape(rows, columns, 2), 5)
    return np.asarray(cv2.resize(smooth, (width, height), interpolation=cv2.INTER_LINEAR))


def followed(first: Array, second: Array) -> Array:
    """Composition of two flows, (h, w, 2): `first`, then `second`."""
    height, width = first.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x += first[:, :, 0]
    y += first[:, :, 1]
    further = cv2.remap(second, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(first + further.reshape(first.shape), np.float32)


def fetched(picture: Pixels, flow: Array, interpolation: int = cv2.INTER_CUBIC) -> Array:
    """Warp `picture` onto the frame that `flow` starts from, with one of OpenCV's interpolations."""
    height, width = picture.shape[:2]
    if flow.shape[:2] != (height, width):
        scale = np.array([width / flow.shape[1], height / flow.shape[0]], np.float32)
        flow = cv2.resize(flow, (width, height), interpolation=cv2.INTER_LINEAR) * scale
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    x += flow[:, :, 0]
    y += flow[:, :, 1]
    return np.asarray(cv2.remap(picture, x, y, interpolation, borderMode=cv2.BORDER_REPLICATE))
