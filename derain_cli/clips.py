"""Clips through one restorer: reading, the network, steadying and coding overlap, and a killed job goes on.

Frames pass through a chain of threads with short queues between them, so memory does not grow with the clip. They
are coded in segments, which lie in a hidden folder beside the output until the last one is done; then they are
joined, without being coded again, to the output. A run that finds segments of the very same job keeps them. It
makes the frames that come next exactly as an unbroken run would, since a result hangs on no more than the frames
next to it (`frames.steady.REACH`).
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import math
import os
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from derain_cli import __version__
from derain_cli.atomic import atomic_file, atomic_text, make_folder
from derain_cli.config import VideoOptions
from derain_cli.errors import DerainError, DestinationError, InputError, ResourceError, UsageError, resource_error_from
from derain_cli.frames.clip_writer import Encoding, Segment, SegmentWriter, assemble, choose_encoding
from derain_cli.frames.images import Pixels, compare
from derain_cli.frames.steady import REACH, steadied
from derain_cli.frames.video import ClipInfo, ClipReader, Frame, Orientation, open_clip
from derain_cli.worklist import Item

if TYPE_CHECKING:
    from derain_cli.restorer import Restorer

__all__ = ["ClipOutcome", "Engine", "Pace", "ahead", "forget_work", "partial_path", "restore_clips", "work_folder"]

T = TypeVar("T")

_DEPTH = 3
"""Frames in each queue."""
_SPACE = 2.5
"""Free space wanted, in sizes of the source: the segments and the output lie side by side for a moment."""
_SPACE_LEAST = 8 << 20
_BATCH = {"cuda": 8}
"""Frames that the network is given at once, by device; on a processor more than one at a time brings nothing."""
_EVERY = 0.1
"""Seconds between looks at the work."""


@dataclass(frozen=True)
class Engine:
    """What takes the rain out.

    Attributes:
        restore: pictures of one clip, (H, W, 3) uint8 or uint16 RGB, to the same without rain; called from one thread.
        identity: says all that its results hang on; segments are kept only of the same.
        batch: pictures given at once.
        notes: one-line remarks on the last pictures.
    """

    restore: Callable[[Sequence[Pixels]], Sequence[Pixels]]
    identity: str
    batch: int = 1
    notes: Callable[[], Sequence[str]] = tuple

    @classmethod
    def of(cls, restorer: Restorer) -> Engine:
        """What `restorer` does: several frames at once where that pays."""
        batch = _BATCH.get(restorer.device.type, 1)
        return cls(restorer.batch, restorer.fingerprint(), batch, lambda: restorer.notes)


@dataclass(frozen=True)
class Pace:
    """How far a clip is.

    Attributes:
        done: frames, those of an earlier run too.
        total: frames expected; None when the file does not say.
        rate: frames per second of this run; 0 before the first.
    """

    done: int
    total: int | None
    rate: float

    @property
    def left(self) -> float | None:
        """Seconds still to go, as far as can be told."""
        return None if self.total is None or not self.rate else max(0, self.total - self.done) / self.rate


@dataclass(frozen=True)
class ClipOutcome:
    """What became of one clip.

    Attributes:
        item: input and output.
        error: why there is no output; None when there is one. What is no `DerainError` is a bug of ours.
        fatal: whether the error would meet all other clips too.
        unusable: whether the input is no clip at all.
        incomplete: the output ends where the damaged input does.
        stopped: the work was stopped; there may be a part (`partial`).
        frames: of the output.
        resumed: how many of them an earlier run had made.
        width, height: of the picture, pixels.
        duration: of the output, seconds.
        seconds: of work.
        codec: of the output.
        partial: what was written of a stopped clip.
        notes: one-line remarks.
    """

    item: Item
    error: Exception | None = None
    fatal: bool = False
    unusable: bool = False
    incomplete: bool = False
    stopped: bool = False
    frames: int = 0
    resumed: int = 0
    width: int = 0
    height: int = 0
    duration: float = 0.0
    seconds: float = 0.0
    codec: str = ""
    partial: str | None = None
    notes: tuple[str, ...] = ()


def restore_clips(
    items: Sequence[Item],
    engine: Engine,
    options: VideoOptions,
    *,
    overwrite: bool = False,
    fail_fast: bool = False,
    report: Callable[[ClipOutcome], None],
    progress: Callable[[int, Pace], None] | None = None,
) -> None:
    """Restore every clip, one after the other; a failure concerns its own clip, unless it is fatal.

    The work is done in other threads. An exception in the calling one, such as a signal handler's, stops it at the
    next frame; segments that are done stay for the next run.

    Args:
        items: a settled plan.
        engine: what takes the rain out.
        options: how clips are restored and coded.
        overwrite: replace outputs that exist.
        fail_fast: stop after the first failure.
        report: called once for each clip that was tried, in order, in this thread.
        progress: called in this thread with the index of the clip and how far it is.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="derain-clip") as pool:
        for index, item in enumerate(items):
            job = _Job(item, engine, options, overwrite)
            future = pool.submit(job.run)
            try:
                while not wait([future], timeout=_EVERY).done:
                    if progress and job.pace is not None:
                        progress(index, job.pace)
            except BaseException:
                job.stop.set()
                report(future.result())
                raise
            outcome = future.result()
            report(outcome)
            if outcome.fatal or (fail_fast and (outcome.error is not None or outcome.incomplete)):
                return


