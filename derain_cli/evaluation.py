"""Scores of a restorer on pairs. Used by `eval` and by validation in training, so both print the same number."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from derain_cli.data.datasets import read_pair
from derain_cli.data.registry import PairGroup
from derain_cli.errors import InputError, NothingToDoError
from derain_cli.metrics import PROTOCOLS, Protocol, Score, score
from derain_cli.restorer import Restorer

__all__ = ["Evaluation", "PictureResult", "evaluate"]

Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class PictureResult:
    """One pair: its group and name, the scores of the input and of the output, and the three pictures (uint8 HxWx3)."""

    group: str
    name: str
    before: Mapping[Protocol, Score]
    after: Mapping[Protocol, Score]
    rainy: Picture
    restored: Picture
    clean: Picture


Scores = dict[Protocol, Score]


@dataclass(frozen=True)
class Evaluation:
    """Means over the pictures of each group (mean of per-picture values), and what could not be scored.

    Attributes:
        before: by group, of the inputs.
        after: by group, of the outputs.
        count: pictures per group.
        seconds: spent in the restorer.
        megapixels: restored.
        failed: pairs that could not be scored.
    """

    before: Mapping[str, Scores]
    after: Mapping[str, Scores]
    count: Mapping[str, int]
    seconds: float
    megapixels: float
    failed: tuple[InputError, ...]

    def mean_psnr(self, protocol: Protocol = "rgb") -> float:
        """Mean over the groups, each group counting the same: what checkpoints are chosen by."""
        return fmean(scores[protocol].psnr for scores in self.after.values())


def _tensor(picture: Picture) -> Tensor:
    return torch.tensor(picture).permute(2, 0, 1)[None].float() / 255


def _mean(rows: Iterable[Mapping[Protocol, Score]]) -> Scores:
    rows = list(rows)
    return {p: Score(fmean(r[p].psnr for r in rows), fmean(r[p].ssim for r in rows)) for p in PROTOCOLS}


def evaluate(
    restorer: Restorer, groups: Sequence[PairGroup], each: Callable[[PictureResult], None] | None = None
) -> Evaluation:
    """Restore and score every pair.

    Args:
        restorer: what is measured.
        groups: of pairs; scores are kept apart by group.
        each: called with every result; pictures are not kept afterwards.

    Raises:
        NothingToDoError: not one pair could be scored.
    """
    befores: dict[str, list[Mapping[Protocol, Score]]] = {}
    afters: dict[str, list[Mapping[Protocol, Score]]] = {}
    failed: list[InputError] = []
    seconds = megapixels = 0.0
    for group in groups:
        for pair in group.pairs:
            try:
                rainy, clean = read_pair(pair)
                begin = time.perf_counter()
                restored = restorer(rainy)
                seconds += time.perf_counter() - begin
                truth = _tensor(clean)
                (before,), (after,) = score(_tensor(rainy), truth), score(_tensor(restored), truth)
            except InputError as error:
                failed.append(error)
                continue
            megapixels += rainy.shape[0] * rainy.shape[1] / 1e6
            befores.setdefault(group.name, []).append(before)
            afters.setdefault(group.name, []).append(after)
            if each:
                each(PictureResult(group.name, pair.name, before, after, rainy, restored, clean))
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
