"""Measurements of a frame or photo: rain, sharpness, exposure, and a descriptor of its appearance.

Pure arrays, no files. Frames are measured at a working size, so that scores of clips of different sizes are comparable.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from derain_cli.jobs.frame_set.rain_score import rain_score
from derain_cli.jobs.frame_set.shots import Shots

__all__ = ["DESCRIPTOR", "WORKING_SIDE", "FrameMeasurement", "measured_frames", "measured_photo", "working_luma"]

WORKING_SIDE = 480
"""Maximum length of the shorter side, in pixels, for measuring: streaks in photographs are then 1 to 4 pixels wide."""

_Luma = NDArray[np.float32]
_SAME = 0.1
"""Mean difference in levels up to which two frames count as one repeated frame (frame rate conversion, a stalled
camera): re-encoding a repeated frame changes it by some hundredths, sensor noise alone by more than half a level."""

_GRID = (8, 6)
DESCRIPTOR = 3 * _GRID[0] * _GRID[1]
"""Length of `FrameMeasurement.look`."""


@dataclass(frozen=True, eq=False)
class FrameMeasurement:
    """Measurements of one frame or photo.

    Attributes:
        index: number of the frame in its clip, from 0.
        seconds: its time; nan for a photo.
        shot: number of the shot, from 0; every cut starts a new one.
        rain: from `rain_score`; nan without two neighbours (photos, ends of shots).
        sharpness: 0..1; 0.6 to 0.9 for photographs, 0.25 to 0.55 for the same blurred by 2 pixels.
        brightness: mean luma, 0..255.
        contrast: difference between the 5th and 95th percentile of luma, 0..255.
        clipped: share of black or white pixels.
        look: (DESCRIPTOR,) colours of a coarse grid, normalised to about unit length: the distance between two
            descriptors measures how different the pictures look.
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
) -> Iterator[tuple[FrameMeasurement, NDArray[np.uint8]]]:
    """Measure the frames of a clip, one every `every` seconds; three frames are in memory at a time.

    Frames without neighbours on both sides in the same shot have no rain score and are skipped, as are repetitions.

    Args:
        frames: time in seconds and (H, W, 3) RGB, all of the same size, in order.
        every: minimum time between measured frames; 0 measures all.

    Yields:
        The measurements and the frame.
    """
    shots = Shots()
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
        # With some tolerance, since timestamps are rounded: every fifth frame must stay every fifth frame.
        due = now.seconds < last or now.seconds - last >= every - 1e-3
        if before.shot == now.shot == after.shot and due:
            last = now.seconds
            rain = rain_score(before.luma, now.luma, after.luma)
            yield _measured(now, rain), now.picture


def measured_photo(picture: NDArray[np.uint8]) -> FrameMeasurement:
    """Measure a photo, (H, W, 3) RGB; its rain is nan."""
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


def _measured(seen: _Seen, rain: float) -> FrameMeasurement:
    low, high = (float(v) for v in np.percentile(seen.luma, (5, 95)))
    return FrameMeasurement(
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
    """1 minus the perceptual blur of Crete, Dolmiere, Ladret and Nicolas (2007): the share of the variation between
    neighbouring pixels that a blur removes. Independent of contrast, and nearly so of content."""
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
