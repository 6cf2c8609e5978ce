"""Synthetic structures that resemble rain, and flat colours: what a deraining network must leave alone.

Railings, blinds, window bars, wires, masts, grass, lettering, screens, brick, at every angle that rain has, with soft
or hard edges, lighter or darker than the background; plain colours, gradients and borders. Photographs contain too few
of these to learn from, and a network takes what it has not seen for rain. Unlike rain, these structures repeat
regularly, cross the whole picture, end together or bend together.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import UsageError
from derain_cli.rain.draws import log_uniform, uniform

__all__ = ["LOOKALIKES", "framed", "lookalike", "plain"]

Image: TypeAlias = NDArray[np.float32]
Mask: TypeAlias = NDArray[np.float32]

_FINER = 3
"""Supersampling factor for drawn lines, so that widths need not be whole pixels."""

_LETTERS = "IIIlll111|||!!HTLFEiitjf/\\ NMW0247abdehkmnpqru"


def lookalike(background: Image, rng: np.random.Generator, kind: str | None = None) -> Image:
    """A picture with one kind of lookalike added.

    Args:
        background: HxWx3 float32 in [0, 1]; not modified.
        rng: the only source of randomness; it is advanced.
        kind: a name in `LOOKALIKES`; None picks one at random.

    Returns:
        HxWx3 float32 in [0, 1].

    Raises:
        UsageError: unknown kind.
    """
    names = list(LOOKALIKES)
    if kind is None:
        kind = names[int(rng.choice(len(names), p=_SHARES))]
    if kind not in LOOKALIKES:
        raise UsageError(f"unknown lookalike {kind!r}", hint=f"choose from {', '.join(names)}")
    height, width = background.shape[:2]
    mask = LOOKALIKES[kind](height, width, rng)
    if rng.random() < 0.65:
        # Most edges in photographs are soft: from the lens, resizing or defocus.
        sigma = uniform(rng, (0.3, 1.5))
        mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32).reshape(height, width)
    mask = _cropped(mask, rng) if rng.random() < 0.3 else mask
    # Lighter or darker than the background, tinted or grey, by any amount.
    behind = background.mean((0, 1))
    lighter = rng.random() < 0.75
    target = uniform(rng, (0.55, 1.0)) if lighter else uniform(rng, (0.0, 0.3))
    grey = np.full(3, target, np.float32)
    tint = grey + (rng.random(3, np.float32) - np.float32(0.5)) * np.float32(0.6 * rng.random() ** 2)
    colour = np.clip(behind + (tint - behind) * np.float32(uniform(rng, (0.25, 1.0))), 0, 1).astype(np.float32)
    shade = 1 + np.float32(uniform(rng, (0.0, 0.3))) * (np.linspace(-1, 1, height, dtype=np.float32)[:, None, None])
    drawn = np.clip(colour * shade, 0, 1)
    return np.asarray(background + mask[:, :, None] * (drawn - background), np.float32)


def plain(height: int, width: int, rng: np.random.Generator) -> Image:
    """A flat colour, a gradient, or areas of flat colour with straight edges, HxWx3 float32 in [0, 1].

    Colours are drawn from the whole RGB cube; half of them are saturated, with channels at or near 0 or 1.
    """
    colours = np.stack([_colour(rng) for _ in range(4)])
    what = rng.random()
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = colours[0]
    if what < 0.35:
        return picture
    theta = uniform(rng, (0.0, 2 * math.pi))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    u = (x * np.float32(math.cos(theta)) + y * np.float32(math.sin(theta))) / np.float32(max(height, width))
    u = (u - u.min()) / np.float32(max(1e-6, float(u.max() - u.min())))
    if what < 0.65:
        return np.asarray(colours[0] + u[:, :, None] * (colours[1] - colours[0]), np.float32)
    cuts = np.sort(rng.random(3))
    for cut, colour in zip(cuts, colours[1:], strict=True):
        picture[u > cut] = colour
    return picture


def framed(picture: Image, rng: np.random.Generator) -> Image:
    """A copy of the picture with a flat border, mostly white or black, on some of its sides."""
    height, width = picture.shape[:2]
    chance = rng.random()
    colour = np.ones(3, np.float32) if chance < 0.45 else np.zeros(3, np.float32) if chance < 0.8 else _colour(rng)
    made = picture.copy()
    breadth = [int(rng.integers(1, max(2, int(0.45 * side)))) for side in (height, width)]
    for index, side in enumerate(rng.random(4) < 0.5):
        if not side:
            continue
        thick = breadth[index % 2]
        part = [made[:thick], made[:, :thick], made[height - thick :], made[:, width - thick :]][index]
        part[:] = colour
    return made


def _colour(rng: np.random.Generator) -> Image:
    """A random colour; half of the time with one to three channels at or near 0 or 1."""
    colour = rng.random(3, np.float32)
    if rng.random() < 0.5:
        which = rng.permutation(3)[: int(rng.integers(1, 4))]
        ends = (rng.random(len(which)) < 0.5).astype(np.float32)
        near = (np.float32(0.06) * rng.random(len(which), np.float32)) * (rng.random() < 0.5)
        colour[which] = np.abs(ends - near)
    return np.rint(colour * 255).astype(np.float32) / np.float32(255)


def _tilt(rng: np.random.Generator) -> float:
    """Tilt from the vertical, radians: upright like most bars, slanted like rain, up to 60 degrees, or horizontal."""
    chance = rng.random()
    if chance < 0.3:
        return math.radians(float(rng.normal(0.0, 4.0)))
    if chance < 0.6:
        return math.radians(float(rng.normal(0.0, 18.0)))
    return math.radians(uniform(rng, (-60.0, 60.0)) if chance < 0.92 else uniform(rng, (60.0, 120.0)))


def _across(height: int, width: int, theta: float) -> tuple[Mask, Mask]:
    """Pixel coordinates across and along a direction, in px from the middle."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    y -= np.float32(height / 2)
    x -= np.float32(width / 2)
    down, aside = np.float32(math.cos(theta)), np.float32(-math.sin(theta))
    return x * down - y * aside, y * down + x * aside