def work_folder(target: str | os.PathLike[str]) -> Path:
    """The hidden folder beside an output where its segments lie."""
    path = Path(target)
    name = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:16]
    return path.parent / f".derain-parts-{name}"


def forget_work(target: str | os.PathLike[str]) -> None:
    """Remove what a killed run left of an output that is there, unless somebody works on it."""
    folder = work_folder(target)
    if folder.is_dir():
        with contextlib.suppress(DestinationError, OSError), _lock(folder, Path(target)):
            shutil.rmtree(folder, ignore_errors=True)


def partial_path(target: str) -> str:
    """Where a stopped clip's part is written."""
    path = Path(target)
    return str(path.with_name(f"{path.stem}_partial{path.suffix}"))


def ahead(items: Iterable[T], depth: int = _DEPTH) -> Iterator[T]:
    """The same items, made in a thread of their own, at most `depth` ahead. Closing it ends the thread."""
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(depth)
    unwanted = threading.Event()

    def put(entry: tuple[bool, Any]) -> bool:
        while not unwanted.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(entry, timeout=_EVERY)
                return True
        return False

    def work() -> None:
        iterator = iter(items)
        try:
            for item in iterator:
                if not put((True, item)):
                    return
            put((False, None))
        except BaseException as error:
            put((False, error))
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, name="derain-ahead", daemon=True)
    thread.start()
    try:
        while True:
            is_item, value = ready.get()
            if is_item:
                yield value
            elif value is None:
                return
            else:
                raise value
    finally:
        unwanted.set()
        thread.join()


@contextmanager
def _lock(folder: Path, target: Path) -> Iterator[None]:
    """Hold `folder` for this process; a process that dies lets go.

    Raises:
        DestinationError: another process works on it.
    """
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            import fcntl
        except ImportError:  # no such locks on Windows
            pass
        else:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DestinationError("another process is making this clip", path=target) from error
            except OSError:
                pass  # a network disk without locks
        yield
    finally:
        os.close(handle)


class _Stopped(Exception):
    """The caller wants no more."""


class _Unusable(Exception):
    """The input is no clip."""


