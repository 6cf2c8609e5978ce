"""Processing chain of a clip: reading, windows, restoration and temporal filter, each in a thread of its own."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace

from derain_cli.config import VideoOptions
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.preview import even
from derain_cli.jobs.clips.temporal_filter import REACH, temporal_filter
from derain_cli.jobs.prefetch import prefetch
from derain_cli.media.clip.reader import ClipReader, Frame
from derain_cli.media.hidden import fill_hidden, keep_hidden
from derain_cli.media.montage import compare
from derain_cli.media.pixels import Pixels
from derain_cli.motion.window import REPEATS, windows

__all__ = ["restored_frames"]


def restored_frames(
    reader: ClipReader,
    engine: FrameRestorer,
    options: VideoOptions,
    notes: list[str],
    known: Sequence[int] = (),
    *,
    sound: bool = True,
) -> Generator[tuple[Frame, Pixels]]:
    """(frame, picture to encode), in order, starting after the last finished frame.

    Args:
        reader: reader of the clip.
        engine: restores the frames.
        options: part of the clip, temporal filter, preview.
        notes: notes of the engine are appended here.
        known: timestamps of the finished frames, in order.
        sound: whether these are the file's own timestamps, so that the file can be searched by them.
    """
    info, until = reader.info, options.until
    # Results may depend slightly on the batch, so batches must be those of an uninterrupted run.
    size = engine.batch
    lead = REACH + engine.frames // 2 * REPEATS
    first = known[max(0, len(known) - lead) // size * size] if known else None
    if first is None and options.start:
        first = info.start + math.ceil(options.start / info.time_base - 1e-6)
    skip_to = first
    if known and not sound:
        # Made-up timestamps and repeated frames are only reproduced when reading from the start.
        first = None

    def read() -> Iterator[Frame]:
        for frame in reader.frames(first):
            if until is not None and frame.seconds > until - 1e-6:
                return
            if skip_to is None or frame.pts >= skip_to:
                yield frame

    def windowed(frames: Iterator[Frame]) -> Iterator[tuple[Frame, Pixels]]:
        with contextlib.closing(frames):  # type: ignore[type-var]
            filled = ((frame, fill_hidden(frame.pixels, frame.alpha)) for frame in frames)
            yield from windows(filled, engine.frames)

    def restored(seen: Iterator[tuple[Frame, Pixels]]) -> Iterator[tuple[Frame, Pixels]]:
        with contextlib.closing(seen):  # type: ignore[type-var]
            last: list[Pixels] = []
            derained: Sequence[Pixels] = []
            while batch := list(itertools.islice(seen, engine.batch)):
                pictures = [window for _, window in batch]
                if [id(each) for each in pictures] != [id(each) for each in last]:  # else repeated frames
                    derained = engine.restore(pictures)
                    notes.extend([note for note in engine.notes() if note not in notes])
                last = pictures
                yield from zip((frame for frame, _ in batch), derained, strict=True)

    def finished(pairs: Iterator[tuple[Frame, Pixels]]) -> Iterator[tuple[Frame, Pixels]]:
        with contextlib.closing(pairs):  # type: ignore[type-var]
            for frame, pixels in temporal_filter(pairs, options.temporal, notes):
                if known and frame.pts <= known[-1]:
                    continue
                if options.preview is not None:
                    pixels = even(compare(frame.pixels, pixels))
                    yield replace(frame, alpha=None), pixels
                else:
                    yield frame, keep_hidden(pixels, frame.pixels, frame.alpha)

    # Windows are several times as large as frames, so only one is made ahead.
    return prefetch(finished(prefetch(restored(prefetch(windowed(prefetch(read())), depth=1)))))
