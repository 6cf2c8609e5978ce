"""Clips out: frames to segments, and segments with all that the source carries besides its picture to one file.

A segment is a small Matroska file that holds some consecutive frames, coded by an encoder of their own. Its
timestamps are only frame numbers; the true ones lie beside it (`Segment`), since Matroska would round them to
milliseconds. `assemble` joins segments without coding anything again.
"""

from __future__ import annotations

import heapq
import io
import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from derain_cli.config import VideoOptions
from derain_cli.errors import InputError, UsageError, resource_error_from
from derain_cli.frames.images import Pixels
from derain_cli.frames.video import ClipInfo, open_container, says_alpha

__all__ = ["WRITABLE_CLIPS", "Encoding", "Segment", "SegmentWriter", "assemble", "choose_encoding"]

_CODECS_IN = {
    ".mp4": ("h264", "hevc", "av1", "vp9"),
    ".m4v": ("h264", "hevc"),
    ".mov": ("h264", "hevc", "prores"),
    ".mkv": ("h264", "hevc", "av1", "vp9", "ffv1", "prores"),
    ".webm": ("vp9", "av1"),
}
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
WRITABLE_CLIPS = frozenset(_FORMATS)
"""Suffixes of outputs."""

_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "ffv1": "ffv1",
    "prores": "prores_ks",
}
_CRF = {"h264": 18, "hevc": 20, "av1": 24, "vp9": 24}
"""Hardly to be told from the source, by codec; the scales differ."""
_PRESET = {"h264": "medium", "hevc": "medium", "av1": "8", "vp9": "4"}
_HDR_NAMES = {
    "h264": ("mastering-display", "cll"),
    "hevc": ("master-display", "max-cll"),
    "av1": ("mastering-display", "content-light"),
}
"""What the encoders call the mastering display and the content light level; the others take neither."""
_WITH_ALPHA = {".webm": "vp9", ".mkv": "vp9", ".mov": "prores"}
_HOLDS_ALPHA = frozenset(_WITH_ALPHA.values()) | {"ffv1"}
_EVEN_ONLY = frozenset({"libx264", "libx265", "libsvtav1", "prores_ks"})
"""Encoders that need a size their chroma planes divide."""
_NEVER = ("nv", "yuvj", "bgr", "p0", "gray", "ya", "gbr")
"""Layouts taken only when the source has the very same."""

_REFUSED = frozenset({"yuva422p", "yuva444p", "gbrap"})
"""Layouts that an encoder of VP9 names and refuses: few programs would show them."""

_FIRST = 1000
"""Frame number of a segment's first frame. Above zero, so that decoding times before it need no shift."""
_REORDER = 64
"""More than any encoder reorders."""
_FULL_RANGE = 2
_BOTTOM = 3
"""FFmpeg's number of the order in which the bottom field is shown first."""
_SWS_MATRIX = {6: 5, 10: 9}
"""FFmpeg's number of a YUV matrix to the scaler's, where they differ."""

_OUR_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "number_of_", "bps", "_stat")
"""Tags of a file or track that hold for the source's coding only, by their beginnings."""


@dataclass(frozen=True)
class Encoding:
    """How frames are coded.

    Attributes:
        codec: FFmpeg's name of the codec.
        encoder: of the encoder.
        pix_fmt: of the pixel format.
        alpha: whether transparency is kept.
        options: of the encoder.
        notes: one-line remarks on what could not stay as it was.
    """

    codec: str
    encoder: str
    pix_fmt: str
    alpha: bool
    options: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Segment:
    """What is known of a finished segment; it goes into the manifest.

    Attributes:
        pts: timestamps of its frames, ticks of the source's time base, increasing.
        tail: duration of its last frame, ticks.
        delay: how far its packets are out of order, frames.
        bytes: size of the file.
    """

    pts: tuple[int, ...]
    tail: int
    delay: int
    bytes: int


