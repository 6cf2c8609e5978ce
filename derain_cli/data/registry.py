"""The data sets of the field by name: what is in them, where they come from, how their files lie on a disk."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from derain_cli.data.pairing import (
    LAYOUTS,
    Halves,
    Layout,
    Pair,
    PairGroup,
    PairSet,
    find_pairs,
    list_photos,
    looks_swapped,
    pair_key,
)
from derain_cli.errors import InputError, NothingToDoError, UsageError

__all__ = [
    "DATASETS",
    "LAYOUTS",
    "DatasetRecord",
    "DatasetView",
    "Halves",
    "Layout",
    "Licence",
    "Pair",
    "PairGroup",
    "PairSet",
    "Split",
    "data_root",
    "find_pairs",
    "find_record",
    "list_photos",
    "looks_swapped",
    "open_dataset",
    "pair_key",
    "resolve_dataset",
]


@dataclass(frozen=True)
class Licence:
    """Terms of a data set: `green` free, `amber` for research, `red` unclear or none stated; and in words."""

    colour: Literal["green", "amber", "red"]
    words: str


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        count: of pairs, or of pictures where there is no ground truth; 0 where it is not settled.
        places: folders below the set's own, the first that holds something is taken; `""` is the set's own.
        parts: names of the sets that make up this split, where it has no pictures of its own.
    """

    count: int
    places: tuple[str, ...] = ("",)
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetRecord:
    """A public data set.

    Attributes:
        name: as in the tables of the field.
        about: one line.
        page: where its authors give it away.
        licence: its terms.
        splits: `train`, `test`.
        layouts: packings found in the wild, in the order in which they are tried.
        folders: names of the set's folder below the data root, the first that is there is taken.
        aliases: other names.
        truth: whether there are clean pictures.
        hub: data set repository on the Hugging Face Hub that carries it, or empty.
    """

    name: str
    about: str
    page: str
    licence: Licence
    splits: Mapping[str, Split]
    layouts: tuple[Layout, ...]
    folders: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    truth: bool = True
    hub: str = ""

    def split(self, name: str) -> Split:
        """The part called `name`.

        Raises:
            UsageError: it has no such part.
        """
        if name not in self.splits:
            raise UsageError(f"{self.name} has no split {name!r}", hint=f"it has {', '.join(self.splits)}")
        return self.splits[name]


@dataclass(frozen=True)
class DatasetView:
    """A data set that is there.

    Attributes:
        name: of the set, or of the folder.
        groups: pairs with ground truth; scores are kept apart by group.
        photos: pictures without ground truth, for reference-free figures; empty where there are pairs.
        warnings: what the user ought to know, one line each: missing files, guessed sides.
        record: what is known of the set; None for a folder.
        rejected: files that could not be paired.
    """

    name: str
    groups: tuple[PairGroup, ...] = ()
    photos: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()
    record: DatasetRecord | None = None
    rejected: tuple[InputError, ...] = field(default=())

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return tuple(pair for group in self.groups for pair in group.pairs)


_IN_TWO_FOLDERS = (
    Layout("rain/{n}", "norain/{n}"),
    Layout("input/{n}", "target/{n}"),
    Layout("rain/norain-{n}x2", "norain/norain-{n}"),
    Layout("rain/x2/norain-{n}x2", "norain/norain-{n}"),
    Layout("rain/rain-{n}", "norain/norain-{n}"),
    Layout("rainy/rain-{n}", "norain-{n}"),
    Layout("rainy/norain-{n}", "norain-{n}"),
    Layout("rain-{n}", "norain-{n}"),
)
_JORDER = "https://www.icst.pku.edu.cn/struct/Projects/joint_rain_removal.html"
_RESEARCH = Licence("amber", "given away for research; no licence text")

