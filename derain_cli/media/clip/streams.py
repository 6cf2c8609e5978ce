"""Clips for a pipe: formats that the program at its other end reads from beginning to end."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Literal

from derain_cli.config import VideoCodec
from derain_cli.media.clip.container import open_container, video_stream

__all__ = ["STREAMS", "Stream", "send"]

_SOUND_OF_TS = frozenset(("aac", "mp3", "mp2", "ac3", "eac3", "opus"))


@dataclass(frozen=True)
class Stream:
    """How a clip is written before it is sent.

    Attributes:
        format: suffix of the file, without dot.
        codec: of the picture, unless another one is asked for.
        muxer: FFmpeg's name of what is sent.
    """

    format: Literal["mp4", "mkv"]
    codec: VideoCodec
    muxer: str


# What is sent as raw frames must not have been coded with a loss before.
STREAMS = {
    "ts": Stream("mp4", "h264", "mpegts"),
    "mpegts": Stream("mp4", "h264", "mpegts"),
    "y4m": Stream("mkv", "ffv1", "yuv4mpegpipe"),
}
"""By the names that users give them."""


def send(path: Path, out: BinaryIO, stream: Stream) -> list[str]:
    """Write a finished clip to a pipe.

    Args:
        path: the clip, in the format and codec of `stream`.
        out: need not be seekable.
        stream: what to make of it.

    Returns:
        One-line notes on what the format does not hold.

    Raises:
        OSError: of `out`, as it is.
    """
    import av

    convert = _frames if stream.muxer == "yuv4mpegpipe" else _packets
    # PyAV would ask a real file for more than a pipe can do.
    with (
        open_container(path) as source,
        av.open(_WriteOnly(out), "w", format=stream.muxer, options={"strict": "-1"}) as sent,
    ):
        return convert(source, video_stream(source, path), sent)


@dataclass(frozen=True)
class _WriteOnly:
    out: BinaryIO

    def write(self, data: bytes) -> int:
        return self.out.write(data)


def _packets(source: Any, picture: Any, sent: Any) -> list[str]:
    """Everything that MPEG-TS holds, as it is coded."""
    tracks, notes = {}, []
    for track in source.streams:
        if track == picture or (track.type == "audio" and track.codec.name in _SOUND_OF_TS):
            tracks[track.index] = sent.add_stream_from_template(track)
        else:
            notes.append(f"mpegts does not hold track {track.index} ({track.type}): it is left out")
    for packet in source.demux([source.streams[index] for index in tracks]):
        if packet.dts is not None:
            packet.stream = tracks[packet.stream.index]
            sent.mux(packet)
    return notes


def _frames(source: Any, picture: Any, sent: Any) -> list[str]:
    """Raw frames at a constant rate."""
    pixels = _raw_format(picture.format)
    raw = sent.add_stream("rawvideo", rate=picture.average_rate or 25)
    raw.width, raw.height, raw.pix_fmt = picture.width, picture.height, pixels
    raw.codec_context.sample_aspect_ratio = picture.sample_aspect_ratio or 1
    for number, frame in enumerate(source.decode(picture)):
        frame = frame.reformat(format=pixels)
        frame.pts, frame.time_base = number, 1 / raw.average_rate
        sent.mux(raw.encode(frame))
    sent.mux(raw.encode(None))
    others = sum(other.type != "attachment" for other in source.streams) - 1
    notes = [f"y4m holds only the picture: {others} other track{'s' * (others > 1)} left out"] if others else []
    if picture.guessed_rate and picture.average_rate and picture.guessed_rate != picture.average_rate:
        notes.append(
            f"y4m has one rate: frames are {float(picture.average_rate):.3f} a second, at whatever time they were"
        )
    return notes


def _raw_format(given: Any) -> str:
    """The planar YUV format that comes nearest."""
    chroma = "420"
    if len(given.components) >= 3 and not given.is_rgb:
        first, second = given.components[0], given.components[1]
        chroma = "444" if first.width == second.width else "420" if first.height != second.height else "422"
    elif given.is_rgb:
        chroma = "444"
    bits = max(component.bits for component in given.components)
    return f"yuv{chroma}p{'' if bits <= 8 else '10le' if bits <= 10 else '12le'}"
