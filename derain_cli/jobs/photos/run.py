"""Restores many photos with one restorer, while the next ones are read and finished ones are written.

At most `jobs + 1` photos are in memory at a time, fewer if they are large; small photos that the network processes as a
batch count as one. Results are reported in the order of the work list, regardless of the threads.
"""

from __future__ import annotations

import functools
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any

from numpy.typing import NDArray

from derain_cli.engine.restorer import PictureLayers, Restorer
from derain_cli.jobs.admission import AdmissionQueue, Cost
from derain_cli.jobs.items import COMPARE, LAYERS, Item
from derain_cli.jobs.ordered import InOrder
from derain_cli.jobs.photos.options import BatchOptions
from derain_cli.jobs.photos.outcome import PhotoOutcome
from derain_cli.jobs.photos.writing import Restored, Writer
from derain_cli.media.hidden import fill_hidden, keep_hidden
from derain_cli.media.photo import Photo, probe_photo, read_photo
from derain_cli.system.memory import free_memory

__all__ = ["restore_photos"]

Progress = Callable[[float], None]

_PLACE = 64
"""Places of one photo in the admission queue; photos that are batched share them."""
_BYTES_PER_PIXEL = {"JPEG": 12}
_BYTES_PER_PIXEL_AT_MOST = 24
"""Peak memory per pixel of a photo from reading to writing, by format: measured on the command without the network
(docs/performance.md). Formats other than JPEG may have 16 bits, which not all headers reveal."""
_PHOTO_BYTES = 2**30
"""Memory for photos being read ahead or written, or a quarter of the free memory if that is less; a single photo may
exceed it. With an accelerator always a quarter of the free memory: encoding, not the network, is then the limit."""


def restore_photos(
    items: Sequence[Item],
    restorer: Restorer,
    options: BatchOptions,
    *,
    report: Callable[[PhotoOutcome], None],
    progress: Progress | None = None,
    writer: Writer | None = None,
) -> None:
    """Restore every item; a failed item does not stop the others unless the error is fatal.

    Only worker threads write files, so an exception from a signal handler in the calling thread never interrupts
    a write: files being written are finished and reported, the rest is dropped.

    Args:
        items: a settled plan.
        restorer: called only from this thread.
        options: how to read and write.
        report: called once for each attempted item, in order, in this thread, and again with the same outcome if an
            exception from a signal interrupted it.
        progress: called with the number of items done, including fractions.
        writer: of earlier runs with the same options; it knows the folders it has prepared.
    """
    _PhotoRun(items, restorer, options, report, progress or (lambda done: None), writer or Writer(options)).run()


