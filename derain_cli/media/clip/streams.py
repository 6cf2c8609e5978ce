"""Clips for pipes, in formats that can be read sequentially."""

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
    """How a clip is stored before it is sent, and in which format it is sent.

    Attributes:
        format: suffix of the stored file, without dot.
        codec: video codec, unless another one is requested.
        muxer: FFmpeg name of the format that is sent.
    """

    format: Literal["mp4", "mkv"]
    codec: VideoCodec
    muxer: str


# Raw frames must come from a lossless codec.
STREAMS = {
    "ts": Stream("mp4", "h264", "mpegts"),
    "mpegts": Stream("mp4", "h264", "mpegts"),
    "y4m": Stream("mkv", "ffv1", "yuv4mpegpipe"),
}
"""By the names users give."""


def send(path: Path, out: BinaryIO, stream: Stream) -> list[str]:
    """Write a finished clip to a pipe.

    Args:
        path: the clip, in the format and codec of `stream`.
        out: destination; need not be seekable.
        stream: format to send.

    Returns:
        One-line notes on what the format cannot store.

    Raises:
        OSError: writing to `out` fails.
    """
    import av

    convert = _frames if stream.muxer == "yuv4mpegpipe" else _packets
    # Wrapped because PyAV expects more of a file object than a pipe can do.
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
    """Copy all tracks that MPEG-TS supports, without re-encoding."""
    tracks, notes = {}, []
    for track in source.streams:
        if track == picture or (track.type == "audio" and track.codec.name in _SOUND_OF_TS):
            tracks[track.index] = sent.add_stream_from_template(track)
        else:
            notes.append(f"mpegts does not support track {track.index} ({track.type}): left out")
    for packet in source.demux([source.streams[index] for index in tracks]):
        if packet.dts is not None:
            packet.stream = tracks[packet.stream.index]
            sent.mux(packet)
    return notes


def _frames(source: Any, picture: Any, sent: Any) -> list[str]:
    """Send raw frames at a constant rate."""
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
    notes = [f"y4m supports only the picture: {others} other track{'s' * (others > 1)} left out"] if others else []
    if picture.guessed_rate and picture.average_rate and picture.guessed_rate != picture.average_rate:
        notes.append(
            f"y4m has a constant rate: the original frame times are replaced by {float(picture.average_rate):.3f} fps"
        )
    return notes


def _raw_format(given: Any) -> str:
    """The closest planar YUV format."""
    chroma = "420"
    if len(given.components) >= 3 and not given.is_rgb:
        first, second = given.components[0], given.components[1]
        chroma = "444" if first.width == second.width else "420" if first.height != second.height else "422"
    elif given.is_rgb:
        chroma = "444"
    bits = max(component.bits for component in given.components)
    return f"yuv{chroma}p{'' if bits <= 8 else '10le' if bits <= 10 else '12le'}"
