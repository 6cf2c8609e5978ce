"""Tiling of pictures. Each tile is read with a halo and written without it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["SMALLEST_TILE", "Box", "Tile", "plan_tiles", "sample_crops"]

SMALLEST_TILE = 128
"""Smallest side in pixels to which tiles are halved when memory runs out."""


class Box(NamedTuple):
    """A rectangle of pixels, ends excluded."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        return self.bottom - self.top

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


class Tile(NamedTuple):
    """`write` is the area the tile produces; `read` adds the halo, clipped to the picture."""

    read: Box
    write: Box

    @property
    def inner(self) -> tuple[slice, slice]:
        """`write` in coordinates of `read`."""
        top, left = self.write.top - self.read.top, self.write.left - self.read.left
        return slice(top, top + self.write.height), slice(left, left + self.write.width)


def _grow(write: Box, halo: int, height: int, width: int, align: int) -> Box:
    top, left = max(0, write.top - halo), max(0, write.left - halo)
    bottom, right = min(height, write.bottom + halo), min(width, write.right + halo)
    # Tiles start on the grid of the pixel-unshuffle, so their blocks are those of the whole picture.
    return Box(top - top % align, left - left % align, bottom, right)


def plan_tiles(area: Box, tile: int, halo: int, height: int, width: int, align: int = 1) -> Iterator[Tile]:
    """Tiles that cover `area` of a `height` x `width` picture exactly once.

    Args:
        area: the area to write.
        tile: side of the written part in pixels; tiles are made nearly equal to avoid a thin last one.
        halo: pixels read beyond it on each side.
        height, width: size of the picture.
        align: tiles start at multiples of this many pixels.
    """

    def cuts(start: int, end: int) -> list[int]:
        parts = max(1, -(-(end - start) // tile))
        inner = [start + (end - start) * i // parts for i in range(1, parts)]
        return [start, *(c - c % align for c in inner), end]

    rows, columns = cuts(area.top, area.bottom), cuts(area.left, area.right)
    for top, bottom in itertools.pairwise(rows):
        for left, right in itertools.pairwise(columns):
            write = Box(top, left, bottom, right)
            if write.height and write.width:
                yield Tile(_grow(write, halo, height, width, align), write)


def sample_crops(height: int, width: int, side: int, count: int, align: int = 1) -> list[Box]:
    """Up to `count` equal crops spread evenly over a picture, for measuring its gates. Deterministic."""
    crop_h, crop_w = min(side, height), min(side, width)
    per_row = max(1, round((count * width / height) ** 0.5))
    per_row = min(per_row, count, -(-width // crop_w))
    per_column = max(1, min(count // per_row, -(-height // crop_h)))

    def starts(length: int, crop: int, parts: int) -> list[int]:
        free = length - crop
        positions = [free // 2] if parts == 1 else [free * i // (parts - 1) for i in range(parts)]
        return [p - p % align for p in positions]

    return [
        Box(top, left, top + crop_h, left + crop_w)
        for top in starts(height, crop_h, per_column)
        for left in starts(width, crop_w, per_row)
    ]
