"""Windows of a clip: a frame and its motion-compensated neighbours, for multi-frame networks.

A streak is visible in one frame only; the background behind it is usually visible in the neighbours. Neighbours are
warped with the flow of the scene between successive frames, so that the scene is aligned across the window up to small
errors, which the network has learnt to handle.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from derain_cli.media.pixels import Pixels
from derain_cli.motion.flow import Array, fetched, flow_between, followed, grey_of, is_cut, scene_flow

__all__ = ["middle", "stacked", "unstacked", "windows"]

T = TypeVar("T")


def windows(items: Iterable[tuple[T, Pixels]], frames: int) -> Iterator[tuple[T, Pixels]]:
    """Every frame with its neighbours, in order.

    Args:
        items: pairs of any tag and an (H, W, 3) uint8 or uint16 picture; all of one shape.
        frames: F, odd: the frame itself and (F - 1) / 2 on either side.

    Yields:
        The tags with (H, W, 3*F) arrays: the window in chronological order, neighbours warped onto the middle frame. At
        the ends of the clip and across cuts, missing neighbours are replaced by the middle frame.
    """
    reach = frames // 2
    held: deque[_Frame[T]] = deque()
    done = 0  # frames at the front of `held` whose window has been yielded
    for tag, pixels in items:
        frame = _Frame(tag, pixels, grey_of(pixels) if reach else pixels)
        if held and reach:
            frame.back = _step(frame, held[-1])
            held[-1].forth = None if frame.back is None else _step(held[-1], frame)
        held.append(frame)
        if len(held) - done > reach:
            yield held[done].tag, _window(held, done, reach)
            done += 1
        while done > reach:
            held.popleft()
            done -= 1
    while done < len(held):
        yield held[done].tag, _window(held, done, reach)
        done += 1


def middle(window: Pixels) -> Pixels:
    """(H, W, 3*F) -> the middle frame, (H, W, 3), a view."""
    start = (window.shape[2] - 3) // 2
    return window[:, :, start : start + 3]


def stacked(window: Pixels) -> Pixels:
    """(H, W, 3*F) -> (F*H, W, 3): the frames stacked vertically, as a picture that can be stored and viewed."""
    height, width, channels = window.shape
    return window.reshape(height, width, channels // 3, 3).transpose(2, 0, 1, 3).reshape(-1, width, 3)


def unstacked(picture: Pixels, frames: int) -> Pixels:
    """The inverse of `stacked`: (F*H, W, 3) -> (H, W, 3*F)."""
    height, width = picture.shape[0] // frames, picture.shape[1]
    return picture.reshape(frames, height, width, 3).transpose(1, 2, 0, 3).reshape(height, width, 3 * frames)


@dataclass(eq=False)
class _Frame(Generic[T]):
    """A frame with the scene flow to the previous and the next one; None at the ends and across cuts."""

    tag: T
    pixels: Pixels
    grey: Array
    back: Array | None = None
    forth: Array | None = None


def _step(first: _Frame[T], second: _Frame[T]) -> Array | None:
    """Scene flow from one frame to its neighbour; None across a cut."""
    if is_cut(first.grey, second.grey):
        return None
    return scene_flow(flow_between(first.grey, second.grey))


def _window(held: deque[_Frame[T]], index: int, reach: int) -> Pixels:
    middle = held[index]
    if not reach:
        return middle.pixels
    before = _side(held, index, -1, reach)
    after = _side(held, index, 1, reach)
    return np.concatenate([*reversed(before), middle.pixels, *after], axis=2)


def _side(held: deque[_Frame[T]], index: int, step: int, reach: int) -> list[Pixels]:
    """The neighbours on one side, nearest first, warped onto the frame at `index`."""
    found: list[Pixels] = []
    flow: Array | None = None
    current = index
    for _ in range(reach):
        towards = held[current].back if step < 0 else held[current].forth
        if towards is None:
            break
        flow = towards if flow is None else followed(flow, towards)
        current += step
        found.append(fetched(held[current].pixels, flow))
    return found + [held[index].pixels] * (reach - len(found))
