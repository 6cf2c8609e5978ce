"""Picture grids that show the progress of a run."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["GRID_SIDE", "centre", "grid"]

GRID_SIDE = 240
"""Side of the grid cells, pixels."""

Picture = NDArray[np.uint8]


def centre(picture: Picture, side: int) -> Picture:
    """The centre of a picture (H, W, 3), at most `side` x `side`, not scaled."""
    height, width = picture.shape[:2]
    rows, columns = min(side, height), min(side, width)
    top, left = (height - rows) // 2, (width - columns) // 2
    return picture[top : top + rows, left : left + columns]


def grid(rows: Sequence[Sequence[Picture]], side: int = GRID_SIDE) -> Picture:
    """The centres of pictures in rows and columns; smaller ones are padded with black."""
    sheet = np.zeros((len(rows) * side, max(map(len, rows)) * side, 3), np.uint8)
    for row, pictures in enumerate(rows):
        for column, picture in enumerate(pictures):
            cut = centre(picture, side)
            sheet[row * side : row * side + cut.shape[0], column * side : column * side + cut.shape[1]] = cut
    return sheet
