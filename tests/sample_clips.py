"""Clips for tests, made with PyAV, with any timing, size, depth and extra tracks."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

_INTERLACED = 1 << 18 | 1 << 29
"""FFmpeg flags for interlaced coding and motion estimation."""


def picture(number: int, width: int = 48, height: int = 32, *, deep: bool = False) -> NDArray[Any]:
    """Frame `number`: a smooth ramp with a moving bright bar, (H, W, 3) uint8 or uint16."""
    rows, columns = np.mgrid[0:height, 0:width]
    base = 60 + 80 * columns / max(1, width) + 40 * rows / max(1, height)
    made = np.stack([base, base[::-1], np.full_like(base, 40 + (number * 7) % 120)], axis=-1)
    made[:, (number * 3) % width : (number * 3) % width + max(2, width // 10)] += 60
    made = np.clip(made, 0, 255)
    return np.asarray(made * 257, np.uint16) if deep else made.astype(np.uint8)


@dataclass(frozen=True)
class Clip:
    """What a test clip is like.

    `pts` are ticks of `time_base`, one per frame; `codec` names an encoder. `audio` are codecs of sound tracks,
    `subtitles` codecs of tracks with a line at every half second, `data` codecs of tracks with some bytes beside every
    frame. `fields` is `tff` or `bff`: frames are interlaced, and the other field is of the moment that follows.
    """

    frames: int = 12
    width: int = 48
    height: int = 32
    pts: Sequence[int] | None = None
    time_base: Fraction = Fraction(1, 12800)
    rate: Fraction = Fraction(25)
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    options: dict[str, str] = field(default_factory=lambda: {"preset": "ultrafast", "crf": "12", "bf": "2"})
    rotation: int | None = None
    pixel_aspect: Fraction | None = None
    colours: tuple[int, int, int, int] | None = None
    audio: Sequence[str] = ()
    subtitles: Sequence[str] = ()
    data: Sequence[str] = ()
    fields: str | None = None
    chapters: Sequence[tuple[float, float, str]] = ()
    tags: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)

    @property
    def times(self) -> list[int]:
        step = int(1 / (self.rate * self.time_base))
        return list(self.pts) if self.pts is not None else [n * step for n in range(self.frames)]

    @property
    def coding(self) -> dict[str, str]:
        by_params = {"x264-params": f"{self.fields}=1"} if self.fields and self.codec == "libx264" else {}
        return self.options | by_params

    @property
    def deep(self) -> bool:
        return "10" in self.pix_fmt or "12" in self.pix_fmt


def write_clip(path: str | Path, clip: Clip | None = None, **changes: Any) -> Path:
    """Write a clip; the suffix selects the format."""
    path, clip = Path(path), clip or Clip(**changes)
    assert clip.codec != "libx265" or clip.width >= 64, "x265 writes beyond its buffers"
    with av.open(str(path), "w", options=clip.container) as out:
        _fill(out, clip)
    return path


class Pipe(io.RawIOBase):
    """Takes bytes one after the other, and nothing else."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.data += bytes(data)
        return len(data)


def write_without_duration(path: str | Path, **changes: Any) -> Path:
    """A Matroska file as written by a recorder that cannot seek: without durations."""

    pipe = Pipe()
    with av.open(pipe, "w", format="matroska", options={"live": "1"}) as out:
        _fill(out, Clip(**changes))
    Path(path).write_bytes(bytes(pipe.data))
    return Path(path)


