"""Many independent items worked on by threads, told in the order of their list."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["in_order"]

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    work: Callable[[T], R | None],
    items: Iterable[T],
    tell: Callable[[R, int], None],
    *,
    jobs: int,
    stop: threading.Event,
    late: Callable[[R], None],
) -> None:
    """Work on items, each in a thread of its own; what comes out is told in order, in the calling thread.

    Files are written by the threads only, so what a signal handler raises in the calling thread never hits a
    half-written one: `stop` is set, what has not begun is dropped, what is being done is waited for and given to
    `late`.

    Args:
        work: what is done with an item; None says that it was given up because `stop` was set.
        items: taken as threads become free.
        tell: called with each result and the number of items done; what it raises ends the work.
        jobs: threads.
        stop: set when the work ends early; `work` looks at it.
        late: called with what was finished while all stopped.
    """
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="derain")
    waiting: deque[Future[R | None]] = deque()
    begun = 0

    def tell_first() -> None:
        result = waiting[0].result()
        waiting.popleft()  # not before: a signal may come while it is waited for
        if result is not None:
            tell(result, begun - len(waiting))

    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            begun += 1
            # More than there are threads: none idles behind a slow one, and what has not begun holds no picture.
            if len(waiting) == 4 * jobs:
                tell_first()
        while waiting:
            tell_first()
    finally:
        stop.set()
        for future in waiting:
            future.cancel()
        pool.shutdown(wait=True)
        for result in (future.result() for future in waiting if not future.cancelled()):
            if result is not None:
                late(result)
