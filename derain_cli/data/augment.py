"""Random crops, flips and warps of training patches: numpy pictures (H, W, C), one generator."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["crop_box", "cut_warped", "flip", "orient", "recoloured", "upright_detail"]

Picture = NDArray[Any]


def crop_box(height: int, width: int, patch: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a random `patch` x `patch` crop of a picture of at least that size."""
    top, left = int(rng.integers(height - patch + 1)), int(rng.integers(width - patch + 1))
    return slice(top, top + patch), slice(left, left + patch)


def flip(pictures: list[Picture], rng: np.random.Generator) -> list[Picture]:
    """All pictures flipped in the same way, each axis with probability 1/2; streaks have no up or down."""
    vertical, horizontal = rng.integers(2, size=2)
    return [p[:: -1 if vertical else 1, :: -1 if horizontal else 1] for p in pictures]


def orient(picture: Picture, rng: np.random.Generator) -> Picture:
    """One of the eight flips and quarter turns of a square background; not for rain, whose direction matters."""
    picture = np.rot90(picture, int(rng.integers(4)))
    return picture[:, ::-1] if rng.integers(2) else picture


def cut_warped(picture: Picture, patch: int, rng: np.random.Generator) -> Picture:
    """A random `patch` x `patch` crop of an 8-bit picture (H, W, 3), rotated by up to 45 degrees and scaled 0.6 to 1.6.

    Photographs are mostly level; rotated ones have structure in all directions that rain has. A picture too small
    for the crop is mirrored.
    """
    height, width = picture.shape[:2]
    theta, scale = math.radians(float(rng.uniform(-45, 45))), 0.6 * (1.6 / 0.6) ** float(rng.random())
    half = 0.5 * patch / scale * (abs(math.cos(theta)) + abs(math.sin(theta)))

    def middle(side: int) -> float:
        return float(rng.uniform(half, side - half)) if side > 2 * half else side / 2

    y, x = middle(height), middle(width)
    cos, sin = math.cos(theta) / scale, math.sin(theta) / scale
    centre = (patch - 1) / 2
    matrix = np.array([[cos, -sin, x - (cos - sin) * centre], [sin, cos, y - (sin + cos) * centre]])
    if scale < 1:  # smooth before downscaling, as a camera does
        margin = math.ceil(half) + 4
        top, left = max(0, int(y) - margin), max(0, int(x) - margin)
        picture = cv2.GaussianBlur(picture[top : int(y) + margin, left : int(x) + margin], (0, 0), 0.5 / scale)
        matrix[:, 2] -= (left, top)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    cut = cv2.warpAffine(picture, matrix, (patch, patch), flags=flags, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(cut, picture.dtype)


def recoloured(picture: Picture, rng: np.random.Generator) -> Picture:
    """An 8-bit picture (H, W, 3) in the colours of a lit stage, an aquarium, or a street at night.

    Photographs rarely show scenes in which one or two channels are nearly black. Networks extrapolate there: one
    trained without them returned values of -8 to 5 for the blue water of an aquarium.
    """
    light = picture.astype(np.float32) / np.float32(255)
    kind = rng.random()
    if kind < 0.5:  # light of one colour: the other channels keep little
        gains = rng.random(3, np.float32) ** np.float32(3)
        gains[rng.integers(3)] = 1
        light = light * gains
    elif kind < 0.8:  # more saturated, beyond the range that channels have
        grey = light.mean(axis=2, keepdims=True)
        light = grey + (light - grey) * np.float32(rng.uniform(2, 5))
    light = light[:, :, rng.permutation(3)] * np.float32(rng.uniform(0.2, 1.2))
    levels: Picture = np.rint(np.clip(light, 0, 1) * np.float32(255)).astype(np.uint8)
    return levels


def upright_detail(picture: Picture) -> float:
    """Amount of fine vertical detail of an 8-bit picture (H, W, 3): mean absolute difference between neighbouring
    columns after smoothing along them, in levels."""
    grey = picture.mean(axis=2, dtype=np.float32)
    along = cv2.blur(grey, (1, 11))
    return float(np.abs(np.diff(along, axis=1)).mean())
