"""Segments of an unfinished clip, stored in a hidden folder next to the output until the last one is done.

A run that finds segments of an identical job keeps them and produces the remaining frames exactly as an uninterrupted
run would, since a result depends only on the neighbouring frames (`temporal_filter.REACH`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from derain_cli.errors import DestinationError
from derain_cli.media.clip.encoding import Encoding
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.segments import Segment, SegmentWriter
from derain_cli.system.files import atomic_file, atomic_text, changed_of, size_of
from derain_cli.system.locks import LOCK, locked

__all__ = ["RUNS_ON", "OpenSegment", "Parts", "engine_begun_with", "forget_work", "source_state", "work_folder"]

RUNS_ON = "runs_on"
"""Key of the name of the engine in a job's identity."""

_JOB = "job.json"


def work_folder(target: str | os.PathLike[str]) -> Path:
    """The hidden folder for segments, next to an output."""
    path = Path(target)
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.parent / f".derain-parts-{name}"


def source_state(source: str | os.PathLike[str]) -> list[Any]:
    """Identifies the state of a source: path, size and modification time.

    Raises:
        OSError: it no longer exists.
    """
    return [os.path.realpath(source), size_of(source), changed_of(source)]


def engine_begun_with(targets: Iterable[str]) -> str | None:
    """Name of the engine that made the first segments found of outputs that are not done; None where there are none."""
    for target in targets:
        folder = work_folder(target)
        job = _read_json(folder / _JOB)
        if job is not None and isinstance(job.get(RUNS_ON), str) and any(folder.glob("*.mkv")):
            return str(job[RUNS_ON])
    return None


def forget_work(target: str | os.PathLike[str]) -> None:
    """Remove leftovers of a killed run for a finished output, unless another run is working on it."""
    folder = work_folder(target)
    with contextlib.suppress(OSError):
        status = Path(target).stat()
        for other in Path(target).parent.glob(".derain-*.tmp"):  # a hard link to the output, left by a killed run
            if other.stat().st_ino == status.st_ino:
                other.unlink()
    if folder.is_dir():
        with contextlib.suppress(DestinationError, OSError), locked(folder, Path(target)):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Parts:
    """The segments of a job in their folder; segments of another job are removed.

    Attributes:
        removed: how many were.
    """

    folder: Path
    identity: dict[str, Any]
    segments: list[tuple[Path, Segment]] = field(default_factory=list)
    sound: bool = True
    removed: int = 0

    def __post_init__(self) -> None:
        job = self.folder / _JOB
        if _read_json(job) != json.loads(json.dumps(self.identity)):
            self.removed = len(list(self.folder.glob("*.mkv")))
            self._clear()
            atomic_text(job, json.dumps(self.identity))
            return
        for number in itertools.count():
            path, notes = self._paths(number)
            known = _read_json(notes)
            if known is None or not path.is_file() or path.stat().st_size != known["bytes"]:
                break
            self.sound = bool(known.pop("sound")) and self.sound
            self.segments.append((path, Segment(**{**known, "pts": tuple(known["pts"])})))

    @property
    def frames(self) -> int:
        """Number of finished frames."""
        return sum(len(segment.pts) for _, segment in self.segments)

    @property
    def pts(self) -> list[int]:
        """Timestamps of the frames that are done, in order."""
        return [pts for _, segment in self.segments for pts in segment.pts]

    def path(self) -> Path:
        """Path of the next segment."""
        return self._paths(len(self.segments))[0]

    def keep(self, segment: Segment, *, sound: bool) -> None:
        """Register the next segment, which has been written to `path`."""
        path, notes = self._paths(len(self.segments))
        atomic_text(notes, json.dumps({**dataclasses.asdict(segment), "sound": sound}))
        self.segments.append((path, segment))
        self.sound = self.sound and sound

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _paths(self, number: int) -> tuple[Path, Path]:
        return self.folder / f"{number:06d}.mkv", self.folder / f"{number:06d}.json"

    def _clear(self) -> None:
        for path in self.folder.iterdir():
            if path.name != LOCK and not path.is_dir():
                path.unlink(missing_ok=True)


class _Dropped(Exception):
    """A segment was discarded."""


class OpenSegment:
    """A segment being written, under a temporary name until it is finished."""

    def __init__(self, path: Path, info: ClipInfo, encoding: Encoding):
        self._file = contextlib.ExitStack()
        temporary = self._file.enter_context(atomic_file(path, overwrite=True))
        try:
            self.writer = SegmentWriter(temporary, info, encoding)
        except BaseException:
            self._remove()
            raise

    def finish(self) -> Segment:
        """Close the segment and rename it to its final name."""
        segment = self.writer.close()
        self._file.close()
        return segment

    def drop(self) -> None:
        """Remove the segment if it is not finished."""
        self.writer.abandon()
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(_Dropped):
            self._file.__exit__(_Dropped, _Dropped(), None)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
