"""Which picture belongs to which: pairs of rainy and clean pictures in the folder layouts found in the wild."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from derain_cli.data.evidence import TWINS, likeness, looks_rainier
from derain_cli.errors import InputError, NothingToDoError
from derain_cli.media.photo import READABLE_SUFFIXES, read_rgb

__all__ = [
    "LAYOUTS",
    "Found",
    "Halves",
    "Layout",
    "NoPartnersError",
    "Pair",
    "PairGroup",
    "PairSet",
    "find_pairs",
    "folder_name",
    "list_photos",
    "looks_swapped",
    "pair_key",
    "read_clean",
    "read_pair",
    "read_rainy",
]

Picture = NDArray[np.uint8]
Reader = Callable[[Path], Picture]
Halves = Literal["", "clean|rainy", "rainy|clean"]
"""What the left and the right half of one file show; empty where rainy and clean picture are files of their own."""

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
    ("rainy", "norain"),
    ("rain", "clean"),
    ("rainy", "ground_truth"),
    ("input", "ground_truth"),
    ("input", "clean"),
    ("rainy", "target"),
    ("rainy", "groundtruth"),
    ("real_world", "real_world_gt"),
    ("rainstreak", "gt"),
)
"""Names of the sub-folders of rainy and of clean pictures, compared without case; the first pair found is taken."""

_PREFIXES = ("norain", "rain", "clean", "rainy", "im_", "gt")
"""What data sets put before the number that pairs two files (`rain-001.png`, `norain-001.png`)."""

_SUFFIXES = ("_in", "_input", "_rainy", "_rain", "_gt", "gt", "_clean", "_norain", "_target")
"""What they put behind it; used where names do not pair up as they are."""

_SPLITS = {"train", "training", "train_set", "test", "testing", "test_set", "val", "valid", "validation"}


class NoPartnersError(NothingToDoError):
    """A folder has rainy and clean pictures, but no two of them belong together."""


@dataclass(frozen=True)
class Pair:
    """A rainy picture and the same picture without rain.

    Attributes:
        rainy: file of the rainy picture.
        clean: file of the clean picture; the same file where both lie side by side in one picture.
        halves: which half is which in a side-by-side picture. `read_pair` takes care of it.
    """

    rainy: Path
    clean: Path
    halves: Halves = ""

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
    """All pairs found below a folder, what could not be paired (path and reason), and notes on what was guessed."""

    groups: tuple[PairGroup, ...]
    rejected: tuple[InputError, ...]
    notes: tuple[str, ...] = field(default=())

    @property
    def pairs(self) -> tuple[Pair, ...]:
        return tuple(pair for group in self.groups for pair in group.pairs)


def _half(picture: Picture, right: bool, path: Path) -> Picture:
    width = picture.shape[1]
    if width % 2:
        raise InputError(f"a side-by-side picture of odd width ({width}) has no two halves", path=path)
    return picture[:, width // 2 :] if right else picture[:, : width // 2]


def read_rainy(pair: Pair, read: Reader = read_rgb) -> Picture:
    """The rainy picture alone, uint8 HxWx3; errors as for `read_pair`."""
    picture = read(pair.rainy)
    return _half(picture, pair.halves == "clean|rainy", pair.rainy) if pair.halves else picture


def read_clean(pair: Pair, read: Reader = read_rgb) -> Picture:
    """The clean picture alone, uint8 HxWx3; errors as for `read_pair`."""
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


def list_photos(folder: Path) -> list[Path]:
    """Readable pictures by suffix, in the folder and below, sorted; hidden ones are left out."""
    found = []
    for where, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        found += [Path(where, f) for f in files if _is_picture(f)]
    return sorted(found)


def _is_picture(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in READABLE_SUFFIXES


def pair_key(path: Path) -> str:
    """What pairs a file with its partner: its name without case, known prefixes and suffixes."""
    stem = path.stem.lower()
    for prefix in sorted(_PREFIXES, key=len, reverse=True):
        if stem.startswith(prefix) and len(stem) > len(prefix):
            stem = stem[len(prefix) :].lstrip("-_")
            break
    # 23x2.png is the rainy picture of 23.png in JORDER's own packing.
    return stem.removesuffix("x2")


def _bare(key: str) -> str:
    """A key without what some sets put behind the number (`001_in`, `001_GT`, `000gt`)."""
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if key.endswith(suffix) and len(key) > len(suffix):
            return key.removesuffix(suffix)
    return key


# --- one packing of one set -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Found:
    """What one layout makes of a folder.

    Attributes:
        pairs: in the order of their rainy files.
        photos: pictures of a layout without ground truth.
        alone: files of this layout whose partner is missing.
    """

    pairs: tuple[Pair, ...] = ()
    photos: tuple[Path, ...] = ()
    alone: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs) + len(self.photos)


@dataclass(frozen=True)
class Layout:
    """One packing of a data set: where its files lie, as templates without the file's ending.

    `Layout("rain/norain-{n}x2", "norain/norain-{n}")` pairs `rain/norain-1x2.png` with `norain/norain-1.png`. A field
    stands for anything within one part of the path; several rainy files may fill the fields of one clean file.
    Case and endings do not count, nor do further folders between the template's last folder and the file (large
    sets are cut into `part_1`, `part_2`, ... in places).

    Attributes:
        rainy: template of the rainy pictures, or of the only ones.
        clean: template of the clean pictures; empty where there are none, or where both are in one file.
        halves: which half is which in a side-by-side picture.
    """

    rainy: str
    clean: str = ""
    halves: Halves = ""

    def __str__(self) -> str:
        if self.halves:
            left, _, right = self.halves.partition("|")
            return f"{self.rainy}.* ({left} half left, {right} half right)"
        return f"{self.rainy}.*" + (f" and {self.clean}.*" if self.clean else "")

    def find(self, place: Path, files: Sequence[Path]) -> Found:
        """What of `files` is of this layout, its templates counting from `place`."""
        names = {file: file.relative_to(place).with_suffix("").as_posix().casefold() for file in files}
        ours = {file: match for file, name in names.items() if (match := _expression(self.rainy).fullmatch(name))}
        if self.halves:
            return Found(pairs=tuple(Pair(file, file, self.halves) for file in ours))
        if not self.clean:
            return Found(photos=tuple(ours))
        theirs: dict[str, list[tuple[str, Path]]] = {}
        for file, name in names.items():
            match = _expression(self.clean).fullmatch(name)
            if match:
                theirs.setdefault(_fill(self.clean, match), []).append((match["deep"], file))
        pairs, alone = [], []
        for file, match in ours.items():
            # One of that name is the partner wherever it lies; of several, the one in the same place.
            partners = theirs.get(_fill(self.clean, match), [])
            near = [other for deep, other in partners if len(partners) == 1 or deep == match["deep"]]
            if near and near[0] != file:
                pairs.append(Pair(file, near[0]))
            else:
                alone.append(file)
        used = {path for pair in pairs for path in (pair.rainy, pair.clean)}
        alone += [file for partners in theirs.values() for _, file in partners]
        return Found(tuple(pairs), (), tuple(file for file in dict.fromkeys(alone) if file not in used))


@lru_cache(maxsize=512)
def _expression(template: str) -> re.Pattern[str]:
    folder, _, name = template.casefold().rpartition("/")
    seen: set[str] = set()

    def pattern(text: str) -> str:
        out = ""
        for index, part in enumerate(re.split(r"\{(\w+)\}", text)):
            if index % 2 == 0:
                out += re.escape(part)
            else:
                out += f"(?P={part})" if part in seen else f"(?P<{part}>[^/]+)"
                seen.add(part)
        return out

    head = f"{pattern(folder)}/(?P<deep>(?:.+/)?)" if folder else "(?P<deep>)"
    return re.compile(head + pattern(name))


def _fill(template: str, match: re.Match[str]) -> str:
    return template.casefold().format(**match.groupdict())


# --- any folder -------------------------------------------------------------------------------------------------------

_FLAT = (
    Layout("rain-{n}", "norain-{n}"),
    Layout("rainy/{n}", "{n}"),
    Layout("rain/{n}", "{n}"),
    Layout("rainy/rain-{n}", "norain-{n}"),
    Layout("rain/rain-{n}", "norain-{n}"),
    Layout("{n}_rain", "{n}_norain"),
    Layout("{n}_rain", "{n}_clean"),
    Layout("{n}_rainy", "{n}_clean"),
    Layout("{n}_in", "{n}_gt"),
    Layout("{n}_input", "{n}_gt"),
    Layout("{s}-r-{k}", "{s}-c-{k}"),
    Layout("{s}-r-{k}", "{s}-c-000"),
    Layout("{n}x2", "{n}"),
)
"""Packings with clean and rainy pictures in one folder, or the rainy ones in a folder beside the clean ones."""


def _by_key(files: Sequence[Path], key: Callable[[Path], str], rejected: list[InputError]) -> dict[str, Path]:
    table: dict[str, Path] = {}
    for file in files:
        if key(file) in table:
            rejected.append(InputError(f"pairs with the same picture as {table[key(file)].name}", path=file))
        else:
            table[key(file)] = file
    return table


def _key_below(place: Path) -> Callable[[Path], str]:
    def key(path: Path) -> str:
        return (path.parent.relative_to(place) / pair_key(path)).as_posix().lower()

    return key


def _same_name_in_two_folders(files: Iterable[Path]) -> bool:
    seen: dict[str, Path] = {}
    return any(seen.setdefault(pair_key(file), file.parent) != file.parent for file in files)


def _pair_up(rainy: Path, clean: Path, rejected: list[InputError]) -> tuple[Pair, ...]:
    our_files, their_files = list_photos(rainy), list_photos(clean)
    deep = _same_name_in_two_folders(our_files) and _same_name_in_two_folders(their_files)
    ours = _by_key(our_files, _key_below(rainy) if deep else pair_key, rejected)
    theirs = _by_key(their_files, _key_below(clean) if deep else pair_key, rejected)
    found = {key: theirs[key] for key in ours if key in theirs}
    used = set(found)
    left, bare = [key for key in ours if key not in found], {_bare(key): key for key in theirs if key not in used}
    for key in left:
        # 001_in.png with 001_GT.png; then 901_1.png to 901_14.png with one 901.png.
        partner = bare.get(_bare(key)) or next((k for k in (key.rpartition("_")[0],) if k and k in theirs), None)
        if partner is not None:
            found[key] = theirs[partner]
            used.add(partner)
    for key in sorted((set(ours) - set(found)) | (set(theirs) - used - set(found))):
        rejected.append(InputError("has no partner", path=ours[key] if key in ours else theirs[key]))
    return tuple(Pair(ours[key], found[key]) for key in sorted(found))


def folder_name(place: Path) -> str:
    """What pictures of a folder go by: its name, after its parent's where it is `train`, `test` or the like."""
    place = place.resolve()
    return f"{place.parent.name}/{place.name}" if place.name.lower() in _SPLITS else place.name