def _fill(out: Any, clip: Clip) -> None:
    out.metadata.update(clip.tags)
    video = out.add_stream(clip.codec, rate=clip.rate, options=clip.coding)
    video.width, video.height, video.pix_fmt = clip.width, clip.height, clip.pix_fmt
    if clip.fields:
        video.codec_context.flags |= _INTERLACED
    video.codec_context.time_base = clip.time_base
    video.time_base = clip.time_base
    if clip.rotation is not None:
        video.set_display_rotation(clip.rotation)
    if clip.pixel_aspect:
        video.codec_context.sample_aspect_ratio = clip.pixel_aspect
    if clip.colours:
        context = video.codec_context
        context.color_range, context.color_primaries, context.color_trc, context.colorspace = clip.colours
    if "yuva" in clip.pix_fmt:
        video.metadata["alpha_mode"] = "1"
    sounds = [out.add_stream(codec, rate=48000) for codec in clip.audio]
    for number, sound in enumerate(sounds):
        sound.metadata["language"] = ("eng", "deu", "fra")[number]
    texts = [out.add_mux_stream(codec) for codec in clip.subtitles]
    for text in texts:
        text.time_base = Fraction(1, 1000)
        text.metadata["language"] = "eng"
    others = [out.add_mux_stream(codec) for codec in clip.data]
    if clip.chapters:
        out.set_chapters(
            [
                {
                    "id": number,
                    "start": round(begin * 1000),
                    "end": round(end * 1000),
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": title},
                }
                for number, (begin, end, title) in enumerate(clip.chapters)
            ]
        )
    times = clip.times
    seconds = float((times[-1] + times[-1] - times[-2] if len(times) > 1 else times[0] + 512) * clip.time_base)
    for sound in sounds:
        _sound(out, sound, seconds)
    for text in texts:
        for begin in np.arange(0, seconds, 0.5):
            line = av.Packet(f"line at {begin}".encode())
            line.stream, line.time_base = text, Fraction(1, 1000)
            line.pts = line.dts = round(begin * 1000)
            line.duration = 400
            out.mux(line)
    for other in others:
        for number, pts in enumerate(times):
            sample = av.Packet(bytes([number % 256]) * 20)
            sample.stream, sample.time_base = other, clip.time_base
            sample.pts = sample.dts = pts
            sample.duration = 1
            out.mux(sample)
    ends = [*times[1:], times[-1] + max(1, round(1 / (clip.rate * clip.time_base)))]
    lengths = {pts: end - pts for pts, end in zip(times, ends, strict=True)}
    for number, pts in enumerate(times):
        frame = _frame(clip, number)
        frame.pts, frame.time_base = pts, clip.time_base
        _mux(out, video.encode(frame), lengths)
    _mux(out, video.encode(None), lengths)


def _mux(out: Any, packets: Any, lengths: dict[int, int]) -> None:
    for packet in packets:
        packet.duration = lengths[packet.pts]
        out.mux(packet)


def _frame(clip: Clip, number: int) -> Any:
    array, name = picture(number, clip.width, clip.height, deep=clip.deep), "rgb48le" if clip.deep else "rgb24"
    if clip.fields:
        later = 1 if clip.fields == "tff" else 0
        array[later::2] = picture(number + 1, clip.width, clip.height, deep=clip.deep)[later::2]
    if "yuva" in clip.pix_fmt or "rgba" in clip.pix_fmt:
        ramp = np.linspace(0, 65535 if clip.deep else 255, clip.width).astype(array.dtype)
        array = np.dstack([array, np.broadcast_to(ramp, array.shape[:2])])
        name = "rgba64le" if clip.deep else "rgba"
    matrix = clip.colours[3] if clip.colours else 5
    full = clip.colours[0] if clip.colours else 1
    made = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=name)
    return made.reformat(format=clip.pix_fmt, dst_colorspace=matrix, src_color_range=2, dst_color_range=full)


def _sound(out: Any, stream: Any, seconds: float) -> None:
    size = 1024
    for start in range(0, int(seconds * 48000), size):
        wave = (8000 * np.sin(np.arange(start, start + size) / 20)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None, :], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def join(path: str | Path, *parts: str | Path) -> Path:
    """One file after the other, as concatenated by `cat`."""
    Path(path).write_bytes(b"".join(Path(part).read_bytes() for part in parts))
    return Path(path)


def write_sound(path: str | Path) -> Path:
    """A file with sound only."""
    with av.open(str(path), "w") as out:
        _sound(out, out.add_stream("aac", rate=48000), 0.5)
    return Path(path)


def times_of(path: str | Path) -> list[Fraction]:
    """Sorted presentation times of the picture in seconds, directly from the packets."""
    with av.open(str(path)) as file:
        base = file.streams.video[0].time_base
        return sorted(p.pts * base for p in file.demux(video=0) if p.pts is not None)


def packets_of(path: str | Path, index: int) -> list[tuple[Fraction, bytes]]:
    """(time, content) of every packet of one track."""
    with av.open(str(path)) as file:
        stream = file.streams[index]
        return [(p.pts * p.time_base, bytes(p)) for p in file.demux(stream) if p.pts is not None and p.size]
