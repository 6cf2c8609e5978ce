"""Opens data sets by name or folder and reports what is missing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from derain_cli.datasets.catalogue import DatasetRecord, Split, find_record
from derain_cli.datasets.finding import NoPartnersError, find_pairs
from derain_cli.datasets.layouts import LayoutMatch
from derain_cli.datasets.pairs import Pair, PairGroup, folder_name, list_photos
from derain_cli.errors import InputError, NothingToDoError
from derain_cli.remedies import Remedy

__all__ = ["DatasetView", "open_dataset", "root_of_datasets"]

_SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class DatasetView:
    """A data set found on disk.

    Attributes:
        name: of the set, or of the folder.
        groups: pairs with ground truth; each group is scored separately.
        photos: pictures without ground truth, for no-reference figures; empty if there are pairs.
        warnings: one line each for the user: missing files, guessed sides.
        record: the catalogue's record of the set; None for a folder.
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


def root_of_datasets(given: Path | None = None) -> Path:
    """The folder for data sets: `given`, else the environment variable `DERAIN_DATA`, else `./datasets`."""
    return given or Path(os.environ.get("DERAIN_DATA") or "datasets")


def open_dataset(name_or_folder: str | Path, split: str = "test", data_root: Path | None = None) -> DatasetView:
    """The pictures of a data set, paired.

    Args:
        name_or_folder: a folder, or the name or alias of a set in `DATASETS`, which is searched below the data root.
        split: `train`, `test` or `val`. If a folder has subfolders for splits, only this one is used.
        data_root: folder for named sets; None means `DERAIN_DATA`, or else `./datasets`.

    Raises:
        UsageError: neither a folder nor a known name, or no such split.
        NothingToDoError: the set is not found (the hint says where to get it and how to lay it out), or it has no
            pictures.
    """
    if Path(name_or_folder).is_dir():
        return _open_folder(Path(name_or_folder), split)
    record = find_record(str(name_or_folder))
    part = record.split(split)
    root = root_of_datasets(data_root)
    if part.parts:
        return _open_parts(record, split, part, root)
    for place in _places(part, root):
        view = _open_place(record, split, place)
        if view is not None:
            return view
    raise _not_there(record, split, root)


def _child(folder: Path, name: str) -> Path | None:
    """The subfolder of that name, ignoring case."""
    if (folder / name).is_dir():
        return folder / name
    if not folder.is_dir():
        return None
    return next((p for p in sorted(folder.iterdir()) if p.name.casefold() == name.casefold() and p.is_dir()), None)


def _descend(folder: Path, parts: tuple[str, ...]) -> Path | None:
    for part in parts:
        below = _child(folder, part)
        if below is None:
            return None
        folder = below
    return folder


def _places(split: Split, root: Path) -> Iterator[Path]:
    """Folders that may hold a split, in the order in which they are tried; archives often add a folder level."""
    for place in split.places:
        first, *rest = place.split("/")
        top = _child(root, first)
        if top is None:
            continue
        for base in (top, *(p for p in sorted(top.iterdir()) if p.is_dir() and not p.name.startswith("."))):
            found = _descend(base, tuple(rest))
            if found is not None and (rest or base is top) and not _has_splits(found):
                yield found


def _has_splits(folder: Path) -> bool:
    return any(_child(folder, name) for names in _SPLIT_FOLDERS.values() for name in names)


def _not_there(record: DatasetRecord, split: str, root: Path) -> NothingToDoError:
    part = record.split(split)
    if part.parts:
        layout_hint = f"its parts are {', '.join(part.parts)}"
    else:
        layouts = " or ".join(str(layout) for layout in record.layouts[:2])
        layout_hint = f"put it in {root / part.places[0]}: {layouts}"
    return NothingToDoError(
        f"{record.name} ({split}) not found",
        path=root,
        remedy=Remedy.FETCH_DATA_SET if record.hub else Remedy.GET_DATA_SET,
        page=record.page,
        layout=layout_hint,
    )


