"""Frame selection: rejection, near-duplicates, diversity and the split. Pure arrays, no files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from derain_cli.datasets.fingerprint import bits_apart
from derain_cli.jobs.frame_set.measure import FrameMeasurement

__all__ = [
    "count_for_test",
    "farthest_point_order",
    "near_duplicates",
    "pick",
    "rejection_reason",
    "running_median",
    "split_by_group",
]

_LEAST_SHARPNESS = 0.5
"""Between sharp photographs (0.6 and more) and the same blurred by 2 pixels (90 % below 0.48), which hides streaks."""
_DARKEST, _BRIGHTEST, _LEAST_CONTRAST, _MOST_CLIPPED = 16.0, 239.0, 24.0, 0.7
_FALLEN_SHARPNESS = 0.75
"""Minimum share of the shot's usual sharpness: below it, the camera was shaken or lost focus."""


def rejection_reason(frame: FrameMeasurement, rain: float, usual_sharpness: float, least_rain: float) -> str | None:
    """Why a frame is rejected, in a word or two; None if it is usable.

    Args:
        frame: its measurements.
        rain: its score, possibly smoothed; nan is accepted.
        usual_sharpness: of its shot.
        least_rain: minimum rain score.
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


def running_median(values: Sequence[float], shots: Sequence[int], reach: int = 2) -> list[float]:
    """Running median over `reach` frames on both sides within the shot: rain does not come and go within a second, but
    lane markings mistaken for streaks do."""
    numbers, parts = np.asarray(values, np.float64), np.asarray(shots)
    found = []
    for place in range(len(numbers)):
        window = slice(max(0, place - reach), place + reach + 1)
        found.append(float(np.median(numbers[window][parts[window] == parts[place]])))
    return found


def near_duplicates(hashes: NDArray[np.uint8], distance: int) -> list[int | None]:
    """For each of N pictures, the kept picture it duplicates, or None if it is kept itself.

    Args:
        hashes: (N, B) perceptual hashes as bytes, preferred pictures first.
        distance: maximum Hamming distance between duplicates.
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


def farthest_point_order(looks: NDArray[np.float32], first: int = 0) -> Iterator[int]:
    """Farthest-point order of N descriptors (N, D): each is the farthest from its nearest predecessor.

    Every prefix is a diverse selection, independent of how much more is requested. Ties go to the lower index.
    """
    if not len(looks):
        return
    away = np.full(len(looks), np.inf)
    place = first
    while True:
        yield place
        # Plain sums, since the last bits of a matrix product may differ between machines.
        away = np.minimum(away, np.square(looks - looks[place]).sum(axis=1, dtype=np.float64))
        away[place] = -1.0
        place = int(np.argmax(away))
        if away[place] < 0:
            return


def pick(
    order: Iterable[int], groups: Sequence[str], count: int, *, per_group: int | None, without: Collection[int]
) -> list[int]:
    """The first `count` of an order, at most `per_group` per group, without those in `without`.

    Since the order does not depend on `without`, excluding one more picture replaces only that picture.
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


def split_by_group(sizes: Mapping[str, int], total: int, test: int) -> frozenset[str]:
    """Groups for the test split; all others are for training.

    Args:
        sizes: number of available pictures per group, in the order in which groups are considered for the test split.
        total: requested number of pictures.
        test: how many of these are for the test split.

    Returns:
        Groups with about `test` pictures in total (proportionally fewer if there are fewer than `total`); never all.
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
    """Test-split size if fewer than `total` pictures exist: the same fraction, at least one."""
    return min(test, max(1, round(test * min(1.0, there / total)))) if test else 0


def _fair_share(sizes: Sequence[int], total: int) -> float:
    """Maximum number of pictures per group when `total` is drawn from all groups as evenly as possible."""
    left, share = total, float("inf")
    for count, size in enumerate(sorted(sizes)):
        share = left / (len(sizes) - count)
        if size > share:
            return share
        left -= size
    return float("inf")
