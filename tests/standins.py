"""Small stand-ins of the data sets of the registry: the real ones' folders and names, generated pictures.

`scripts/make_standins.py` writes them to a folder; the tests check every record and layout against them.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.datasets.catalogue import DatasetRecord
from derain_cli.datasets.layouts import Layout
from derain_cli.rain import add_rain

__all__ = ["clean_picture", "make_layout", "make_standin", "rainy_picture"]

Picture = NDArray[np.uint8]
_DENSITIES = ("Light", "Medium", "Heavy")
PER_CLEAN = 3
"""Rainy pictures per clean one, where a set has several."""


@lru_cache(maxsize=64)
def clean_picture(height: int, width: int, seed: int) -> Picture:
    """A picture with edges, texture and grain; each seed gives another scene."""
    rng = np.random.default_rng((seed, 1))
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    picture = np.zeros((height, width, 3)) + rng.uniform(60, 150, 3)
    for _ in range(4):
        across, down, start = rng.uniform(-4, 4), rng.uniform(-4, 4), rng.uniform(0, 6)
        wave = np.sin(2 * np.pi * (across * columns / width + down * rows / height) + start)
        picture += 22 * wave[..., None] * rng.uniform(0.5, 1, 3)
    for _ in range(12):
        top, left = rng.integers(height), rng.integers(width)
        tall, wide = rng.integers(2, height // 2), rng.integers(2, width // 2)
        picture[top : top + tall, left : left + wide] += rng.uniform(-45, 45, 3)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (height, width)), (0, 0), 2)
    picture += 14 * (texture / texture.std())[..., None] + rng.normal(0, 3, picture.shape)
    return np.clip(picture, 0, 235).astype(np.uint8)


@lru_cache(maxsize=64)
def rainy_picture(height: int, width: int, seed: int, profile: str = "light", variant: int = 0) -> Picture:
    """`clean_picture` of the same seed with generated rain."""
    clean = clean_picture(height, width, seed).astype(np.float32) / np.float32(255)
    sample = add_rain(clean, profile, np.random.default_rng((seed, 2, variant)))
    return np.rint(np.clip(sample.rainy, 0, 1) * 255).astype(np.uint8)


def _fields(layout: Layout, number: int) -> dict[str, str]:
    """Values of the layout fields for pair `number`, counted from 0, similar to the real names."""
    names = set(re.findall(r"\{(\w+)\}", layout.rainy))
    shared = set(re.findall(r"\{(\w+)\}", layout.clean)) if layout.clean else names
    values = {"density": _DENSITIES[number % 3], "folder": "ab"[number % 2]}
    if "scene" in names:
        scene = f"Oinari_{number // PER_CLEAN}-0"
        values |= {"scene": scene, "s": f"{scene}-Webcam", "k": f"{number % PER_CLEAN:03d}"}
    elif names - shared:
        values |= {"n": str(901 + number // PER_CLEAN), "k": str(1 + number % PER_CLEAN)}
    else:
        values["n"] = str(1 + number)
    return {name: values[name] for name in names}


def _write(path: Path, picture: Picture) -> None:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), picture[..., ::-1])


def touch(root: Path, *names: str) -> Path:
    """Create empty files below a folder, which is returned."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def make_layout(
    layout: Layout, place: Path, count: int = 6, size: tuple[int, int] = (32, 40), profile: str = "light"
) -> list[tuple[Path, Path]]:
    """`count` pairs in one layout; returns the rainy file and the clean one (the same file side by side, or alone)."""
    made = []
    for number in range(count):
        fields = _fields(layout, number)
        several = bool(layout.clean) and _fields(layout, number)["n" if "n" in fields else "s"] != str(1 + number)
        seed = number // PER_CLEAN if several else number
        clean, rainy = clean_picture(*size, seed), rainy_picture(*size, seed, profile, number)
        target = place / f"{layout.rainy.format(**fields)}.png"
        partner = target
        if layout.halves:
            _write(target, np.concatenate([clean, rainy] if layout.halves == "clean|rainy" else [rainy, clean], axis=1))
        else:
            _write(target, rainy)
        if layout.clean:
            partner = place / f"{layout.clean.format(**fields)}.png"
            _write(partner, clean)
        made.append((target, partner))
    return made


def make_standin(
    record: DatasetRecord,
    root: Path,
    split: str = "test",
    *,
    layout: int = 0,
    place: int = 0,
    count: int = 6,
    size: tuple[int, int] = (32, 40),
) -> list[tuple[Path, Path]]:
    """A stand-in for one split of a data set below `root`, in one of its layouts and locations."""
    return make_layout(record.layouts[layout], root / record.split(split).places[place], count, size)
