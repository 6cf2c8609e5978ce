"""Processes uploads one after another in a thread: a single network already uses all cores."""

from __future__ import annotations

import shutil
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from derain_cli.errors import expected
from derain_cli.serve.entry import Entry, Look, Pace, Result, Settings
from derain_cli.serve.hints import problem_from
from derain_cli.serve.models import Models
from derain_cli.serve.restoring import Cancelled, Round

if TYPE_CHECKING:
    from derain_cli.engine.restorer import Restorer

__all__ = ["Told", "Worker"]

_PER_MEGAPIXEL = 1.5
"""Seconds per megapixel before the first measurement."""
_TRIALS = (64, 384)
"""Side lengths of the pictures used to measure the speed; the first one absorbs start-up costs."""
_PATIENCE = 2.0
"""Seconds to wait for the work to stop."""


@dataclass(frozen=True)
class Told:
    """Callbacks for messages.

    Attributes:
        detail: progress, without file names.
        failed: unexpected exceptions.
    """

    detail: Callable[[str], None] = lambda text: None
    failed: Callable[[Exception], None] = lambda error: None


@dataclass
class Worker:
    """Processes uploads in order of arrival. Thread-safe.

    Attributes:
        models: provide the restorer.
        max_pixels: larger photos are refused.
        told: callbacks for messages.
    """

    models: Models
    max_pixels: int
    told: Told = field(default_factory=Told)
    _waiting: deque[Entry] = field(default_factory=deque)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _ends: bool = False
    _thread: threading.Thread | None = None
    _rate: float = _PER_MEGAPIXEL

    def start(self) -> None:
        """Start the thread, which loads the default model first."""
        # A daemon: a network pass over a large photo cannot be interrupted.
        self._thread = threading.Thread(target=self._run, name="derain-worker", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """Stop and drop waiting uploads; returns whether the work stopped within `_PATIENCE`."""
        with self._changed:
            self._ends = True
            self._waiting.clear()
            self._changed.notify_all()
        if self._thread is None:
            return True
        self._thread.join(_PATIENCE)
        return not self._thread.is_alive()

    def submit(self, entry: Entry, settings: Settings) -> None:
        """Queue an upload with these settings; an earlier request for it is cancelled."""
        with self._changed:
            entry.stop.set()
            entry.stop = threading.Event()
            entry.settings = settings
            entry.status, entry.problem, entry.pace = "waiting", None, Pace()
            if entry not in self._waiting:
                self._waiting.append(entry)
            self._changed.notify_all()

    def ahead(self, entry: Entry) -> int | None:
        """Number of uploads ahead in the queue; None if it is not waiting."""
        with self._changed:
            waiting = [each for each in self._waiting if not each.gone]
            return next((index for index, each in enumerate(waiting) if each is entry), None)

    # --- in the thread ------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._warm_up()
        except Exception as error:  # reported again for every upload that needs this model
            self.told.detail(problem_from(error).reason)
        while (entry := self._next()) is not None:
            self._do(entry)

    def _warm_up(self) -> None:
        """Load the default model and measure its speed."""
        restorer = self.models.restorer(Settings(self.models.first), "photo")
        if restorer.frames > 1:
            return
        for side in _TRIALS:
            noise = np.random.default_rng(side).integers(0, 256, (side, side, 3), np.uint8)
            start = time.perf_counter()
            restorer(noise)
            self._rate = (time.perf_counter() - start) / (side * side / 1e6)

    def _next(self) -> Entry | None:
        with self._changed:
            self._changed.wait_for(lambda: self._ends or self._waiting)
            return None if self._ends else self._waiting.popleft()

    def _do(self, entry: Entry) -> None:
        with self._changed:
            stop, settings = entry.stop, entry.settings
            entry.rounds += 1
            if not entry.gone:
                entry.status = "preparing"

        def restorer(wanted: Settings) -> Restorer:
            found = self.models.restorer(wanted, entry.look.kind)
            if not stop.is_set():
                entry.status = "restoring"
            return found

        work = Round(entry, settings, stop, self.max_pixels, restorer)
        try:
            result = work.run(self._expected(entry.look))
        except Cancelled:
            result = None
        except Exception as error:
            if not stop.is_set():
                self._fail(entry, error)
            result = None
        if result is not None:
            self._finish(entry, result, stop)
        if entry.gone:
            shutil.rmtree(entry.folder, ignore_errors=True)  # files may have been written during the deletion

    def _expected(self, look: Look) -> float | None:
        return 0.5 + self._rate * look.width * look.height / 1e6 if look.kind == "photo" else None

    def _fail(self, entry: Entry, error: Exception) -> None:
        if expected(error) is None:
            self.told.failed(error)
        entry.problem = problem_from(error)
        entry.status = "failed"
        self.told.detail(f"{entry.look.kind}: {entry.problem.reason}")

    def _finish(self, entry: Entry, result: Result, stop: threading.Event) -> None:
        look, before = entry.look, entry.result
        megapixels = look.width * look.height / 1e6
        if look.kind == "photo" and (before is None or before.settings.model != result.settings.model):
            self._rate = (self._rate + result.seconds / max(megapixels, 0.25)) / 2
        entry.result = result
        if before is not None:
            shutil.rmtree(before.path.parent, ignore_errors=True)
        with self._changed:
            if not stop.is_set():
                entry.status = "done"
        self.told.detail(f"{look.kind}: {look.width}x{look.height}, {result.seconds:.1f} s")
