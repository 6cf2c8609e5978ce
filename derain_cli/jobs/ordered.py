"""Independent items worked on by threads, told in the order of their list: photos that are written, pairs, clips.

There are two engines in `jobs`: this one for many items that know nothing of each other, and `prefetch` for one stream
whose links each need what the one before makes (a clip's frames). `admission` is no third: it says who may be in
memory.
"""

from __future__ import annotations

import functools
import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Generic, Self, TypeVar

__all__ = ["InOrder", "in_order"]

T = TypeVar("T")
R = TypeVar("R")

_EVERY = 0.1
"""Seconds between calls of `watch`."""


class _Ended(BaseException):
    """A result ends the run. Nobody on the way to the end of the block may take it for a failure."""


class InOrder(Generic[R]):
    """Threads to which work is handed; results are told in the order of handing over, in the thread that tells.

    A context manager: the block ends without an exception when a result ends the run. Files are written by the threads
    only, so what a signal handler raises in the calling thread never hits a half-written one. However the block ends,
    what was handed over is waited for and told.

    Args:
        threads: how many.
        tell: called with each result: once, and again with the same one if a signal's exception broke it off.
        ends: whether a result ends the run: what was handed over after it and has not begun is dropped. Called in any
            thread.
        watch: called in the calling thread about every tenth of a second while a result is waited for.

    Attributes:
        told: results told.
        ending: the result that ended the run, once it is told.
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
        """How many have been handed over and are not yet told."""
        return len(self._waiting)

    def begin(self, work: Callable[[], R | None]) -> Future[R | None]:
        """Hand work over; where it gives None there is nothing to tell."""
        # Listed before it is begun: wherever a signal strikes, a file that is there is counted.
        future: Future[R | None] = Future()
        self._waiting.append(future)
        self._pool.submit(self._do, future, work)
        return future

    def settle(self, result: R) -> None:
        """A result that needs no work. If it ends the run, what comes before it is waited for."""
        future: Future[R | None] = Future()
        future.set_result(result)
        self._waiting.append(future)
        if self._ends(result):
            self.tell_all()

    def tell(self) -> None:
        """Tell what is done, as far as everything before it is."""
        while self._waiting and self._waiting[0].done():
            self.tell_next()

    def tell_all(self) -> None:
        """Wait for what was handed over and tell it."""
        while self._waiting:
            self.tell_next()

    def tell_next(self) -> None:
        """Wait for the next result and tell it."""
        while self._watch is not None and not wait([self._waiting[0]], timeout=_EVERY).done:
            self._watch()
        result = self._tell_first()
        if result is not None and self._ends(result):
            self.ending = result
            raise _Ended

    def _tell_first(self) -> R | None:
        # It leaves the list when it is told: a signal may raise anywhere, and what was not told is told at the end.
        result = self._waiting[0].result()
        if result is not None:
            self._report(result)
        self._waiting.popleft()
        self.told += 1
        return result

    def _do(self, future: Future[R | None], work: Callable[[], R | None]) -> None:
        # In a thread. Work begins in order, so what is left out here comes after the item that ends the run.
        try:
            result = None if self._no_more else work()
            self._no_more |= result is not None and self._ends(result)
            future.set_result(result)
        except BaseException as error:
            future.set_exception(error)


def in_order(
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
    """Work on items, each in a thread of its own; what comes out is told in order, in the calling thread.

    Args:
        work: what is done with an item; None says that it was given up because `stop` was set.
        items: taken as threads become free.
        tell: called with each result and the number of items done; see `InOrder`.
        ends: whether a result ends the run.
        jobs: threads.
        stop: set when the work ends early, by a signal or a result: what has not begun is dropped, and `work` may look
            at it to be done sooner.
        ahead: items begun or waiting for each thread. More than one: no thread idles behind a slow item, and what has
            not begun holds no picture.
        watch: called about every tenth of a second while a result is waited for.

    Returns:
        The result that ended the run; None where none did.
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
