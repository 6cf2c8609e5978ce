"""Scores of a restorer on pairs, and figures without ground truth on photos.

Used by `eval` and by validation in training, so both print the same number. Only the calling thread calls the
restorer; helper threads read pictures ahead and score what is ready, and a handful of pictures is in memory at a time,
however many there are.

Where the restorer leaves cores free (it works on a GPU, or on one thread), the helpers work beside it. Where it needs
them all they take turns with it: a helper that takes a core from one of a network's threads stops them all at the next
layer, which waits for the slowest. Which of the two it is, is measured on the first pictures. In turns, the restorer's
seconds are those of a machine of its own.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, MutableMapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from statistics import fmean
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from derain_cli.datasets.pairs import Pair, PairGroup, read_pair
from derain_cli.errors import InputError, NothingToDoError
from derain_cli.media.photo import read_rgb
from derain_cli.metrics import PROTOCOLS, Protocol, Score, score_levels
from derain_cli.metrics.no_reference import Figures, figures

__all__ = ["Evaluation", "Examination", "PhotoResult", "Picture", "PictureResult", "Scores", "evaluate", "examine"]

Picture = NDArray[np.uint8]
Restore = Callable[[Picture], Picture]
"""From picture to picture, uint8 HxWx3, same size: a `Restorer`, a baseline, somebody else's network."""

Scores = Mapping[Protocol, Score]
"""Of one picture (or means of many), by protocol."""
R = TypeVar("R")


@dataclass(frozen=True, eq=False)
class PictureResult:
    """One pair: its group and name, the scores of the input and of the output, and the three pictures (uint8 HxWx3);
    `seconds` is what the restorer took; `source` is the rainy file."""

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

    def as_dict(self) -> dict[str, Any]:
        """For the card of weights: by group and protocol [PSNR in dB, SSIM] of the input and of the output."""
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
    restorer: Restore,
    groups: Sequence[PairGroup],
    each: Callable[[PictureResult], None] | None = None,
    *,
    inputs: MutableMapping[Pair, Scores] | None = None,
) -> Evaluation:
    """Restore and score every pair.

    Args:
        restorer: what is measured; called from this thread alone.
        groups: of pairs; scores are kept apart by group.
        each: called with every result, in order, in this thread; pictures are not kept afterwards.
        inputs: scores of the inputs as far as they are known; the others are added. Who measures several restorers
            on the same pairs has them scored once.

    Raises:
        NothingToDoError: not one pair could be scored.
    """
    befores: dict[str, list[Scores]] = {}
    afters: dict[str, list[Scores]] = {}
    failed: list[InputError] = []
    seconds = megapixels = 0.0
    known = {} if inputs is None else inputs
    for result in _results(restorer, (_PairJob(group.name, pair, known) for group in groups for pair in group.pairs)):
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
    for result in _results(restorer, map(_PhotoJob, photos)):
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


def _mean(rows: Iterable[Scores]) -> Scores:
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
    def __init__(self, group: str, pair: Pair, inputs: MutableMapping[Pair, Scores]):
        self.group, self.pair, self.path, self.inputs = group, pair, pair.rainy, inputs

    def read(self) -> Picture:
        self.rainy, self.clean = read_pair(self.pair)
        return self.rainy

    def judge(self, restored: Picture, seconds: float) -> PictureResult:
        before = self.inputs.get(self.pair)
        if before is None:
            before = self.inputs[self.pair] = score_levels(self.rainy, self.clean)
        after = score_levels(restored, self.clean)
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


_PROBE = 2
"""Pictures after which it is settled how helpers work; the first one may pay for what is done only once."""
_ENOUGH, _LEAST_SECONDS = 0.75, 0.001
"""Helpers work beside a restorer that leaves so much of a core free, and takes so long for a picture."""
_MOST_HELPERS = 16
_TURN_PICTURES, _TURN_MEGAPIXELS, _TURN_SECONDS = 4, 4.0, 1.0
"""How long a turn of the restorer is, the first two for each helper: enough pictures for all helpers, but few where
they are large, and not so long that nothing seems to happen."""


def _cores() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def _helpers(count: int) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(count, thread_name_prefix="derain-score")
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, eq=False)
class _Restored(Generic[R]):
    """What the restorer made of a picture, or why it did not; `busy` is the number of cores that it asked for."""

    job: _Job[R]
    outcome: Picture | InputError
    seconds: float = 0.0
    busy: float = 0.0

    def judge(self) -> R:
        if isinstance(self.outcome, InputError):
            raise self.outcome
        try:
            return self.job.judge(self.outcome, self.seconds)
        except InputError as error:
            raise _about(error, self.job.path) from error


