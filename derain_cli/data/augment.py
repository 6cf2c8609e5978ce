"""Random crops and flips of training patches, on numpy pictures (H, W, C), all from one generator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["crop_box", "flip", "orient"]

Picture = NDArray[Any]


def crop_box(height: int, width: int, patch: int, rng: np.random.Generator) -> tuple[slice, slice]:
    """Where a random `patch` x `patch` crop lies in a picture of at least that size."""
    top, left = int(rng.integers(height - patch + 1)), int(rng.integers(width - patch + 1))
    return slice(top, top + patch), slice(left, left + patch)


def flip(pictures: list[Picture], rng: np.random.Generator) -> list[Picture]:
    """All pictures flipped alike, each axis with probability one half; streaks have no up or down."""
    vertical, horizontal = rng.integers(2, size=2)
    return [p[:: -1 if vertical else 1, :: -1 if horizontal else 1] for p in pictures]


def orient(picture: Picture, rng: np.random.Generator) -> Picture:
    """One of the eight flips and quarter turns of a square background; never for rain, whose direction counts."""
    picture = np.rot90(picture, int(rng.integers(4)))
    return picture[:, ::-1] if rng.integers(2) else picture
