"""The result of a benchmark: rows per picture, results per model and data set, and the JSON document."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Any

import torch

from derain_cli.datasets.opening import DatasetView
from derain_cli.errors import InputError
from derain_cli.evaluation.models import EvaluatedModel
from derain_cli.evaluation.options import BenchmarkOptions
from derain_cli.evaluation.published import published_for
from derain_cli.metrics import DEFINITIONS, IDENTICAL_PSNR, PROTOCOLS, Protocol, Score
from derain_cli.metrics.no_reference import FIGURES
from derain_cli.system.provenance import commit, machine, versions

__all__ = ["Findings", "PhotoRow", "Row", "Spread", "document_of", "pair_result", "photo_result"]


@dataclass(frozen=True)
class Spread:
    """Mean, median and worst (lowest) of a score over pictures."""

    mean: float
    median: float
    worst: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(fmean(values), median(values), min(values))


@dataclass(frozen=True)
class Row:
    """The scores of one picture by one model."""

    dataset: str
    group: str
    picture: str
    model: str
    width: int
    height: int
    seconds: float
    before: Mapping[Protocol, Score]
    after: Mapping[Protocol, Score]
    source: Path


@dataclass(frozen=True)
class PhotoRow:
    """The figures of one photo without ground truth by one model."""

    dataset: str
    picture: str
    model: str
    width: int
    height: int
    seconds: float
    figures: Mapping[str, float]
    source: Path


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything a benchmark found.

    Attributes:
        options: of the benchmark.
        views: the data sets.
        models: the evaluated models.
        results: of each model on each group of each data set (`pair_result`, `photo_result`).
        warnings: by data set.
        rows: of all pictures.
        seen: by data set and model, pictures in the training set of the model.
        failed: pictures that could not be used.
    """

    options: BenchmarkOptions
    views: Sequence[DatasetView]
    models: Sequence[EvaluatedModel]
    results: Sequence[Mapping[str, Any]]
    warnings: Mapping[str, list[str]]
    rows: Sequence[Row | PhotoRow]
    seen: Mapping[tuple[str, str], list[str]]
    failed: Sequence[InputError]


def document_of(found: Findings) -> dict[str, Any]:
    """The result of a benchmark, ready for JSON."""
    return {
        "kind": "evaluation",
        "settings": _settings(found),
        "datasets": [_facts_of(view, found.warnings[view.name]) for view in found.views],
        "models": [model.facts() | _speed(found, model) for model in found.models],
        "results": list(found.results),
        "seen_in_training": [
            {"dataset": view.name, "model": model.name, "pictures": found.seen.get((view.name, model.name))}
            for view in found.views
            for model in found.models
            if model.hashes
        ],
        "published": [
            asdict(entry)
            for view in found.views
            if view.record and found.options.split == "test"
            for name in dict.fromkeys((view.name, *(group.name for group in view.groups)))
            for entry in published_for(name)
        ],
        "failed": [{"path": str(e.path), "error": e.reason, "hint": e.hint} for e in found.failed],
    }


def _speed(found: Findings, model: EvaluatedModel) -> dict[str, float | None]:
    rows = [row for row in found.rows if row.model == model.name]
    return {"seconds_per_megapixel": _seconds_per_megapixel(rows) if rows else None}


def _settings(found: Findings) -> dict[str, Any]:
    options = found.options
    cuda = [c.device for c in found.models if c.device.startswith("cuda")]
    return {
        "protocols": dict(DEFINITIONS),
        "figures_without_truth": FIGURES,
        "identical_pictures": f"count as {IDENTICAL_PSNR:.0f} dB",
        "outputs": "rounded to 8 bits; nothing resized, no border cropped; means of per-picture values",
        "timing": "median over the pictures; reading and scoring run in parallel only on idle cores",
        "split": options.split,
        "device": options.restore.device,
        "precision": options.restore.precision,
        "tile": options.restore.tile,
        "strength": options.restore.strength,
        "pad_multiple": options.pad_multiple or "the network's own, or 1",
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(cuda[0]) if cuda else None,
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat(),
    }


def _timing(rows: Sequence[Any]) -> dict[str, float]:
    return {
        "seconds": sum(row.seconds for row in rows),
        "megapixels": sum(row.width * row.height for row in rows) / 1e6,
        "seconds_per_megapixel": _seconds_per_megapixel(rows),
    }


def _seconds_per_megapixel(rows: Sequence[Row | PhotoRow]) -> float:
    """The median, since the first picture includes one-time initialisation."""
    return median(row.seconds / (row.width * row.height / 1e6) for row in rows)


def pair_result(rows: Sequence[Row]) -> dict[str, Any]:
    def spreads(scores: Sequence[Mapping[Protocol, Score]]) -> dict[str, Any]:
        return {
            protocol: {
                "psnr": asdict(Spread.of([score[protocol].psnr for score in scores])),
                "ssim": asdict(Spread.of([score[protocol].ssim for score in scores])),
            }
            for protocol in PROTOCOLS
        }

    first = rows[0]

    def identical(scores: Sequence[Mapping[Protocol, Score]]) -> dict[str, int]:
        return {protocol: sum(score[protocol].psnr == IDENTICAL_PSNR for score in scores) for protocol in PROTOCOLS}

    return {
        "dataset": first.dataset,
        "group": first.group,
        "model": first.model,
        "pictures": len(rows),
        "input": spreads([row.before for row in rows]),
        "output": spreads([row.after for row in rows]),
        "identical": identical([row.after for row in rows]),
        "identical_inputs": identical([row.before for row in rows]),
        **_timing(rows),
    }


def photo_result(rows: Sequence[PhotoRow]) -> dict[str, Any]:
    first = rows[0]

    def middle(of: Callable[[Sequence[float]], float], name: str) -> float | None:
        values = [row.figures[name] for row in rows if name in row.figures]
        return of(values) if values else None

    return {
        "dataset": first.dataset,
        "group": None,
        "model": first.model,
        "pictures": len(rows),
        "figures": {name: {"mean": middle(fmean, name), "median": middle(median, name)} for name in FIGURES},
        **_timing(rows),
    }


def _facts_of(view: DatasetView, warnings: list[str]) -> dict[str, Any]:
    paths = [str(path) for pair in view.pairs for path in (pair.rainy, pair.clean)] + [str(p) for p in view.photos]
    return {
        "name": view.name,
        "path": os.path.commonpath([str(Path(path).absolute().parent) for path in paths]),
        "groups": {group.name: len(group.pairs) for group in view.groups},
        "photos": len(view.photos),
        "not_paired": len(view.rejected),
        "licence": view.record.licence.words if view.record else None,
        "page": view.record.page if view.record else None,
        "warnings": warnings,
    }
