"""How the frames of a window lie in an array, and in a picture that can be stored and viewed."""

from __future__ import annotations

from derain_cli.media.pixels import Pixels

__all__ = ["middle", "stacked", "unstacked"]


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
