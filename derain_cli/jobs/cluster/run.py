"""Restores photos with a pool of workers: bounded numbers in flight, retries after the death of a worker, results in
order.
"""

# Paths are strings here: see `jobs.items`.
# ruff: noqa: PTH116, PTH120

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from derain_cli.errors import DerainError, DeviceLostError, WorkerDiedError
from derain_cli.jobs.cluster.pool import Worker, WorkerLostError, WorkerPool
from derain_cli.jobs.items import Item
from derain_cli.jobs.ordered import map_ordered
from derain_cli.jobs.photos.outcome import PhotoOutcome
from derain_cli.system.files import sweep_owned

__all__ = ["ATTEMPTS", "restore_photos_with"]

ATTEMPTS = 3
"""Workers that may die of a photo before it counts as failed."""
_AT_ONCE = 16
_BYTES_AT_ONCE = 16 << 20
"""A worker gets at most so many photos, and so many bytes of input, at a time."""
_AHEAD = 2
"""Groups of photos found per worker and not reported yet."""


def restore_photos_with(
    pool: WorkerPool,
    items: Iterable[Item],
    *,
    report: Callable[[PhotoOutcome], None],
    note: Callable[[str], None],
    fail_fast: bool = False,
) -> None:
    """Restore every item; a failed one does not stop the others unless the error is fatal.

    Items are taken as workers become free: with W workers, at most 32 (W + 1) are held at a time. Photos that were
    with a worker when it died are tried again one by one, up to `ATTEMPTS` times. An exception from a signal handler
    in the calling thread stops the workers: photos being written are finished and reported.

    Args:
        pool: entered by the caller.
        items: may be found while others are processed.
        report: called once for each attempted item, in order, in this thread, and again with the same outcome if an
            exception from a signal interrupted it.
        note: called in this thread with remarks on workers.
        fail_fast: stop after the first failure.

    Raises:
        DerainError: no worker can be started, or none is left.
    """
    stop = threading.Event()
    run = _ClusterRun(pool, stop, fail_fast)

    def tell(group: _Group, done: int) -> None:
        while group.told < len(group.outcomes):
            report(group.outcomes[group.told])
            group.told += 1

    def watch() -> None:
        while pool.notes:
            note(pool.notes.popleft())

    try:
        last = map_ordered(
            run.restore, grouped(items, pool.size), tell, run.ends, jobs=pool.size, stop=stop, ahead=_AHEAD, watch=watch
        )
    finally:
        watch()
    if last is not None and last.problem is not None:
        raise last.problem


@dataclass
class _Group:
    """Results of photos that a worker was given together.

    Attributes:
        outcomes: in order.
        problem: why the rest could not be given to any worker.
        told: number of reported outcomes.
    """

    outcomes: tuple[PhotoOutcome, ...]
    problem: DerainError | None = None
    told: int = 0


def grouped(items: Iterable[Item], workers: int) -> Iterator[tuple[Item, ...]]:
    """Items in groups: first single ones, so that every worker has something to do soon, then larger groups."""
    group: list[Item] = []
    size = made = 0
    for item in items:
        group.append(item)
        size += _bytes_of(item)
        if len(group) >= min(_AT_ONCE, 1 + made // workers) or size >= _BYTES_AT_ONCE:
            yield tuple(group)
            made += 1
            group, size = [], 0
    if group:
        yield tuple(group)


@dataclass
class _ClusterRun:
    pool: WorkerPool
    stop: threading.Event
    fail_fast: bool

    def ends(self, group: _Group) -> bool:
        return group.problem is not None or any(map(self._is_last, group.outcomes))

    def restore(self, items: Sequence[Item]) -> _Group | None:
        """Restore a group, on other workers if the first one dies; in a thread of its own."""
        found: dict[Item, PhotoOutcome] = {}
        deaths = dict.fromkeys(items, 0)
        waiting, problem = deque([tuple(items)]), None
        while waiting and not any(map(self._is_last, found.values())):
            try:
                worker = self.pool.lend(self.stop)
            except DerainError as error:
                problem = error
                break
            if worker is None:
                break
            group = waiting.popleft()
            answer, why = self._ask(worker, group)
            for outcome in answer:
                found[outcome.item] = _after(outcome, deaths[outcome.item])
            if why is None:
                continue
            if self.stop.is_set():
                break
            for item in group:
                if item in found:
                    continue
                deaths[item] += 1
                if deaths[item] < ATTEMPTS:
                    waiting.append((item,))  # alone, so that it takes no others along
                else:
                    reason = f"{deaths[item]} workers died of it, the last on {worker.about.host}: {why}"
                    found[item] = PhotoOutcome(item).failed(WorkerDiedError(reason, path=item.source))
        outcomes = tuple(found[item] for item in items if item in found)
        return _Group(outcomes, problem) if outcomes or problem else None

    def _ask(self, worker: Worker, group: tuple[Item, ...]) -> tuple[tuple[PhotoOutcome, ...], str | None]:
        """The outcomes for a group, and why the worker is gone if it is."""
        try:
            outcomes = worker.restore(group, self.stop)
        except WorkerLostError as lost:
            self._replace(worker, group, str(lost))
            return (), str(lost)
        except BaseException:
            self.pool.replace(worker)
            raise
        # A lost device is fatal for one machine; others have their own.
        failed = next((each.error for each in outcomes if isinstance(each.error, DeviceLostError)), None)
        if failed is None:
            self.pool.give_back(worker)
            return outcomes, None
        self._replace(worker, group, failed.reason)
        return tuple(each for each in outcomes if not isinstance(each.error, DeviceLostError)), failed.reason

    def _replace(self, worker: Worker, group: tuple[Item, ...], why: str) -> None:
        self.pool.replace(worker)
        for folder in dict.fromkeys(os.path.dirname(item.target) for item in group):
            sweep_owned(folder or os.curdir, worker.about.owner)
        if not self.stop.is_set():
            self.pool.notes.append(f"a worker on {worker.about.host} is gone ({why}); its photos go to others")

    def _is_last(self, outcome: PhotoOutcome) -> bool:
        return outcome.fatal or (outcome.error is not None and self.fail_fast)


def _after(outcome: PhotoOutcome, deaths: int) -> PhotoOutcome:
    """The outcome of a photo that was tried again: if its output is there, the worker that died wrote it."""
    return replace(outcome, skipped=False) if deaths and outcome.skipped else outcome


def _bytes_of(item: Item) -> int:
    try:
        return os.stat(item.source).st_size
    except OSError:  # reading it will report the error
        return 0
