"""Draws from ranges, as the profiles state them."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

__all__ = ["Range", "log_uniform", "uniform"]

Range: TypeAlias = tuple[float, float]


def uniform(rng: np.random.Generator, bounds: Range) -> float:
    """A number in the range, each part of it equally likely."""
    return float(rng.uniform(bounds[0], bounds[1]))


def log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    """A number in the range whose logarithm is uniform; uniform itself where the range begins at 0."""
    if bounds[0] <= 0.0:
        return uniform(rng, bounds)
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))