@dataclass
class _PhotoRun:
    items: Sequence[Item]
    restorer: Restorer
    options: BatchOptions
    report: Callable[[PhotoOutcome], None]
    progress: Progress
    writer: Writer
    reading: deque[Future[_Read]] = field(default_factory=deque)
    written: InOrder[PhotoOutcome] = field(init=False)
    admission: AdmissionQueue = field(init=False)

    def __post_init__(self) -> None:
        free = free_memory()
        size = _PHOTO_BYTES if free is None else free // 4
        if self.restorer.device.type == "cpu":
            size = min(size, _PHOTO_BYTES)
        self.admission = AdmissionQueue(Cost((self.options.jobs + 1) * _PLACE, size))
        self.written = InOrder(max(1, self.options.jobs), self.report, self._ends)

    def run(self) -> None:
        readers = ThreadPoolExecutor(max(1, self.options.jobs), thread_name_prefix="derain-read")
        with self.written:
            try:
                done = 0
                while done < len(self.items):
                    self._read_ahead(done, readers)
                    done = self._do_next(done)
                self.written.tell_all()
            finally:
                for future in self.reading:
                    future.cancel()
                self.admission.close()
                readers.shutdown(wait=True)

    @property
    def _wants_layers(self) -> bool:
        return any(companion in LAYERS for companion in self.options.companions)

    def _read_ahead(self, index: int, readers: ThreadPoolExecutor) -> None:
        # At least as many as can be admitted; waiting readers hold no memory.
        last = min(index + (self.options.jobs + 1) * _PLACE, len(self.items))
        for ahead in range(index + len(self.reading), last):
            self.reading.append(readers.submit(self._read, ahead, self.items[ahead]))

    def _read(self, index: int, item: Item) -> _Read:
        # In a worker thread.
        start = time.perf_counter()
        cost = self._cost(item)
        looked = time.perf_counter() - start
        self.admission.acquire(index, cost)
        try:
            start = time.perf_counter()
            photo = read_photo(item.source, max_pixels=self.options.max_pixels)
            shown = fill_hidden(photo.pixels, photo.alpha)
            return _Read(photo, shown, looked + time.perf_counter() - start)
        except BaseException:
            self.admission.release(index)
            raise

    def _cost(self, item: Item) -> Cost:
        """The resources of a photo, by its header."""
        try:
            info = probe_photo(item.source, max_pixels=self.options.max_pixels)
        except Exception:  # reading it will report the error
            return Cost(_PLACE, 0)
        each = _BYTES_PER_PIXEL.get(info.format, _BYTES_PER_PIXEL_AT_MOST) * (2 + len(self.options.companions)) // 2
        return Cost(_PLACE // self._at_once(info.height, info.width), each * info.height * info.width)

    def _at_once(self, height: int, width: int) -> int:
        apart = self._wants_layers or not self.options.jobs
        return 1 if apart else self.restorer.at_once(height, width)

    def _do_next(self, index: int) -> int:
        """Restore the next photo or batch and submit it for writing; returns the index after it."""
        group = self._next_group()
        last = index + len(group)
        together = self._together(group)
        while group:
            self._finish(last - len(group), group.popleft(), together.popleft() if together else None)
            if self.options.jobs:
                self.written.tell()
            else:
                self.written.tell_all()
        return last

    def _next_group(self) -> deque[Future[_Read]]:
        """The next photo, with following ones that are ready and can be batched with it."""
        group = deque([self.reading.popleft()])
        wait(group)
        if group[0].exception() is not None:
            return group
        first = group[0].result().shown
        most = self._at_once(*first.shape[:2])
        while len(group) < most and self.reading and _is_like(self.reading[0], first) and self.restorer.same_together:
            group.append(self.reading.popleft())
        return group

    def _together(self, group: Sequence[Future[_Read]]) -> deque[_Derained]:
        """The photos of a group restored as a batch; empty for a single photo, or if one of them fails."""
        if len(group) == 1:
            return deque()
        start = time.perf_counter()
        try:
            found = self.restorer.batch([future.result().shown for future in group])
        except Exception:  # processing one by one will show which photo failed
            return deque()
        seconds = (time.perf_counter() - start) / len(group)
        notes = tuple(f"{note} (one of {len(group)} photos in a batch)" for note in self.restorer.notes)
        return deque(_Derained(pixels, None, seconds, notes) for pixels in found)

    def _finish(self, index: int, reading: Future[_Read], found: _Derained | None) -> None:
        """Restore an item and submit it for writing; `found` is the result if there is one already."""
        item = self.items[index]
        outcome = PhotoOutcome(item)
        try:
            read = reading.result()
            pixels = read.photo.pixels
            outcome = replace(outcome, width=pixels.shape[1], height=pixels.shape[0])
            if found is None:
                found = self._derained(index, read.shown)
            else:
                self.progress(index + 1)
        except Exception as error:
            self.admission.release(index)
            self.progress(index + 1)
            self.written.settle(outcome.failed(error))
            return
        # The input is kept only if needed, since the encoder may use as much memory again.
        before = pixels if COMPARE in self.options.companions else None
        photo = replace(read.photo, pixels=keep_hidden(found.pixels, pixels, read.photo.alpha))
        work = Restored(item, photo, before, found.layers, read.seconds + found.seconds, found.notes)
        written = self.written.begin(functools.partial(self.writer.write, work))
        written.add_done_callback(lambda _: self.admission.release(index))  # also for work that was dropped

    def _derained(self, index: int, pixels: NDArray[Any]) -> _Derained:
        def told(share: float) -> None:
            self.written.tell()
            self.progress(index + share)

        start = time.perf_counter()
        layers = self.restorer.layers(pixels, told) if self._wants_layers else None
        derained = self.restorer(pixels, told) if layers is None else layers.derained
        return _Derained(derained, layers, time.perf_counter() - start, tuple(self.restorer.notes))

    def _ends(self, outcome: PhotoOutcome) -> bool:
        """Whether this outcome ends the run."""
        return outcome.fatal or (outcome.error is not None and self.options.fail_fast)


@dataclass(frozen=True, eq=False)
class _Read:
    photo: Photo
    shown: NDArray[Any]  # the network's input: pixels with plausible colours where they are fully transparent
    seconds: float


@dataclass(frozen=True, eq=False)
class _Derained:
    pixels: NDArray[Any]
    layers: PictureLayers | None
    seconds: float
    notes: tuple[str, ...]


def _is_like(reading: Future[_Read], pixels: NDArray[Any]) -> bool:
    """Whether the photo is ready and can be batched with `pixels`."""
    if not reading.done() or reading.exception() is not None:
        return False
    other = reading.result().shown
    return other.shape == pixels.shape and other.dtype == pixels.dtype
