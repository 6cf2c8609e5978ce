"""How quickly clips go through, measured on a few frames before the work; nothing is written."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from derain_cli.config import VideoOptions
from derain_cli.jobs.clips.chain import restored_frames
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.preview import side_by_side
from derain_cli.jobs.clips.reduced import reduced
from derain_cli.jobs.items import Item
from derain_cli.media.clip.encoding import choose_encoding
from derain_cli.media.clip.reader import open_clip
from derain_cli.media.clip.segments import SegmentWriter

__all__ = ["measured_rate"]

_SECONDS = 4.0
"""Seconds that measuring takes, if a single frame does not take longer."""
_FRAMES = 48


def measured_rate(
    item: Item, engine: FrameRestorer, options: VideoOptions, *, clock: Callable[[], float] = time.perf_counter
) -> float | None:
    """Frames per second of a clip through the whole chain: decoding, the network, steadying, coding.

    The first frame, for which everything has to be set up, counts only where there is no other.

    Args:
        item: the clip; its output is not written.
        engine: what takes the rain out.
        options: how the clip is restored and coded.
        clock: seconds.

    Returns:
        None if no frame lies in the part asked for.

    Raises:
        InputError: the clip cannot be used.
    """
    begun, first, last, count = clock(), 0.0, 0.0, 0
    with open_clip(item.source, rate=options.rate) as reader:
        info = side_by_side(reader.info) if options.preview else reader.info
        encoding = choose_encoding(info, Path(item.target).suffix.lower(), options)
        writer = SegmentWriter(Path(os.devnull), info, encoding)
        chain = restored_frames(reader, reduced(engine, options.scale), options, [])
        with contextlib.ExitStack() as opened:
            opened.callback(writer.abandon)
            opened.callback(chain.close)
            for frame, pixels in chain:
                alpha = None if frame.alpha is None else info.orientation.coded(frame.alpha)
                writer.add(info.orientation.coded(pixels), alpha, frame.pts, frame.duration or 1)
                count, last = count + 1, clock()
                first = first or last
                if count == _FRAMES or last - begun >= _SECONDS:
                    break
    if count > engine.batch and last > first:
        return (count - 1) / (last - first)
    return count / (last - begun) if count and last > begun else None
