"""Folder and file name layouts of paired data sets."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from derain_cli.datasets.pairs import Halves, Pair

__all__ = ["FLAT_LAYOUTS", "LAYOUTS", "Layout", "LayoutMatch", "bare_key", "pair_key"]

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
"""Names of the subfolders of rainy and clean pictures, case-insensitive; the first pair found is used."""

_PREFIXES = ("norain", "rain", "clean", "rainy", "im_", "gt")
"""Prefixes of the number that pairs two files (`rain-001.png`, `norain-001.png`)."""

_SUFFIXES = ("_in", "_input", "_rainy", "_rain", "_gt", "gt", "_clean", "_norain", "_target")
"""Suffixes of that number; removed only if names do not match otherwise."""


def pair_key(path: Path) -> str:
    """The key shared by partner files: the name in lower case, without known prefixes and `x2`."""
    stem = path.stem.lower()
    for prefix in sorted(_PREFIXES, key=len, reverse=True):
        if stem.startswith(prefix) and len(stem) > len(prefix):
            stem = stem[len(prefix) :].lstrip("-_")
            break
    # In JORDER's own layout, 23x2.png is the rainy picture of 23.png.
    return stem.removesuffix("x2")


def bare_key(key: str) -> str:
    """A key without the suffixes of some sets (`001_in`, `001_GT`, `000gt`)."""
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if key.endswith(suffix) and len(key) > len(suffix):
            return key.removesuffix(suffix)
    return key


@dataclass(frozen=True)
class LayoutMatch:
    """The files of a folder that match a layout.

    Attributes:
        pairs: in the order of their rainy files.
        photos: pictures, for a layout without ground truth.
        alone: files that match but have no partner.
    """

    pairs: tuple[Pair, ...] = ()
    photos: tuple[Path, ...] = ()
    alone: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.pairs) + len(self.photos)


@dataclass(frozen=True)
class Layout:
    """A file layout of a data set, as path templates without file extensions.

    `Layout("rain/norain-{n}x2", "norain/norain-{n}")` pairs `rain/norain-1x2.png` with `norain/norain-1.png`. A field
    matches anything within one path component; several rainy files may match one clean file. Case, extensions and
    extra folders between the template's last folder and the file are ignored (large sets are sometimes split into
    `part_1`, `part_2`, ...).

    Attributes:
        rainy: template of the rainy pictures, or of all pictures if there are no clean ones.
        clean: template of the clean pictures; empty if there are none, or if both are in one file.
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

    def find(self, place: Path, files: Sequence[Path]) -> LayoutMatch:
        """Those of `files` that match this layout, with templates relative to `place`."""
        names = {file: file.relative_to(place).with_suffix("").as_posix().casefold() for file in files}
        ours = {file: match for file, name in names.items() if (match := _expression(self.rainy).fullmatch(name))}
        if self.halves:
            return LayoutMatch(pairs=tuple(Pair(file, file, self.halves) for file in ours))
        if not self.clean:
            return LayoutMatch(photos=tuple(ours))
        theirs: dict[str, list[tuple[str, Path]]] = {}
        for file, name in names.items():
            match = _expression(self.clean).fullmatch(name)
            if match:
                theirs.setdefault(_fill(self.clean, match), []).append((match["deep"], file))
        pairs, alone = [], []
        for file, match in ours.items():
            # A single file of that name is the partner wherever it is; of several, the one in the same folder.
            partners = theirs.get(_fill(self.clean, match), [])
            near = [other for deep, other in partners if len(partners) == 1 or deep == match["deep"]]
            if near and near[0] != file:
                pairs.append(Pair(file, near[0]))
            else:
                alone.append(file)
        used = {path for pair in pairs for path in (pair.rainy, pair.clean)}
        alone += [file for partners in theirs.values() for _, file in partners]
        return LayoutMatch(tuple(pairs), (), tuple(file for file in dict.fromkeys(alone) if file not in used))


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


FLAT_LAYOUTS = (
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
"""Layouts with clean and rainy pictures in one folder, or with the rainy ones in a subfolder."""
