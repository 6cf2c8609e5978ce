"""Segments of a clip that is worked on: they lie in a hidden folder beside the output until the last one is done.

A run that finds segments of the very same job keeps them, and makes the frames that come next exactly as an unbroken
run would, since a result hangs on no more than the frames next to it (`temporal_filter.REACH`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from derain_cli.errors import DestinationError
from derain_cli.media.clip.encoding import Encoding
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.segments import Segment, SegmentWriter
from derain_cli.system.files import atomic_file, atomic_text, changed_of, size_of
from derain_cli.system.locks import LOCK, locked

__all__ = ["OpenSegment", "Parts", "forget_work", "source_state", "work_folder"]

_JOB = "job.json"


def work_folder(target: str | os.PathLike[str]) -> Path:
    """The hidden folder beside an output where its segments lie."""
    path = Path(target)
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.parent / f".derain-parts-{name}"


def source_state(source: str | os.PathLike[str]) -> list[Any]:
    """What tells whether a source is the very same: its path, size and time of change.

    Raises:
        OSError: it is not there any more.
    """
    return [os.path.realpath(source), size_of(source), changed_of(source)]


def forget_work(target: str | os.PathLike[str]) -> None:
    """Remove what a killed run left of an output that is there, unless somebody works on it."""
    folder = work_folder(target)
    with contextlib.suppress(OSError):
        status = Path(target).stat()
        for other in Path(target).parent.glob(".derain-*.tmp"):  # the output's second name, for a moment
            if other.stat().st_ino == status.st_ino:
                other.unlink()
    if folder.is_dir():
        with contextlib.suppress(DestinationError, OSError), locked(folder, Path(target)):
            shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Parts:
    """The segments of one job in their folder; those of another job are removed."""

    folder: Path
    identity: dict[str, Any]
    segments: list[tuple[Path, Segment]] = field(default_factory=list)
    sound: bool = True

    def __post_init__(self) -> None:
        job = self.folder / _JOB
        if _read_json(job) != json.loads(json.dumps(self.identity)):
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
        """How many frames are done."""
        return sum(len(segment.pts) for _, segment in self.segments)

    def path(self) -> Path:
        """Of the next segment."""
        return self._paths(len(self.segments))[0]

    def keep(self, segment: Segment, *, sound: bool) -> None:
        """The next segment is in its place; from now on it counts."""
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
    """A segment is not wanted."""


class OpenSegment:
    """A segment being written: under a temporary name until it is finished."""

    def __init__(self, path: Path, info: ClipInfo, encoding: Encoding):
        self._file = contextlib.ExitStack()
        temporary = self._file.enter_context(atomic_file(path, overwrite=True))
        try:
            self.writer = SegmentWriter(temporary, info, encoding)
        except BaseException:
            self._remove()
            raise

    def finish(self) -> Segment:
        """Close it and give it its name."""
        segment = self.writer.close()
        self._file.close()
        return segment

    def drop(self) -> None:
        """Remove it, if it is not finished."""
        self.writer.abandon()
        self._remove()

    def _remove(self) -> None:
        with contextlib.suppress(_Dropped):
            self._file.__exit__(_Dropped, _Dropped(), None)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
