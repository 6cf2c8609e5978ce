"""Measures clips and photos: rain, sharpness, similarity.

Measurements are cached in a hidden folder of the set, keyed by the content of the source: interrupted runs resume with
the next source, and runs with other options or additional clips measure only what is new.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from operator import attrgetter
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from derain_cli.datasets.fingerprint import picture_hash
from derain_cli.errors import DestinationError, InputError
from derain_cli.jobs.frame_set.layout import WORK
from derain_cli.jobs.frame_set.measure import FrameMeasurement, measured_frames, measured_photo
from derain_cli.jobs.frame_set.options import FramesOptions
from derain_cli.jobs.frame_set.plan import FrameSetPlan, Source
from derain_cli.jobs.ordered import map_ordered
from derain_cli.jobs.outcome import Outcome
from derain_cli.media.clip.reader import open_clip
from derain_cli.media.photo import probe_photo, read_rgb
from derain_cli.media.pixels import to_uint8
from derain_cli.system.files import atomic_bytes, make_folder

__all__ = ["SourceOutcome", "Stopped", "Study", "study_sources"]

_MEASURES = 1
"""Version of the measurements: increased when the method changes, which invalidates cached results."""


@dataclass(frozen=True, eq=False)
class Study:
    """Measurements of a source.

    Attributes:
        source: the clip or photo.
        key: hexadecimal digest of its content.
        size: width and height, pixels.
        frames: number of decoded frames; 1 for a photo.
        measured: one per measured frame, in order.
        hashes: (N, 8), their perceptual hashes.
        ended: why the rest of the clip could not be decoded; None if all of it was.
    """

    source: Source
    key: str
    size: tuple[int, int]
    frames: int
    measured: tuple[FrameMeasurement, ...]
    hashes: NDArray[np.uint8]
    ended: str | None = None

    def name(self, place: int) -> str:
        """Name of the picture of `measured[place]`, without suffix; safe on any file system and in lists."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(self.source.path).stem).strip("._-")[:32] or "clip"
        # The content is part of the name, so clips with the same name do not collide, and names are never reused.
        head = f"{stem}-{self.key[:6]}"
        return f"{head}-{self.measured[place].index:06d}" if self.source.is_clip else head


@dataclass(frozen=True)
class SourceOutcome(Outcome[Source]):
    """The result for one source, or for writing the pictures of one source.

    Attributes:
        study: its measurements; None if there are none. A truncated clip has measurements and an error.
        known: whether it was measured by an earlier run.
    """

    study: Study | None = None
    known: bool = False

    def failed(self, error: Exception, path: str | os.PathLike[str] | None = None) -> Self:
        # All pictures go into one folder: if one cannot be written, none can.
        outcome = super().failed(error, path)
        return replace(outcome, fatal=outcome.fatal or isinstance(outcome.error, DestinationError))


class Stopped(Exception):
    """Processing was stopped."""


def study_sources(
    todo: FrameSetPlan,
    options: FramesOptions,
    *,
    report: Callable[[SourceOutcome], None],
    progress: Callable[[int], None] | None = None,
) -> tuple[Study, ...]:
    """Measure all clips and photos, or load earlier measurements.

    Args:
        todo: a settled plan.
        options: `every` and `jobs` are used.
        report: called for each source, in order, in this thread; see `jobs.ordered.InOrder`.
        progress: called with the number of sources done.

    Returns:
        The measurements, once per content, in an order independent of the plan.

    Raises:
        DestinationError: the output folder cannot be created.
        ResourceError: the disk is full.
    """
    make_folder(todo.out / WORK)
    stop = threading.Event()
    found: dict[str, Study] = {}

    def tell(outcome: SourceOutcome, done: int) -> None:
        if outcome.fatal:
            return  # raised below
        if outcome.study is not None:
            study = found.setdefault(outcome.study.key, outcome.study)
            if os.fsencode(outcome.study.source.path) < os.fsencode(study.source.path):
                found[study.key] = outcome.study  # which of several names is used must not depend on their order
        report(outcome)
        if progress is not None:
            progress(done)

    def work(source: Source) -> SourceOutcome | None:
        try:
            return _studied(source, todo.out / WORK, options.every, stop)
        except Stopped:
            return None
        except Exception as error:
            return SourceOutcome(source).failed(error, source.path)

    with _single_threads():
        fatal = map_ordered(work, todo.sources, tell, attrgetter("fatal"), jobs=options.jobs, stop=stop)
    if fatal is not None and fatal.error is not None:
        raise fatal.error
    return tuple(found[key] for key in sorted(found))


