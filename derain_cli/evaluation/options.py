"""What is measured, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from derain_cli.config import RestoreOptions

__all__ = ["BenchmarkOptions"]


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured, and how.

    Attributes:
        datasets: names of `DATASETS`, or folders.
        models: installed models, weight files, `hf:ORG/REPO`, or what `derain_cli.evaluation.peers` knows.
        restore: device, precision, tile and strength; the last three concern our own networks alone.
        split: part of the data sets.
        data_root: where named data sets lie.
        pad_multiple: for foreign networks; 0 asks them.
        strict: what is wrong with the data as a whole is an error.
        exhibits: pictures are to be shown.
    """

    datasets: tuple[str, ...]
    models: tuple[str, ...]
    restore: RestoreOptions = field(default_factory=RestoreOptions)
    split: str = "test"
    data_root: Path | None = None
    pad_multiple: int = 0
    strict: bool = False
    exhibits: bool = False
