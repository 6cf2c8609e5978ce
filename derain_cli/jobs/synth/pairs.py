"""The photos to process, their pairs and file locations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from derain_cli.errors import DerainError

__all__ = ["PairTask", "PhotoTask", "SynthPlan", "pair_folders"]

_RAINY, _CLEAN = "rain", "norain"


@dataclass(frozen=True, slots=True)
class PairTask:
    """One pair to make: its rain, and two files with the same name in two subfolders of `folder`."""

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
        """Whether both files exist."""
        return self.rainy.is_file() and self.clean.is_file()


@dataclass(frozen=True, slots=True)
class PhotoTask:
    """One photo and its pairs; `relative` is its path relative to the searched folder, with slashes."""

    source: str
    relative: str
    pairs: tuple[PairTask, ...]

    @property
    def name(self) -> str:
        """Name of its pairs. Pairs are distinguished only by file name, so folders become part of the name."""
        stem = self.relative.removesuffix(PurePosixPath(self.relative).suffix)
        # Hidden files are ignored when searching for pairs.
        return stem.replace("/", "__").lstrip(".") or "_"


@dataclass(frozen=True)
class SynthPlan:
    """A settled plan.

    Attributes:
        out: the output folder.
        items: photos with the pairs to make.
        done: photos whose pairs all exist.
        failed: unusable inputs, each with its path.
        notes: path and remark.
        sources: path of each photo relative to the output folder, by name, including earlier runs.
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