def _results(restorer: Restore, jobs: Iterable[_Job[R]]) -> Iterator[R | InputError]:
    """Results in the order of the jobs."""
    ahead = iter(jobs)
    last = yield from _in_turns(restorer, islice(ahead, _PROBE))
    free = _cores() - (last.busy if last else 0.0)
    if last and free >= _ENOUGH and last.seconds >= _LEAST_SECONDS:
        yield from _side_by_side(restorer, ahead, max(1, min(int(free), _MOST_HELPERS)))
    else:
        yield from _in_turns(restorer, ahead)


def _in_turns(restorer: Restore, jobs: Iterator[_Job[R]]) -> Generator[R | InputError, None, _Restored[R] | None]:
    """The restorer alone for some pictures, then all cores judge them and read the next ones, and so on."""
    last = None
    count = min(_cores(), _MOST_HELPERS)
    with _helpers(count) as pool:
        reading = _read(pool, jobs, _PROBE)
        while reading:
            wait([picture for _, picture in reading])
            turn = [_restore(restorer, *each) for each in reading]
            last = turn[-1]
            judging = deque(pool.submit(each.judge) for each in turn)
            reading = _read(pool, jobs, _pictures_in_turn(turn, count))
            del turn
            while judging:
                # Not yet wait for what is read: judging the last ones is done beside it.
                outcome = _outcome(judging)
                yield outcome
    return last


def _side_by_side(restorer: Restore, jobs: Iterator[_Job[R]], count: int) -> Iterator[R | InputError]:
    """`count` helpers read and judge beside the restorer."""
    judging: deque[Future[R]] = deque()
    with _helpers(count) as pool:
        reading = deque(_read(pool, jobs, count + 1))
        while reading:
            judging.append(pool.submit(_restore(restorer, *reading.popleft()).judge))
            reading += _read(pool, jobs, 1)
            # A result that is waited for holds its pictures: no more than a few may.
            while judging and (judging[0].done() or len(judging) > count + 1):
                outcome = _outcome(judging)
                yield outcome
        while judging:
            outcome = _outcome(judging)
            yield outcome


def _read(pool: ThreadPoolExecutor, jobs: Iterator[_Job[R]], count: int) -> list[tuple[_Job[R], Future[Picture]]]:
    """The next `count` jobs, with their pictures as they will be read."""
    return [(job, pool.submit(job.read)) for job in islice(jobs, count)]


def _restore(restorer: Restore, job: _Job[R], picture: Future[Picture]) -> _Restored[R]:
    try:
        rainy = picture.result()
        begin, begin_work, begin_own = time.perf_counter(), time.process_time(), time.thread_time()
        restored = restorer(rainy)
        seconds = time.perf_counter() - begin
        work, own = time.process_time() - begin_work, time.thread_time() - begin_own
        # By the clock, a network that other programs keep from working would look idle.
        busy = work / (own if own >= _LEAST_SECONDS else max(seconds, 1e-9))
        if restored.shape != rainy.shape or restored.dtype != np.uint8:
            raise InputError(f"the output is {restored.dtype} {restored.shape}, the input {rainy.dtype} {rainy.shape}")
    except InputError as error:
        return _Restored(job, _about(error, job.path))
    return _Restored(job, restored, seconds, busy)


def _pictures_in_turn(turn: Sequence[_Restored[R]], helpers: int) -> int:
    """How many pictures the next turn has, if they are like those of the last one."""
    seconds = max(each.seconds for each in turn)
    megapixels = max(0.0 if isinstance(e.outcome, InputError) else e.outcome.size / 3e6 for e in turn)
    room = min(_TURN_PICTURES * helpers, _TURN_MEGAPIXELS * helpers / max(megapixels, 1e-6))
    return max(1, int(min(room, _TURN_SECONDS / max(seconds, 1e-6))))


def _about(error: InputError, path: Path) -> InputError:
    return error if error.path is not None else InputError(error.reason, path=path, hint=error.hint)


def _outcome(judging: deque[Future[R]]) -> R | InputError:
    try:
        return judging.popleft().result()
    except InputError as error:
        return error
