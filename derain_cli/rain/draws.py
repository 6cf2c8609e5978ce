"""Random draws from the ranges given in profiles."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np

__all__ = ["Range", "log_uniform", "uniform"]

Range: TypeAlias = tuple[float, float]


def uniform(rng: np.random.Generator, bounds: Range) -> float:
    """A uniformly distributed number in the range."""
    return float(rng.uniform(bounds[0], bounds[1]))


def log_uniform(rng: np.random.Generator, bounds: Range) -> float:
    """A log-uniformly distributed number in the range; uniform if the range starts at 0."""
    if bounds[0] <= 0.0:
        return uniform(rng, bounds)
    return math.exp(rng.uniform(math.log(bounds[0]), math.log(bounds[1])))
