"""Writes a frame set: decodes the selected frames again, keeps existing files, removes those no longer selected."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import DestinationError, InputError
from derain_cli.jobs.frame_set.choice import Choice, Chosen
from derain_cli.jobs.frame_set.layout import MANIFEST, REJECT, SHEETS, TEST, TRAIN, WORK
from derain_cli.jobs.frame_set.options import FramesOptions
from derain_cli.jobs.frame_set.plan import FrameSetPlan
from derain_cli.jobs.frame_set.study import SourceOutcome, Stopped
from derain_cli.jobs.ordered import map_ordered
from derain_cli.media.clip.reader import open_clip
from derain_cli.media.montage import contact_sheet, thumbnail
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.media.pixels import to_uint8
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_text, make_folder

__all__ = ["write_frame_set"]

_COLUMNS, _ROWS = 5, 6
_REJECT_HEAD = """\
# Names of unwanted pictures, one per line, as in train/, test/ and below the pictures in sheets/.
# Run the same command again: they are removed, replaced by others, and not selected again.
"""


def write_frame_set(
    todo: FrameSetPlan,
    choice: Choice,
    options: FramesOptions,
    *,
    report: Callable[[SourceOutcome], None],
    progress: Callable[[int], None] | None = None,
) -> tuple[Chosen, ...]:
    """Write missing pictures, remove those that are no longer selected, then write sheets and manifest.

    Files not written by this program are left alone.

    Args:
        todo: a settled plan.
        choice: from `choose`.
        options: `jobs` is used.
        report: called for each source whose pictures were written, with an error if some are missing.
        progress: called with the number of pictures written.

    Returns:
        The pictures that exist now.

    Raises:
        DestinationError: a folder cannot be created, or a file that is not ours is in the way.
        ResourceError: the disk is full.
    """
    return _Writer(todo.out, choice, options, report, progress or (lambda done: None)).write()


@dataclass
class _Writer:
    out: Path
    choice: Choice
    options: FramesOptions
    report: Callable[[SourceOutcome], None]
    progress: Callable[[int], None]
    stop: threading.Event = field(default_factory=threading.Event)
    written: int = 0

    def write(self) -> tuple[Chosen, ...]:
        planned = {one.file: one for one in self.choice.pictures}
        known, sheets = self._read_record()
        for folder in {str(Path(file).parent) for file in (*planned, f"{TRAIN}/")} | {SHEETS}:
            make_folder(self.out / folder)
        # Before the first picture, so that the next run recognises the files of a killed run as ours.
        self._keep_record(known | planned.keys(), sheets)
        self._write_pictures([one for one in planned.values() if not (self.out / one.file).is_file()])
        for file in sorted(known - planned.keys()):
            _remove(self.out / file)
        there = tuple(one for one in self.choice.pictures if (self.out / one.file).is_file())
        new_sheets = self._write_sheets(there, sheets)
        _write_if_new(self.out / MANIFEST, _manifest(there, self.out))
        if not os.path.lexists(self.out / REJECT):
            atomic_text(self.out / REJECT, _REJECT_HEAD, overwrite=False)
        self._keep_record({one.file for one in there}, new_sheets)
        return there

    def _write_pictures(self, missing: list[Chosen]) -> None:
        by_source: dict[str, list[Chosen]] = {}
        for one in missing:
            by_source.setdefault(one.study.key, []).append(one)

        def work(group: list[Chosen]) -> SourceOutcome | None:
            source = group[0].study.source
            try:
                self._write_group(group)
                return SourceOutcome(source, study=group[0].study)
            except Stopped:
                return None
            except Exception as error:
                return SourceOutcome(source).failed(error, source.path)

        def tell(outcome: SourceOutcome, done: int) -> None:
            if outcome.fatal:
                return  # raised below
            self.report(outcome)
            self.progress(self.written)

        groups = by_source.values()
        fatal = map_ordered(work, groups, tell, attrgetter("fatal"), jobs=self.options.jobs, stop=self.stop)
        if fatal is not None and fatal.error is not None:
            raise fatal.error

    def _write_group(self, group: list[Chosen]) -> None:
        """Write the pictures of one source. Runs in a worker thread."""
        study = group[0].study
        if not study.source.is_clip:
            self._write_picture(group[0], read_rgb(study.source.path))
            return
        wanted = {one.study.measured[one.place].index: one for one in group}
        with open_clip(study.source.path) as clip:
            for index, frame in enumerate(clip):
                if self.stop.is_set():
                    raise Stopped
                one = wanted.pop(index, None)
                if one is not None:
                    self._write_picture(one, to_uint8(frame.pixels))
                if not wanted:
                    return
        raise InputError("the clip became shorter during processing", path=study.source.path)

    def _write_picture(self, one: Chosen, pixels: NDArray[np.uint8]) -> None:
        write_rgb(self.out / one.file, pixels, overwrite=False)
        self.written += 1

    def _write_sheets(self, there: Sequence[Chosen], before: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Write contact sheets of all pictures, only where they changed. Returns the contents of each sheet."""
        wanted: dict[str, list[Chosen]] = {}
        for split in (TRAIN, TEST):
            pictures = [one for one in there if one.split == split]
            for number, start in enumerate(range(0, len(pictures), _COLUMNS * _ROWS)):
                wanted[f"{SHEETS}/{split}-{number + 1:03d}.jpg"] = pictures[start : start + _COLUMNS * _ROWS]
        content = {file: [one.file for one in pictures] for file, pictures in wanted.items()}
        old = [file for file in wanted if before.get(file) != content[file] or not (self.out / file).is_file()]
        # Meanwhile the record lists the changing sheets as ours, with unknown contents.
        self._keep_record({one.file for one in there}, dict(before) | {file: [] for file in old})

        def work(file: str) -> str:
            thumbs = [thumbnail(read_rgb(self.out / one.file)) for one in wanted[file]]
            captions = [(one.name, _caption(one)) for one in wanted[file]]
            write_rgb(self.out / file, contact_sheet(thumbs, captions, _COLUMNS))
            return file

        map_ordered(work, old, lambda file, done: None, jobs=self.options.jobs, stop=threading.Event())
        for file in sorted(before.keys() - wanted.keys()):
            _remove(self.out / file)
        return content

    def _read_record(self) -> tuple[set[str], dict[str, list[str]]]:
        """Files that earlier runs wrote into the set: pictures, and sheets with their contents."""
        path = self.out / WORK / "written.json"
        try:
            record = json.loads(path.read_bytes())
            pictures = {str(file) for file in record["pictures"] if _is_ours(file, (TRAIN, TEST))}
            sheets = {str(file): list(names) for file, names in record["sheets"].items() if _is_ours(file, (SHEETS,))}
            return pictures, sheets
        except FileNotFoundError:
            return set(), {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DestinationError(
                "the record of written files is damaged", path=path, remedy=Remedy.OTHER_OUTPUT
            ) from error

    def _keep_record(self, pictures: set[str], sheets: Mapping[str, list[str]]) -> None:
        record = {"pictures": sorted(pictures), "sheets": dict(sorted(sheets.items()))}
        _write_if_new(self.out / WORK / "written.json", json.dumps(record, indent=1) + "\n")


def _is_ours(file: Any, folders: tuple[str, ...]) -> bool:
    """Whether a recorded file is where this program writes: a list alone must not decide what is deleted."""
    return isinstance(file, str) and re.fullmatch(rf"(?:{'|'.join(folders)})/[A-Za-z0-9._-]+", file) is not None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DestinationError(f"cannot remove the file: {error.strerror}", path=path) from error


def _write_if_new(path: Path, text: str) -> None:
    """Write the text unless the file has it already, so that a run with nothing to do changes nothing."""
    if not (path.is_file() and path.read_bytes() == text.encode("utf-8", "surrogateescape")):
        atomic_text(path, text)


def _caption(one: Chosen) -> str:
    frame = one.study.measured[one.place]
    return f"sharp {frame.sharpness:.2f}" if np.isnan(one.rain) else f"rain {one.rain:.2f}  {frame.seconds:.2f} s"


_HEADINGS = (
    *("file", "split", "source", "frame", "seconds", "shot", "width", "height"),
    *("rain", "sharpness", "brightness", "contrast", "clipped", "hash"),
)


def _manifest(pictures: Sequence[Chosen], out: Path) -> str:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_HEADINGS)
    start = os.path.realpath(out)
    for one in pictures:
        frame, is_clip = one.study.measured[one.place], one.study.source.is_clip
        source = os.path.relpath(os.path.realpath(one.study.source.path), start).replace(os.sep, "/")
        where = [frame.index, f"{frame.seconds:.3f}", frame.shot] if is_clip else ["", "", ""]
        table.writerow(
            [
                *(one.file, one.split, source, *where, *one.study.size),
                f"{one.rain:.3f}" if is_clip else "",
                *(f"{value:.3f}" for value in (frame.sharpness, frame.brightness, frame.contrast, frame.clipped)),
                one.study.hashes[one.place].tobytes().hex(),
            ]
        )
    return stream.getvalue()
