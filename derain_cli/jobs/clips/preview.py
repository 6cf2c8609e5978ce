"""A preview: before and after side by side."""

from __future__ import annotations

from dataclasses import replace

from derain_cli.media.clip.info import ClipInfo, Orientation
from derain_cli.media.pixels import Pixels

__all__ = ["even", "side_by_side"]


def side_by_side(info: ClipInfo) -> ClipInfo:
    """Clip information for a preview: upright, two pictures wide, without alpha."""
    aspect = info.pixel_aspect
    return replace(
        info,
        coded_width=(2 * info.width + 4) & ~1,
        coded_height=max(2, info.height & ~1),
        orientation=Orientation(),
        matrix=None,
        pixel_aspect=1 / aspect if aspect and info.orientation.transposed else aspect,
        has_alpha=False,
        interlaced=False,
        field_order=0,
    )


def even(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    return pixels[: max(2, height & ~1), : width & ~1]
