"""Combined pictures: before and after side by side, and contact sheets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from derain_cli.media.pixels import Pixels

__all__ = ["CELL", "compare", "contact_sheet", "thumbnail"]

CELL = (320, 240)
"""Maximum width and height of a picture on a sheet, pixels."""

_CAPTION, _GAP = 36, 8


def thumbnail(picture: NDArray[np.uint8], box: tuple[int, int] = CELL) -> NDArray[np.uint8]:
    """(H, W, 3) or (H, W) downscaled to fit `box` (width, height); smaller pictures are unchanged."""
    height, width = picture.shape[:2]
    scale = min(1.0, box[0] / width, box[1] / height)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def contact_sheet(
    pictures: Sequence[NDArray[np.uint8]], captions: Sequence[tuple[str, str]], columns: int
) -> NDArray[np.uint8]:
    """Pictures in rows, with two lines of text below each.

    Args:
        pictures: from `thumbnail`.
        captions: ASCII; at most 48 characters per line are shown.
        columns: pictures per row.

    Returns:
        (H, W, 3) RGB on dark grey.
    """
    across, down = CELL[0] + _GAP, CELL[1] + _CAPTION + _GAP
    rows = -(-len(pictures) // columns)
    sheet = Image.new("RGB", (columns * across + _GAP, rows * down + _GAP), (32, 32, 32))
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for number, (picture, lines) in enumerate(zip(pictures, captions, strict=True)):
        left, top = _GAP + number % columns * across, _GAP + number // columns * down
        sheet.paste(Image.fromarray(picture), (left, top))
        for line, text in enumerate(lines):
            pen.text((left, top + CELL[1] + 2 + 16 * line), text[:48], (230, 230, 230), font)
    return np.asarray(sheet)


def compare(before: Pixels, after: Pixels, *, divider: int = 4) -> Pixels:
    """Before and after side by side, separated by a white line.

    Args:
        before: (H, W, 3).
        after: the same shape and dtype.
        divider: width of the line in pixels.

    Returns:
        (H, 2 W + divider, 3) of the same dtype.

    Raises:
        ValueError: shapes or dtypes differ.
    """
    if before.shape != after.shape or before.dtype != after.dtype:
        raise ValueError(f"cannot compare {before.shape} {before.dtype} with {after.shape} {after.dtype}")
    line = np.full((before.shape[0], divider, 3), np.iinfo(before.dtype).max, before.dtype)
    joined: Pixels = np.concatenate([before, line, after], axis=1)
    return joined