def _flat(place: Path, rejected: list[InputError]) -> tuple[Pair, ...]:
    """Pairs by the first of `_FLAT` that explains at least half of the pictures."""
    files = [f for f in list_photos(place) if len(f.relative_to(place).parts) <= 2]
    if not any(f.parent == place for f in files):
        return ()
    for layout in _FLAT:
        found = layout.find(place, files)
        used = {path for pair in found.pairs for path in (pair.rainy, pair.clean)}
        if used and 2 * len(used) >= len(files):
            rejected += [InputError("has no partner", path=file) for file in found.alone]
            return found.pairs
    return ()


def _side_by_side(place: Path, notes: list[str]) -> tuple[Pair, ...]:
    """Pairs of a folder of side-by-side pictures, known by their halves showing the same thing."""
    files = sorted(p for p in place.iterdir() if p.is_file() and _is_picture(p.name))
    vote = _vote([Pair(file, file, "rainy|clean") for file in files])
    if vote is None:
        return ()
    halves: Halves = "rainy|clean" if vote > 0 else "clean|rainy"
    left, _, right = halves.partition("|")
    notes.append(f"{place.name}: side-by-side pictures, by their looks with the {left} one left, the {right} one right")
    return tuple(Pair(file, file, halves) for file in files)


def _sub_folders(place: Path) -> dict[str, Path]:
    return {p.name.lower(): p for p in sorted(place.iterdir()) if p.is_dir() and not p.name.startswith(".")}


