"""Scores of a restorer on pairs, and figures without ground truth on photos.

Used by `eval` and by validation in training, so both print the same number. Reading the next picture and scoring the
last one run beside the network; a handful of pictures is in memory at a time, however many there are.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from derain_cli.data.datasets import read_pair
from derain_cli.data.registry import Pair, PairGroup
from derain_cli.errors import InputError, NothingToDoError
from derain_cli.frames.images import read_rgb
from derain_cli.metrics import PROTOCOLS, Protocol, Score, score
from derain_cli.reference_free import Figures, figures

__all__ = ["Evaluation", "Examination", "PhotoResult", "Picture", "PictureResult", "evaluate", "examine"]

Picture = NDArray[np.uint8]
Restore = Callable[[Picture], Picture]
"""From picture to picture, uint8 HxWx3, same size: a `Restorer`, a baseline, somebody else's network."""

Scores = dict[Protocol, Score]
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class PictureResult:
    """One pair: its group and name, the scores of the input and of the output, and the three pictures (uint8 HxWx3);
    `seconds` is what the restorer took, with reading and scoring of other pictures beside it; `source` is the rainy
    file."""

    group: str
    name: str
    before: Mapping[Protocol, Score]
    after: Mapping[Protocol, Score]
    rainy: Picture
    restored: Picture
    clean: Picture
    seconds: float = 0.0
    source: Path = Path()


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


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """One photo without ground truth: its name, figures of input against output, and both (uint8 HxWx3)."""

    name: str
    figures: Figures
    rainy: Picture
    restored: Picture
    seconds: float
    source: Path


@dataclass(frozen=True)
class Examination:
    """Means of the figures over photos without ground truth; `seconds` and `megapixels` of the restorer."""

    mean: Figures
    count: int
    seconds: float
    megapixels: float
    failed: tuple[InputError, ...]


def evaluate(
    restorer: Restore, groups: Sequence[PairGroup], each: Callable[[PictureResult], None] | None = None
) -> Evaluation:
    """Restore and score every pair.

    Args:
        restorer: what is measured; called from this thread alone.
        groups: of pairs; scores are kept apart by group.
        each: called with every result, in order, in this thread; pictures are not kept afterwards.

    Raises:
        NothingToDoError: not one pair could be scored.
    """
    befores: dict[str, list[Mapping[Protocol, Score]]] = {}
    afters: dict[str, list[Mapping[Protocol, Score]]] = {}
    failed: list[InputError] = []
    seconds = megapixels = 0.0
    for result in _beside(restorer, (_PairJob(group.name, pair) for group in groups for pair in group.pairs)):
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


def examine(
    restorer: Restore, photos: Sequence[Path], each: Callable[[PhotoResult], None] | None = None
) -> Examination:
    """Restore photos that have no ground truth, and say what changed; arguments as for `evaluate`.

    Raises:
        NothingToDoError: not one photo could be used.
    """
    rows: list[Figures] = []
    failed: list[InputError] = []
    seconds = megapixels = 0.0
    for result in _beside(restorer, map(_PhotoJob, photos)):
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
    return Examination(Figures.mean(rows), len(rows), seconds, megapixels, tuple(failed))


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C"))[None]


def _mean(rows: Iterable[Mapping[Protocol, Score]]) -> Scores:
    rows = list(rows)
    return {p: Score(fmean(r[p].psnr for r in rows), fmean(r[p].ssim for r in rows)) for p in PROTOCOLS}


class _Job(ABC, Generic[R]):
    """What is read before the network works and judged after it, both in a helper thread."""

    path: Path

    @abstractmethod
    def read(self) -> Picture:
        """The picture to restore."""

    @abstractmethod
    def judge(self, restored: Picture, seconds: float) -> R:
        """What comes of it."""


class _PairJob(_Job[PictureResult]):
    def __init__(self, group: str, pair: Pair):
        self.group, self.pair, self.path = group, pair, pair.rainy

    def read(self) -> Picture:
        self.rainy, self.clean = read_pair(self.pair)
        return self.rainy

    def judge(self, restored: Picture, seconds: float) -> PictureResult:
        truth = _tensor(self.clean)
        (before,), (after,) = score(_tensor(self.rainy), truth), score(_tensor(restored), truth)
        return PictureResult(
            self.group, self.pair.name, before, after, self.rainy, restored, self.clean, seconds, self.path
        )


class _PhotoJob(_Job[PhotoResult]):
    def __init__(self, path: Path):
        self.path = path

    def read(self) -> Picture:
        self.rainy = read_rgb(self.path)
        return self.rainy

    def judge(self, restored: Picture, seconds: float) -> PhotoResult:
        found = figures(_tensor(self.rainy), _tensor(restored))
        return PhotoResult(self.path.stem, found, self.rainy, restored, seconds, self.path)


def _helpers() -> int:
    """Threads beside the network: half of the cores, few, and at least one."""
    affinity = getattr(os, "sched_getaffinity", None)
    return max(1, min(4, (len(affinity(0)) if affinity else os.cpu_count() or 1) // 2))


def _beside(restorer: Restore, jobs: Iterable[_Job[R]]) -> Iterator[R | InputError]:
    """Results in the order of the jobs. Only this thread calls the restorer; the others read ahead and judge."""
    helpers = _helpers()
    ahead = iter(jobs)
    reading: deque[tuple[_Job[R], Future[Picture]]] = deque()
    judging: deque[Future[R]] = deque()
    pool = ThreadPoolExecutor(helpers, thread_name_prefix="derain-score")
    try:
        while True:
            while len(reading) <= helpers and (job := next(ahead, None)) is not None:
                reading.append((job, pool.submit(job.read)))
            if not reading:
                break
            job, picture = reading.popleft()
            judging.append(_restored(restorer, job, picture, pool))
            # A result that is waited for holds its pictures: no more than a few may.
            while judging and (judging[0].done() or len(judging) > helpers + 1):
                outcome = _outcome(judging)
                yield outcome
        while judging:
            outcome = _outcome(judging)
            yield outcome
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _restored(restorer: Restore, job: _Job[R], picture: Future[Picture], pool: ThreadPoolExecutor) -> Future[R]:
    try:
        rainy = picture.result()
        begin = time.perf_counter()
        restored = restorer(rainy)
        seconds = time.perf_counter() - begin
        if restored.shape != rainy.shape or restored.dtype != np.uint8:
            raise InputError(f"the output is {restored.dtype} {restored.shape}, the input {rainy.dtype} {rainy.shape}")
    except InputError as error:
        failed: Future[R] = Future()
        failed.set_exception(_about(error, job.path))
        return failed
    return pool.submit(_judge, job, restored, seconds)


def _judge(job: _Job[R], restored: Picture, seconds: float) -> R:
    try:
        return job.judge(restored, seconds)
    except InputError as error:
        raise _about(error, job.path) from error


def _about(error: InputError, path: Path) -> InputError:
    return error if error.path is not None else InputError(error.reason, path=path, hint=error.hint)


def _outcome(judging: deque[Future[R]]) -> R | InputError:
    try:
        return judging.popleft().result()
    except InputError as error:
        return error