def choose_encoding(info: ClipInfo, suffix: str, options: VideoOptions) -> Encoding:
    """Codec, encoder and pixel format for a clip's output: the source's where the output's format has them.

    Args:
        info: the source.
        suffix: of the output, lower case with dot.
        options: what was asked for.

    Raises:
        UsageError: the format cannot hold the codec that was asked for.
    """
    allowed, notes = _CODECS_IN[suffix], []
    width, height = info.coded_width, info.coded_height
    if options.codec != "auto":
        codec: str = options.codec
        if codec not in allowed:
            holds = ", ".join(allowed)
            raise UsageError(f"{suffix} cannot hold {codec}: it holds {holds}", hint="--format mkv holds all")
    elif info.has_alpha and suffix in _WITH_ALPHA:
        codec = info.codec if info.codec in _HOLDS_ALPHA and info.codec in allowed else _WITH_ALPHA[suffix]
    else:
        codec = info.codec if info.codec in allowed else allowed[0]
    alpha = info.has_alpha and codec in _HOLDS_ALPHA and suffix in _WITH_ALPHA
    if info.has_alpha and not alpha:
        notes.append(f"{codec} in {suffix} holds no transparency: it is left out (webm and mov hold it)")
    encoder = _ENCODERS[codec]
    pix_fmt = _pixel_format(info, encoder, alpha)
    if pix_fmt is None and options.codec == "auto":
        notes.append(f"{codec} cannot code {width}x{height} pixels: h264 is used")
        codec, encoder = "h264", _ENCODERS["h264"]
        pix_fmt = _pixel_format(info, encoder, alpha)
    if pix_fmt is None:
        raise UsageError(f"{codec} cannot code {width}x{height} pixels", hint="--codec h264 or vp9")
    if _subsampling(pix_fmt) != _subsampling(info.pix_fmt) and (width % 2 or height % 2):
        notes.append(f"the odd size {width}x{height} is kept by coding as {pix_fmt}, which not every player shows")
    if _depth(pix_fmt) < info.bit_depth:
        notes.append(f"{codec} codes {_depth(pix_fmt)} of the {info.bit_depth} bits")
    if codec not in _HDR_NAMES and (info.mastering_display or info.content_light):
        notes.append(f"{encoder} writes no mastering display and content light level: they are left out")
    if info.interlaced and not _marks_fields(info, codec, pix_fmt):
        reason = f"of {height} rows" if codec == "h264" else "(h264 does)"
        only = "" if suffix == ".webm" or codec == "h264" else ": only the file's header does"
        notes.append(f"{codec} does not mark interlaced frames {reason}{only}")
    return Encoding(codec, encoder, pix_fmt, alpha, _encoder_options(codec, info, pix_fmt, options), tuple(notes))


def _marks_fields(info: ClipInfo, codec: str, pix_fmt: str) -> bool:
    """Whether the coded frames will say that they are interlaced. The encoder wants whole rows of chroma in a field."""
    return info.interlaced and codec == "h264" and info.coded_height % (2 * _subsampling(pix_fmt)[1]) == 0


def _encoder_options(codec: str, info: ClipInfo, pix_fmt: str, options: VideoOptions) -> dict[str, str]:
    crf = str(options.crf if options.crf is not None else _CRF.get(codec, 0))
    preset = options.preset or _PRESET.get(codec, "")
    if codec in ("h264", "hevc"):
        made = {"crf": crf, "preset": preset}
        params = _hdr_parameters(codec, info)
        if codec == "hevc":
            params = ["log-level=none", *params]
        elif _marks_fields(info, codec, pix_fmt):
            params.append("bff=1" if info.field_order == _BOTTOM else "tff=1")
        if params:
            made["x264-params" if codec == "h264" else "x265-params"] = ":".join(params)
        return made
    if codec == "av1":
        params = _hdr_parameters(codec, info)
        return {"crf": crf, "preset": preset} | ({"svtav1-params": ":".join(params)} if params else {})
    if codec == "vp9":
        # Frames that alternate references are not allowed with alpha: their hidden frames have none.
        return {"crf": crf, "b": "0", "cpu-used": preset, "row-mt": "1"} | (
            {"auto-alt-ref": "0"} if info.has_alpha else {}
        )
    if codec == "prores":
        return {"profile": "4444" if info.has_alpha else "hq", "alpha_bits": "16" if info.has_alpha else "0"}
    return {"level": "3", "g": "1"}


