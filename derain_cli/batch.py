"""Many photos through one restorer: reading the next and writing the last overlap the network.

At most `jobs + 1` photos are in memory at a time, however many there are, and outcomes are told in the order of
the work list, whatever the threads do.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from derain_cli.atomic import make_folder
from derain_cli.errors import DerainError, ResourceError, resource_error_from
from derain_cli.frames.images import DEFAULT_MAX_PIXELS, EncodeOptions, Photo, compare, read_photo, write_photo
from derain_cli.restorer import PictureLayers, Restorer
from derain_cli.worklist import COMPARE, LAYERS, Companion, Item, companion_path

__all__ = ["BatchOptions", "Outcome", "restore_photos"]

Progress = Callable[[float], None]


@dataclass(frozen=True)
class BatchOptions:
    """How photos are read and written.

    Attributes:
        encode: how outputs are coded.
        max_pixels: larger photos are refused.
        overwrite: replace outputs that exist.
        companions: further pictures to write, of `COMPARE` and `LAYERS`.
        jobs: threads that read and write while the network works; 0 does one thing at a time.
        fail_fast: stop after the first failure.
    """

    encode: EncodeOptions = field(default_factory=EncodeOptions)
    max_pixels: int = DEFAULT_MAX_PIXELS
    overwrite: bool = False
    companions: tuple[Companion, ...] = ()
    jobs: int = 1
    fail_fast: bool = False


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Attributes:
        item: input and output.
        error: why there is no output; None when all went well. What is no `DerainError` is a bug of ours.
        fatal: whether the error would meet all other items too (a full disk, a lost device).
        width, height: of the photo, pixels; 0 when it could not be read.
        seconds: reading, restoring and writing, waiting left out.
        companions: further pictures written.
        notes: one-line remarks.
    """

    item: Item
    error: Exception | None = None
    fatal: bool = False
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    companions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def restore_photos(
    items: Sequence[Item],
    restorer: Restorer,
    options: BatchOptions,
    *,
    report: Callable[[Outcome], None],
    progress: Progress | None = None,
) -> None:
    """Restore every item; a failure concerns its own item, unless it is fatal.

    Files are written by helper threads only, so an exception that a signal handler raises in the calling
    thread never hits a half-written file: what is being written is finished and told, the rest is dropped.

    Args:
        items: a settled plan.
        restorer: called from this thread alone.
        options: how to read and write.
        report: called once for each item that was tried, in order, in this thread.
        progress: called with the number of items done, fractions included.
    """
    _Run(items, restorer, options, report, progress or (lambda done: None)).run()


class _Stop(Exception):
    """No further item is to be tried."""