@dataclass
class _Job:
    """One clip."""

    item: Item
    engine: Engine
    options: VideoOptions
    overwrite: bool
    stop: threading.Event = field(default_factory=threading.Event)
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
        except _Unusable as error:
            self.outcome = replace(self.outcome, error=_cause(error), unusable=True)
        except Exception as error:
            known = error if isinstance(error, DerainError) else resource_error_from(error, self.target)
            if known is not None and known is not error:
                known.__cause__ = error
            full = isinstance(known, ResourceError) and not isinstance(known.__cause__, MemoryError)
            self.outcome = replace(self.outcome, error=known or error, fatal=full)
        notes = tuple(dict.fromkeys(self.notes))
        return replace(self.outcome, seconds=time.perf_counter() - start, notes=notes)

    def _run(self) -> None:
        try:
            reader = open_clip(self.item.source)
        except InputError as error:
            raise _Unusable from error
        with reader:
            info = reader.info
            self.outcome = replace(self.outcome, width=info.width, height=info.height)
            encoded = _side_by_side(info) if self.options.preview else info
            encoding = self._encoding(encoded)
            self.notes += encoding.notes
            if info.interlaced:
                self.notes.append("interlaced: both fields of a frame are restored as one picture")
            make_folder(self.target.parent)
            folder = work_folder(self.target)
            make_folder(folder)
            with _lock(folder, self.target):
                parts = _Parts(folder, self._identity(encoding))
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
        """All that the segments hang on."""
        import av
        import cv2

        status = os.stat(self.item.source)  # noqa: PTH116  (sources are strings)
        asked = dataclasses.asdict(replace(self.options, keep_partial=False))
        return {
            "version": __version__,
            "libraries": [av.__version__, cv2.__version__],
            "source": [os.path.realpath(self.item.source), status.st_size, status.st_mtime_ns],
            "engine": [self.engine.identity, self.engine.batch],
            "options": asked,
            "encoding": {"encoder": encoding.encoder, "pix_fmt": encoding.pix_fmt, **encoding.options},
        }

    def _write(self, reader: ClipReader, info: ClipInfo, encoding: Encoding, parts: _Parts) -> None:
        self._want_space(reader.info, parts)
        resumed = parts.frames
        if resumed:
            self.notes.append(f"goes on after {resumed} frames of an earlier run")
        try:
            self._encode(reader, info, encoding, parts)
        finally:
            self.notes += reader.warnings
        ready = parts.segments
        if not ready:
            raise InputError(
                "no frame lies in the part asked for", path=self.item.source, hint=f"it ends {_ending(reader)}"
            )
        make_folder(self.target.parent)  # somebody may have tidied up meanwhile
        with atomic_file(self.target, overwrite=self.overwrite) as temporary:
            self.notes += self._assemble(ready, info, temporary, cut=self.options.is_part)
            _verify(temporary, parts.frames, self.target)
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

    def _write_partial(self, parts: _Parts, info: ClipInfo, current: _OpenSegment | None) -> None:
        """What there is of a stopped clip. The segment that is not full has its name then, but does not count."""
        ready = list(parts.segments)
        if current is not None:
            ready.append((parts.path(), current.finish()))
        if not ready:
            return
        path = partial_path(self.item.target)
        with atomic_file(Path(path), overwrite=True) as temporary:
            # Cut, or the sound would go on after the picture.
            self.notes += self._assemble(ready, info, temporary, cut=True)
        self.outcome = replace(self.outcome, partial=path, frames=sum(len(s.pts) for _, s in ready))

    # --- the chain ----------------------------------------------------------------------------------------------

    def _encode(self, reader: ClipReader, info: ClipInfo, encoding: Encoding, parts: _Parts) -> None:
        """Code what is missing.

        Raises:
            _Stopped: the work was stopped, and the part written, if one is wanted.
        """
        current: _OpenSegment | None = None
        total, resumed, begun = self._total(reader.info), parts.frames, time.perf_counter()
        self.pace = Pace(resumed, total, 0.0)
        chain = self._chain(reader, parts)
        try:
            for frame, pixels in chain:
                if self.stop.is_set():
                    break
                current = current or _OpenSegment(parts.path(), info, encoding)
                alpha = None if frame.alpha is None else info.orientation.coded(frame.alpha)
                coded = info.orientation.coded(pixels)
                current.writer.add(coded, alpha, frame.pts, frame.duration or _step(info))
                done = parts.frames + current.writer.count
                self.pace = Pace(done, total, (done - resumed) / (time.perf_counter() - begun))
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

    def _chain(self, reader: ClipReader, parts: _Parts) -> Any:
        """(frame, picture to code), in order, beginning after the last frame of the last segment."""
        info, until = reader.info, self.options.until
        known = [pts for _, segment in parts.segments for pts in segment.pts]
        # A frame may come out a little different in other company: batches are the same as in an unbroken run.
        size = self.engine.batch
        first = known[max(0, len(known) - REACH) // size * size] if known else None
        if first is None and self.options.start:
            first = info.start + math.ceil(self.options.start / info.time_base - 1e-6)
        skip_to = first
        if known and not parts.sound:
            # Timestamps were made up or frames repeated: only from the start do they come out the same.
            first = None

        def read() -> Iterator[Frame]:
            for frame in reader.frames(first):
                if until is not None and frame.seconds > until - 1e-6:
                    return
                if skip_to is None or frame.pts >= skip_to:
                    yield frame

        def restored(frames: Iterator[Frame]) -> Iterator[tuple[Frame, Pixels]]:
            with contextlib.closing(frames):  # type: ignore[type-var]
                while batch := list(itertools.islice(frames, self.engine.batch)):
                    derained = self.engine.restore([frame.pixels for frame in batch])
                    self.notes += [note for note in self.engine.notes() if note not in self.notes]
                    yield from zip(batch, derained, strict=True)

        def finished(pairs: Iterator[tuple[Frame, Pixels]]) -> Iterator[tuple[Frame, Pixels]]:
            with contextlib.closing(pairs):  # type: ignore[type-var]
                for frame, pixels in steadied(pairs, self.options.temporal):
                    if known and frame.pts <= known[-1]:
                        continue
                    if self.options.preview is not None:
                        pixels = _even(compare(frame.pixels, pixels))
                        yield replace(frame, alpha=None), pixels
                    else:
                        yield frame, pixels

        return ahead(finished(ahead(restored(ahead(read())))))

    # --- beforehand ---------------------------------------------------------------------------------------------

    def _total(self, info: ClipInfo) -> int | None:
        """Frames to expect."""
        until, start = self.options.until, self.options.start
        if not self.options.is_part and info.frames:
            return info.frames
        if info.rate is None or (info.duration is None and until is None):
            return None
        end = min(x for x in (until, info.duration) if x is not None)
        return max(1, round((end - start) * info.rate))

    def _want_space(self, info: ClipInfo, parts: _Parts) -> None:
        size = info.path.stat().st_size
        share, total = 1.0, self._total(info)
        if self.options.is_part and total and info.duration and info.rate:
            share = min(1.0, total / float(info.duration * info.rate))
        there = sum(segment.bytes for _, segment in parts.segments)
        wanted = _SPACE_LEAST + max(0, int(_SPACE * size * share) - there)
        free = shutil.disk_usage(self.target.parent).free
        if free < wanted:
            raise ResourceError(
                f"about {wanted >> 20} MB are needed and {free >> 20} MB are free",
                path=self.target.parent,
                hint="free some space or choose another -o",
            )


@dataclass
class _Parts:
    """The segments of one job in their folder; those of another job are removed."""

    folder: Path
    identity: dict[str, Any]
    segments: list[tuple[Path, Segment]] = field(default_factory=list)
    sound: bool = True

    def __post_init__(self) -> None:
        job = self.folder / "job.json"
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
            if path.name != "lock" and not path.is_dir():
                path.unlink(missing_ok=True)


class _OpenSegment:
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
        with contextlib.suppress(_Stopped):
            self._file.__exit__(_Stopped, _Stopped(), None)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _verify(path: Path, frames: int, target: Path) -> None:
    """Look at what was written.

    Raises:
        ResourceError: it is not what should be there.
    """
    try:
        with open_clip(path) as reader:
            found = reader.info.frames
    except InputError as error:
        raise ResourceError("the output cannot be read back", path=target, hint="check the disk") from error
    if found is not None and found != frames:
        raise ResourceError(f"the output has {found} of {frames} frames", path=target, hint="check the disk")


def _side_by_side(info: ClipInfo) -> ClipInfo:
    """What is to be said of a preview: upright, two pictures wide, without alpha."""
    aspect = info.pixel_aspect
    return replace(
        info,
        coded_width=(2 * info.width + 4) & ~1,
        coded_height=max(2, info.height & ~1),
        orientation=Orientation(),
        matrix=None,
        pixel_aspect=1 / aspect if aspect and info.orientation.transposed else aspect,
        has_alpha=False,
        interlaced=False,
        field_order=0,
    )


def _even(pixels: Pixels) -> Pixels:
    height, width = pixels.shape[:2]
    return pixels[: max(2, height & ~1), : width & ~1]


def _step(info: ClipInfo) -> int:
    """Ticks of a frame whose length is not known."""
    return max(1, round(1 / ((info.rate or 25) * info.time_base)))


def _ending(reader: ClipReader) -> str:
    duration = reader.info.duration
    return "somewhere before" if duration is None else f"at {duration:.1f} s"


def _cause(error: BaseException) -> Exception:
    cause = error.__cause__
    return cause if isinstance(cause, Exception) else UsageError("the input is no clip")
