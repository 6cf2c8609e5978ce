"""Prefetching iterators: pipeline stages in threads with short queues, so that memory does not grow with the clip."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Generator, Iterable
from typing import Any, TypeVar

__all__ = ["prefetch"]

T = TypeVar("T")

_DEPTH = 3
"""Queue length."""
_EVERY = 0.1
"""Seconds between checks whether the consumer is still there."""


def prefetch(items: Iterable[T], depth: int = _DEPTH) -> Generator[T]:
    """The same items, produced in a separate thread, at most `depth` ahead. Closing the generator ends the thread."""
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(entry: tuple[bool, Any]) -> bool:
        while not unwanted.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(entry, timeout=_EVERY)
                return True
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put((True, item)):
                    return
            put((False, None))
        except BaseException as error:
            put((False, error))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, name="derain-ahead", daemon=True)
    thread.start()
    try:
        while True:
            is_item, value = ready.get()
            if is_item:
                yield value
            elif value is None:
                return
            else:
                raise value
    finally:
        unwanted.set()
        thread.join()
