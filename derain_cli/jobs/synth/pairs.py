"""What is to be made: photos, their pairs, and where these lie."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from derain_cli.errors import DerainError

__all__ = ["PairTask", "PhotoTask", "SynthPlan", "pair_folders"]

_RAINY, _CLEAN = "rain", "norain"


@dataclass(frozen=True, slots=True)
class PairTask:
    """One pair to make: which rain, and the two files: of one name, in two sub-folders of `folder`."""

    profile: str
    variant: int
    folder: Path
    file: str

    @property
    def rainy(self) -> Path:
        return self.folder / _RAINY / self.file

    @property
    def clean(self) -> Path:
        return self.folder / _CLEAN / self.file

    @property
    def is_there(self) -> bool:
        """Whether both files are."""
        return self.rainy.is_file() and self.clean.is_file()


@dataclass(frozen=True, slots=True)
class PhotoTask:
    """One photo and its pairs; `relative` is its path below the folder it was found in, with slashes."""

    source: str
    relative: str
    pairs: tuple[PairTask, ...]

    @property
    def name(self) -> str:
        """What its pairs are called. Pairs are told apart by file name alone, so folders become part of the name."""
        stem = self.relative.removesuffix(PurePosixPath(self.relative).suffix)
        # Hidden files are not looked at when pairs are searched.
        return stem.replace("/", "__").lstrip(".") or "_"


@dataclass(frozen=True)
class SynthPlan:
    """A settled plan.

    Attributes:
        out: the output folder.
        items: photos with the pairs that are to be made.
        done: photos whose pairs are all there.
        failed: what cannot be used, each with its path.
        notes: path and remark.
        sources: path of the photo, seen from the output folder, by name; those of earlier runs included.
    """

    out: Path
    items: tuple[PhotoTask, ...]
    done: tuple[PhotoTask, ...] = ()
    failed: tuple[DerainError, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


def pair_folders(out: Path, *groups: str) -> Iterator[Path]:
    for folder in (out, *(out / group for group in groups)):
        yield from (folder / _RAINY, folder / _CLEAN)
