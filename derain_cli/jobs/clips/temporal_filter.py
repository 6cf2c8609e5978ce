"""Temporal filter: reduces flicker by comparing each frame with the previous and the next one.

A single-frame network misses a streak here and overshoots there, differently in every frame. Each pixel is replaced by
the median of itself and the corresponding pixels of both neighbours. The median invents no values: where the neighbours
differ, the result stays between them, and a pixel changes only if both are on the same side of it.

A result depends on three frames only. Nothing accumulates over time, so there is no lasting ghosting, memory is
bounded, and a job resumed in the middle of a clip produces the same frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from derain_cli.config import Temporal
from derain_cli.media.pixels import Pixels
from derain_cli.motion.flow import consistent, fetched, flow_between, grey_of, is_cut, scene_flow

__all__ = ["REACH", "median_of_three", "temporal_filter"]

REACH = 1
"""Frames on either side that influence a result."""

_CUT_LOST = 0.35
"""Share of pixels with consistent forward and backward flow below which there is a cut, too."""

_AGREE = 8.0
"""Largest difference between the neighbours, in levels of 255, for a pixel to count as static."""
_PREFER = 1.0
"""How much larger that difference may be than the one after motion compensation, in levels."""

_STILL = 0.25
"""Largest motion of a static scene, in pixels of the pictures that motion is measured on."""

_SMALL = 240
"""Longer side in pixels of the pictures used to detect camera motion."""
_MOVES = "the camera moves: these frames are filtered along the motion (flow), not with the plain median"

Array = npt.NDArray[Any]


T = TypeVar("T")


def median_of_three(a: Array, b: Array, c: Array) -> Array:
    """Element-wise median of three arrays of one shape and dtype."""
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def temporal_filter(
    items: Iterable[tuple[T, Pixels]], mode: Temporal, notes: list[str] | None = None
) -> Iterator[tuple[T, Pixels]]:
    """Reduce flicker; keeps the order, with one frame of look-ahead.

    Args:
        items: pairs of any tag and an (H, W, 3) uint8 or uint16 picture; all of one shape.
        mode: `off` changes nothing. `median` uses neighbours without motion compensation, for static cameras; if the
            camera moves, `flow` is used. `flow` compensates motion: neighbours are warped with the scene flow where
            they then agree with each other, since rain does not move with the scene; elsewhere with the flow of the
            pixel itself. Pixels without consistent flow are left unchanged.
        notes: a note is appended if the camera moves in mode `median`.

    Yields:
        The same pairs with filtered pictures; the first and the last frame of a scene are unchanged.
    """
    if mode == "off":
        yield from items
        return
    before: _Step | None = None
    held: _Held[T] | None = None
    for tag, pixels in items:
        coming = _Held(tag, pixels, grey_of(pixels))
        if held is not None:
            step = _step(held, coming, mode)
            if mode == "median" and step is not None and step.moved and notes is not None and _MOVES not in notes:
                notes.append(_MOVES)
            yield held.tag, _middle(before, held, step)
            before = step
        held = coming
    if held is not None:
        yield held.tag, held.pixels


@dataclass(frozen=True, eq=False)
class _Held(Generic[T]):
    tag: T
    pixels: Pixels
    grey: Array


@dataclass(frozen=True, eq=False)
class _Step:
    """Two successive frames: each picture warped onto the other with the scene flow, or unwarped without motion
    compensation. With motion compensation, also warped with the flow of each pixel."""

    first: Pixels
    second: Pixels
    moved: _Moved | None = None


@dataclass(frozen=True, eq=False)
class _Moved:
    """Each picture warped onto the other one, and where the flow is reliable, (H, W) bool."""

    earlier: Array
    later: Array
    earlier_known: Array
    later_known: Array


def _step(first: _Held[Any], second: _Held[Any], mode: Temporal) -> _Step | None:
    """None across a cut."""
    if is_cut(first.grey, second.grey):
        return None
    if mode == "median" and not _camera_moves(first.grey, second.grey):
        return _Step(first.pixels, second.pixels)
    forward, backward = flow_between(first.grey, second.grey), flow_between(second.grey, first.grey)
    # `backward` maps pixels of the second frame to the first.
    known_in_second = consistent(backward, forward)
    known_in_first = consistent(forward, backward)
    if min(float(known_in_second.mean()), float(known_in_first.mean())) < _CUT_LOST:
        return None
    shape = first.pixels.shape
    moved = _Moved(
        fetched(first.pixels, backward),
        fetched(second.pixels, forward),
        _grown(known_in_second, shape),
        _grown(known_in_first, shape),
    )
    around = scene_flow(backward), scene_flow(forward)
    if max(float(np.abs(flow).max()) for flow in around) < _STILL:
        return _Step(first.pixels, second.pixels, moved)
    return _Step(fetched(first.pixels, around[0]), fetched(second.pixels, around[1]), moved)


def _camera_moves(first: Array, second: Array) -> bool:
    """Whether most of the scene moves, measured on small pictures, in which streaks are hardly visible."""
    import cv2

    share = min(1.0, _SMALL / max(first.shape))
    size = (max(1, round(first.shape[1] * share)), max(1, round(first.shape[0] * share)))
    small = [cv2.resize(grey, size, interpolation=cv2.INTER_AREA) for grey in (first, second)]
    length = np.linalg.norm(scene_flow(flow_between(small[0], small[1])), axis=2)
    return float(np.median(length)) > _STILL


def _middle(before: _Step | None, held: _Held[Any], after: _Step | None) -> Pixels:
    """The filtered picture of `held`."""
    if before is None or after is None:
        return held.pixels
    by_scene = median_of_three(before.first, held.pixels, after.second)
    if before.moved is None or after.moved is None:
        return by_scene
    earlier, later = before.moved.earlier, after.moved.later
    known = before.moved.earlier_known & after.moved.later_known
    # Remaining rain has its own motion, which the flow tracks or loses. Where the neighbours agree after warping with
    # the scene flow, only rain moved.
    level = 257 if held.pixels.dtype == np.uint16 else 1
    apart = _gap(before.first, after.second)
    still = (apart <= _AGREE * level) & (~known | (apart <= _gap(earlier, later) + _PREFER * level))
    middle = np.where(still[:, :, None], by_scene, median_of_three(earlier, held.pixels, later))
    return np.where((still | known)[:, :, None], middle, held.pixels)


def _gap(a: Array, b: Array) -> Array:
    """Local difference of two pictures, (H, W), in levels of their dtype: the maximum over the channels."""
    import cv2

    return np.asarray(cv2.blur(cv2.absdiff(a, b), (5, 5)).max(axis=2), np.float32)


def _grown(known: Array, shape: tuple[int, ...]) -> Array:
    """The mask at the size of the picture; unknown areas grow by a pixel or two, since edges are soft."""
    import cv2

    firm = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8))
    if firm.shape != shape[:2]:
        firm = cv2.resize(firm, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(firm, bool)
