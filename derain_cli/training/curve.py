"""The curve of a training run as a picture, drawn from the records of its log."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["CURVE_SIZE", "draw_curve"]

CURVE_SIZE = (960, 720)
"""Width and height in pixels."""

Points = list[tuple[float, float]]

_SCALE = 2
"""Drawn this much larger, then reduced, so that lines are smooth."""
_PAPER, _INK, _FAINT, _GRID = (255, 255, 255), (40, 40, 40), (170, 170, 170), (228, 228, 228)
_COLOURS = ((0, 114, 178), (213, 94, 0), (0, 158, 115), (204, 121, 167), (230, 159, 0), (86, 180, 233))
"""Distinguishable with any colour vision (Okabe and Ito, 2008)."""
_LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 70, 24, 44, 46, 62
_TICKS = 5


@dataclass(frozen=True)
class _Line:
    name: str
    points: Points
    colour: tuple[int, int, int]
    marked: bool = False


@dataclass(frozen=True)
class _Panel:
    """A plot: its title, its box (left, top, right, bottom), the range of steps, and whether values are logarithmic."""

    title: str
    box: tuple[int, int, int, int]
    steps: float
    lines: Sequence[_Line]
    logarithmic: bool = False

    def draw(self, pen: ImageDraw.ImageDraw) -> None:
        left, top, right, bottom = (side * _SCALE for side in self.box)
        small, large = (ImageFont.load_default(size * _SCALE) for size in (12, 14))
        pen.text((left, top - 8 * _SCALE), self.title, _INK, large, anchor="lb")
        low, high = self._range()
        for value in _ticks(low, high):
            y = self._y(value, low, high)
            pen.line((left, y, right, y), _GRID, _SCALE)
            shown = f"{10**value:.2g}" if self.logarithmic else f"{value:.4g}"
            pen.text((left - 8 * _SCALE, y), shown, _INK, small, anchor="rm")
        for step in _ticks(0, self.steps, least=1):
            x = self._x(step)
            pen.line((x, top, x, bottom), _GRID, _SCALE)
            pen.text((x, bottom + 6 * _SCALE), f"{step:,.0f}", _INK, small, anchor="mt")
        pen.rectangle((left, top, right, bottom), outline=_FAINT, width=_SCALE)
        for line in self.lines:
            places = [(self._x(step), self._y(self._value(y), low, high)) for step, y in line.points]
            if len(places) > 1:
                pen.line(places, line.colour, 2 * _SCALE, joint="curve")
            for x, y in places if line.marked else ():
                pen.ellipse((x - 3 * _SCALE, y - 3 * _SCALE, x + 3 * _SCALE, y + 3 * _SCALE), line.colour)
        # From the right, so that the legend ends where the plot does.
        x = float(right)
        for line in reversed(self.lines):
            name = _shortened(line.name)
            x -= pen.textlength(name, small)
            pen.text((x, top - 10 * _SCALE), name, _INK, small, anchor="lb")
            x -= 22 * _SCALE
            pen.line((x, top - 16 * _SCALE, x + 16 * _SCALE, top - 16 * _SCALE), line.colour, 3 * _SCALE)
            x -= 14 * _SCALE

    def _value(self, value: float) -> float:
        return math.log10(value) if self.logarithmic else value

    def _range(self) -> tuple[float, float]:
        values = [self._value(value) for line in self.lines for _, value in line.points] or [0.0, 1.0]
        # A single batch can be far off; it is drawn at the edge.
        low, high = (float(np.percentile(values, share)) for share in ((1, 99) if self.logarithmic else (0, 100)))
        margin = max(0.05 * (high - low), 0.02)
        return low - margin, high + margin

    def _x(self, step: float) -> float:
        left, _, right, _ = self.box
        return (left + (right - left) * step / max(self.steps, 1)) * _SCALE

    def _y(self, value: float, low: float, high: float) -> float:
        _, top, _, bottom = self.box
        return (bottom - (bottom - top) * min(1.0, max(0.0, (value - low) / (high - low)))) * _SCALE


def draw_curve(records: Iterable[Mapping[str, Any]]) -> NDArray[np.uint8]:
    """Validation PSNR of each group of pairs above, and the training loss below, both against the step.

    Args:
        records: of a run's log.jsonl, in order. Records of other kinds and values that are not finite are passed over.

    Returns:
        (H, W, 3) of `CURVE_SIZE`.
    """
    groups: dict[str, Points] = {}
    training: Points = []
    losses: Points = []
    last = 1.0
    for record in records:
        step = record.get("step")
        if not isinstance(step, int):
            continue
        last = max(last, step)
        if record.get("kind") == "validation":
            for name, value in record.items():
                if name.endswith("/psnr_rgb") and _is_number(value):
                    groups.setdefault(name.removesuffix("/psnr_rgb"), []).append((step, value))
        elif record.get("kind") == "train":
            if _is_number(record.get("psnr_recent")):
                training.append((step, record["psnr_recent"]))
            if _is_number(record.get("loss")) and record["loss"] > 0:
                losses.append((step, record["loss"]))
    width, height = CURVE_SIZE
    middle = round(0.62 * height)
    scores = [
        _Line(name, points, _COLOURS[number % len(_COLOURS)], marked=True)
        for number, (name, points) in enumerate(groups.items())
    ]
    if training:
        scores.insert(0, _Line("training patches", training, _FAINT))
    upper = (_LEFT, _TOP, width - _RIGHT, middle - _GAP // 2)
    lower = (_LEFT, middle + _GAP // 2, width - _RIGHT, height - _BOTTOM)
    sheet = Image.new("RGB", (width * _SCALE, height * _SCALE), _PAPER)
    pen = ImageDraw.Draw(sheet)
    _Panel("PSNR (rgb), dB", upper, last, scores).draw(pen)
    smooth = [_Line("one batch", losses, _FAINT), _Line("median of the last ten", _smoothed(losses, 10), _INK)]
    _Panel("loss", lower, last, smooth, logarithmic=True).draw(pen)
    place = ((_LEFT + (width - _LEFT - _RIGHT) / 2) * _SCALE, (height - 6) * _SCALE)
    pen.text(place, "step", _INK, ImageFont.load_default(12 * _SCALE), anchor="mb")
    return np.asarray(sheet.resize(CURVE_SIZE, Image.Resampling.BOX))


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _shortened(name: str) -> str:
    return name if len(name) <= 24 else f"{name[:23]}…"


def _smoothed(points: Points, count: int) -> Points:
    """Medians of the last `count` values."""
    return [
        (step, float(np.median([value for _, value in points[max(0, number - count + 1) : number + 1]])))
        for number, (step, _) in enumerate(points)
    ]


def _ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """About `_TICKS` round values from `low` to `high`, at least `least` apart."""
    rough = max((high - low) / _TICKS, least)
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough)
    return [number * step for number in range(math.ceil(low / step), math.floor(high / step) + 1)]
