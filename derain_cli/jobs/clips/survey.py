"""How much there is to do: frames and pixels of each clip, from its header, before any frame is decoded."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from derain_cli.config import VideoOptions
from derain_cli.errors import InputError
from derain_cli.media.clip.container import open_container, packets_of, video_stream
from derain_cli.system.files import size_of

__all__ = ["Load", "expected_frames", "survey"]

_COUNTING = 2.0
"""Seconds for which packets are counted where no header says how many there are; beyond, by the share of the file."""
_FASTEST = 1000
_MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class Load:
    """What one clip of a job amounts to.

    Attributes:
        frames: to be made; an estimate where the header does not count them. 0 for what cannot be read.
        width, height: of the coded picture, pixels.
        seconds: of the clip or the part that is wanted; 0 when unknown.
    """

    frames: int = 0
    width: int = 0
    height: int = 0
    seconds: float = 0.0

    @property
    def pixels(self) -> int:
        """Of a frame."""
        return self.width * self.height

    @property
    def weight(self) -> int:
        """Pixels of all frames: what the time to restore the clip goes by."""
        return self.frames * self.pixels


def expected_frames(
    options: VideoOptions, frames: int | None, rate: Fraction | None, duration: float | None
) -> int | None:
    """Frames that will be made of a clip; None when that cannot be told.

    Args:
        options: which part is wanted.
        frames: of the whole clip, as declared.
        rate: frames per second.
        duration: of the whole clip, seconds.
    """
    until, start = options.until, options.start
    if not options.is_part and frames:
        return frames
    if rate is None or (duration is None and until is None):
        return None
    end = min(x for x in (until, duration) if x is not None)
    return max(1, round((end - start) * rate))


def survey(source: str, options: VideoOptions, *, clock: Callable[[], float] = time.monotonic) -> Load:
    """What a clip amounts to; an empty `Load` for one that cannot be read, which its restoring will tell.

    Args:
        source: the clip.
        options: which part of it is wanted.
        clock: seconds, for the time that counting may take.
    """
    path = Path(source)
    try:
        with open_container(path, options.rate) as container:
            stream = video_stream(container, path)
            context = stream.codec_context
            if context is None:
                return Load()
            rate = next((r for r in (stream.average_rate, stream.guessed_rate) if r and r <= _FASTEST), None)
            declared = stream.frames if 0 < stream.frames <= size_of(path) else None
            duration = _duration(container, stream)
            if declared is None and duration is None:
                declared = _counted(container, stream, size_of(path), clock)
            if declared is None and rate and duration:
                declared = round(rate * duration)
            if duration is None and declared:
                duration = float(declared / (rate or 25))
            frames = expected_frames(options, declared, rate or Fraction(25), duration) or 0
            return Load(frames, context.width, context.height, float(frames / (rate or 25)))
    except (InputError, OSError):
        return Load()


def _duration(container: Any, stream: Any) -> float | None:
    """Seconds as declared, or as FFmpeg works them out; good enough to count by."""
    if stream.duration and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    if container.duration and container.duration > 0:
        return float(container.duration * _MICROSECOND)
    return None


def _counted(container: Any, stream: Any, size: int, clock: Callable[[], float]) -> int | None:
    """Packets of the picture; extrapolated by their place in the file where that takes long."""
    import av

    count, until, position = 0, clock() + _COUNTING, 0
    try:
        for packet in packets_of(container, [stream]):
            if packet.size == 0:
                continue
            count += 1
            position = max(position, packet.pos or 0)
            if count % 256 == 0 and position and clock() > until:
                return round(count * size / position)
    except av.FFmpegError:
        pass  # what comes before is what will be restored
    return count or None
