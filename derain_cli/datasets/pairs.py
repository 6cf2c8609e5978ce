"""Pairs of a rainy picture and the same picture without rain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import InputError
from derain_cli.media.photo import READABLE_SUFFIXES, read_rgb
from derain_cli.system.finder import Finder, Selection

__all__ = [
    "SPLIT_NAMES",
    "Halves",
    "Pair",
    "PairGroup",
    "PairSet",
    "Picture",
    "Reader",
    "folder_name",
    "list_photos",
    "read_clean",
    "read_pair",
]

Picture = NDArray[np.uint8]
Reader = Callable[[Path], Picture]
Halves = Literal["", "clean|rainy", "rainy|clean"]
"""Content of the left and right half of a file; empty if rainy and clean picture are separate files."""

SPLIT_NAMES = {"train", "training", "train_set", "test", "testing", "test_set", "val", "valid", "validation"}


@dataclass(frozen=True)
class Pair:
    """A rainy picture and the same picture without rain.

    Attributes:
        rainy: file of the rainy picture.
        clean: file of the clean picture; the same file if both are side by side in one picture.
        halves: which half is which in a side-by-side picture; handled by `read_pair`.
    """

    rainy: Path
    clean: Path
    halves: Halves = ""

    @property
    def name(self) -> str:
        return self.rainy.stem


@dataclass(frozen=True)
class PairGroup:
    """The pairs of one folder, scored together; `name` is the folder's (with its parent's for `train` and the like)."""

    name: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class PairSet:
    """All pairs found in a folder, files that could not be paired (path and reason), and notes on guesses."""

    groups: tuple[PairGroup, ...]
    rejected: tuple[InputError, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return tuple(pair for group in self.groups for pair in group.pairs)


def _half(picture: Picture, right: bool, path: Path) -> Picture:
    width = picture.shape[1]
    if width % 2:
        raise InputError(f"a side-by-side picture must have an even width, not {width}", path=path)
    return picture[:, width // 2 :] if right else picture[:, : width // 2]


def read_clean(pair: Pair, read: Reader = read_rgb) -> Picture:
    """Only the clean picture, uint8 HxWx3; errors as for `read_pair`."""
    picture = read(pair.clean)
    return _half(picture, pair.halves == "rainy|clean", pair.clean) if pair.halves else picture


def read_pair(pair: Pair, read: Reader = read_rgb) -> tuple[Picture, Picture]:
    """Rainy and clean picture, uint8 HxWx3; the halves of a side-by-side picture are views of it.

    Raises:
        InputError: one is unreadable, their sizes differ, or a side-by-side picture has an odd width; nothing is
            ever resized.
    """
    if pair.halves:
        whole = read(pair.rainy)
        left, right = _half(whole, False, pair.rainy), _half(whole, True, pair.rainy)
        return (left, right) if pair.halves == "rainy|clean" else (right, left)
    rainy, clean = read(pair.rainy), read(pair.clean)
    if rainy.shape != clean.shape:
        sizes = f"{rainy.shape[1]}x{rainy.shape[0]}, its clean partner {clean.shape[1]}x{clean.shape[0]}"
        raise InputError(f"sizes differ: {sizes}", path=pair.rainy)
    return rainy, clean


def list_photos(folder: Path, depth: int | None = None) -> list[Path]:
    """Pictures with readable suffixes in a folder and its subfolders, sorted, without hidden ones.

    Args:
        folder: the folder to search.
        depth: levels of subfolders to search; None for all.
    """
    finder = Finder([str(folder)], Selection(READABLE_SUFFIXES, depth, file_links=True))
    return sorted(Path(found.source) for found in finder.find())


def folder_name(place: Path) -> str:
    """Display name of a folder: its name, prefixed by its parent's if it is `train`, `test` or the like."""
    place = place.resolve()
    return f"{place.parent.name}/{place.name}" if place.name.lower() in SPLIT_NAMES else place.name
