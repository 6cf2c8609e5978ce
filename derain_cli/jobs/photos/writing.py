"""Writes a restored photo and its companions."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from derain_cli.engine.restorer import PictureLayers
from derain_cli.errors import DestinationError
from derain_cli.jobs.items import COMPARE, LAYERS, Companion, Item, companion_path
from derain_cli.jobs.photos.options import BatchOptions
from derain_cli.jobs.photos.outcome import PhotoOutcome
from derain_cli.media.montage import compare
from derain_cli.media.photo import Photo, write_photo
from derain_cli.remedies import Remedy
from derain_cli.system.files import make_folder

__all__ = ["Restored", "Writer"]


@dataclass(frozen=True, eq=False)
class Restored:
    """A restored photo to be written.

    Attributes:
        item: input and output.
        photo: derained.
        before: the original pixels; None without a comparison.
        layers: rain and detail; None if not requested.
        seconds: time spent so far.
        notes: one-line remarks so far.
    """

    item: Item
    photo: Photo
    before: NDArray[Any] | None
    layers: PictureLayers | None
    seconds: float
    notes: tuple[str, ...]


@dataclass
class Writer:
    """Writes photos according to `options`; creates folders as needed."""

    options: BatchOptions
    _swept: set[Path] = field(default_factory=set)

    def write(self, work: Restored) -> PhotoOutcome:
        """Write a photo and its companions; errors are part of the outcome. Thread-safe."""
        start = time.perf_counter()
        height, width = work.photo.pixels.shape[:2]
        target = Path(work.item.target)
        notes = [work.item.note] if work.item.note else []
        outcome = PhotoOutcome(work.item, width=width, height=height)
        try:
            self._make_folder(target.parent)
            companions = self._write_companions(work, notes)
            # The output comes last: if it exists, so do its companions.
            if not work.item.stays:
                notes += write_photo(
                    work.photo,
                    target,
                    options=self.options.encode,
                    overwrite=self.options.overwrite,
                    ready=lambda length: self._record(work.item, length),
                )
        except DestinationError as error:
            return self._beaten(outcome) if error.remedy is Remedy.REPLACE else outcome.failed(error)
        except Exception as error:
            return outcome.failed(error)
        return replace(
            outcome,
            seconds=work.seconds + time.perf_counter() - start,
            companions=tuple(companions),
            notes=(*work.photo.notes, *work.notes, *dict.fromkeys(notes)),
        )

    def _record(self, item: Item, length: int) -> None:
        if self.options.record is not None:
            self.options.record.add(item, length)

    def _beaten(self, outcome: PhotoOutcome) -> PhotoOutcome:
        """The outcome if another run wrote the output first."""
        record = self.options.record
        problem = None if record is None else record.problem(outcome.item, afresh=True)
        return replace(outcome, skipped=True) if problem is None else outcome.failed(problem)

    def _write_companions(self, work: Restored, notes: list[str]) -> list[str]:
        found: dict[Companion, NDArray[Any]] = {}
        if work.layers is not None:
            found |= zip(LAYERS, (work.layers.rain, work.layers.detail), strict=True)
        if work.before is not None:
            found[COMPARE] = compare(work.before, work.photo.pixels)
        written = []
        for companion in self.options.companions:
            path = companion_path(work.item.target, companion)
            if os.path.lexists(path) and not self.options.overwrite:
                if work.item.stays:
                    continue
                notes.append(f"{Path(path).name} already exists and was kept")
                continue
            bare = replace(work.photo.metadata, gain_map=None)  # it only fits the photo itself
            picture = replace(work.photo, pixels=found[companion], alpha=None, metadata=bare)
            write_photo(picture, path, options=self.options.encode, overwrite=self.options.overwrite)
            written.append(path)
        return written

    def _make_folder(self, folder: Path) -> None:
        if folder in self._swept:
            return
        make_folder(folder)
        self._swept.add(folder)