@dataclass
class _Run:
    items: Sequence[Item]
    restorer: Restorer
    options: BatchOptions
    report: Callable[[Outcome], None]
    progress: Progress
    reading: deque[Future[_Read]] = field(default_factory=deque)
    writing: dict[int, Future[Outcome]] = field(default_factory=dict)
    outcomes: deque[Future[Outcome]] = field(default_factory=deque)
    swept: set[Path] = field(default_factory=set)

    def run(self) -> None:
        pool = ThreadPoolExecutor(max(1, self.options.jobs), thread_name_prefix="derain")
        try:
            for index, item in enumerate(self.items):
                self._read_ahead(index, pool)
                outcome = self._restored(index, item, pool)
                failed = outcome.done() and outcome.result().error is not None
                if failed or not self.options.jobs:  # a failure may end the run, and is told after what came before
                    wait(self.outcomes)
                self._tell()
            wait(self.outcomes)
            self._tell()
        except _Stop:
            pass
        finally:
            for future in self.reading:
                future.cancel()
            pool.shutdown(wait=True)
            while self.outcomes:  # what was on its way to the disk when all stopped
                outcome = self.outcomes.popleft()
                if outcome.done():
                    self.report(outcome.result())

    @property
    def _wants_layers(self) -> bool:
        return any(companion in LAYERS for companion in self.options.companions)

    def _read_ahead(self, index: int, pool: ThreadPoolExecutor) -> None:
        last = min(index + self.options.jobs, len(self.items) - 1)
        for ahead in range(index + len(self.reading), last + 1):
            self.reading.append(pool.submit(self._read, ahead, self.items[ahead]))

    def _read(self, index: int, item: Item) -> _Read:
        # In a thread. What is asked for earlier starts earlier, so the photo waited for is on its way to the disk
        # already: this bounds the memory and cannot lock up.
        before = self.writing.pop(index - 1 - self.options.jobs, None)
        if before is not None:
            wait([before])
        start = time.perf_counter()
        photo = read_photo(item.source, max_pixels=self.options.max_pixels)
        return _Read(photo, time.perf_counter() - start)

    def _restored(self, index: int, item: Item, pool: ThreadPoolExecutor) -> Future[Outcome]:
        """The outcome of an item, once it is written."""

        def told(share: float) -> None:
            self._tell()
            self.progress(index + share)

        size: tuple[int, ...] = (0, 0)
        try:
            read = self.reading.popleft().result()
            pixels = read.photo.pixels
            size = pixels.shape[:2]
            start = time.perf_counter()
            layers = self.restorer.layers(pixels, told) if self._wants_layers else None
            derained = self.restorer(pixels, told) if layers is None else layers.derained
            seconds = read.seconds + time.perf_counter() - start
        except _Stop:
            raise
        except Exception as error:
            self.progress(index + 1)
            self.outcomes.append(_settled(_failure(item, error, size, fatal=_device_is_lost(error))))
            return self.outcomes[-1]
        # What was read is not kept without need: the coder may want as much memory again.
        before = pixels if COMPARE in self.options.companions else None
        photo = replace(read.photo, pixels=derained)
        work = _Restored(item, photo, before, layers, seconds, tuple(self.restorer.notes))
        # Listed before it is begun: wherever a signal strikes, a file that is there is counted.
        outcome: Future[Outcome] = Future()
        self.outcomes.append(outcome)
        self.writing[index] = outcome
        pool.submit(self._settle, outcome, work)
        return outcome

    def _settle(self, outcome: Future[Outcome], work: _Restored) -> None:
        # In a thread.
        try:
            outcome.set_result(self._write(work))
        except BaseException as error:
            outcome.set_exception(error)

    def _write(self, work: _Restored) -> Outcome:
        # In a thread.
        start = time.perf_counter()
        height, width = work.photo.pixels.shape[:2]
        target = Path(work.item.target)
        notes = [work.item.note] if work.item.note else []
        try:
            self._make_folder(target.parent)
            companions = self._write_companions(work, notes)
            # The output comes last: where it is, everything that belongs to it is.
            notes += write_photo(work.photo, target, options=self.options.encode, overwrite=self.options.overwrite)
        except Exception as error:
            full = isinstance(error, ResourceError) and not isinstance(error.__cause__, MemoryError)
            return _failure(work.item, error, (height, width), fatal=full)
        seconds = work.seconds + time.perf_counter() - start
        return Outcome(
            work.item,
            width=width,
            height=height,
            seconds=seconds,
            companions=tuple(companions),
            notes=(*work.photo.notes, *work.notes, *dict.fromkeys(notes)),
        )

    def _write_companions(self, work: _Restored, notes: list[str]) -> list[str]:
        found: dict[Companion, NDArray[Any]] = {}
        if work.layers is not None:
            found |= zip(LAYERS, (work.layers.rain, work.layers.detail), strict=True)
        if work.before is not None:
            found[COMPARE] = compare(work.before, work.photo.pixels)
        written = []
        for companion in self.options.companions:
            path = companion_path(work.item.target, companion)
            if os.path.lexists(path) and not self.options.overwrite:
                notes.append(f"{Path(path).name} is there already and stays")
                continue
            picture = replace(work.photo, pixels=found[companion], alpha=None)
            write_photo(picture, path, options=self.options.encode, overwrite=self.options.overwrite)
            written.append(path)
        return written

    def _make_folder(self, folder: Path) -> None:
        if folder in self.swept:
            return
        make_folder(folder)
        self.swept.add(folder)

    def _tell(self) -> None:
        """Report what is done, in order."""
        while self.outcomes and self.outcomes[0].done():
            outcome = self.outcomes.popleft().result()
            self.report(outcome)
            if outcome.fatal or (outcome.error is not None and self.options.fail_fast):
                raise _Stop


@dataclass(frozen=True, eq=False)
class _Read:
    photo: Photo
    seconds: float


@dataclass(frozen=True, eq=False)
class _Restored:
    item: Item
    photo: Photo  # derained
    before: NDArray[Any] | None
    layers: PictureLayers | None
    seconds: float
    notes: tuple[str, ...]


def _settled(outcome: Outcome) -> Future[Outcome]:
    future: Future[Outcome] = Future()
    future.set_result(outcome)
    return future


def _failure(item: Item, error: Exception, size: tuple[int, ...], *, fatal: bool) -> Outcome:
    known = error if isinstance(error, DerainError) else resource_error_from(error)
    if known is None and fatal:
        first = (str(error).strip().splitlines() or [""])[0]
        known = ResourceError(f"the device failed: {first}", hint="--device cpu")
    if known is not None and known is not error:
        known.__cause__ = error
    return Outcome(item, known or error, fatal, size[1], size[0])


def _device_is_lost(error: Exception) -> bool:
    """Whether an accelerator gave up; what ran out of memory is told by the restorer as a `ResourceError`."""
    known = isinstance(error, DerainError)
    return not known and (type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error))