def _hdr_parameters(codec: str, info: ClipInfo) -> list[str]:
    """The mastering display and content light level, as the encoders take them (the structures are FFmpeg's)."""
    display, light = _HDR_NAMES[codec]
    made = []
    if info.mastering_display is not None and len(info.mastering_display) >= 88:
        numbers = struct.unpack("20i2i", info.mastering_display[:88])
        values = [Fraction(n, d) if d else Fraction(0) for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True)]
        if numbers[20] and numbers[21]:
            if codec == "av1":  # candela and shares, not counted in small units
                coordinates, luminances = ([f"{float(v):.6g}" for v in part] for part in (values[:8], values[8:]))
            else:
                coordinates = [str(round(v * 50000)) for v in values[:8]]
                luminances = [str(round(v * 10000)) for v in values[8:]]
            red, green, blue, white = (",".join(coordinates[i : i + 2]) for i in (0, 2, 4, 6))
            low, high = luminances
            made.append(f"{display}=G({green})B({blue})R({red})WP({white})L({high},{low})")
    if info.content_light is not None and len(info.content_light) >= 8:
        most, average = struct.unpack("2I", info.content_light[:8])
        made.append(f"{light}={most},{average}")
    return made


def _pixel_format(info: ClipInfo, encoder: str, alpha: bool) -> str | None:
    """The encoder's format that is nearest to the source's and loses least; None when none fits the size."""
    import av

    source = info.pix_fmt.replace("yuvj", "yuv")
    chroma = _subsampling(source)
    found = []
    for each in av.Codec(encoder, "w").video_formats or []:
        name = each.name
        if (name != source and name.startswith(_NEVER)) or (encoder == "libvpx-vp9" and name in _REFUSED):
            continue
        across, down = _subsampling(name)
        if encoder in _EVEN_ONLY and (info.coded_width % across or info.coded_height % down):
            continue
        depth = _depth(name)
        has_alpha = any(c.is_alpha for c in each.components)
        coarser = across > chroma[0] or down > chroma[1]
        order = (
            has_alpha != alpha,
            depth < info.bit_depth,
            abs(depth - info.bit_depth),
            coarser,
            chroma[0] - across + chroma[1] - down,
            name != source,
            name,
        )
        found.append((order, name))
    fitting = [(order, name) for order, name in found if not order[0]] or found
    return min(fitting)[1] if fitting else None


def _subsampling(pix_fmt: str) -> tuple[int, int]:
    """How many pixels share a chroma sample, across and down."""
    import av

    # Asked for a picture of 64x64, since the answer is the size of a plane.
    form = av.VideoFormat(pix_fmt, 64, 64)
    if form.is_rgb or len(form.components) < 3:
        return (1, 1) if form.is_rgb else (2, 2)
    return 64 // form.components[1].width, 64 // form.components[1].height


def _depth(pix_fmt: str) -> int:
    import av

    return max(c.bits for c in av.VideoFormat(pix_fmt, 64, 64).components)