def _open_folder(folder: Path, split: str) -> DatasetView:
    place = next((p for n in _SPLIT_FOLDERS.get(split, (split,)) if (p := _child(folder, n)) is not None), folder)
    name = folder_name(folder)
    try:
        found = find_pairs(place)
    except NoPartnersError:
        raise
    except NothingToDoError:
        photos = tuple(list_photos(place))
        if not photos:
            raise
        return DatasetView(name, photos=photos, warnings=(f"{name}: no pairs found; evaluating without ground truth",))
    return DatasetView(name, found.groups, warnings=found.notes, rejected=found.rejected)


def _open_parts(record: DatasetRecord, split: str, part: Split, root: Path) -> DatasetView:
    views, missing = [], []
    for name in part.parts:
        try:
            views.append(open_dataset(name, split, root))
        except NothingToDoError:
            missing.append(name)
    if not views:
        raise _not_there(record, split, root)
    absent = (f"{record.name} ({split}): not found: {', '.join(missing)}",) if missing else ()
    return DatasetView(
        record.name,
        groups=tuple(group for view in views for group in view.groups),
        warnings=(*absent, *(line for view in views for line in view.warnings)),
        record=record,
        rejected=tuple(error for view in views for error in view.rejected),
    )


def _open_place(record: DatasetRecord, split: str, place: Path) -> DatasetView | None:
    """The pictures of one split in one folder; None if there are none."""
    found = _by_layouts(record, place)
    name = record.name if split == "test" else f"{record.name}/{split}"
    if not len(found):
        if not record.truth:
            return None
        try:
            other = find_pairs(place)
        except NothingToDoError:
            return None
        warnings = _count_warning(record, split, len(other.pairs), "")
        return DatasetView(record.name, other.groups, (), (*warnings, *other.notes), record, other.rejected)
    names = [pair.rainy.stem for pair in found.pairs] or [photo.stem for photo in found.photos]
    return DatasetView(
        record.name,
        groups=(PairGroup(name, found.pairs),) if found.pairs else (),
        photos=found.photos,
        warnings=_count_warning(record, split, len(found), _gaps(names, record.split(split).count)),
        record=record,
        rejected=tuple(InputError("has no partner", path=file) for file in found.alone),
    )


def _by_layouts(record: DatasetRecord, place: Path) -> LayoutMatch:
    """The files in a folder that match a set's layouts; each layout in turn takes the rainy pictures it can pair."""
    files = list_photos(place)
    pairs: dict[Path, Pair] = {}
    photos: dict[Path, None] = {}
    alone: dict[Path, None] = {}
    for layout in record.layouts:
        found = layout.find(place, [file for file in files if file not in pairs and file not in photos])
        if len(found):
            pairs |= {pair.rainy: pair for pair in found.pairs}
            photos |= dict.fromkeys(found.photos)
            alone |= dict.fromkeys(found.alone)
    used = {pair.clean for pair in pairs.values()} | set(pairs) | set(photos)
    return LayoutMatch(
        tuple(pairs[file] for file in sorted(pairs)), tuple(sorted(photos)), tuple(f for f in alone if f not in used)
    )


def _count_warning(record: DatasetRecord, split: str, count: int, gaps: str) -> tuple[str, ...]:
    expected = record.split(split).count
    if not expected or count == expected:
        return ()
    kind = "pairs" if record.truth else "pictures"
    more = "; there are other files among them" if count > expected else gaps
    return (f"{record.name} ({split}): {count:,} {kind} found, {expected:,} expected{more}",)


def _gaps(stems: list[str], expected: int) -> str:
    """Missing files judged by the numbers in the names: `; missing by number: 17, 43`.

    Numbers that do not exceed the `expected` count are assumed to count the files.
    """
    numbers = sorted({int(found[-1]) for stem in stems if (found := re.findall(r"\d+", stem.removesuffix("x2")))})
    if len(numbers) != len(stems):  # no numbers, or not unique
        return ""
    first = min(1, numbers[0])
    last = max(numbers[-1], expected - 1 + first)
    missing = sorted(set(range(first, last + 1)) - set(numbers))
    # More gaps than files: the numbers do not count the files.
    if not missing or (last == numbers[-1] and len(missing) > len(numbers)):
        return ""
    shown = ", ".join(str(number) for number in missing[:_NAMED_AT_MOST])
    return f"; missing by number: {shown}{f' and {len(missing) - 5:,} more' if len(missing) > 5 else ''}"
