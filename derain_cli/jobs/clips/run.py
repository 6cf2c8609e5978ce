"""Processes the clips of a plan one after the other; within a clip, reading, restoring and encoding overlap.

Frames are encoded in segments (`parts`), which are finally joined to the output without re-encoding.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from derain_cli import __version__
from derain_cli.config import VideoOptions
from derain_cli.errors import InputError, ResourceError
from derain_cli.jobs.clips.chain import restored_frames
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.outcome import ClipOutcome, Pace
from derain_cli.jobs.clips.parts import RUNS_ON, OpenSegment, Parts, source_state, work_folder
from derain_cli.jobs.clips.preview import side_by_side
from derain_cli.jobs.clips.reduced import reduced
from derain_cli.jobs.clips.survey import expected_frames
from derain_cli.jobs.items import Item
from derain_cli.jobs.made import MadeRecord
from derain_cli.jobs.ordered import map_ordered
from derain_cli.media.clip.assembly import assemble
from derain_cli.media.clip.encoding import Encoding, choose_encoding
from derain_cli.media.clip.hardware import decoding_device
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.reader import ClipReader, open_clip
from derain_cli.media.clip.segments import Segment
from derain_cli.system.files import atomic_file, make_folder, require_space, size_of
from derain_cli.system.locks import locked

__all__ = ["partial_path", "restore_clips"]

_SPACE = 2.5
"""Free space required, relative to the size of the source: segments and output exist at the same time."""


def restore_clips(
    items: Sequence[Item],
    engine: FrameRestorer,
    options: VideoOptions,
    *,
    overwrite: bool = False,
    record: MadeRecord | None = None,
    fail_fast: bool = False,
    coded_rate: Fraction | None = None,
    report: Callable[[ClipOutcome], None],
    progress: Callable[[int, Pace], None] | None = None,
) -> None:
    """Restore the clips one after the other; a failed clip does not stop the others unless the error is fatal.

    The work is done in other threads. An exception in the calling thread, such as one from a signal handler, stops it
    at the next frame; finished segments are kept for the next run.

    Args:
        items: a settled plan.
        engine: restores the frames.
        options: how clips are restored and encoded.
        overwrite: replace existing outputs.
        record: record of how outputs were made; None keeps none.
        fail_fast: stop after the first failure.
        coded_rate: frame rate that the encoders of all clips are given, so that their outputs can be joined; None uses
            each clip's own rate. Timestamps are not affected.
        report: called in this thread, in order, for each clip that was tried; see `jobs.ordered.InOrder`.
        progress: called in this thread with the index of the clip and its progress.
    """
    stop, begun = threading.Event(), list[_Job]()
    small = reduced(engine, options.scale)
    device = None if options.hw == "off" else decoding_device(options.hw)

    def work(item: Item) -> ClipOutcome:
        begun.append(_Job(item, small, options, overwrite, record, stop, device, coded_rate))
        return begun[-1].run()

    def watch() -> None:
        if progress and begun and (pace := begun[-1].pace) is not None:
            progress(len(begun) - 1, pace)

    def ends(outcome: ClipOutcome) -> bool:
        return outcome.fatal or (fail_fast and (outcome.error is not None or outcome.incomplete))

    # One by one: a clip keeps all threads busy, and the next one starts only after the result of the last is known.
    map_ordered(work, items, lambda outcome, done: report(outcome), ends, jobs=1, stop=stop, ahead=1, watch=watch)


def partial_path(target: str) -> str:
    """Path for the partial output of an interrupted clip."""
    path = Path(target)
    return str(path.with_name(f"{path.stem}_partial{path.suffix}"))


class _Stopped(Exception):
    """The job was interrupted."""


@dataclass
class _Job:
    """One clip."""

    item: Item
    engine: FrameRestorer
    options: VideoOptions
    overwrite: bool
    record: MadeRecord | None
    stop: threading.Event
    device: str | None
    coded_rate: Fraction | None
    pace: Pace | None = None
    notes: list[str] = field(default_factory=list)
    outcome: ClipOutcome = field(init=False)

    def __post_init__(self) -> None:
        self.target = Path(self.item.target)
        self.outcome = ClipOutcome(self.item)
        if self.item.note:
            self.notes.append(self.item.note)

    def run(self) -> ClipOutcome:
        start = time.perf_counter()
        try:
            self._run()
        except _Stopped:
            self.outcome = replace(self.outcome, stopped=True)
        except Exception as error:
            self.outcome = self.outcome.failed(error, self.target)
        notes = tuple(dict.fromkeys(self.notes))
        return replace(self.outcome, seconds=time.perf_counter() - start, notes=notes)

    def _run(self) -> None:
        try:
            reader = open_clip(self.item.source, rate=self.options.rate, device=self.device)
        except InputError:
            self.outcome = replace(self.outcome, unusable=True)
            raise
        with reader:
            info = reader.info
            self.outcome = replace(self.outcome, width=info.width, height=info.height)
            encoded = side_by_side(info) if self.options.preview else info
            encoding = self._encoding(encoded)
            self.notes += encoding.notes
            if info.interlaced:
                self.notes.append("interlaced: both fields of a frame are restored as one picture")
            make_folder(self.target.parent)
            folder = work_folder(self.target)
            make_folder(folder)
            with locked(folder, self.target):
                parts = Parts(folder, self._identity(encoding))
                try:
                    self._write(reader, encoded, encoding, parts)
                except BaseException:
                    if not parts.segments:
                        parts.remove()
                    raise
                parts.remove()

    def _encoding(self, info: ClipInfo) -> Encoding:
        return choose_encoding(info, self.target.suffix.lower(), self.options)

    def _identity(self, encoding: Encoding) -> dict[str, Any]:
        """Everything that the segments depend on."""
        import av
        import cv2

        asked = dataclasses.asdict(replace(self.options, keep_partial=False))
        return {
            "version": __version__,
            "libraries": [av.__version__, cv2.__version__],
            "source": source_state(self.item.source),
            "engine": [self.engine.identity, self.engine.batch],
            RUNS_ON: self.engine.name,
            "options": asked,
            "encoding": {"encoder": encoding.encoder, "pix_fmt": encoding.pix_fmt, **encoding.options},
            "rate": str(self.coded_rate),
        }

    def _write(self, reader: ClipReader, info: ClipInfo, encoding: Encoding, parts: Parts) -> None:
        self._require_space(reader.info, parts)
        resumed = parts.frames
        if parts.removed:
            self.notes.append("starts anew: what an earlier run had begun was made otherwise")
        if resumed:
            self.notes.append(f"resumed after {resumed} frames of an earlier run")
        try:
            self._encode(reader, info, encoding, parts)
        finally:
            self.notes += [*reader.warnings, *reader.left_out]
        ready = parts.segments
        if not ready:
            raise InputError(
                "there is no frame in this part", path=self.item.source, hint=f"the clip ends {_ending(reader)}"
            )
        make_folder(self.target.parent)  # it may have been removed meanwhile
        with atomic_file(self.target, overwrite=self.overwrite) as temporary:
            self.notes += self._assemble(ready, info, temporary, cut=self.options.is_part)
            _verify(temporary, parts.frames, self.target)
            if self.record is not None:
                self.record.add(self.item, temporary.stat().st_size)
        first, last = ready[0][1].pts[0], ready[-1][1].pts[-1] + ready[-1][1].tail
        self.outcome = replace(
            self.outcome,
            incomplete=reader.incomplete,
            frames=parts.frames,
            resumed=resumed,
            duration=float((last - first) * info.time_base),
            codec=encoding.codec,
        )

    def _assemble(self, ready: Sequence[tuple[Path, Segment]], info: ClipInfo, target: Path, *, cut: bool) -> list[str]:
        return assemble(ready, info, target, self.target.suffix.lower(), cut=cut)

    def _write_partial(self, parts: Parts, info: ClipInfo, current: OpenSegment | None) -> None:
        """Write the finished part of an interrupted clip, including the open segment, which is not registered."""
        ready = list(parts.segments)
        if current is not None:
            ready.append((parts.path(), current.finish()))
        if not ready:
            return
        path = partial_path(self.item.target)
        with atomic_file(Path(path), overwrite=True) as temporary:
            # Cut, otherwise the sound would continue after the picture.
            self.notes += self._assemble(ready, info, temporary, cut=True)
        self.outcome = replace(self.outcome, partial=path, frames=sum(len(s.pts) for _, s in ready))

    def _encode(self, reader: ClipReader, info: ClipInfo, encoding: Encoding, parts: Parts) -> None:
        """Encode the missing segments.

        Raises:
            _Stopped: the job was interrupted; the partial output has been written if requested.
        """
        current: OpenSegment | None = None
        total, resumed, begun = self._total(reader.info), parts.frames, time.perf_counter()
        self.pace = Pace(resumed, total, 0.0, resumed)
        chain = restored_frames(reader, self.engine, self.options, self.notes, parts.pts, sound=parts.sound)
        coded_as = info if self.coded_rate is None else replace(info, rate=self.coded_rate)
        try:
            for frame, pixels in chain:
                if self.stop.is_set():
                    break
                current = current or OpenSegment(parts.path(), coded_as, encoding)
                alpha = None if frame.alpha is None else info.orientation.coded(frame.alpha)
                coded = info.orientation.coded(pixels)
                current.writer.add(coded, alpha, frame.pts, frame.duration or _step(info))
                done = parts.frames + current.writer.count
                self.pace = Pace(done, total, (done - resumed) / (time.perf_counter() - begun), resumed)
                if current.writer.count == self.options.segment:
                    parts.keep(current.finish(), sound=not reader.trouble)
                    current = None
            chain.close()
            if self.stop.is_set():
                if self.options.keep_partial:
                    self._write_partial(parts, info, current)
                raise _Stopped
            if current is not None:
                parts.keep(current.finish(), sound=not reader.trouble)
        finally:
            chain.close()
            if current is not None:
                current.drop()

    # --- beforehand ---------------------------------------------------------------------------------------------

    def _total(self, info: ClipInfo) -> int | None:
        """Expected number of frames."""
        return expected_frames(self.options, info.frames, info.rate, info.duration)

    def _require_space(self, info: ClipInfo, parts: Parts) -> None:
        size = size_of(info.path)
        share, total = 1.0, self._total(info)
        if self.options.is_part and total and info.duration and info.rate:
            share = min(1.0, total / float(info.duration * info.rate))
        written = sum(segment.bytes for _, segment in parts.segments)
        require_space(self.target.parent, max(0, int(_SPACE * size * share) - written))


def _verify(path: Path, frames: int, target: Path) -> None:
    """Check the output.

    Raises:
        ResourceError: it is unreadable or has the wrong number of frames.
    """
    try:
        with open_clip(path) as reader:
            found = reader.info.frames
    except InputError as error:
        raise ResourceError("the output cannot be read back", path=target, hint="check the disk") from error
    if found is not None and found != frames:
        raise ResourceError(f"the output has {found} of {frames} frames", path=target, hint="check the disk")


def _step(info: ClipInfo) -> int:
    """Duration in ticks of a frame of unknown duration."""
    return max(1, round(1 / ((info.rate or 25) * info.time_base)))


def _ending(reader: ClipReader) -> str:
    duration = reader.info.duration
    return "earlier" if duration is None else f"at {duration:.1f} s"
