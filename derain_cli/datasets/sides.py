"""Which of two pictures of one scene has the rain: rain adds light (O = B + R with R >= 0), in thin bright streaks."""

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
"""Least `likeness` of three quarters of the pairs in a folder that are taken to show the same scenes. Measured: the
halves of 292 photos lie between -0.13 and 0.07; rainy and clean pictures at 0.5 and more, and three quarters of those
with the heaviest rain above 0.4."""

_SIDE = 768

_SMOOTH = 8.0
"""Over so many pixels (standard deviation) a veil and the light of a scene are taken to be even."""

_GRAIN = 4.0
"""Variance, in squared levels, that is noise rather than detail."""


def _luma(picture: Picture) -> NDArray[np.float32]:
    """Luma of the middle of the picture, at most `_SIDE` pixels a side: at its own scale, since streaks are thin."""
    height, width = picture.shape[:2]
    top, left = max(0, (height - _SIDE) // 2), max(0, (width - _SIDE) // 2)
    cut = np.ascontiguousarray(picture[top : top + _SIDE, left : left + _SIDE])
    return np.asarray(cv2.cvtColor(cut, cv2.COLOR_RGB2GRAY), np.float32)


def _blur(values: NDArray[Any], sigma: float) -> NDArray[np.float32]:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), np.float32)


def looks_rainier(one: Picture, other: Picture) -> float:
    """How much `one` looks like `other` with rain on it: -1 (the other way round) to 1; 0 cannot tell.

    Two signs, each the better one where the other fails. Added rain only ever adds light, so that nearly the whole
    difference has one sign, however dense the streaks. Behind a veil, at dusk, or in another exposure that is lost, but
    what such changes leave unexplained keeps a long tail on the bright side, since streaks are sparse and bright.

    Args:
        one, other: uint8 HxWx3 of the same size.
    """
    first, second = _luma(one), _luma(other)
    difference, mean = first - second, (first + second) / 2
    size = float(np.abs(difference).mean())
    if size < 0.1:
        return 0.0
    # The ninth power leaves only differences that have one sign nearly everywhere.
    one_sided = (float(difference.mean()) / size) ** 9
    # A change of exposure has one sign too, but it follows the brightness: then this sign says nothing.
    factor = float((difference * mean).mean() / (mean * mean).mean())
    left = float(((difference - factor * mean) ** 2).mean() / (difference**2).mean())
    skews = np.tanh(_skew_unexplained(first, second)) - np.tanh(_skew_unexplained(second, first))
    return float(0.6 * one_sided * min(1.0, 5 * left) + 0.2 * skews)


def _skew_unexplained(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """Skewness of what `one` has that no veil, exposure or contrast, smooth over the picture, makes of `other`."""
    mean_one, mean_other = _blur(one, _SMOOTH), _blur(other, _SMOOTH)
    variance = _blur(other * other, _SMOOTH) - mean_other**2
    covariance = _blur(one * other, _SMOOTH) - mean_one * mean_other
    factor = covariance / (np.maximum(variance, 0) + _GRAIN)
    rest = one - mean_one - factor * (other - mean_other)
    scale = float(np.sqrt(np.mean(rest**2)))
    return float(np.mean((rest / max(scale, 1e-3)) ** 3))


def likeness(one: Picture, other: Picture) -> float:
    """How much the edges of two pictures lie on each other, about -1 to 1; 0 when they differ in size. See `TWINS`.

    The correlation as they are, less that with one of them moved sideways: a horizon or a kerb that runs through
    both halves of a photo is no sign of the same scene.
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
    """Up to `most` pairs, evenly spread; unreadable ones are left out."""
    for index in sorted({len(pairs) * i // most for i in range(most)}) if pairs else ():
        with contextlib.suppress(InputError):
            yield read_pair(pairs[index])


def rainier_vote(pairs: Sequence[Pair], most: int = 12) -> float | None:
    """How much the rainy pictures look rainier than the clean ones; None when they do not show the same scenes."""
    seen = [(likeness(rainy, clean), looks_rainier(rainy, clean)) for rainy, clean in _sample(pairs, most)]
    if not seen or float(np.quantile([alike for alike, _ in seen], 0.25)) < TWINS:
        return None
    return float(np.median([vote for _, vote in seen]))


def looks_swapped(pairs: Sequence[Pair], most: int = 24) -> bool:
    """Whether the rainy and the clean pictures are probably the wrong way round.

    Args:
        pairs: of one group.
        most: how many pairs are looked at, evenly spread over the group; unreadable ones do not count.

    Returns:
        True when the median of them and more than six in ten speak for it; False without any readable pair.
    """
    votes = [looks_rainier(rainy, clean) for rainy, clean in _sample(pairs, most)]
    return bool(votes) and float(np.median(votes)) < 0 and sum(vote < 0 for vote in votes) > 0.6 * len(votes)
