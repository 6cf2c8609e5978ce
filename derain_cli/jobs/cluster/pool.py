"""Workers that come, go and are replaced."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from derain_cli.errors import DerainError, ResourceError
from derain_cli.jobs.cluster.options import AboutWorker
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.outcome import PhotoOutcome

__all__ = ["Start", "Worker", "WorkerLostError", "WorkerPool"]

_STARTS = 3
"""Attempts to start a worker."""
_EVERY = 0.2
"""Seconds between looks at the events that end a wait."""
_PATIENCE = 20.0
"""Seconds without the first worker before the user is told."""


class WorkerLostError(Exception):
    """A worker has died or cannot be reached; the message says why."""


class Worker(Protocol):
    """A worker that is ready."""

    @property
    def about(self) -> AboutWorker: ...

    def restore(self, items: Sequence[Item], stop: threading.Event) -> tuple[PhotoOutcome, ...]:
        """The outcomes of the items that were attempted: all, unless one ended the run or `stop` was set meanwhile.

        Raises:
            WorkerLostError: the worker has died; some of the items may be done.
        """
        ...

    def end(self) -> None:
        """End the worker's process, whatever it is doing."""
        ...


Start = Callable[[threading.Event], Worker | None]
"""Starts a worker and waits until it is ready; None if the event was set meanwhile. Raises `WorkerLostError` if it
died, and a `DerainError` if it cannot be used."""


@dataclass
class WorkerPool:
    """Lends workers. A context manager that starts them when entered and ends them when left. Thread-safe.

    Attributes:
        start: starts a worker.
        size: number of workers.
        notes: remarks for the user, for the calling thread to take.
        seen: what is known of every worker that has been ready.
    """

    start: Start
    size: int
    notes: deque[str] = field(default_factory=deque)
    seen: list[AboutWorker] = field(default_factory=list)
    _idle: deque[Worker] = field(default_factory=deque)
    _lent: int = 0
    _starting: int = 0
    _entered: float = field(default_factory=time.monotonic)
    _said_waiting: bool = False
    _threads: set[threading.Thread] = field(default_factory=set)
    _problem: DerainError | None = None
    _closed: threading.Event = field(default_factory=threading.Event)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        for _ in range(self.size):
            self._begin_start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._closed.set()
        with self._changed:
            starting = tuple(self._threads)
        for thread in starting:
            thread.join()
        while self._idle:
            self._idle.popleft().end()

    def lend(self, stop: threading.Event) -> Worker | None:
        """A worker, as soon as one is free; None if `stop` was set meanwhile.

        Raises:
            DerainError: there is none left, and none can be started.
        """
        with self._changed:
            while not stop.is_set():
                if self._idle:
                    self._lent += 1
                    return self._idle.popleft()
                if not self._lent and not self._starting:
                    raise self._problem or ResourceError("no worker is left")
                self._changed.wait(_EVERY)
                if not self.seen and not self._said_waiting and time.monotonic() - self._entered > _PATIENCE:
                    self._said_waiting = True
                    self.notes.append("still waiting for the first worker: the cluster may be busy")
        return None

    def give_back(self, worker: Worker) -> None:
        """Return a worker that was lent."""
        with self._changed:
            self._lent -= 1
            self._idle.append(worker)
            self._changed.notify_all()

    def replace(self, worker: Worker) -> None:
        """End a worker that was lent and start another one in its place."""
        worker.end()
        with self._changed:
            self._lent -= 1
            if not self._closed.is_set():
                self._begin_start()
            self._changed.notify_all()

    def _begin_start(self) -> None:
        self._starting += 1
        thread = threading.Thread(target=self._bring, name="derain-start", daemon=True)
        self._threads.add(thread)
        thread.start()

    def _bring(self) -> None:
        # In a thread of its own: loading a network takes seconds.
        worker, problem = None, None
        try:
            worker = self._started()
        except DerainError as error:
            problem = error
        except Exception as error:
            problem = ResourceError(f"a worker does not start: {error}")
            problem.__cause__ = error
        with self._changed:
            self._starting -= 1
            self._threads.discard(threading.current_thread())
            if worker is not None:
                self.seen.append(worker.about)
                self._idle.append(worker)
            elif problem is not None:
                if self._problem is None or str(self._problem) != str(problem):
                    self.notes.append(f"one worker less: {problem}")
                self._problem = problem
            self._changed.notify_all()

    def _started(self) -> Worker | None:
        for attempt in range(1, _STARTS + 1):
            try:
                return self.start(self._closed)
            except WorkerLostError as lost:
                if attempt == _STARTS or self._closed.is_set():
                    raise ResourceError(f"a worker does not start: {lost}") from lost
        return None
