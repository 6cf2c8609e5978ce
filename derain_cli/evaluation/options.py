"""Options of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from derain_cli.config import RestoreOptions

__all__ = ["BenchmarkOptions"]


@dataclass(frozen=True)
class BenchmarkOptions:
    """Options of a benchmark.

    Attributes:
        datasets: names from `DATASETS`, or folders.
        models: installed models, weight files, `owner/name` on the Hub, or anything `derain_cli.evaluation.peers`
            supports.
        restore: device, precision, tile and strength; the last three apply only to derain networks.
        split: of the data sets.
        data_root: folder for named data sets.
        pad_multiple: for third-party networks; 0 uses the network's own value.
        strict: treat warnings about a data set as errors.
        exhibits: whether to show pictures.
    """

    datasets: tuple[str, ...]
    models: tuple[str, ...]
    restore: RestoreOptions = field(default_factory=RestoreOptions)
    split: str = "test"
    data_root: Path | None = None
    pad_multiple: int = 0
    strict: bool = False
    exhibits: bool = False
