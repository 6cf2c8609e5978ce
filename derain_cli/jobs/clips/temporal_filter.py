"""Steadiness: a frame is compared with the one before and the one after, and what flickers is taken out.

A network that sees one frame at a time leaves a streak here and overshoots there, and the next frame is another
one. Each pixel is replaced by the median of itself and of what the neighbours have for it. The median never makes
a value up: where the neighbours differ from each other it stays between them, and a pixel is changed only when
both of them are on the same side of it.

Only three frames have a say in a result. Nothing builds up over time, so there is no ghosting that lasts, the
memory is bounded, and a job that goes on in the middle of a clip gets the same frames.
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

__all__ = ["REACH", "median_of_three", "steadied"]

REACH = 1
"""Frames on either side that have a say."""

_CUT_LOST = 0.35
"""Share of pixels whose motion can be followed both ways, below which there is a cut too."""

_AGREE = 8.0
"""Levels of 255 that the neighbours may differ by, as they lie, to count as standing still."""
_PREFER = 1.0
"""Levels by which they may differ more as they lie than after their motion, and still count."""

_STILL = 0.25
"""Pixels, of the pictures that motion is measured on, that a scene may move and still counts as standing."""

_SMALL = 240
"""Longer side of the pictures on which it is seen whether the camera moves, pixels."""
_MOVES = "the camera moves: there frames are steadied along the motion (flow), not by the median as they lie"

Array = npt.NDArray[Any]


T = TypeVar("T")


def median_of_three(a: Array, b: Array, c: Array) -> Array:
    """Element-wise median of three arrays of one shape and dtype."""
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))


def steadied(
    items: Iterable[tuple[T, Pixels]], mode: Temporal, notes: list[str] | None = None
) -> Iterator[tuple[T, Pixels]]:
    """Frames with less flicker, in the same order; one frame of look-ahead.

    Args:
        items: pairs of anything and an (H, W, 3) uint8 or uint16 picture; all of one shape.
        mode: `off` passes them on; `median` takes neighbours as they lie, which suits a camera that stands still: where
            it moves, motion is followed all the same;
            `flow` follows the motion first. Where the neighbours agree with each other when they are moved as the
            scene around a pixel moves, these are taken, since rain moves otherwise than the scene; else a pixel's own
            motion is followed, and it is left alone where that cannot be done there and back.
        notes: a remark is appended where a camera moves that was to stand still.

    Yields:
        The same pairs with other pictures; the first and the last frame of a scene are left as they are.
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
    """From one frame to the next: the earlier picture as it lies for the later one, and the other way round (moved as
    the scene around each pixel moves, if motion is followed); with motion, also moved pixel by pixel."""

    first: Pixels
    second: Pixels
    moved: _Moved | None = None


@dataclass(frozen=True, eq=False)
class _Moved:
    """The earlier picture as the later one sees it, the other way round, and where each can be trusted, (H, W) bool."""

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
    # For a pixel of the second frame, `backward` says where it was in the first.
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
    """Whether most of the scene moves, measured on small pictures, on which streaks are hardly to be seen."""
    import cv2

    share = min(1.0, _SMALL / max(first.shape))
    size = (max(1, round(first.shape[1] * share)), max(1, round(first.shape[0] * share)))
    small = [cv2.resize(grey, size, interpolation=cv2.INTER_AREA) for grey in (first, second)]
    length = np.linalg.norm(scene_flow(flow_between(small[0], small[1])), axis=2)
    return float(np.median(length)) > _STILL


def _middle(before: _Step | None, held: _Held[Any], after: _Step | None) -> Pixels:
    """The steadied picture of `held`."""
    if before is None or after is None:
        return held.pixels
    lying = median_of_three(before.first, held.pixels, after.second)
    if before.moved is None or after.moved is None:
        return lying
    earlier, later = before.moved.earlier, after.moved.later
    known = before.moved.earlier_known & after.moved.later_known
    # What is left of the rain has a motion of its own, which the flow follows or loses. Where the neighbours agree with
    # each other as they lie in the scene, nothing moved there but rain.
    level = 257 if held.pixels.dtype == np.uint16 else 1
    apart = _gap(before.first, after.second)
    still = (apart <= _AGREE * level) & (~known | (apart <= _gap(earlier, later) + _PREFER * level))
    middle = np.where(still[:, :, None], lying, median_of_three(earlier, held.pixels, later))
    return np.where((still | known)[:, :, None], middle, held.pixels)


def _gap(a: Array, b: Array) -> Array:
    """How far two pictures differ around each pixel, (H, W), of their dtype: the channel that differs most."""
    import cv2

    return np.asarray(cv2.blur(cv2.absdiff(a, b), (5, 5)).max(axis=2), np.float32)


def _grown(known: Array, shape: tuple[int, ...]) -> Array:
    """A mask at the size of the picture; what is not known spreads by a pixel or two, since edges are soft."""
    import cv2

    firm = cv2.erode(known.astype(np.uint8), np.ones((3, 3), np.uint8))
    if firm.shape != shape[:2]:
        firm = cv2.resize(firm, (shape[1], shape[0]), interpolation=cv2.INTER_NEAREST)
    return np.asarray(firm, bool)