def _even(across: Mask, period: float, thick: float, rng: np.random.Generator) -> Mask:
    """Regular bars, `period` px apart and `thick` px wide."""
    place = across / np.float32(period) + np.float32(rng.random())
    off = np.abs(place - np.floor(place) - np.float32(0.5)) * np.float32(period)
    return np.asarray(np.clip(np.float32(thick / 2) - off + np.float32(0.5), 0, 1), np.float32)


def _bars(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Railings, fences, blinds: regular bars, with or without cross rails."""
    theta = _tilt(rng)
    across, along = _across(height, width, theta)
    # Bars seen at an angle: the period varies slowly over the picture.
    across = across * (1 + np.float32(uniform(rng, (-0.15, 0.15)) * (rng.random() < 0.4)) * across / np.float32(width))
    period = log_uniform(rng, (3.0, 40.0))
    mask = _even(across, period, max(0.7, period * uniform(rng, (0.12, 0.6))), rng)
    # Across the whole picture, or ending inside it.
    ends = (3.0 if rng.random() < 0.45 else uniform(rng, (0.2, 1.0))) * max(height, width)
    middle = uniform(rng, (-0.3, 0.3)) * height
    mask *= np.abs(along - np.float32(middle)) < ends / 2
    if rng.random() < 0.5:
        thick = uniform(rng, (1.0, 5.0))
        for edge in (-ends / 2, ends / 2):
            rail = np.clip(np.float32(thick / 2) - np.abs(along - np.float32(middle + edge)) + np.float32(0.5), 0, 1)
            mask = np.maximum(mask, rail)
    return mask.astype(np.float32)


def _windows(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Bars in window panes arranged in rows and columns."""
    theta = math.radians(float(rng.normal(0.0, 5.0)))
    across, along = _across(height, width, theta)
    pane, gap = uniform(rng, (14.0, 60.0)), uniform(rng, (3.0, 20.0))
    tall = pane * uniform(rng, (0.8, 2.0))
    inside = np.ones((height, width), np.float32)
    for place, size in ((across, pane), (along, tall)):
        cell = np.mod(place + np.float32(rng.random() * (size + gap)), np.float32(size + gap))
        inside *= np.clip(np.minimum(cell, np.float32(size) - cell) + np.float32(0.5), 0, 1)
    period = log_uniform(rng, (3.5, 14.0))
    bars = _even(across, period, max(0.8, period * uniform(rng, (0.15, 0.5))), rng)
    if rng.random() < 0.5:
        bars = np.maximum(bars, _even(along, tall / 2, uniform(rng, (1.0, 3.0)), rng))
    return np.asarray(bars * inside, np.float32)


def _grid(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Screens and nets: fine lines in both directions, with equal or different spacing."""
    theta = _tilt(rng)
    across, along = _across(height, width, theta)
    period = log_uniform(rng, (2.0, 12.0))
    duty = uniform(rng, (0.15, 0.5))
    one = _even(across, period, max(0.6, period * duty), rng)
    other = _even(along, period * log_uniform(rng, (1.0, 4.0)), max(0.6, period * duty), rng)
    return np.maximum(one, other)


def _brick(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Joints between bricks or tiles, every other row shifted by half."""
    theta = math.radians(float(rng.normal(0.0, 6.0)) + (90.0 if rng.random() < 0.2 else 0.0))
    across, along = _across(height, width, theta)
    tall = log_uniform(rng, (4.0, 20.0))
    long = tall * uniform(rng, (1.5, 3.5))
    joint = uniform(rng, (0.8, 2.5))
    rows = np.floor(along / np.float32(tall))
    shifted = across + np.mod(rows, 2) * np.float32(long / 2)

    def joints(place: Mask, size: float) -> Mask:
        cell = np.mod(place, np.float32(size))
        near = np.minimum(cell, np.float32(size) - cell)
        return np.asarray(np.clip(np.float32(joint / 2) - near + np.float32(0.5), 0, 1), np.float32)

    return np.maximum(joints(along, tall), joints(shifted, long))


def _wires(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Wires and cables: long, straight or sagging, side by side."""
    canvas = np.zeros((height * _FINER, width * _FINER), np.uint8)
    theta = _tilt(rng)
    down, aside = math.cos(theta), -math.sin(theta)
    count = int(rng.integers(1, 14))
    reach = 0.75 * math.hypot(height, width)
    sag = uniform(rng, (0.0, 0.25)) * reach * (rng.random() < 0.5)
    thick = max(1, round(_FINER * uniform(rng, (0.7, 3.0))))
    steps = np.linspace(-1, 1, 17)
    spacing = uniform(rng, (4.0, 24.0)) if rng.random() < 0.6 else None
    start = uniform(rng, (-0.5, 0.5)) * width
    for number in range(count):
        off = start + (number - count / 2) * spacing if spacing else uniform(rng, (-0.7, 0.7)) * width
        bow = sag * (steps**2) * (1 if spacing else uniform(rng, (-1.0, 1.0)))
        x = width / 2 + (off + bow) * down + steps * reach * aside
        y = height / 2 - (off + bow) * aside + steps * reach * down
        points = np.stack([x, y], axis=1) * (_FINER * 16)
        cv2.polylines(canvas, [np.rint(points).astype(np.int32)], False, 255, thick, cv2.LINE_AA, shift=4)
    return _coarser(canvas, height, width)


def _masts(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Masts, poles, trunks: few, upright, thick, some ending inside the picture."""
    canvas = np.zeros((height * _FINER, width * _FINER), np.uint8)
    for _ in range(int(rng.integers(1, 5))):
        lean = float(rng.normal(0.0, 5.0))
        x, top = uniform(rng, (0.0, 1.0)) * width, uniform(rng, (-0.3, 0.6)) * height
        bottom = height * uniform(rng, (0.7, 1.2))
        foot = x - math.tan(math.radians(lean)) * (bottom - top)
        points = np.array([[x, top], [foot, bottom]]) * (_FINER * 16)
        thick = max(1, round(_FINER * log_uniform(rng, (1.2, 9.0))))
        cv2.polylines(canvas, [np.rint(points).astype(np.int32)], False, 255, thick, cv2.LINE_AA, shift=4)
    return _coarser(canvas, height, width)


def _grass(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Grass, reeds, needles, hair: curved blades that fan out, in a tuft or across a field."""
    canvas = np.zeros((height * _FINER, width * _FINER), np.uint8)
    count = int(log_uniform(rng, (6.0, 90.0)))
    tuft = rng.random() < 0.5
    foot_x, foot_y = uniform(rng, (0.0, 1.0)) * width, uniform(rng, (0.5, 1.3)) * height
    length = log_uniform(rng, (12.0, 90.0))
    fan = uniform(rng, (0.1, 0.7))
    steps = np.linspace(0, 1, 7)
    for _ in range(count):
        x = foot_x + rng.normal(0.0, 0.06 * width) if tuft else uniform(rng, (-0.1, 1.1)) * width
        y = foot_y if tuft else uniform(rng, (0.1, 1.2)) * height
        size = length * math.exp(0.3 * float(rng.standard_normal()))
        lean, bend = float(rng.normal(0.0, fan)), float(rng.normal(0.0, 0.5))
        angles = lean + bend * steps
        xs, ys = x + size * steps * np.sin(angles), y - size * steps * np.cos(angles)
        points = np.rint(np.stack([xs, ys], axis=1) * (_FINER * 16)).astype(np.int32)
        thick = max(1, round(_FINER * uniform(rng, (0.5, 2.2))))
        cv2.polylines(canvas, [points], False, int(rng.integers(90, 256)), thick, cv2.LINE_AA, shift=4)
    return _coarser(canvas, height, width)


def _text(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Lines of text, with many stroke-like letters."""
    canvas = np.zeros((height * _FINER, width * _FINER), np.uint8)
    size = log_uniform(rng, (0.22, 1.4)) * _FINER
    font = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_PLAIN, cv2.FONT_HERSHEY_TRIPLEX)
    face = font[int(rng.integers(len(font)))]
    thick = max(1, round(size * uniform(rng, (0.8, 2.4))))
    y = int(uniform(rng, (0.0, 30.0)) * size)
    while y < height * _FINER + 30 * size:
        letters = rng.integers(len(_LETTERS), size=int(rng.integers(3, 30)))
        line = "".join(_LETTERS[int(i)] for i in letters)
        x = int(uniform(rng, (-0.3, 0.5)) * width * _FINER)
        cv2.putText(canvas, line, (x, y), face, size, 255, thick, cv2.LINE_AA)
        y += max(1, int(size * uniform(rng, (28.0, 50.0))))
    theta = math.degrees(_tilt(rng)) * 0.3 if rng.random() < 0.3 else 0.0
    if theta:
        turn = cv2.getRotationMatrix2D((canvas.shape[1] / 2, canvas.shape[0] / 2), theta, 1.0)
        canvas = np.asarray(cv2.warpAffine(canvas, turn, (canvas.shape[1], canvas.shape[0])), np.uint8)
    return _coarser(canvas, height, width)


def _coarser(canvas: NDArray[np.uint8], height: int, width: int) -> Mask:
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(np.asarray(small, np.float32).reshape(height, width) / np.float32(255), np.float32)


def _cropped(mask: Mask, rng: np.random.Generator) -> Mask:
    """The mask restricted to part of the picture, since real structures end somewhere."""
    height, width = mask.shape
    kept = np.zeros_like(mask)
    top, left = int(uniform(rng, (0.0, 0.5)) * height), int(uniform(rng, (0.0, 0.5)) * width)
    bottom, right = int(uniform(rng, (0.6, 1.01)) * height), int(uniform(rng, (0.6, 1.01)) * width)
    kept[top:bottom, left:right] = mask[top:bottom, left:right]
    return kept


LOOKALIKES: Mapping[str, Callable[[int, int, np.random.Generator], Mask]] = MappingProxyType(
    {
        "bars": _bars,
        "windows": _windows,
        "grid": _grid,
        "brick": _brick,
        "wires": _wires,
        "masts": _masts,
        "grass": _grass,
        "text": _text,
    }
)
"""Opacity map of each kind, by name: (height, width, generator) -> (H, W) in [0, 1]."""

_SHARES = np.array([4, 3, 1, 1, 3, 1, 1, 2]) / 16
"""Probability of each kind: higher for those that networks most often mistake for rain."""
