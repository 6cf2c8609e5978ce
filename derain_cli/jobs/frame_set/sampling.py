"""Which of the measured frames make a set: what is refused, what repeats another, what is unlike the others, the split.

Pure arrays, no files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from derain_cli.datasets.fingerprint import bits_apart
from derain_cli.jobs.frame_set.measure import Measured

__all__ = ["count_for_test", "divided", "near_duplicates", "reason_against", "spread", "steadied", "taken"]

_LEAST_SHARPNESS = 0.5
"""Between photographs (0.6 and more) and the same blurred by 2 pixels (nine in ten below 0.48), which hides streaks."""
_DARKEST, _BRIGHTEST, _LEAST_CONTRAST, _MOST_CLIPPED = 16.0, 239.0, 24.0, 0.7
_FALLEN_SHARPNESS = 0.75
"""Of the usual sharpness of the shot: below, the camera was shaken or lost its focus."""


def reason_against(frame: Measured, rain: float, usual_sharpness: float, least_rain: float) -> str | None:
    """Why a frame is not to be used, in one word or two; None when it may be.

    Args:
        frame: what was measured.
        rain: its score, or the steadied one; nan is not judged.
        usual_sharpness: of its shot.
        least_rain: score of the least rain wanted.
    """
    if frame.brightness < _DARKEST:
        return "too dark"
    if frame.brightness > _BRIGHTEST:
        return "too bright"
    if frame.clipped > _MOST_CLIPPED:
        return "over- or underexposed"
    if frame.contrast < _LEAST_CONTRAST:
        return "flat"
    if frame.sharpness < max(_LEAST_SHARPNESS, _FALLEN_SHARPNESS * usual_sharpness):
        return "blurred"
    return "no rain" if rain < least_rain else None


def steadied(values: Sequence[float], shots: Sequence[int], reach: int = 2) -> list[float]:
    """Running median over `reach` frames on both sides within the shot: rain does not come and go within a second,
    a lane mark that passes for a streak does."""
    numbers, parts = np.asarray(values, np.float64), np.asarray(shots)
    found = []
    for place in range(len(numbers)):
        window = slice(max(0, place - reach), place + reach + 1)
        found.append(float(np.median(numbers[window][parts[window] == parts[place]])))
    return found


def near_duplicates(hashes: NDArray[np.uint8], distance: int) -> list[int | None]:
    """For each of N pictures the earlier one, itself kept, that it repeats; None for those that are kept.

    Args:
        hashes: (N, B) perceptual hashes as bytes, the pictures to be preferred first.
        distance: bits in which hashes of one picture may differ.
    """
    kept = np.zeros_like(hashes)
    places: list[int] = []
    found: list[int | None] = []
    for place, one in enumerate(hashes):
        near = np.flatnonzero(bits_apart(kept[: len(places)], one) <= distance)
        if len(near):
            found.append(places[int(near[0])])
        else:
            kept[len(places)] = one
            places.append(place)
            found.append(None)
    return found


def spread(looks: NDArray[np.float32], first: int = 0) -> Iterator[int]:
    """Farthest-point order of N descriptors (N, D): each next one is farthest from its nearest predecessor.

    Any beginning of it is a diverse choice, and what is asked for later changes nothing in it. Of equals the one with
    the lower number comes first.
    """
    if not len(looks):
        return
    away = np.full(len(looks), np.inf)
    place = first
    while True:
        yield place
        # Plain sums: a matrix product may differ in its last bits from machine to machine.
        away = np.minimum(away, np.square(looks - looks[place]).sum(axis=1, dtype=np.float64))
        away[place] = -1.0
        place = int(np.argmax(away))
        if away[place] < 0:
            return


def taken(
    order: Iterable[int], groups: Sequence[str], count: int, *, per_group: int | None, without: Collection[int]
) -> list[int]:
    """The first `count` of an order, at most `per_group` of a group, none of `without`.

    As the order does not depend on `without`, one more picture in it costs that picture and brings in one other.
    """
    chosen: list[int] = []
    given: Counter[str] = Counter()
    room = Counter(groups)
    open_groups = set(groups)
    for place in order:
        if len(chosen) >= count or not open_groups:
            break
        group = groups[place]
        room[group] -= 1
        if place not in without and group in open_groups:
            chosen.append(place)
            given[group] += 1
        if room[group] == 0 or given[group] == per_group:
            open_groups.discard(group)
    return chosen


def divided(sizes: Mapping[str, int], total: int, test: int) -> frozenset[str]:
    """Groups that are kept for the test; every other one is for training.

    Args:
        sizes: pictures that may be taken of each group, in the order in which groups are asked for the test.
        total: pictures wanted.
        test: how many of them for the test.

    Returns:
        Groups of together about `test` pictures (its share, where there are fewer than `total`); never all groups.
    """
    there = sum(sizes.values())
    if len(sizes) < 2 or not test or not there:
        return frozenset()
    wanted = count_for_test(there, total, test)
    share = _fair_share(list(sizes.values()), total)
    use = {group: min(size, share) for group, size in sizes.items() if size}
    if len(use) < 2:
        return frozenset()
    chosen: set[str] = set()
    left = float(wanted)
    for group, size in use.items():
        if size <= left and len(chosen) + 1 < len(use):
            chosen.add(group)
            left -= size
    return frozenset(chosen or {min(use, key=lambda group: use[group])})


def count_for_test(there: int, total: int, test: int) -> int:
    """Pictures of the test where only so many are there: the same share of them, and one at least."""
    return min(test, max(1, round(test * min(1.0, there / total)))) if test else 0


def _fair_share(sizes: Sequence[int], total: int) -> float:
    """The most that a group gives when `total` is taken from all as evenly as they allow."""
    left, share = total, float("inf")
    for count, size in enumerate(sorted(sizes)):
        share = left / (len(sizes) - count)
        if size > share:
            return share
        left -= size
    return float("inf")