class SegmentWriter:
    """Codes consecutive frames into one segment. Not safe to use from several threads.

    Args:
        path: the file; an existing one is replaced.
        info: the source.
        encoding: how to code.

    Raises:
        InputError: the encoder does not take such frames.
        ResourceError: the disk is full.
    """

    def __init__(self, path: Path, info: ClipInfo, encoding: Encoding):
        import av

        if encoding.codec == "av1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only: by itself it writes a page to stderr for each segment
        self._path, self._info, self._encoding = path, info, encoding
        self._pts: list[int] = []
        self._tail = 0
        self._packets = 0
        self._delay = 0
        self._matrix = _SWS_MATRIX.get(info.matrix_used, info.matrix_used)
        self._container = av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"})
        try:
            # The encoder counts frames at the average rate, which players find in its headers; ticks of the clip's
            # own clock would stand there as a rate of thousands.
            self._tick = 1 / (info.rate or Fraction(25)).limit_denominator(60000)
            # Any: by the types a stream made from a name could be of any kind.
            stream: Any = self._container.add_stream(
                encoding.encoder, rate=1 / self._tick, options=dict(encoding.options)
            )
            stream.width, stream.height = info.coded_width, info.coded_height
            stream.pix_fmt = encoding.pix_fmt
            context = stream.codec_context
            context.time_base = self._tick
            context.color_range = info.color_range
            context.color_primaries = info.color_primaries
            context.color_trc = info.color_trc
            context.colorspace = info.colorspace if not _is_rgb(info.pix_fmt) else info.matrix_used
            context.field_order = info.field_order
            if info.pixel_aspect:
                context.sample_aspect_ratio = info.pixel_aspect
            if encoding.alpha and encoding.codec == "vp9":
                stream.metadata["alpha_mode"] = "1"
            self._stream = stream
        except BaseException:
            self._container.close()
            raise

    @property
    def count(self) -> int:
        """Frames so far."""
        return len(self._pts)

    def add(self, pixels: Pixels, alpha: Pixels | None, pts: int, duration: int) -> None:
        """Code one frame: (H, W, 3) RGB as coded, not upright, with its alpha, timestamp and duration in ticks."""
        picture = self._picture(pixels, alpha)
        picture.pts, picture.time_base = len(self._pts), self._tick
        self._pts.append(pts)
        self._tail = duration
        self._mux(picture)

    def close(self) -> Segment:
        """Finish the file; what it holds is returned.

        Raises:
            InputError: the encoder lost a frame.
        """
        self._mux(None)
        self._container.close()
        if self._packets != len(self._pts):
            reason = f"the encoder made {self._packets} packets of {len(self._pts)} frames"
            raise InputError(reason, path=self._info.path, hint="another --codec")
        return Segment(tuple(self._pts), self._tail, self._delay, self._path.stat().st_size)

    def abandon(self) -> None:
        """Close without finishing."""
        self._container.close()

    def _picture(self, pixels: Pixels, alpha: Pixels | None) -> Any:
        import av
        from av.video.reformatter import Interpolation

        deep = pixels.dtype == np.uint16
        if self._encoding.alpha and alpha is not None:
            array, name = np.dstack([pixels, alpha]), "rgba64le" if deep else "rgba"
        else:
            array, name = pixels, "rgb48le" if deep else "rgb24"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format=name)
        return picture.reformat(
            format=self._encoding.pix_fmt,
            interpolation=Interpolation.BILINEAR | Interpolation.ACCURATE_RND,
            dst_colorspace=self._matrix,
            src_color_range=_FULL_RANGE,
            dst_color_range=self._info.color_range or 1,
            threads=1,
        )

    def _mux(self, picture: Any) -> None:
        import av

        try:
            packets = self._stream.encode(picture)
        except av.FFmpegError as error:
            raise _refused(error, self._info, self._encoding) from error
        for packet in packets:
            shown = int(packet.pts)
            self._delay = max(self._delay, self._packets - shown)
            packet.time_base = Fraction(1, 1000)
            packet.pts, packet.dts, packet.duration = _FIRST + shown, _FIRST + self._packets - _REORDER, 1
            self._packets += 1
            self._container.mux(packet)


def _refused(error: Exception, info: ClipInfo, encoding: Encoding) -> Exception:
    full = resource_error_from(error, info.path)
    what = f"{info.width}x{info.height} pixels as {encoding.pix_fmt}"
    return full or InputError(f"{encoding.encoder} refuses {what}: {error.strerror}", path=info.path)  # type: ignore[attr-defined]


def _is_rgb(pix_fmt: str) -> bool:
    import av

    return bool(av.VideoFormat(pix_fmt, 64, 64).is_rgb)


