"""Data sets by name, and the folder layouts in which pairs are found in the wild."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from derain_cli.errors import InputError, NothingToDoError, UsageError
from derain_cli.frames.images import READABLE_SUFFIXES

__all__ = ["DATASETS", "LAYOUTS", "Pair", "PairGroup", "PairSet", "find_pairs", "list_photos", "resolve_dataset"]

LAYOUTS: tuple[tuple[str, str], ...] = (
    ("rain", "norain"),
    ("rainy", "clean"),
    ("rainy_image", "ground_truth"),
    ("input", "target"),
    ("input", "gt"),
    ("input", "groundtruth"),
    ("rain", "gt"),
    ("data", "gt"),
    ("rainy", "gt"),
    ("lq", "gt"),
)
"""Names of the sub-folders of rainy and of clean pictures, compared without case; the first pair found is taken."""

_PREFIXES = ("norain", "rain", "clean", "rainy", "im_", "gt")
"""What data sets put before the number that pairs two files (`rain-001.png`, `norain-001.png`)."""

_SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}


@dataclass(frozen=True)
class Pair:
    """A rainy picture and the same picture without rain."""

    rainy: Path
    clean: Path

    @property
    def name(self) -> str:
        return self.rainy.stem


@dataclass(frozen=True)
class PairGroup:
    """The pairs of one folder; `name` is the folder's (with its parent's for `train` and the like): scores are kept
    apart by it."""

    name: str
    pairs: tuple[Pair, ...]


@dataclass(frozen=True)
class PairSet:
    """All pairs found below a folder, and what could not be paired (path and reason)."""

    groups: tuple[PairGroup, ...]
    rejected: tuple[InputError, ...]

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return tuple(pair for group in self.groups for pair in group.pairs)


@dataclass(frozen=True)
class DatasetRecord:
    """A public data set: the folder names under the data root it is usually unpacked to, and its splits."""

    folders: tuple[str, ...]
    train: tuple[str, ...]
    about: str


DATASETS: dict[str, DatasetRecord] = {
    "Rain200L": DatasetRecord(("Rain200L",), ("train",), "1,800 training pairs, light rain in one direction (JORDER)"),
    "Rain200H": DatasetRecord(
        ("Rain200H",), ("train",), "1,800 training pairs, heavy rain in five directions (JORDER)"
    ),
    "Rain100L": DatasetRecord(("Rain100L", "RainTrainL"), ("train",), "200 training pairs, light rain (JORDER)"),
    "Rain100H": DatasetRecord(("Rain100H", "RainTrainH"), ("train",), "1,800 training pairs, heavy rain (JORDER)"),
    "Rain1400": DatasetRecord(("Rain1400", "DDN"), ("train", "training"), "14 kinds of rain on 1,000 photos (DDN)"),
}
"""Sets that `--dataset` knows by name; any other folder of pairs works too."""


def resolve_dataset(name_or_folder: str, data_root: Path | None = None) -> Path:
    """The folder of a data set: a path as it is, a name below the data root (`DERAIN_DATA`, else `./datasets`).

    Raises:
        UsageError: neither a folder nor a known name.
        NothingToDoError: a known name that is not under the data root.
    """
    if Path(name_or_folder).is_dir():
        return Path(name_or_folder)
    record = {k.lower(): v for k, v in DATASETS.items()}.get(name_or_folder.lower())
    if record is None:
        raise UsageError(
            f"no data set or folder {name_or_folder!r}",
            hint=f"known names: {', '.join(DATASETS)}; or a folder of pairs",
        )
    root = data_root or Path(os.environ.get("DERAIN_DATA") or "datasets")
    for folder in record.folders:
        for part in (*record.train, ""):
            if (root / folder / part).is_dir():
                return root / folder / part
    raise NothingToDoError(
        f"{name_or_folder} is not there", path=root, hint="set DERAIN_DATA to the folder that holds it"
    )


def list_photos(folder: Path) -> list[Path]:
    """Readable pictures by suffix, in the folder and below, sorted; hidden ones are left out."""
    found = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [
            Path(where, f) for f in files if not f.startswith(".") and Path(f).suffix.lower() in READABLE_SUFFIXES
        ]
    return sorted(found)


def _key(path: Path) -> str:
    stem = path.stem.lower()
    for prefix in sorted(_PREFIXES, key=len, reverse=True):
        if stem.startswith(prefix) and len(stem) > len(prefix):
            stem = stem[len(prefix) :].lstrip("-_")
            break
    # 23x2.png is the rainy picture of 23.png in JORDER's own packing.
    return stem.removesuffix("x2")


def _by_key(files: Sequence[Path], rejected: list[InputError]) -> dict[str, Path]:
    table: dict[str, Path] = {}
    for file in files:
        if _key(file) in table:
            rejected.append(InputError(f"pairs with the same picture as {table[_key(file)].name}", path=file))
        else:
            table[_key(file)] = file
    return table


def _pair_up(rainy: Path, clean: Path, rejected: list[InputError]) -> tuple[Pair, ...]:
    ours, theirs = _by_key(list_photos(rainy), rejected), _by_key(list_photos(clean), rejected)
    for key in sorted(set(ours) ^ set(theirs)):
        rejected.append(InputError("has no partner", path=ours.get(key) or theirs[key]))
    return tuple(Pair(ours[key], theirs[key]) for key in sorted(set(ours) & set(theirs)))


def _group_name(place: Path) -> str:
    place = place.resolve()
    return f"{place.parent.name}/{place.name}" if place.name.lower() in _SPLITS else place.name


def find_pairs(folder: Path, depth: int = 3) -> PairSet:
    """Pairs below `folder`: sub-folders named as in `LAYOUTS`, in the folder itself or up to `depth` levels deeper.

    Raises:
        NothingToDoError: no pairs at all.
    """
    groups: list[PairGroup] = []
    rejected: list[InputError] = []

    def visit(place: Path, left: int) -> None:
        children = {p.name.lower(): p for p in sorted(place.iterdir()) if p.is_dir() and not p.name.startswith(".")}
        for rainy, clean in LAYOUTS:
            if rainy in children and clean in children:
                pairs = _pair_up(children[rainy], children[clean], rejected)
                if pairs:
                    groups.append(PairGroup(_group_name(place), pairs))
                return
        for child in children.values() if left else ():
            visit(child, left - 1)

    if not folder.is_dir():
        raise NothingToDoError("no such folder", path=folder)
    visit(folder, depth)
    if not groups:
        names = ", ".join("/".join(pair) for pair in LAYOUTS[:4])
        raise NothingToDoError("no pairs found", path=folder, hint=f"two sub-folders such as {names}")
    return PairSet(tuple(groups), tuple(rejected))
