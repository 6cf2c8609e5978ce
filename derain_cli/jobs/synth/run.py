"""Makes pairs: reads photos, adds rain, and writes both."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from operator import attrgetter
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.jobs.ordered import map_ordered
from derain_cli.jobs.outcome import Outcome
from derain_cli.jobs.synth.manifest import write_manifest
from derain_cli.jobs.synth.options import SynthOptions
from derain_cli.jobs.synth.pairs import PairTask, PhotoTask, SynthPlan, pair_folders
from derain_cli.media.photo import Metadata, Photo, read_photo, write_photo
from derain_cli.media.pixels import to_uint8
from derain_cli.rain import add_rain
from derain_cli.system.files import make_folder

__all__ = ["SynthOutcome", "synthesize"]


@dataclass(frozen=True)
class SynthOutcome(Outcome[PhotoTask]):
    """The result for one photo.

    Attributes:
        width, height: of its pairs, pixels; 0 if it could not be read.
    """

    width: int = 0
    height: int = 0


def synthesize(
    todo: SynthPlan,
    options: SynthOptions,
    *,
    report: Callable[[SynthOutcome], None],
    progress: Callable[[int], None] | None = None,
) -> bool:
    """Make the pairs of a plan, and the manifest. A failed photo does not stop the others unless the error is fatal.

    Only worker threads write files, so an exception from a signal handler in the calling thread never interrupts
    a write: pairs being written are finished and reported, the rest is dropped.

    Args:
        todo: a settled plan.
        options: those the plan was made with.
        report: called for each attempted photo, in order, in this thread; see `jobs.ordered.InOrder`.
        progress: called with the number of photos done.

    Returns:
        Whether all pairs of the plan exist now.

    Raises:
        DestinationError: the output folder or the manifest cannot be created.
        ResourceError: the disk is full when the manifest is written.
    """
    return _SynthRun(todo, options, report, progress or (lambda done: None)).run()


@dataclass
class _SynthRun:
    todo: SynthPlan
    options: SynthOptions
    report: Callable[[SynthOutcome], None]
    progress: Callable[[int], None]
    stop: threading.Event = field(default_factory=threading.Event)
    failed: set[str] = field(default_factory=set)

    def run(self) -> bool:
        if self.todo.items:
            for folder in self._folders():
                make_folder(folder)
            # Before the first pair, so that seeds cannot be mixed after a killed run.
            write_manifest(self.todo, self.options, complete=False)
            fatal = map_ordered(
                self._make,
                self.todo.items,
                self._tell,
                attrgetter("fatal"),
                jobs=self.options.jobs,
                stop=self.stop,
            )
            if fatal is not None:
                return False  # the disk is full; the manifest already says that pairs are missing
        complete = not self.failed and not self.todo.failed
        write_manifest(self.todo, self.options, complete=complete, without=self.failed)
        return complete

    def _folders(self) -> Iterator[Path]:
        yield self.todo.out
        for profile in self.options.profiles:
            yield from pair_folders(self.options.folder(self.todo.out, profile))

    def _tell(self, outcome: SynthOutcome, done: int) -> None:
        if outcome.error is not None:
            self.failed.add(outcome.item.name)
        self.report(outcome)
        self.progress(done)

    def _make(self, task: PhotoTask) -> SynthOutcome | None:
        """Make all pairs of a photo; None if the run was stopped before the last."""
        # In a worker thread.
        outcome = SynthOutcome(task)
        try:
            photo = read_photo(task.source, max_pixels=self.options.max_pixels)
            base, notes = self._prepared(photo)
            outcome = replace(outcome, width=base.pixels.shape[1], height=base.pixels.shape[0], notes=notes)
            for pair in task.pairs:
                if self.stop.is_set():
                    return None
                self._make_pair(task, pair, base)
            return outcome
        except Exception as error:
            return outcome.failed(error, task.source)

    def _prepared(self, photo: Photo) -> tuple[Photo, tuple[str, ...]]:
        """The photo prepared for rain: 8 bits, no alpha, downscaled if requested, with its colour profile."""
        notes = list(photo.notes)
        if photo.pixels.dtype != np.uint8:
            notes.append("16-bit reduced to 8-bit")
        if photo.alpha is not None:
            notes.append("transparency dropped")
        pixels = _within(to_uint8(photo.pixels), self.options.max_side)
        # A grey profile does not apply to the pairs, which are in colour, since rain is not grey.
        icc = None if photo.grey else photo.metadata.icc_profile
        return Photo(pixels, metadata=Metadata(icc_profile=icc, lossless=True)), tuple(notes)

    def _make_pair(self, task: PhotoTask, pair: PairTask, base: Photo) -> None:
        rng = _generator(self.options.seed, task.relative, pair)
        picture = base.pixels.astype(np.float32) / np.float32(255)
        sample = add_rain(picture, pair.profile, rng, target=self.options.target)
        for path, coded in ((pair.clean, sample.clean), (pair.rainy, sample.rainy)):
            pixels = np.rint(coded * np.float32(255)).astype(np.uint8)
            write_photo(Photo(pixels, metadata=base.metadata), path, overwrite=True)


def _generator(seed: int, relative: str, pair: PairTask) -> np.random.Generator:
    """The random generator of one pair. Fields are separated by a byte that no path contains."""
    fields = [str(seed).encode(), os.fsencode(relative), pair.profile.encode(), str(pair.variant).encode()]
    return np.random.default_rng(int.from_bytes(hashlib.sha256(b"\0".join(fields)).digest()))


def _within(pixels: NDArray[np.uint8], max_side: int | None) -> NDArray[np.uint8]:
    """The picture, downscaled so that its longer side is at most `max_side`."""
    height, width = pixels.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return pixels
    scale = max_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