@dataclass
class _Copied:
    """Tracks of the source that go into the output as they are: source index to output stream."""

    streams: dict[int, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def assemble(
    segments: Sequence[tuple[Path, Segment]],
    info: ClipInfo,
    target: Path,
    suffix: str,
    *,
    cut: bool = False,
) -> list[str]:
    """Join segments, and the source's other tracks, chapters and tags, into one file.

    Args:
        segments: files and what they hold, in order; at least one.
        info: the source.
        target: the file to write, which may exist (a temporary name).
        suffix: which format to write, lower case with dot.
        cut: the segments are a part of the clip: other tracks are cut to it, and time starts at zero.

    Returns:
        One-line remarks on what the output could not hold.

    Raises:
        InputError: a segment or the source cannot be read any more.
        ResourceError: the disk is full.
    """
    import av

    options = {"fflags": "+bitexact"}
    source = open_container(info.path)
    parts: list[Any] = [av.open(str(segments[0][0]))]
    try:
        tags = {k: v for k, v in source.metadata.items() if not k.lower().startswith(_OUR_TAGS)}
        if _FORMATS[suffix] in ("mp4", "mov") and any(key.startswith("com.") for key in tags):
            options["movflags"] = "+use_metadata_tags"  # keys of phones, which are dropped without it
        out = av.open(str(target), "w", format=_FORMATS[suffix], options=options)
        parts.append(out)
        out.metadata.update(tags)
        first, last = segments[0][1].pts[0], segments[-1][1].pts[-1] + segments[-1][1].tail
        origin = first if cut else info.start
        copied = _Copied()
        for stream in source.streams:
            if stream.index == info.track:
                video = _add_video(out, parts[0], stream, info, suffix)
            else:
                _add_copy(out, stream, suffix, cut, copied)
        out.set_chapters(_chapters(source, info, origin, last if cut else None))
        packets = [_video_packets(segments, video, info, origin)]
        if copied.streams:
            span = (first * info.time_base, last * info.time_base) if cut else None
            packets.append(_other_packets(source, copied, origin * info.time_base, span))
        for _, packet in heapq.merge(*packets, key=lambda timed: timed[0]):
            out.mux(packet)
        return copied.notes
    except av.FFmpegError as error:
        if resource_error_from(error, target) is not None:
            raise
        reason = f"a {suffix} file does not take it: {error.strerror}"
        raise InputError(reason, path=info.path, hint="another --format") from error
    finally:
        source.close()
        for part in reversed(parts):
            part.close()


def _add_video(out: Any, part: Any, source: Any, info: ClipInfo, suffix: str) -> Any:
    template = part.streams.video[0]
    video = out.add_stream_from_template(template, opaque=True)
    video.time_base = info.time_base
    if template.codec_context.name in ("hevc", "libx265") and suffix != ".mkv":
        video.codec_context.codec_tag = "hvc1"  # the other tag is not played everywhere
    _carry_tags(source, video)
    if says_alpha(template):
        video.metadata["alpha_mode"] = "1"
    if info.matrix is not None:
        video.set_display_matrix(info.matrix)
    return video


def _add_copy(out: Any, stream: Any, suffix: str, cut: bool, copied: _Copied) -> None:
    context = stream.codec_context
    name = f"{stream.type} track {stream.index} ({context.name if context else 'of unknown kind'})"
    if stream.type == "data" and ("timecode" in stream.metadata or _is_chapter_titles(stream)):
        return  # the muxer makes it anew, from the tag or the chapters
    if cut and stream.type == "video":
        copied.notes.append(f"{name} is left out of a part")
        return
    if not _is_held(stream, suffix):
        other = next((each for each in (".mkv", ".mov", ".mp4") if each != suffix and _is_held(stream, each)), None)
        hint = f" (--format {other[1:]} holds it)" if other else ""
        copied.notes.append(f"{name} cannot be stored in {suffix}: it is left out{hint}")
        return
    made = _add_like(out, stream)
    copied.streams[stream.index] = made
    if stream.type == "video" and not stream.disposition & 0x400:  # no cover picture
        copied.notes.append(f"{name} is copied as it is, with its rain")


def _is_chapter_titles(stream: Any) -> bool:
    """Whether QuickTime's way of storing chapters made a track of it: the demuxer marks it as not to be read."""
    import av

    return bool(stream.discard == av.stream.Discard.all)


def _add_like(out: Any, stream: Any) -> Any:
    made = out.add_stream_from_template(stream, opaque=True)
    if stream.type == "audio" and stream.codec_context.layout.name.endswith(" channels"):
        # AVI and others only count channels; MP4 wants to know which they are. The usual ones of that number are meant.
        made.codec_context.layout = f"{stream.codec_context.layout.nb_channels}c"
    _carry_tags(stream, made)
    return made


def _is_held(stream: Any, suffix: str) -> bool:
    """Whether the format takes a track of this kind: found by writing a header, since formats don't tell before.

    Data that FFmpeg has no name for in MP4 and QuickTime gets in without one: players don't know what it is, and some
    such files cannot be opened again.
    """
    import av

    written = io.BytesIO()
    try:
        trial = av.open(written, "w", format=_FORMATS[suffix])
        try:
            made = _add_like(trial, stream)
            trial.start_encoding()
            if stream.type == "data":
                packet = av.Packet(bytes(8))
                packet.stream, packet.pts, packet.dts, packet.time_base = made, 0, 0, Fraction(1, 1000)
                trial.mux(packet)
        finally:
            trial.close()
    except (av.FFmpegError, ValueError, OSError):
        return False
    before, _, _ = written.getvalue().rpartition(b"stsd")
    # A box of 16 bytes holds its own size and type, its version and a count, but no name of what is in the track.
    return stream.type != "data" or int.from_bytes(before[-4:], "big") > 16


def _carry_tags(source: Any, made: Any) -> None:
    made.metadata.update({k: v for k, v in source.metadata.items() if not k.lower().startswith(_OUR_TAGS)})
    made.disposition = source.disposition


def _chapters(source: Any, info: ClipInfo, origin: int, last: int | None) -> list[Any]:
    """The source's chapters, shifted with the picture and, for a part, cut to it."""
    shifted = []
    for chapter in source.chapters():
        base = chapter["time_base"]
        shift = round(origin * info.time_base / base)
        end = chapter["end"] - shift
        if last is not None:
            end = min(end, round((last - origin) * info.time_base / base))
        start = chapter["start"] - shift
        if last is not None:
            start = max(0, start)
        if start < end:
            shifted.append({**chapter, "start": start, "end": end})
    return shifted


def _video_packets(
    segments: Sequence[tuple[Path, Segment]], video: Any, info: ClipInfo, origin: int
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of all segments with the source's timestamps; decoding times are the same ones, moved back."""
    import av

    shown = [pts - origin for _, segment in segments for pts in segment.pts]
    ends = [*shown[1:], shown[-1] + max(segments[-1][1].tail, 1)]
    delay = max(segment.delay for _, segment in segments)
    step = max(1, ends[0] - shown[0])
    number, before = 0, 0
    for path, segment in segments:
        with av.open(str(path)) as part:
            for packet in part.demux(video=0):
                if packet.size == 0:
                    continue
                if number == len(shown):
                    break
                assert packet.pts is not None  # `SegmentWriter` gives each one
                index = before + packet.pts - _FIRST
                packet.stream, packet.time_base = video, info.time_base
                early = number - delay
                packet.pts, packet.duration = shown[index], ends[index] - shown[index]
                packet.dts = shown[early] if early >= 0 else shown[0] + early * step
                number += 1
                yield packet.dts * info.time_base, packet
        before += len(segment.pts)
        if number != before:
            raise InputError("a segment is damaged", path=path, hint="--overwrite starts again")


def _other_packets(
    source: Any, copied: _Copied, origin: Fraction, span: tuple[Fraction, Fraction] | None
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of copied tracks; those that begin within `span` (seconds) if one is given."""
    import av

    wanted = [source.streams[index] for index in copied.streams]
    ends = {s.index: s.start_time + s.duration for s in wanted if s.start_time is not None and s.duration}
    latest = Fraction(-(10**9))
    packets = source.demux(wanted)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.InvalidDataError, av.error.EOFError):  # the reader has said so
            return
        if packet is None:
            return
        if packet.size == 0 or packet.dts is None:
            continue
        base = packet.time_base
        start = (packet.pts if packet.pts is not None else packet.dts) * base
        if span is not None and not span[0] <= start < span[1]:
            continue
        shift = round(origin / base)
        if packet.pts is not None and packet.duration and packet.stream_index in ends:
            # The end of the last packet may be cut off by the header alone (an edit list).
            packet.duration = max(1, min(packet.duration, ends[packet.stream_index] - packet.pts))
        packet.stream = copied.streams[packet.stream.index]
        packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        # Merging needs an order; a track that goes back a little is muxed as it comes.
        latest = max(latest, packet.dts * base)
        yield latest, packet
