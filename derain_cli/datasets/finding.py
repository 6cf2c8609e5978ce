"""Finds pairs of rainy and clean pictures in the folder layouts used in practice."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from derain_cli.datasets.layouts import FLAT_LAYOUTS, LAYOUTS, bare_key, pair_key
from derain_cli.datasets.pairs import (
    SPLIT_NAMES,
    Halves,
    Pair,
    PairGroup,
    PairSet,
    folder_name,
    list_photos,
)
from derain_cli.datasets.sides import rainier_vote
from derain_cli.errors import InputError, NothingToDoError

__all__ = ["NoPartnersError", "find_pairs"]


class NoPartnersError(NothingToDoError):
    """A folder has rainy and clean pictures, but no matching pair."""


def _by_key(files: Sequence[Path], key: Callable[[Path], str], rejected: list[InputError]) -> dict[str, Path]:
    table: dict[str, Path] = {}
    for file in files:
        if key(file) in table:
            rejected.append(InputError(f"has the same partner as {table[key(file)].name}", path=file))
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
    by_path = _same_name_in_two_folders(our_files) and _same_name_in_two_folders(their_files)
    ours = _by_key(our_files, _key_below(rainy) if by_path else pair_key, rejected)
    theirs = _by_key(their_files, _key_below(clean) if by_path else pair_key, rejected)
    found = {key: theirs[key] for key in ours if key in theirs}
    used = set(found)
    left, bare = [key for key in ours if key not in found], {bare_key(key): key for key in theirs if key not in used}
    for key in left:
        # 001_in.png with 001_GT.png; then 901_1.png to 901_14.png with one 901.png.
        partner = bare.get(bare_key(key)) or next((k for k in (key.rpartition("_")[0],) if k and k in theirs), None)
        if partner is not None:
            found[key] = theirs[partner]
            used.add(partner)
    for key in sorted((set(ours) - set(found)) | (set(theirs) - used - set(found))):
        rejected.append(InputError("has no partner", path=ours[key] if key in ours else theirs[key]))
    return tuple(Pair(ours[key], found[key]) for key in sorted(found))


def _flat(place: Path, rejected: list[InputError]) -> tuple[Pair, ...]:
    """Pairs by the first of `FLAT_LAYOUTS` that matches at least half of the pictures."""
    files = list_photos(place, depth=1)
    if not any(f.parent == place for f in files):
        return ()
    for layout in FLAT_LAYOUTS:
        found = layout.find(place, files)
        used = {path for pair in found.pairs for path in (pair.rainy, pair.clean)}
        if used and 2 * len(used) >= len(files):
            rejected += [InputError("has no partner", path=file) for file in found.alone]
            return found.pairs
    return ()


def _side_by_side(place: Path, notes: list[str]) -> tuple[Pair, ...]:
    """Pairs in a folder of side-by-side pictures, recognised by both halves showing the same scene."""
    files = [p for p in list_photos(place, depth=0) if p.is_file()]
    vote = rainier_vote([Pair(file, file, "rainy|clean") for file in files])
    if vote is None:
        return ()
    halves: Halves = "rainy|clean" if vote > 0 else "clean|rainy"
    left, _, right = halves.partition("|")
    notes.append(f"{place.name}: side-by-side pictures, apparently {left} on the left, {right} on the right")
    return tuple(Pair(file, file, halves) for file in files)


def _sub_folders(place: Path) -> dict[str, Path]:
    return {p.name.lower(): p for p in sorted(place.iterdir()) if p.is_dir() and not p.name.startswith(".")}


def _named(children: dict[str, Path]) -> tuple[Path, Path] | None:
    """Rainy and clean folder, by name."""
    for rainy, clean in LAYOUTS:
        if rainy in children and clean in children:
            return children[rainy], children[clean]
    return None


def _two_folders(children: dict[str, Path], notes: list[str]) -> tuple[Path, Path] | None:
    """Rainy and clean folder of two with unknown names that show the same scenes."""
    # heavy/{rain,norain} and light/{rain,norain} may show the same scenes too, but are two sets.
    if len(children) != 2 or set(children) & SPLIT_NAMES or any(_named(_sub_folders(p)) for p in children.values()):
        return None
    one, other = children.values()
    pairs = _pair_up(one, other, [])
    if not pairs or 2 * len(pairs) < min(len(list_photos(one)), len(list_photos(other))):
        return None
    vote = rainier_vote(pairs)
    if vote is None:
        return None
    rainy, clean = (one, other) if vote > 0 else (other, one)
    notes.append(f"{rainy.name} appears to hold the rainy pictures, {clean.name} the clean ones")
    return rainy, clean


def find_pairs(folder: Path, depth: int = 3) -> PairSet:
    """Pairs in `folder`, up to `depth` levels deep.

    In each folder, the first match of: subfolders named as in `LAYOUTS`; rainy and clean pictures in one folder,
    distinguished by name; two subfolders of any name whose pictures show the same scenes; side-by-side pictures. In the
    last two cases image content decides which is which, and a note says so.

    Raises:
        NothingToDoError: no pairs at all; `NoPartnersError` if there are rainy and clean pictures but no matching pair.
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
        hint = f"use two subfolders such as {', '.join('/'.join(pair) for pair in LAYOUTS[:4])}"
        if rejected:
            reason = f"no pairs found: {len(rejected):,} pictures without a partner, first {rejected[0]}"
            raise NoPartnersError(reason, path=folder, hint=f"{hint}, with the same names in both")
        raise NothingToDoError("no pairs found", path=folder, hint=hint)
    return PairSet(tuple(groups), tuple(rejected), tuple(notes))
