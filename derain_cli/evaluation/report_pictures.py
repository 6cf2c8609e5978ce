"""Every picture of a report: a table to sort, and a plot of what each model gains."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean, quantiles, stdev
from typing import TYPE_CHECKING

from derain_cli.evaluation.report_tables import cell, place_in_words, table, text_of

if TYPE_CHECKING:
    from derain_cli.evaluation.document import PhotoRow, Row

__all__ = ["interval", "pictures_of", "quartiles"]

_COLOURS = ("#2f6fde", "#d9822b", "#2a9d5c", "#b3439c", "#c23b3b", "#6b7a99")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 480, 300, 46, 34
_STUDENT = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
    2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Quantiles of Student's t distribution at 0.975 for 1 to 30 degrees of freedom."""


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Lower quartile, median and upper quartile, interpolated between values; of one value that value."""
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = quantiles(values, n=4, method="inclusive")
    return low, middle, high


def interval(values: Sequence[float]) -> float:
    """Half the width of the 95 % confidence interval of the mean (Student's t); infinite for one value."""
    freedom = len(values) - 1
    if freedom < 1:
        return math.inf
    quantile = _STUDENT[freedom - 1] if freedom <= len(_STUDENT) else 1.96 + 2.4 / freedom
    return quantile * stdev(values) / math.sqrt(len(values))


def pictures_of(rows: Sequence[Row], photo_rows: Sequence[PhotoRow]) -> str:
    """A section for each data set and group, and one for each data set without ground truth."""
    parts = []
    for place in dict.fromkeys((row.dataset, row.group) for row in rows):
        of_group = [row for row in rows if (row.dataset, row.group) == place]
        parts.append(f"<h2>{text_of(place_in_words(*place))}: every picture</h2>")
        parts += [_gains(of_group), _plot(of_group), f'<div class="wide">{_each(of_group)}</div>']
    for dataset in dict.fromkeys(row.dataset for row in photo_rows):
        own = [row for row in photo_rows if row.dataset == dataset]
        parts.append(f'<h2>{text_of(dataset)}: every picture</h2><div class="wide">{_each_photo(own)}</div>')
    return "\n".join(parts)


def _gain(row: Row) -> float:
    return row.after["rgb"].psnr - row.before["rgb"].psnr


def _models(rows: Sequence[Row]) -> list[str]:
    return [name for name in dict.fromkeys(row.model for row in rows) if name != "input"]


def _gains(rows: Sequence[Row]) -> str:
    """What each model gains, as a distribution."""
    lines = []
    for model in _models(rows):
        gains = [_gain(row) for row in rows if row.model == model]
        low, middle, high = quartiles(gains)
        wide = interval(gains)
        cells = [cell(model, "text"), cell(len(gains)), cell(f"{fmean(gains):+.2f}")]
        cells += [cell("-" if math.isinf(wide) else f"± {wide:.2f}"), cell(f"{min(gains):+.2f}")]
        cells += [cell(f"{each:+.2f}") for each in (low, middle, high)]
        cells += [cell(f"{max(gains):+.2f}"), cell(sum(gain < 0 for gain in gains))]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    titles = ("gain in PSNR (rgb), dB", "pictures", "mean", "95 %", "least", "lower quartile", "median",
              "upper quartile", "most", "made worse")  # fmt: skip
    return table(titles, lines, (0,)) if lines else ""


def _each(rows: Sequence[Row]) -> str:
    models = _models(rows)
    known = {(row.picture, row.model): row for row in rows}
    lines = []
    for picture in dict.fromkeys(row.picture for row in rows):
        first = next(row for row in rows if row.picture == picture)
        cells = [cell(picture, "text"), cell(f"{first.width}x{first.height}"), cell(f"{first.before['rgb'].psnr:.2f}")]
        for model in models:
            row = known.get((picture, model))
            shown = ("-",) * 3 if row is None else (
                f"{row.after['rgb'].psnr:.2f}", f"{_gain(row):+.2f}", f"{row.after['rgb'].ssim:.4f}",
            )  # fmt: skip
            cells += [cell(each) for each in shown]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    titles = ["picture", "size", "PSNR input"]
    titles += [f"{model}: {what}" for model in models for what in ("PSNR", "gain", "SSIM")]
    return _sortable(titles, lines)


def _each_photo(rows: Sequence[PhotoRow]) -> str:
    names = list(rows[0].figures)
    lines = []
    for row in rows:
        cells = [cell(row.picture, "text"), cell(row.model, "text"), cell(f"{row.width}x{row.height}")]
        cells += [cell("-" if math.isnan(row.figures[name]) else f"{row.figures[name]:.3f}") for name in names]
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return _sortable(["picture", "model", "size", *(name.replace("_", " ") for name in names)], lines)


def _sortable(titles: Sequence[str], lines: Sequence[str]) -> str:
    """A table whose headings are buttons."""
    heads = "".join(
        f"<th{' class=text' if i == 0 else ''}><button>{text_of(t)}</button></th>" for i, t in enumerate(titles)
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>\n{chr(10).join(lines)}\n</tbody></table>"


def _plot(rows: Sequence[Row]) -> str:
    """PSNR of the outputs over that of the inputs; what lies above the diagonal has gained."""
    points = {
        model: [(row.before["rgb"].psnr, row.after["rgb"].psnr) for row in rows if row.model == model]
        for model in _models(rows)
    }
    every = [value for found in points.values() for point in found for value in point]
    if not every:
        return ""
    low, high = math.floor(min(every)), math.ceil(max(every))
    high = max(high, low + 1)
    step = next(each for each in (1, 2, 5, 10, 20) if (high - low) / each <= 8)

    def x(value: float) -> float:
        return _LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - 8)

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _BOTTOM - 8)

    parts = []
    for tick in range(math.ceil(low / step) * step, high + 1, step):
        parts.append(f'<path d="M{x(tick):.1f} 8V{y(low):.1f}M{_LEFT} {y(tick):.1f}H{_WIDTH - 8}" stroke="#8884"/>')
        parts.append(f'<text x="{x(tick):.1f}" y="{_HEIGHT - _BOTTOM + 15}" text-anchor="middle">{tick}</text>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick}</text>')
    parts.append(
        f'<path d="M{x(low):.1f} {y(low):.1f}L{x(high):.1f} {y(high):.1f}" stroke="currentColor" opacity=".6"/>'
    )
    for number, found in enumerate(points.values()):
        parts += [_marker(number, x(a), y(b)) for a, b in found]
    parts.append(
        f'<text x="{(_LEFT + _WIDTH) / 2}" y="{_HEIGHT - 3}" text-anchor="middle">PSNR of the input, dB (rgb)</text>'
    )
    parts.append(
        f'<text transform="translate(12 {(_HEIGHT - _BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
        "PSNR of the output, dB</text>"
    )
    inside = "".join(parts)
    label = "PSNR of the outputs over PSNR of the inputs; above the line it has risen"
    legend = "".join(
        f'<span><svg width="14" height="14">{_marker(number, 7, 7)}</svg> {text_of(model)}</span>'
        for number, model in enumerate(points)
    )
    plot = f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{label}">{inside}</svg>'
    return f'{plot}<div class="sides">{legend}</div>'


def _marker(number: int, x: float, y: float) -> str:
    """The mark of a model: models differ in colour and in shape."""
    fill = f'fill="{_COLOURS[number % len(_COLOURS)]}" fill-opacity=".75"'
    if number % 3 == 0:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" {fill}/>'
    if number % 3 == 1:
        return f'<path d="M{x - 3:.1f} {y - 3:.1f}h6v6h-6z" {fill}/>'
    return f'<path d="M{x:.1f} {y - 4.5:.1f}l4 7.5h-8z" {fill}/>'
