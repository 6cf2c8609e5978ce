"""Decides which of two pictures of a scene is rainy: rain adds light (O = B + R with R >= 0) in thin bright streaks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.datasets.pairs import Pair, Picture, read_pair
from derain_cli.errors import InputError

__all__ = ["TWINS", "likeness", "looks_rainier", "looks_swapped", "rainier_vote"]

TWINS = 0.12
"""Minimum `likeness`, at the lower quartile of a folder's pairs, for showing the same scenes. Measured: the two halves
of ordinary photos (292) reach -0.13 to 0.07; rainy and clean pictures 0.5 and more, three quarters of those with the
heaviest rain above 0.4."""

_SIDE = 768

_SMOOTH = 8.0
"""Scale (gaussian standard deviation, pixels) over which veil and lighting are assumed constant."""

_GRAIN = 4.0
"""Variance, in squared levels, attributed to noise rather than detail."""


def _luma(picture: Picture) -> NDArray[np.float32]:
    """Luma of the centre of the picture, at most `_SIDE` pixels a side, not downscaled, since streaks are thin."""
    height, width = picture.shape[:2]
    top, left = max(0, (height - _SIDE) // 2), max(0, (width - _SIDE) // 2)
    cut = np.ascontiguousarray(picture[top : top + _SIDE, left : left + _SIDE])
    return np.asarray(cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY), np.float32)


def _blur(values: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def looks_rainier(one: Picture, other: Picture) -> float:
    """How much `one` looks like `other` with rain added: from -1 (the other way round) to 1; 0 if undecided.

    Combines two cues, since each fails in other cases. Rain only adds light, so nearly the whole difference has one
    sign, however dense the streaks. A veil, dusk or a different exposure hides that, but the residual after
    compensating for such changes still has a long tail on the bright side, since streaks are sparse and bright.

    Args:
        one, other: uint8 HxWx3 of the same size.
    """
    first, second = _luma(one), _luma(other)
    difference, mean = first - second, (first + second) / 2
    size = float(np.abs(difference).mean())
    if size < 0.1:
        return 0.0
    # The ninth power keeps only differences with the same sign nearly everywhere.
    one_sided = (float(difference.mean()) / size) ** 9
    # A change of exposure has one sign too, but it is proportional to brightness; ignore this cue then.
    factor = float((difference * mean).mean() / (mean * mean).mean())
    left = float(((difference - factor * mean) ** 2).mean() / (difference**2).mean())
    skews = np.tanh(_skew_unexplained(first, second)) - np.tanh(_skew_unexplained(second, first))
    return float(0.6 * one_sided * min(1.0, 5 * left) + 0.2 * skews)


def _skew_unexplained(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Skewness of the part of `one` not explained by `other` with a locally smooth veil, exposure and contrast."""
    mean_one, mean_other = _blur(one, _SMOOTH), _blur(other, _SMOOTH)
    variance = _blur(other * other, _SMOOTH) - mean_other**2
    covariance = _blur(one * other, _SMOOTH) - mean_one * mean_other
    factor = covariance / (np.maximum(variance, 0) + _GRAIN)
    rest = one - mean_one - factor * (other - mean_other)
    scale = float(np.sqrt(np.mean(rest**2)))
    return float(np.mean((rest / max(scale, 1e-3)) ** 3))


def likeness(one: Picture, other: Picture) -> float:
    """How well the edges of two pictures coincide, about -1 to 1; 0 if their sizes differ. See `TWINS`.

    The correlation, minus the mean correlation with one of them shifted sideways: a horizon or kerb that runs through
    both halves of a photo does not make them the same scene.
    """
    if one.shape != other.shape or min(one.shape[:2]) < 16:
        return 0.0
    first, second = (_blur(luma, 1.5) - _blur(luma, 6) for luma in (_luma(one), _luma(other)))
    energy = float(np.sqrt(np.mean(first**2) * np.mean(second**2)))
    if energy <= 0:
        return 0.0
    width = first.shape[1]
    moved = [float(np.mean(np.roll(first, width * step // 5, axis=1) * second)) for step in (1, 2, 3, 4)]
    return (float(np.mean(first * second)) - sum(moved) / len(moved)) / energy


def _sample(pairs: Sequence[Pair], most: int) -> Iterator[tuple[Picture, Picture]]:
    """Up to `most` pairs, evenly spread; unreadable ones are skipped."""
    for index in sorted({len(pairs) * i // most for i in range(most)}) if pairs else ():
        with contextlib.suppress(InputError):
            yield read_pair(pairs[index])


def rainier_vote(pairs: Sequence[Pair], most: int = 12) -> float | None:
    """Median of `looks_rainier` of the rainy over the clean pictures; None if they do not show the same scenes."""
    seen = [(likeness(rainy, clean), looks_rainier(rainy, clean)) for rainy, clean in _sample(pairs, most)]
    if not seen or float(np.quantile([alike for alike, _ in seen], 0.25)) < TWINS:
        return None
    return float(np.median([vote for _, vote in seen]))


def looks_swapped(pairs: Sequence[Pair], most: int = 24) -> bool:
    """Whether the rainy and clean pictures are probably swapped.

    Args:
        pairs: of one group.
        most: maximum number of pairs to compare, evenly spread over the group; unreadable ones are skipped.

    Returns:
        True if both the median and more than 60 % of the pairs indicate it; False without any readable pair.
    """
    votes = [looks_rainier(rainy, clean) for rainy, clean in _sample(pairs, most)]
    return bool(votes) and float(np.median(votes)) < 0 and sum(vote < 0 for vote in votes) > 0.6 * len(votes)
