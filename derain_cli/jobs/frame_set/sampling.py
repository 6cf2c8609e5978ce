"""Which frames of clips are worth keeping: how much rain falls in them, how sharp, how well lit, how unlike the others.

Pure arrays, no files. Every frame is looked at at a working size, so that scores of clips of different sizes compare.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.datasets.fingerprint import bits_apart

__all__ = [
    "DESCRIPTOR",
    "WORKING_SIDE",
    "Measured",
    "count_for_test",
    "divided",
    "measured_frames",
    "measured_photo",
    "near_duplicates",
    "rain_score",
    "reason_against",
    "spread",
    "steadied",
    "streaks",
    "taken",
]

WORKING_SIDE = 480
"""Longest short side, in pixels, at which frames are measured: streaks of photographs are 1 to 4 pixels wide there."""

_Luma = NDArray[np.float32]
_Array = NDArray[Any]

# --- rain -------------------------------------------------------------------------------------------------------

_DIRECTIONS = 12
_LENGTH, _WIDTH, _REACH = 6.0, 1.2, 14
"""Sigma along and across a streak, and where the filter is cut off, pixels at the working size."""

_STREAK_LEVEL = 8.0
"""Response that counts as a streak. The filters have norm 1, so noise of 2 levels reaches it at 4 sigma."""

_MOST_LEVEL = 32.0
"""Residuals count up to here: a single bright pixel gives 0.22 of its level and does not pass for a streak."""

_NEIGHBOURHOOD = 61
"""Side, in pixels, of the squares whose brightness is taken for exposure and light, which change between frames too."""

_BLOCKS = (8, 6)
_SAME = 0.1
"""Mean difference in levels up to which two frames are one that was repeated (another frame rate, a stalled camera);
the coding of a repeated frame moves it by some hundredths, sensor noise alone by more than half a level."""


@lru_cache(maxsize=1)
def _line_filters() -> tuple[_Luma, ...]:
    """Zero-mean filters of norm 1 for thin bright lines in all directions."""
    rows, columns = np.mgrid[-_REACH : _REACH + 1, -_REACH : _REACH + 1].astype(np.float64)
    filters = []
    for angle in np.pi * np.arange(_DIRECTIONS) / _DIRECTIONS:
        along = columns * np.sin(angle) + rows * np.cos(angle)
        across = (columns * np.cos(angle) - rows * np.sin(angle)) / _WIDTH
        line = np.exp(-0.5 * (along / _LENGTH) ** 2 - 0.5 * across**2) * (1 - across**2)
        line -= line.mean()
        filters.append((line / np.linalg.norm(line)).astype(np.float32))
    return tuple(filters)


def streaks(residual: _Luma) -> _Luma:
    """How much each pixel of a residual (H, W), 0 and more, lies on a line: a line's best direction, less what a dot
    or a patch gives in all directions. Levels, 0 and more."""
    import cv2

    best = total = None
    for line in _line_filters():
        answer = cv2.filter2D(residual, -1, line, borderType=cv2.BORDER_REFLECT_101)
        best = answer if best is None else np.maximum(best, answer)
        total = answer.copy() if total is None else total + answer
    assert best is not None and total is not None
    found: _Luma = np.maximum(best - np.maximum(total, 0) * np.float32(2 / _DIRECTIONS), 0)
    return found


def rain_score(before: _Luma, now: _Luma, after: _Luma) -> float:
    """Rain in a frame by its two neighbours in the shot: percent of the picture under streaks that are there in
    this frame alone.

    The neighbours are moved onto the frame along their optical flow and made as bright in every region, and what a
    further displacement of one pixel explains is left out: edges of things that move do not count. What remains of
    motion, noise and coding is as often darker as brighter than both neighbours, while rain is brighter only. So
    twice the area of dark streaks is taken off that of bright ones, and no block of the picture counts more than
    three quarters of the others do at most: rain is everywhere, somebody's white sleeve is not.

    Args:
        before, now, after: (H, W) luma in 0..255, of one size.

    Returns:
        0 to 100.
    """
    import cv2

    spot = np.ones((3, 3), np.uint8)
    moved = [_as_bright(_moved(other, now), now) for other in (before, after)]
    brightest = np.maximum(*(cv2.dilate(other, spot) for other in moved))
    darkest = np.minimum(*(cv2.erode(other, spot) for other in moved))
    bright, dark = (_streaked_share(np.maximum(rest, 0)) for rest in (now - brightest, darkest - now))
    return max(0.0, 100 * (bright - 2 * dark))


def _streaked_share(residual: _Luma) -> float:
    import cv2

    covered = (streaks(np.minimum(residual, _MOST_LEVEL)) > _STREAK_LEVEL).astype(np.float32)
    blocks = cv2.resize(covered, _BLOCKS, interpolation=cv2.INTER_AREA)
    return float(np.minimum(blocks, np.quantile(blocks, 0.75)).mean())


def _as_bright(other: _Luma, now: _Luma) -> _Luma:
    import cv2

    side = (_NEIGHBOURHOOD, _NEIGHBOURHOOD)
    return np.asarray(other * ((cv2.blur(now, side) + 1) / (cv2.blur(other, side) + 1)), np.float32)


def _moved(other: _Luma, now: _Luma) -> _Luma:
    """`other` warped onto `now`. Farneback's flow: that of DIS depends on the number of threads."""
    import cv2

    height, width = now.shape
    half = max(16, width // 2), max(16, height // 2)
    one, two = (cv2.resize(each, half, interpolation=cv2.INTER_AREA).astype(np.uint8) for each in (now, other))
    coarse = cv2.calcOpticalFlowFarneback(one, two, np.zeros((*one.shape, 2), np.float32), 0.5, 4, 15, 3, 5, 1.1, 0)
    flow = cv2.resize(coarse, (width, height)) * np.array([width / half[0], height / half[1]], np.float32)
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    warped = cv2.remap(
        other, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.float32)


# --- what else is measured --------------------------------------------------------------------------------------

_GRID = (8, 6)
DESCRIPTOR = 3 * _GRID[0] * _GRID[1]
"""Length of `Measured.look`."""


@dataclass(frozen=True, eq=False)
class Measured:
    """What is known of one frame or photo.

    Attributes:
        index: number of the frame in its clip, from 0.
        seconds: its time; nan for a photo.
        shot: number of the shot, from 0: a cut begins the next.
        rain: of `rain_score`; nan where there are no two neighbours to tell (photos, ends of shots).
        sharpness: 0..1, of photographs 0.6 to 0.9, of the same blurred by 2 pixels 0.25 to 0.55.
        brightness: mean luma, 0..255.
        contrast: between the 5th and the 95th percentile of luma, 0..255.
        clipped: share of pixels that are black or white.
        look: (DESCRIPTOR,) colours of a coarse grid, of about one unit each: the distance of two is how unlike they
            look.
    """

    index: int
    seconds: float
    shot: int
    rain: float
    sharpness: float
    brightness: float
    contrast: float
    clipped: float
    look: NDArray[np.float32]


def measured_frames(
    frames: Iterable[tuple[float, NDArray[np.uint8]]], every: float
) -> Iterator[tuple[Measured, NDArray[np.uint8]]]:
    """Measure the frames of a clip, one in `every` seconds; three frames are in memory at a time.

    Frames without a neighbour on both sides in their shot cannot be told from each other by their rain and are passed
    over, as are repetitions of the frame before.

    Args:
        frames: time in seconds and (H, W, 3) RGB of one size, in order.
        every: least time between two frames measured; 0 measures all.

    Yields:
        What was measured, and the frame.
    """
    shots = _Shots()
    held: list[_Seen] = []
    last = -np.inf
    for index, (seconds, picture) in enumerate(frames):
        luma = working_luma(picture)
        if held and float(np.abs(luma - held[-1].luma).mean()) <= _SAME:
            continue
        held.append(_Seen(index, seconds, picture, luma, shots.of(luma)))
        if len(held) < 3:
            continue
        before, now, after = held
        held.pop(0)
        # A little slack: timestamps are rounded, and every fifth frame is to be every fifth frame.
        due = now.seconds < last or now.seconds - last >= every - 1e-3
        if before.shot == now.shot == after.shot and due:
            last = now.seconds
            rain = rain_score(before.luma, now.luma, after.luma)
            yield _measured(now, rain), now.picture


def measured_photo(picture: NDArray[np.uint8]) -> Measured:
    """The same of one photo, (H, W, 3) RGB; its rain is nan."""
    return _measured(_Seen(0, np.nan, picture, working_luma(picture), 0), np.nan)


def working_luma(picture: NDArray[np.uint8]) -> _Luma:
    """Luma of (H, W, 3) RGB at the working size, 0..255."""
    import cv2

    luma = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    height, width = luma.shape
    scale = WORKING_SIDE / min(height, width)
    if scale < 1:
        luma = cv2.resize(luma, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_AREA)
    return np.asarray(luma, np.float32)


@dataclass(frozen=True, eq=False)
class _Seen:
    index: int
    seconds: float
    picture: NDArray[np.uint8]
    luma: _Luma
    shot: int


class _Shots:
    """Numbers of shots: a cut is a change of the coarse picture that is large and stands out from those before.

    Rain, noise and fine texture are gone at the coarse size; a fast pan changes it by much, but frame after frame.
    """

    _LEAST, _TIMES, _SIZE = 12.0, 3.0, (32, 18)

    def __init__(self) -> None:
        self._shot = 0
        self._last: _Luma | None = None
        self._changes: list[float] = []

    def of(self, luma: _Luma) -> int:
        """The shot of the next frame."""
        import cv2

        small = np.asarray(cv2.resize(luma, self._SIZE, interpolation=cv2.INTER_AREA), np.float32)
        if self._last is not None:
            change = float(np.abs(small - self._last).mean())
            usual = float(np.median(self._changes)) if self._changes else 0.0
            if change > max(self._LEAST, self._TIMES * usual):
                self._shot += 1
                self._changes = []
            else:
                self._changes = [*self._changes[-7:], change]
        self._last = small
        return self._shot


def _measured(seen: _Seen, rain: float) -> Measured:
    low, high = (float(v) for v in np.percentile(seen.luma, (5, 95)))
    return Measured(
        index=seen.index,
        seconds=seen.seconds,
        shot=seen.shot,
        rain=rain,
        sharpness=_sharpness(seen.luma),
        brightness=float(seen.luma.mean()),
        contrast=high - low,
        clipped=float(((seen.luma <= 4) | (seen.luma >= 251)).mean()),
        look=_look(seen.picture),
    )


def _sharpness(luma: _Luma) -> float:
    """One less the perceptual blur of Crete, Dolmiere, Ladret and Nicolas (2007): how much of the variation between
    neighbours a blur takes away. It does not depend on contrast, and little on content."""
    import cv2

    least = 1.0
    for axis, size in ((0, (1, 11)), (1, (11, 1))):
        blurred = cv2.blur(luma, size, borderType=cv2.BORDER_REFLECT)
        variation = np.abs(np.diff(luma, axis=axis))
        lost = np.maximum(variation - np.abs(np.diff(blurred, axis=axis)), 0)
        total = float(variation.sum(dtype=np.float64))
        least = min(least, float(lost.sum(dtype=np.float64)) / total if total else 0.0)
    return least


def _look(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    import cv2

    small = cv2.resize(picture, _GRID, interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB)  # L 0..100, a and b about -60..60
    return np.asarray(lab.reshape(-1) / np.float32(100 * np.sqrt(DESCRIPTOR)), np.float32)


# --- filters ----------------------------------------------------------------------------------------------------

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


# --- the choice -------------------------------------------------------------------------------------------------


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
