"""Scores of a restorer on pairs, and figures without ground truth on photos.

Used both by `derain eval` and by validation during training, so their scores agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from torch import Tensor

from derain_cli.datasets.pairs import Pair, PairGroup, read_pair
from derain_cli.errors import InputError, NothingToDoError
from derain_cli.evaluation.turns import Job, Picture, Restore, results_of
from derain_cli.media.photo import read_rgb
from derain_cli.metrics import PROTOCOLS, Protocol, Score, score_levels
from derain_cli.metrics.no_reference import Figures, figures
from derain_cli.motion.stacking import middle, unstacked

__all__ = [
    "Evaluation",
    "PhotoResult",
    "Picture",
    "PictureResult",
    "Scores",
    "UnpairedEvaluation",
    "evaluate",
    "evaluate_unpaired",
]

Scores = Mapping[Protocol, Score]
"""Scores of one picture (or means over many), by protocol."""


@dataclass(frozen=True, eq=False)
class PictureResult:
    """Result for one pair: group and name, scores of input and output, and the three pictures (uint8 HxWx3); `seconds`
    is the time of the restorer, `source` the rainy file."""

    group: str
    name: str
    before: Scores
    after: Scores
    rainy: Picture
    restored: Picture
    clean: Picture
    seconds: float = 0.0
    source: Path = Path()


@dataclass(frozen=True)
class Evaluation:
    """Mean of the per-picture scores of each group, and pairs that could not be scored.

    Attributes:
        before: scores of the inputs, by group.
        after: scores of the outputs, by group.
        count: pictures per group.
        seconds: time spent in the restorer.
        megapixels: total restored.
        failed: pairs that could not be scored.
    """

    before: Mapping[str, Scores]
    after: Mapping[str, Scores]
    count: Mapping[str, int]
    seconds: float
    megapixels: float
    failed: tuple[InputError, ...]

    def mean_psnr(self, protocol: Protocol = "rgb") -> float:
        """Mean over the groups with equal weight: the criterion for choosing checkpoints."""
        return fmean(scores[protocol].psnr for scores in self.after.values())

    def as_dict(self) -> dict[str, Any]:
        """For the model card: [PSNR in dB, SSIM] of input and output, by group and protocol."""
        return {
            group: {
                protocol: {
                    "input": [round(v, 4) for v in self.before[group][protocol]],
                    "output": [round(v, 4) for v in after],
                }
                for protocol, after in by_protocol.items()
            }
            | {"pictures": self.count[group]}
            for group, by_protocol in self.after.items()
        }


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """Result for a photo without ground truth: name, figures of the change, input and output (uint8 HxWx3)."""

    name: str
    figures: Figures
    rainy: Picture
    restored: Picture
    seconds: float
    source: Path


@dataclass(frozen=True)
class UnpairedEvaluation:
    """Mean figures over photos without ground truth; `seconds` and `megapixels` of the restorer."""

    mean: Figures
    count: int
    seconds: float
    megapixels: float
    failed: tuple[InputError, ...]


def evaluate(
    restorer: Restore,
    groups: Sequence[PairGroup],
    each: Callable[[PictureResult], None] | None = None,
    *,
    inputs: MutableMapping[Pair, Scores] | None = None,
    frames: int = 1,
) -> Evaluation:
    """Restore and score every pair.

    Args:
        restorer: the restorer to evaluate; called only from this thread.
        groups: of pairs, each scored separately.
        each: called with every result, in order, in this thread; pictures are not kept afterwards.
        inputs: cache of the inputs' scores, filled on the way: to evaluate several restorers on the same pairs, pass
            the same mapping.
        frames: F, number of frames the restorer sees at once: for F > 1, rainy pictures are `stacked` windows, and the
            result is compared with the clean middle frame.

    Raises:
        NothingToDoError: no pair could be scored.
    """
    befores: dict[str, list[Scores]] = {}
    afters: dict[str, list[Scores]] = {}
    failed: list[InputError] = []
    seconds = megapixels = 0.0
    known = {} if inputs is None else inputs
    jobs = (_PairJob(group.name, pair, known, frames) for group in groups for pair in group.pairs)
    for result in results_of(restorer, jobs):
        if isinstance(result, InputError):
            failed.append(result)
            continue
        seconds += result.seconds
        megapixels += result.rainy.shape[0] * result.rainy.shape[1] / 1e6
        befores.setdefault(result.group, []).append(result.before)
        afters.setdefault(result.group, []).append(result.after)
        if each:
            each(result)
    if not afters:
        raise NothingToDoError(f"no pair could be scored{f', first: {failed[0]}' if failed else ''}")
    return Evaluation(
        before={name: _mean(rows) for name, rows in befores.items()},
        after={name: _mean(rows) for name, rows in afters.items()},
        count={name: len(rows) for name, rows in afters.items()},
        seconds=seconds,
        megapixels=megapixels,
        failed=tuple(failed),
    )


def evaluate_unpaired(
    restorer: Restore, photos: Sequence[Path], each: Callable[[PhotoResult], None] | None = None
) -> UnpairedEvaluation:
    """Restore photos without ground truth and measure what changed; arguments as for `evaluate`.

    Raises:
        NothingToDoError: no photo could be used.
    """
    rows: list[Figures] = []
    failed: list[InputError] = []
    seconds = megapixels = 0.0
    for result in results_of(restorer, map(_PhotoJob, photos)):
        if isinstance(result, InputError):
            failed.append(result)
            continue
        seconds += result.seconds
        megapixels += result.rainy.shape[0] * result.rainy.shape[1] / 1e6
        rows.append(result.figures)
        if each:
            each(result)
    if not rows:
        raise NothingToDoError(f"no photo could be used{f', first: {failed[0]}' if failed else ''}")
    return UnpairedEvaluation(Figures.mean(rows), len(rows), seconds, megapixels, tuple(failed))


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C"))[None]


def _mean(rows: Iterable[Scores]) -> Scores:
    rows = list(rows)
    return {p: Score(fmean(r[p].psnr for r in rows), fmean(r[p].ssim for r in rows)) for p in PROTOCOLS}


class _PairJob(Job[PictureResult]):
    def __init__(self, group: str, pair: Pair, inputs: MutableMapping[Pair, Scores], frames: int):
        self.group, self.pair, self.path, self.inputs, self.frames = group, pair, pair.rainy, inputs, frames

    def read(self) -> Picture:
        if self.frames == 1:
            self.rainy, self.clean = read_pair(self.pair)
            return self.rainy
        window, self.clean = unstacked(read_rgb(self.pair.rainy), self.frames), read_rgb(self.pair.clean)
        window = np.ascontiguousarray(window).astype(np.uint8, copy=False)
        self.rainy = np.ascontiguousarray(middle(window))
        return window

    def judge(self, restored: Picture, seconds: float) -> PictureResult:
        before = self.inputs.get(self.pair)
        if before is None:
            before = self.inputs[self.pair] = score_levels(self.rainy, self.clean)
        after = score_levels(restored, self.clean)
        return PictureResult(
            self.group, self.pair.name, before, after, self.rainy, restored, self.clean, seconds, self.path
        )


class _PhotoJob(Job[PhotoResult]):
    def __init__(self, path: Path):
        self.path = path

    def read(self) -> Picture:
        self.rainy = read_rgb(self.path)
        return self.rainy

    def judge(self, restored: Picture, seconds: float) -> PhotoResult:
        found = figures(_tensor(self.rainy), _tensor(restored))
        return PhotoResult(self.path.stem, found, self.rainy, restored, seconds, self.path)