_RECORDS: tuple[DatasetRecord, ...] = (
    DatasetRecord(
        name="Rain200L",
        about="light rain in one direction (JORDER, second edition)",
        page=_JORDER,
        licence=_RESEARCH,
        splits={"train": Split(1800, ("train", "")), "test": Split(200, ("test", ""))},
        layouts=_IN_TWO_FOLDERS,
        folders=("Rain200L",),
    ),
    DatasetRecord(
        name="Rain200H",
        about="heavy rain in five directions (JORDER, second edition)",
        page=_JORDER,
        licence=_RESEARCH,
        splits={"train": Split(1800, ("train", "")), "test": Split(200, ("test", ""))},
        layouts=_IN_TWO_FOLDERS,
        folders=("Rain200H",),
    ),
    DatasetRecord(
        name="Rain100L",
        about="light rain (JORDER)",
        page=_JORDER,
        licence=_RESEARCH,
        splits={"train": Split(200, ("train", "")), "test": Split(100, ("test", ""))},
        layouts=_IN_TWO_FOLDERS,
        folders=("Rain100L", "RainTrainL", "Rain13K/test/Rain100L"),
    ),
    DatasetRecord(
        name="Rain100H",
        about="heavy rain (JORDER)",
        page=_JORDER,
        licence=_RESEARCH,
        splits={"train": Split(1800, ("train", "")), "test": Split(100, ("test", ""))},
        layouts=_IN_TWO_FOLDERS,
        folders=("Rain100H", "RainTrainH", "Rain13K/test/Rain100H"),
    ),
    DatasetRecord(
        name="Rain800",
        about="700 and 100 photos with rain of many kinds (ID-CGAN)",
        page="https://github.com/hezhangsprinter/ID-CGAN",
        licence=_RESEARCH,
        splits={
            "train": Split(700, ("train", "training", "rain/training")),
            "test": Split(100, ("test", "test_syn", "testing", "rain/test_syn")),
        },
        layouts=(Layout("{n}", halves="clean|rainy"), *_IN_TWO_FOLDERS),
        folders=("Rain800", "ID-CGAN", "IDCGAN"),
    ),
    DatasetRecord(
        name="Rain1400",
        about="14 kinds of rain on 1,000 photos (DDN)",
        page="https://xueyangfu.github.io/projects/cvpr2017.html",
        licence=Licence("red", "no terms stated"),
        splits={
            "train": Split(12600, ("train", "training", "rainy_image_dataset/training")),
            "test": Split(1400, ("test", "testing", "rainy_image_dataset/testing")),
        },
        layouts=(
            Layout("rainy_image/{n}_{k}", "ground_truth/{n}"),
            Layout("rainy/{n}_{k}", "clean/{n}"),
            Layout("input/{n}_{k}", "target/{n}"),
            *_IN_TWO_FOLDERS,
        ),
        folders=("Rain1400", "DDN-Data", "DDN", "rainy_image_dataset"),
        aliases=("DDN", "DDN-Data"),
        hub="dronefreak/DDN-Data",
    ),
)

DATASETS: dict[str, DatasetRecord] = {record.name: record for record in _RECORDS}
"""Sets that `--dataset` knows by name; any other folder of pairs works too."""


def data_root(given: Path | None = None) -> Path:
    """Where data sets lie: `given` (`--data-root`), else the environment's `DERAIN_DATA`, else `./datasets`."""
    return given or Path(os.environ.get("DERAIN_DATA") or "datasets")


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def find_record(name: str) -> DatasetRecord:
    """The set called `name`, by its name or an alias; case, hyphens and the like do not count.

    Raises:
        UsageError: there is none; the nearest names are in the hint.
    """
    known = {_plain(each): record for record in _RECORDS for each in (record.name, *record.aliases)}
    record = known.get(_plain(name))
    if record is None:
        near = [known[key].name for key in difflib.get_close_matches(_plain(name), known, n=4, cutoff=0.6)]
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}? " if near else ""
        raise UsageError(
            f"no data set or folder {name!r}", hint=f"{hint}known names: {', '.join(DATASETS)}; or a folder of pairs"
        )
    return record


def _places(record: DatasetRecord, split: Split, root: Path) -> list[Path]:
    """Folders in which a split of a set may lie, in the order in which they are tried."""
    found = [root / folder / place for folder in record.folders for place in split.places]
    return [place for place in found if place.is_dir()]


def _not_there(record: DatasetRecord, split: str, root: Path) -> NothingToDoError:
    place = Path(record.folders[0], record.splits[split].places[0]).as_posix()
    download = " (or --download)" if record.hub else ""
    return NothingToDoError(
        f"{record.name}/{split} is not there",
        path=root,
        hint=f"get it from {record.page}{download} and lay it out as {root / place}/{record.layouts[0]}; "
        "--data-root or DERAIN_DATA names another folder than this",
    )


