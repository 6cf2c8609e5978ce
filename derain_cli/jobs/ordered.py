"""Processes independent items in threads and reports results in order: photos to write, pairs, clips.

There are two thread pipelines in `jobs`: this one for many independent items, and `prefetch` for a stream whose stages
each need the output of the previous one (the frames of a clip). `admission` only limits how many items are in memory.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

__all__ = ["InOrder", "map_ordered"]

T = TypeVar("T")
R = TypeVar("R")

_EVERY = 0.1
"""Seconds between calls of `watch`."""


class _Ended(BaseException):
    """A result ended the run. A BaseException, so that no handler on the way mistakes it for a failure."""


class InOrder(Generic[R]):
    """A thread pool whose results are reported in the order of submission, in the calling thread.

    A context manager, whose block ends without an exception if a result ends the run. Only the worker threads write
    files, so an exception from a signal handler in the calling thread never interrupts a write. However the block ends,
    submitted work is waited for and reported.

    Args:
        threads: number of threads.
        tell: called once with each result, and again with the same one if an exception from a signal interrupted it.
        ends: whether a result ends the run: work submitted after it that has not started is dropped. Called in any
            thread.
        watch: called in the calling thread about every tenth of a second while waiting for a result.

    Attributes:
        told: number of reported results.
        ending: the result that ended the run, once it is reported.
    """

    def __init__(
        self,
        threads: int,
        tell: Callable[[R], None],
        ends: Callable[[R], bool],
        watch: Callable[[], None] | None = None,
    ):
        self.told = 0
        self.ending: R | None = None
        self._report, self._ends, self._watch = tell, ends, watch
        self._waiting: deque[Future[R | None]] = deque()
        self._no_more = False
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="derain")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> bool:
        self._pool.shutdown(wait=True)
        while self._waiting:
            self._tell_first()
        return kind is _Ended

    def __len__(self) -> int:
        """Number of submitted items not yet reported."""
        return len(self._waiting)

    def begin(self, work: Callable[[], R | None]) -> Future[R | None]:
        """Submit work; None as its result is not reported."""
        # Listed before it starts, so that every written file is counted, whenever a signal arrives.
        future: Future[R | None] = Future()
        self._waiting.append(future)
        self._pool.submit(self._do, future, work)
        return future

    def settle(self, result: R) -> None:
        """Add a result that needs no work. If it ends the run, earlier work is waited for."""
        future: Future[R | None] = Future()
        future.set_result(result)
        self._waiting.append(future)
        if self._ends(result):
            self.tell_all()

    def tell(self) -> None:
        """Report finished results, up to the first unfinished one."""
        while self._waiting and self._waiting[0].done():
            self.tell_next()

    def tell_all(self) -> None:
        """Wait for all submitted work and report it."""
        while self._waiting:
            self.tell_next()

    def tell_next(self) -> None:
        """Wait for the next result and report it."""
        while self._watch is not None and not wait([self._waiting[0]], timeout=_EVERY).done:
            self._watch()
        result = self._tell_first()
        if result is not None and self._ends(result):
            self.ending = result
            raise _Ended

    def _tell_first(self) -> R | None:
        # Removed only after reporting: a signal may raise anywhere, and unreported results are reported at the end.
        result = self._waiting[0].result()
        if result is not None:
            self._report(result)
        self._waiting.popleft()
        self.told += 1
        return result

    def _do(self, future: Future[R | None], work: Callable[[], R | None]) -> None:
        # In a worker thread. Work starts in order, so anything dropped here comes after the item that ended the run.
        try:
            result = None if self._no_more else work()
            self._no_more |= result is not None and self._ends(result)
            future.set_result(result)
        except BaseException as error:
            future.set_exception(error)


def map_ordered(
    work: Callable[[T], R | None],
    items: Iterable[T],
    tell: Callable[[R, int], None],
    ends: Callable[[R], bool] = lambda result: False,
    *,
    jobs: int,
    stop: threading.Event,
    ahead: int = 4,
    watch: Callable[[], None] | None = None,
) -> R | None:
    """Process items in worker threads and report the results in order, in the calling thread.

    Args:
        work: processes an item; returns None if it gave up because `stop` was set.
        items: consumed as threads become free.
        tell: called with each result and the number of items done; see `InOrder`.
        ends: whether a result ends the run.
        jobs: number of threads.
        stop: set when the run ends early, by a signal or a result: items that have not started are dropped, and `work`
            may check it to finish sooner.
        ahead: items started or waiting per thread. More than one, so that no thread idles behind a slow item; items
            that have not started hold no picture.
        watch: called about every tenth of a second while waiting for a result.

    Returns:
        The result that ended the run, or None.
    """

    def unless_stopped(item: T) -> R | None:
        return None if stop.is_set() else work(item)

    with InOrder[R](jobs, lambda result: tell(result, queue.told + 1), ends, watch) as queue:
        try:
            for item in items:
                queue.begin(functools.partial(unless_stopped, item))
                if len(queue) == ahead * jobs:
                    queue.tell_next()
            queue.tell_all()
        finally:
            stop.set()
    return queue.ending