def _named(children: dict[str, Path]) -> tuple[Path, Path] | None:
    """Rainy and clean folder by their names."""
    for rainy, clean in LAYOUTS:
        if rainy in children and clean in children:
            return children[rainy], children[clean]
    return None


def _two_folders(children: dict[str, Path], notes: list[str]) -> tuple[Path, Path] | None:
    """Rainy and clean folder of two that have no known names but show the same things."""
    # heavy/{rain,norain} and light/{rain,norain} may show the same things too, and are two sets.
    if len(children) != 2 or set(children) & _SPLITS or any(_named(_sub_folders(p)) for p in children.values()):
        return None
    one, other = children.values()
    pairs = _pair_up(one, other, [])
    if not pairs or 2 * len(pairs) < min(len(list_photos(one)), len(list_photos(other))):
        return None
    vote = _vote(pairs)
    if vote is None:
        return None
    rainy, clean = (one, other) if vote > 0 else (other, one)
    notes.append(f"{rainy.name} taken for the rainy pictures and {clean.name} for the clean ones, by their looks")
    return rainy, clean


def find_pairs(folder: Path, depth: int = 3) -> PairSet:
    """Pairs below `folder`, in the folder itself or up to `depth` levels deeper.

    In each folder, the first of these that is there: sub-folders named as in `LAYOUTS`; rainy and clean pictures in
    one folder told apart by their names; two sub-folders of any name whose pictures show the same things;
    pictures that have both side by side. In the last two cases the looks decide which is which, and a note says so.

    Raises:
        NothingToDoError: no pairs at all; `NoPartnersError` where there are rainy and clean pictures, but none of
            them belong together.
    """
    groups: list[PairGroup] = []
    rejected: list[InputError] = []
    notes: list[str] = []

    def add(place: Path, pairs: tuple[Pair, ...]) -> bool:
        if pairs:
            groups.append(PairGroup(folder_name(place), pairs))
        return bool(pairs)

    def visit(place: Path, left: int) -> None:
        children = _sub_folders(place)
        named = _named(children)
        if named is not None:
            add(place, _pair_up(*named, rejected))
            return
        if add(place, _flat(place, rejected)):
            return
        two = _two_folders(children, notes)
        if two is not None:
            add(place, _pair_up(*two, rejected))
            return
        if add(place, _side_by_side(place, notes)):
            return
        for child in children.values() if left else ():
            visit(child, left - 1)

    if not folder.is_dir():
        raise NothingToDoError("no such folder", path=folder)
    visit(folder, depth)
    if not groups:
        hint = f"two sub-folders such as {', '.join('/'.join(pair) for pair in LAYOUTS[:4])}"
        if rejected:
            reason = f"no pairs found: {len(rejected):,} pictures without a partner, first {rejected[0]}"
            raise NoPartnersError(reason, path=folder, hint=f"{hint}, with the same names in both")
        raise NothingToDoError("no pairs found", path=folder, hint=hint)
    return PairSet(tuple(groups), tuple(rejected), tuple(notes))