def resolve_dataset(name_or_folder: str, data_root: Path | None = None, split: str = "train") -> Path:
    """The folder of a data set: a path as it is, a name below the data root (`DERAIN_DATA`, else `./datasets`).

    Raises:
        UsageError: neither a folder nor a known name.
        NothingToDoError: a known name that is not under the data root; the hint says where to get it.
    """
    if Path(name_or_folder).is_dir():
        return Path(name_or_folder)
    record = find_record(name_or_folder)
    root = _root(data_root)
    places = _places(record, record.split(split), root)
    if not places:
        raise _not_there(record, split, root)
    return places[0]


_root = data_root


def open_dataset(name_or_folder: str | Path, split: str = "test", data_root: Path | None = None) -> DatasetView:
    """The pictures of a data set, paired.

    Args:
        name_or_folder: a folder as it is, or a name from `DATASETS` (aliases too) that lies below the data root.
        split: `train` or `test`. A folder that has sub-folders for splits is narrowed to this one.
        data_root: where the named sets lie; None asks `DERAIN_DATA`, then takes `./datasets`.

    Raises:
        UsageError: neither a folder nor a known name, or no such split.
        NothingToDoError: the set is not there (the hint says where to get it and how to lay it out), or there are
            no pictures in it.
    """
    if Path(name_or_folder).is_dir():
        return _open_folder(Path(name_or_folder), split)
    record = find_record(str(name_or_folder))
    part = record.split(split)
    if part.parts:
        return _open_parts(record, part, data_root)
    root = _root(data_root)
    for place in _places(record, part, root):
        view = _open_place(record, split, place)
        if view is not None:
            return view
    raise _not_there(record, split, root)


_SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}


def _open_folder(folder: Path, split: str) -> DatasetView:
    below = {p.name.lower(): p for p in sorted(folder.iterdir()) if p.is_dir()}
    place = next((below[name] for name in _SPLIT_FOLDERS.get(split, (split,)) if name in below), folder)
    name = folder.resolve().name
    try:
        found = find_pairs(place)
    except NothingToDoError:
        photos = tuple(list_photos(place))
        if not photos:
            raise
        return DatasetView(name, photos=photos, warnings=(f"{name}: no pairs found; pictures without ground truth",))
    return DatasetView(name, found.groups, warnings=found.notes, rejected=found.rejected)


def _open_parts(record: DatasetRecord, split: Split, root: Path | None) -> DatasetView:
    views, warnings = [], []
    for name in split.parts:
        try:
            views.append(open_dataset(name, "test", root))
        except NothingToDoError as error:
            warnings.append(f"{record.name}: {error.reason}")
            missing = error
    if not views:
        raise missing
    return DatasetView(
        record.name,
        groups=tuple(group for view in views for group in view.groups),
        photos=tuple(photo for view in views for photo in view.photos),
        warnings=(*warnings, *(line for view in views for line in view.warnings)),
        record=record,
        rejected=tuple(error for view in views for error in view.rejected),
    )


def _open_place(record: DatasetRecord, split: str, place: Path) -> DatasetView | None:
    """The pictures of one split in one folder; None where there is not one."""
    files = list_photos(place)
    best: tuple[list[Pair], list[Path], list[InputError]] = ([], [], [])
    for layout in record.layouts:
        found = layout.find(place, files)
        if len(found[0]) + len(found[1]) > len(best[0]) + len(best[1]):
            best = found
    pairs, photos, rejected = best
    notes: tuple[str, ...] = ()
    groups: tuple[PairGroup, ...] = (PairGroup(record.name, tuple(pairs)),) if pairs else ()
    if not pairs and not photos:
        try:
            other = find_pairs(place)
        except NothingToDoError:
            return None
        groups, notes, rejected = other.groups, other.notes, list(other.rejected)
    count = sum(len(group.pairs) for group in groups) + len(photos)
    warnings = (*_count_warning(record, split, count), *notes)
    return DatasetView(record.name, groups, tuple(photos), warnings, record, tuple(rejected))


def _count_warning(record: DatasetRecord, split: str, count: int) -> Sequence[str]:
    expected = record.splits[split].count
    if not expected or count == expected:
        return ()
    kind = "pairs" if record.truth else "pictures"
    return (f"{record.name}/{split} has {count:,} {kind}, its authors' {expected:,}",)