@contextmanager
def _single_threads() -> Iterator[None]:
    """Disable OpenCV's threads: each clip has its own thread, and on small pictures extra threads cost more than they
    gain (measured on 160x120 pixels: three times the CPU time)."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _studied(source: Source, work: Path, every: float, stop: threading.Event) -> SourceOutcome:
    """Measurements of a source, cached or new. Runs in a worker thread."""
    if not source.is_clip:
        probe_photo(source.path)  # only regular files that contain a picture are opened below
        key = _content_key(source.path)
        study = _read_study(work, key, every, source)
        if study is not None:
            return SourceOutcome(source, study=study, known=True)
        picture = read_rgb(source.path)
        size = picture.shape[1], picture.shape[0]
        hashes = np.frombuffer(bytes.fromhex(picture_hash(picture)), np.uint8)[None]
        study = Study(source, key, size, 1, (measured_photo(picture),), hashes)
        _keep_study(work, study, every)
        return SourceOutcome(source, study=study)
    with open_clip(source.path) as clip:  # also checks every time that it is a clip
        key = _content_key(source.path)
        study = _read_study(work, key, every, source)
        known = study is not None
        if study is None:
            study = _measured_clip(source, key, clip, every, stop)
            _keep_study(work, study, every)
    error = InputError(study.ended, path=source.path) if study.ended else None
    return SourceOutcome(source, error, study=study, known=known)


def _measured_clip(source: Source, key: str, clip: Any, every: float, stop: threading.Event) -> Study:
    seen = itertools.count()
    measured: list[FrameMeasurement] = []
    hashes: list[bytes] = []

    def pictures() -> Iterator[tuple[float, NDArray[np.uint8]]]:
        for frame in clip:
            if stop.is_set():
                raise Stopped
            next(seen)
            yield frame.seconds, to_uint8(frame.pixels)

    ended: str | None = None
    try:
        for one, picture in measured_frames(pictures(), every):
            measured.append(one)
            hashes.append(bytes.fromhex(picture_hash(picture)))
    except InputError as error:
        ended = error.reason
    if ended is None and clip.incomplete:
        ended = clip.warnings[-1] if clip.warnings else "the clip ends early"
    size = clip.info.width, clip.info.height
    table = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 8)
    return Study(source, key, size, next(seen), tuple(measured), table, ended)


_SAMPLE = 1 << 20


def _content_key(path: str) -> str:
    """Digest of a file's content, 32 hexadecimal digits: its length and three parts of it, since hashing a clip of
    several hours would take as long as decoding part of it."""
    with Path(path).open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(length).encode())
        for start in sorted({0, max(0, (length - _SAMPLE) // 2), max(0, length - _SAMPLE)}):
            file.seek(start)
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:32]


_NUMBERS = tuple(each.name for each in fields(FrameMeasurement) if each.name != "look")


def _keep_study(work: Path, study: Study, every: float) -> None:
    about = {"measures": _MEASURES, "every": every, "size": study.size, "frames": study.frames, "ended": study.ended}
    stream = io.BytesIO()
    np.savez(
        stream,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        numbers=np.array([[getattr(m, name) for name in _NUMBERS] for m in study.measured], np.float64),
        looks=np.array([m.look for m in study.measured], np.float32),
        hashes=study.hashes,
    )
    atomic_bytes(work / f"{study.key}.npz", stream.getvalue())


def _read_study(work: Path, key: str, every: float, source: Source) -> Study | None:
    """Measurements cached by an earlier run; None if there are no usable ones."""
    try:
        with np.load(work / f"{key}.npz", allow_pickle=False) as kept:
            about = json.loads(kept["about"].tobytes())
            if about["measures"] != _MEASURES or (source.is_clip and about["every"] != every):
                return None
            hashes = kept["hashes"].astype(np.uint8).reshape(-1, 8)
            measured = []
            for row, look in zip(kept["numbers"].tolist(), kept["looks"], strict=True):
                values: dict[str, Any] = dict(zip(_NUMBERS, row, strict=True))
                values |= {"index": int(values["index"]), "shot": int(values["shot"])}
                measured.append(FrameMeasurement(**values, look=look))
            if len(measured) != len(hashes):
                return None
            width, height = about["size"]
            return Study(source, key, (width, height), about["frames"], tuple(measured), hashes, about["ended"])
    except Exception:  # missing, damaged, or not ours: measure again
        return None
