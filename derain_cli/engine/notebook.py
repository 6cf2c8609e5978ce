"""How restorers and their results look in a notebook: HTML without scripts or files from elsewhere."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from derain_cli.errors import InputError
from derain_cli.media.montage import compare, thumbnail
from derain_cli.media.pixels import Pixels, to_uint8

__all__ = ["BeforeAfter", "table"]

_SIDE = 1200
"""Longest side of a picture that is shown, pixels."""


@dataclass(frozen=True, eq=False)
class BeforeAfter:
    """A picture before and after; in a notebook both lie on each other, under a slider.

    Attributes:
        before: (H, W, 3) uint8 or uint16 RGB.
        after: the same shape and dtype.

    Raises:
        InputError: they differ in shape or dtype.
    """

    before: Pixels
    after: Pixels

    def __post_init__(self) -> None:
        if self.before.shape != self.after.shape or self.before.dtype != self.after.dtype:
            raise InputError(
                f"before and after must be alike, not {self.before.dtype} {self.before.shape} and "
                f"{self.after.dtype} {self.after.shape}"
            )

    def side_by_side(self) -> Pixels:
        """(H, 2 W + 4, 3), separated by a white line, as `derain --compare` writes it."""
        return compare(self.before, self.after)

    def _repr_html_(self) -> str:
        before, after = (_embedded(each) for each in (self.before, self.after))
        width = min(_SIDE, self.before.shape[1])
        # The slider moves the edge of the upper picture. Where scripts are blocked, both halves stay visible.
        moved = "this.parentNode.children[1].style.clipPath='inset(0 0 0 '+this.value+'%)'"
        return (
            f'<div style="position:relative;width:100%;max-width:{width}px;line-height:0">'
            f'<img src="{before}" alt="before" style="width:100%;margin:0">'
            f'<img src="{after}" alt="after" style="position:absolute;inset:0;width:100%;margin:0;'
            'clip-path:inset(0 0 0 50%)">'
            f'<input type="range" min="0" max="100" value="50" oninput="{moved}" '
            'aria-label="left of here: before, right of here: after" '
            'style="position:absolute;left:0;right:0;bottom:8px;width:100%;margin:0"></div>'
        )

    def _repr_png_(self) -> bytes:
        joined = thumbnail(to_uint8(self.side_by_side()), (2 * _SIDE, 2 * _SIDE))
        return _encoded(joined, "PNG")


def table(title: str, rows: Mapping[str, Any]) -> str:
    """An HTML table with a heading, escaped."""
    cells = "".join(
        f'<tr><th style="text-align:left">{html.escape(name)}</th><td style="text-align:left">{html.escape(str(value))}'
        "</td></tr>"
        for name, value in rows.items()
    )
    return f"<table><caption>{html.escape(title)}</caption>{cells}</table>"


def _embedded(picture: Pixels) -> str:
    """The picture, reduced if it is large, as a data URL."""
    small = thumbnail(to_uint8(picture), (_SIDE, _SIDE))
    return "data:image/jpeg;base64," + base64.b64encode(_encoded(small, "JPEG")).decode()


def _encoded(picture: NDArray[np.uint8], kind: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, kind, quality=92)
    return stream.getvalue()