# --- are the sides right? ---------------------------------------------------------------------------------------------


def _sample(pairs: Sequence[Pair], most: int) -> Iterator[tuple[Picture, Picture]]:
    """Up to `most` pairs, evenly spread; unreadable ones are left out."""
    for index in sorted({len(pairs) * i // most for i in range(most)}) if pairs else ():
        with contextlib.suppress(InputError):
            yield read_pair(pairs[index])


def _vote(pairs: Sequence[Pair], most: int = 12) -> float | None:
    """How much the rainy pictures look rainier than the clean ones; None when they do not show the same scenes."""
    seen = [(likeness(rainy, clean), looks_rainier(rainy, clean)) for rainy, clean in _sample(pairs, most)]
    if not seen or float(np.quantile([alike for alike, _ in seen], 0.25)) < TWINS:
        return None
    return float(np.median([vote for _, vote in seen]))


def looks_swapped(pairs: Sequence[Pair], most: int = 24) -> bool:
    """Whether the rainy and the clean pictures are probably the wrong way round.

    Args:
        pairs: of one group.
        most: how many pairs are looked at, evenly spread over the group; unreadable ones do not count.

    Returns:
        True when the median of them and more than six in ten speak for it; False without any readable pair.
    """
    votes = [looks_rainier(rainy, clean) for rainy, clean in _sample(pairs, most)]
    return bool(votes) and float(np.median(votes)) < 0 and sum(vote < 0 for vote in votes) > 0.6 * len(votes)
