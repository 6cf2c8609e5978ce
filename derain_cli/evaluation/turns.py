"""Runs pictures through a restorer, with helper threads that read and score in parallel or in alternation.

Only the calling thread calls the restorer; helper threads prefetch pictures and score results, and only a handful of
pictures is in memory at a time.

If the restorer leaves cores idle (it runs on a GPU or on one thread), the helpers run in parallel. If it uses all
cores, they alternate with it: a helper that takes a core from one of a network's threads delays all of them, since
every layer waits for the slowest thread. The first pictures decide which mode is used. In alternation, the restorer's
timing is that of an idle machine. This is why scoring does not use the pipeline of `jobs`, which never makes threads
wait for each other on purpose.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import InputError

__all__ = ["Job", "Picture", "R", "Restore", "results_of"]

Picture = NDArray[np.uint8]
Restore = Callable[[Picture], Picture]
"""Maps a picture to one of the same size, uint8 HxWx3: a `Restorer`, a baseline or a third-party network."""

R = TypeVar("R")


class Job(ABC, Generic[R]):
    """A picture to read before the restorer runs and to score afterwards, both in a helper thread."""

    path: Path

    @abstractmethod
    def read(self) -> Picture:
        """The picture to restore."""

    @abstractmethod
    def judge(self, restored: Picture, seconds: float) -> R:
        """The result for the restored picture."""


_PROBE = 2
"""Pictures after which the mode is decided; more than one, since the first includes one-time initialisation."""
_ENOUGH, _LEAST_SECONDS = 0.75, 0.001
"""Minimum idle cores, and minimum seconds per picture, for helpers to run in parallel."""
_MOST_HELPERS = 16
_TURN_PICTURES, _TURN_MEGAPIXELS, _TURN_SECONDS = 4, 4.0, 1.0
"""Limits on one turn of the restorer, the first two per helper: enough pictures to occupy all helpers, but few large
ones, and short enough for progress to be visible."""


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
    """The restored picture, or the error; `busy` is the number of cores the restorer used."""

    job: Job[R]
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


def results_of(restorer: Restore, jobs: Iterable[Job[R]]) -> Iterator[R | InputError]:
    """Results in the order of the jobs."""
    ahead = iter(jobs)
    last = yield from _in_turns(restorer, islice(ahead, _PROBE))
    free = _cores() - (last.busy if last else 0.0)
    if last and free >= _ENOUGH and last.seconds >= _LEAST_SECONDS:
        yield from _side_by_side(restorer, ahead, max(1, min(int(free), _MOST_HELPERS)))
    else:
        yield from _in_turns(restorer, ahead)


def _in_turns(restorer: Restore, jobs: Iterator[Job[R]]) -> Generator[R | InputError, None, _Restored[R] | None]:
    """Alternates: the restorer alone for some pictures, then all cores score those and read the next ones."""
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
                # Do not wait for the reads yet: the last pictures are scored at the same time.
                outcome = _outcome(judging)
                yield outcome
    return last


def _side_by_side(restorer: Restore, jobs: Iterator[Job[R]], count: int) -> Iterator[R | InputError]:
    """`count` helpers read and score in parallel with the restorer."""
    judging: deque[Future[R]] = deque()
    with _helpers(count) as pool:
        reading = deque(_read(pool, jobs, count + 1))
        while reading:
            judging.append(pool.submit(_restore(restorer, *reading.popleft()).judge))
            reading += _read(pool, jobs, 1)
            # Pending results keep their pictures in memory, so limit their number.
            while judging and (judging[0].done() or len(judging) > count + 1):
                outcome = _outcome(judging)
                yield outcome
        while judging:
            outcome = _outcome(judging)
            yield outcome


def _read(pool: ThreadPoolExecutor, jobs: Iterator[Job[R]], count: int) -> list[tuple[Job[R], Future[Picture]]]:
    """The next `count` jobs, with the futures of their pictures."""
    return [(job, pool.submit(job.read)) for job in islice(jobs, count)]


def _restore(restorer: Restore, job: Job[R], picture: Future[Picture]) -> _Restored[R]:
    try:
        rainy = picture.result()
        begin, begin_work, begin_own = time.perf_counter(), time.process_time(), time.thread_time()
        restored = restorer(rainy)
        seconds = time.perf_counter() - begin
        work, own = time.process_time() - begin_work, time.thread_time() - begin_own
        # Relative to thread time: by the clock, a network slowed down by other programs would look idle.
        busy = work / (own if own >= _LEAST_SECONDS else max(seconds, 1e-9))
        # A multi-frame restorer returns a single frame.
        if restored.shape != (*rainy.shape[:2], 3) or restored.dtype != np.uint8:
            raise InputError(f"the output is {restored.dtype} {restored.shape}, the input {rainy.dtype} {rainy.shape}")
    except InputError as error:
        return _Restored(job, _about(error, job.path))
    return _Restored(job, restored, seconds, busy)


def _pictures_in_turn(turn: Sequence[_Restored[R]], helpers: int) -> int:
    """Number of pictures in the next turn, assuming they are like those of the last one."""
    seconds = max(each.seconds for each in turn)
    megapixels = max(0.0 if isinstance(e.outcome, InputError) else e.outcome.size / 3e6 for e in turn)
    room = min(_TURN_PICTURES * helpers, _TURN_MEGAPIXELS * helpers / max(megapixels, 1e-6))
    return max(1, int(min(room, _TURN_SECONDS / max(seconds, 1e-6))))


def _about(error: InputError, path: Path) -> InputError:
    return error if error.path is not None else InputError.like(error, path=path)


def _outcome(judging: deque[Future[R]]) -> R | InputError:
    try:
        return judging.popleft().result()
    except InputError as error:
        return error
