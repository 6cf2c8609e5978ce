"""Clips in: the only code of the project that opens video files. `frames.clip_writer` writes them.

PyAV decodes. It keeps every timestamp as it is, which OpenCV does not, and it does not notice a clip that ends
early: that is done here.
"""

from __future__ import annotations

import heapq
import itertools
import struct
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from derain_cli.errors import InputError, ResourceError, resource_error_from
from derain_cli.frames.fragments import lacks_fragments
from derain_cli.frames.gaps import Gaps
from derain_cli.frames.images import DEFAULT_MAX_PIXELS, Pixels

__all__ = [
    "READABLE_CLIPS",
    "ClipInfo",
    "ClipReader",
    "Frame",
    "Orientation",
    "TrackInfo",
    "open_clip",
    "open_container",
    "says_alpha",
]

READABLE_CLIPS = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg"),
        *("wmv", "asf", "flv", "3gp", "3g2", "ogv", "mxf", "vob"),
    )
)
"""Names that are taken for clips in a folder. The content decides what a file is."""

# By content. Playlists (hls, concat, dash) would open other files or the network; pictures have their own command;
# the demuxer for text art would make a clip of any text file.
_CONTAINERS = frozenset(
    (
        *("mov", "mp4", "3gp", "matroska", "webm", "avi", "mpegts", "mpeg", "mpegvideo", "asf", "flv", "ogg", "mxf"),
        *("nut", "ivf", "h264", "hevc", "m4v", "av1", "obu", "gif", "rm", "dv", "vob", "yuv4mpegpipe"),
    )
)
_ALPHA_DECODERS = {"vp9": "libvpx-vp9", "vp8": "libvpx"}
"""FFmpeg's own decoders of these leave the alpha out."""
_ESTIMATED = frozenset(("mpeg", "mpegvideo", "h264", "hevc", "m4v", "flv", "asf", "vob", "av1", "obu", "dv"))
"""Where a declared duration is only worked out from the size of the file."""
_PICTURE_EACH = frozenset(("h264", "hevc", "av1", "vp9", "mjpeg", "prores", "ffv1"))
"""Codecs whose packets hold a picture each, if not a field. What a decoder leaves out of these lacks what it was made
from: the packets before were lost."""
_HELD = 4
"""Pictures held back to be put in order, in a damaged clip."""
_WITHOUT_START = frozenset(["mpegts", "mpeg"])
"""Their clock starts anywhere: the first timestamp of the file is its zero."""

_SLOWEST, _FASTEST = Fraction(1, 10_000), 1000
"""Frames per second that a header is believed."""

_MATRIX = struct.Struct("9i")
_BT709, _BT601 = 1, 6
_MATRICES = frozenset({1, 4, 5, 6, 7, 9, 10})
"""YUV matrices the scaler knows, by FFmpeg's numbers."""
_FULL_RANGE = 2


@dataclass(frozen=True)
class Orientation:
    """How coded pictures are turned to stand upright: first transposed, then mirrored.

    Attributes:
        transposed: rows become columns.
        mirrored: left and right are exchanged, after that.
        flipped: top and bottom are exchanged, after that.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    @classmethod
    def from_matrix(cls, matrix: tuple[int, ...]) -> Orientation:
        """From the nine numbers of a display matrix; other angles than quarter turns count as the nearest."""
        a, b, _, c, d = matrix[:5]
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def upright(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(H, W, ...) as coded to (H', W', ...) upright; contiguous, the same array where nothing is to be done."""
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        return np.ascontiguousarray(turned[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1])

    def coded(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The inverse of `upright`."""
        turned = picture[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]
        return np.ascontiguousarray(turned.swapaxes(0, 1) if self.transposed else turned)


@dataclass(frozen=True)
class TrackInfo:
    """One track of a clip: its index in the file, kind (`video`, `audio`, `subtitle`, `data`, ...) and codec's name."""

    index: int
    kind: str
    codec: str
    language: str | None = None


@dataclass(frozen=True)
class ClipInfo:
    """What is known of a clip before its frames are read.

    Attributes:
        path: the file.
        container: FFmpeg's name of the format, by content.
        width, height: of the picture upright, pixels.
        coded_width, coded_height: of the picture as it is stored.
        frames: number of frames as declared; None when the file does not say. It may be wrong.
        rate: average frames per second; None when unknown. The clip may still have a variable rate.
        duration: of the video track as declared, seconds; None when the file does not say.
        time_base: seconds per tick of `Frame.pts`.
        start: pts that counts as zero seconds.
        rotation: clockwise degrees (0, 90, 180, 270) by which players turn the coded picture.
        orientation: the same with mirroring.
        matrix: the display matrix as stored; None without one.
        pixel_aspect: width over height of a pixel as coded; None when not square is not said.
        bit_depth: per channel: 8, 10, 12, 16.
        has_alpha: whether frames have transparency.
        codec: FFmpeg's name of the codec.
        pix_fmt: FFmpeg's name of the pixel format (with alpha, if any).
        color_range, color_primaries, color_trc, colorspace: tags by FFmpeg's numbers (2 is unspecified; range 0).
        interlaced: whether the first frame is.
        field_order: which field is shown first, by FFmpeg's numbers: 2 is the top one, 3 the bottom one, 1 says that
            there are no fields, 0 says nothing. A track may say 2 or 3 though its frames are not coded so.
        mastering_display, content_light: FFmpeg's HDR structures, as bytes; None without.
        track: index of the video track that is read.
        tracks: all tracks of the file.
    """

    path: Path
    container: str
    width: int
    height: int
    coded_width: int
    coded_height: int
    frames: int | None
    rate: Fraction | None
    duration: float | None
    time_base: Fraction
    start: int
    rotation: int
    orientation: Orientation
    matrix: tuple[int, ...] | None
    pixel_aspect: Fraction | None
    bit_depth: int
    has_alpha: bool
    codec: str
    pix_fmt: str
    color_range: int
    color_primaries: int
    color_trc: int
    colorspace: int
    interlaced: bool
    field_order: int
    mastering_display: bytes | None
    content_light: bytes | None
    track: int
    tracks: tuple[TrackInfo, ...]

    @property
    def matrix_used(self) -> int:
        """FFmpeg's number of the YUV matrix that is used both ways: the tag, or what players take without one."""
        if self.colorspace in _MATRICES:
            return self.colorspace
        return _BT709 if min(self.coded_width, self.coded_height) >= 720 else _BT601

    def seconds(self, pts: int) -> float:
        """Time of a timestamp, counted from `start`."""
        return float((pts - self.start) * self.time_base)

    def described(self, pts: int) -> str:
        """Time of a timestamp for messages."""
        return f"{self.seconds(pts):.1f} s"


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame.

    Attributes:
        pixels: (H, W, 3) RGB, upright; uint8 in 0..255, or uint16 in 0..65535 for more than 8 bits.
        pts: timestamp in ticks of `time_base`; strictly increasing within a clip.
        time_base: seconds per tick.
        duration: ticks as the file says, 0 when it does not; of another frame, now and then, where the rate is
            variable and frames are stored out of order.
        alpha: (H, W) of the same dtype, upright; None when the clip has none.
        seconds: time from the start of the clip.
    """

    pixels: Pixels
    pts: int
    time_base: Fraction
    duration: int = 0
    alpha: Pixels | None = None
    seconds: float = 0.0

    @property
    def time(self) -> float:
        """Time of `pts` as the file counts it, seconds."""
        return float(self.pts * self.time_base)


def open_clip(path: Path | str, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ClipReader:
    """Open a clip for reading, as a context manager; its header and first frame are read at once.

    Args:
        path: a regular file (symbolic links followed).
        max_pixels: larger frames are refused.

    Raises:
        InputError: it cannot be used; the reason, one line, says why.
    """
    return ClipReader(Path(path), max_pixels=max_pixels)


@dataclass
class _Expected:
    """Timestamps that went into the decoder and have not come out."""

    waiting: list[int] = field(default_factory=list)

    def before(self, pts: int) -> list[int]:
        """Takes out what should have come before `pts`, and `pts` itself; returns the former."""
        missed = []
        while self.waiting and self.waiting[0] <= pts:
            first = heapq.heappop(self.waiting)
            if first != pts:
                missed.append(first)
        return missed


class ClipReader:
    """An open clip: iterate over it once for its frames.

    Attributes:
        info: what the header and the first frame say.
        warnings: one-line remarks, complete once the iteration has ended.
        incomplete: whether the file ended before its declared end, known once the iteration has ended.
    """

    def __init__(self, path: Path, *, max_pixels: int = DEFAULT_MAX_PIXELS):
        self.warnings: list[str] = []
        self.incomplete = False
        self._damaged = 0
        self._filled = 0
        self._odd = 0
        self._fields = False
        self._last_byte = 0
        self._expected = _Expected()
        self._end = 0.0
        self._container = open_container(path)
        try:
            self._stream = _video_stream(self._container, path)
            self._gaps = Gaps(path, self._container.format.name, float(self._stream.time_base))
            self._decoder = self._make_decoder(path)
            self._decoded = self._decode(path)
            first = next(self._decoded, None)
            if first is None:
                raise InputError("cannot open video: no frame can be decoded", path=path)
            self._first = first
            self.info = _describe(path, self._container, self._stream, first)
            if first.width * first.height > max_pixels:
                raise InputError(f"too large: frames of {first.width}x{first.height}", path=path)
        except BaseException:
            self._container.close()
            raise

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def trouble(self) -> bool:
        """Whether, so far, damage was met or timestamps were made up: another run may then not begin in the middle."""
        return bool(self._damaged or self._odd or self._gaps.met)

    def close(self) -> None:
        """Close the file."""
        self._decoded.close()
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, first: int | None = None) -> Iterator[Frame]:
        """Frames in the order of their timestamps.

        Args:
            first: pts of the frame to begin with; None begins at the start. What lies before is skipped, not decoded
                where the file can be searched.

        Raises:
            InputError: the size of the picture changes, or the file cannot be read any more.
        """
        if first is not None:
            self._seek(first)
        last: Frame | None = None
        for pts, picture in self._with_timestamps():
            if first is not None and pts < first:
                continue
            if picture is None:
                if last is None:
                    continue  # nothing to repeat yet
                self._filled += 1
                last = replace(last, pts=pts, seconds=self.info.seconds(pts))
                yield last
                continue
            last = self._frame(picture, pts)
            yield last
        self._judge_end()

    def _frame(self, picture: Any, pts: int) -> Frame:
        info = self.info
        if (picture.width, picture.height) != (info.coded_width, info.coded_height):
            raise InputError(
                f"the picture's size changes from {info.coded_width}x{info.coded_height} to "
                f"{picture.width}x{picture.height} at {info.described(pts)}",
                path=info.path,
                hint=f"--end {info.seconds(pts):.2f} takes what comes before",
            )
        pixels, alpha = _rgb(picture, info)
        return Frame(pixels, pts, info.time_base, int(picture.duration or 0), alpha, info.seconds(pts))

    def _seek(self, first: int) -> None:
        """Go to a key frame well before `first`, or to the start where the file cannot be searched."""
        import av

        target = max(first - int(1 / self.info.time_base), self.info.start)
        if self._first.pts is None or target <= self._first.pts:
            return
        self._decoded.close()
        try:
            self._container.seek(target, stream=self._stream, backward=True)
        except (av.FFmpegError, OSError):
            self._container.seek(0, stream=self._stream)
        self._decoder.flush_buffers()
        self._expected = _Expected()
        self._gaps.restart()
        self._decoded = self._decode(self.info.path)
        found = next(self._decoded, None)
        if found is None or found.pts is None or found.pts > first:
            self._container.seek(0, stream=self._stream, backward=True, any_frame=True)
            self._decoder.flush_buffers()
            self._expected = _Expected()
            self._gaps.restart()
            self._decoded = self._decode(self.info.path)
            found = next(self._decoded, None)
        if found is not None:
            self._first = found

    def _with_timestamps(self) -> Iterator[tuple[int, Any]]:
        """(pts, picture) with pts strictly increasing; picture None where damage swallowed a frame."""
        info = self.info
        step = max(1, int(1 / (info.rate * info.time_base))) if info.rate else 1
        last: int | None = None
        for picture in self._in_order():
            pts = picture.pts
            if pts is None:
                self._odd += 1
                pts = info.start if last is None else last + step
            missed = self._expected.before(pts)
            # A packet may have no picture of its own (a second field); else only damage makes a frame be missing.
            self._fields = self._fields or bool(picture.interlaced_frame)
            if self._damaged or (info.codec in _PICTURE_EACH and not self._fields):
                for one in missed:
                    if last is not None and one > last:
                        last = one
                        self._gaps.shown(one)
                        yield one, None
            if last is not None and pts <= last:
                pts = last + 1
                self._odd += 1
            last = pts
            self._gaps.shown(pts)
            self._end = max(self._end, info.seconds(pts) + float((picture.duration or step) * info.time_base))
            yield pts, picture
        if self._odd:
            self.warnings.append(f"{self._odd} timestamps that were missing or did not increase were made up")

    def _in_order(self) -> Iterator[Any]:
        """Decoded pictures. A decoder that misses pictures may hand out others too early: they are put in order."""
        info = self.info
        step = 1 / ((info.rate or 25) * info.time_base)
        held: list[tuple[int, int, Any]] = []
        for number, picture in enumerate(itertools.chain([self._first], self._decoded)):
            pts = picture.pts
            # Far back is no disorder: another recording begins.
            if pts is None or not (self._damaged or self._gaps.met) or (held and pts < held[0][0] - 16 * step):
                while held:
                    yield heapq.heappop(held)[2]
                yield picture
                continue
            heapq.heappush(held, (pts, number, picture))
            if len(held) > _HELD:
                yield heapq.heappop(held)[2]
        while held:
            yield heapq.heappop(held)[2]

    def _decode(self, path: Path) -> Generator[Any]:
        """Decoded pictures; damaged packets are passed over and counted, a damaged end ends the clip."""
        import av

        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.InvalidDataError, av.error.EOFError):
                self.incomplete = True
                packet = None
            except (av.FFmpegError, OSError) as error:
                raise _unusable(error, path, "cannot be read") from error
            if packet is None or packet.size == 0:
                with suppress(av.FFmpegError):  # the rest of a damaged clip
                    yield from self._decoder.decode(None)
                return
            if packet.pts is not None and not packet.is_discard:
                heapq.heappush(self._expected.waiting, packet.pts)
            self._last_byte = max(self._last_byte, packet.pos or 0)
            self._gaps.sent(packet.pos, packet.pts)
            try:
                yield from self._decoder.decode(packet)
            except av.error.InvalidDataError:
                self._damaged += 1
            except (av.FFmpegError, OSError) as error:
                raise _unusable(error, path, "cannot be decoded") from error

    def _make_decoder(self, path: Path) -> Any:
        import av

        context = self._stream.codec_context
        if context is None:
            raise InputError("cannot open video: the codec is not known", path=path)
        other = _ALPHA_DECODERS.get(context.name)
        if other and says_alpha(self._stream):
            with suppress(av.FFmpegError, ValueError):
                decoder = av.CodecContext.create(other, "r")
                if context.extradata:
                    decoder.extradata = context.extradata
                return decoder
        context.thread_type = "AUTO"
        return context

    def _judge_end(self) -> None:
        """Whether the file ended before its declared end; half of an mkv decodes without a word."""
        declared = self.info.duration
        if "mov" in self.info.container:
            with suppress(OSError):
                self.incomplete |= lacks_fragments(self.info.path, self._stream.id, self._last_byte)
        frame = 1 / float(self.info.rate) if self.info.rate else 0.04
        # An index of samples is exact; other formats round, or count the sound in.
        tolerance = 1.5 * frame if "mov" in self.info.container else max(0.2, 3 * frame)
        short = declared is not None and self._end < declared - tolerance
        losses = self._gaps.losses(complete=not short and not self.incomplete)
        if losses.breaks_off and (declared is None or self._end < declared - 1.5 * frame):
            self.incomplete = True
        if self._filled:
            self.warnings.append(f"damaged: {self._filled} frames were lost and repeat the one before")
        if losses.after is not None:
            where = f"missing after {self.info.described(losses.after)}"
            self.warnings.append(
                f"damaged: frames may be {where}"
                if losses.frames is None
                else f"damaged: {losses.frames} frames are {where}"
            )
        elif (self._damaged or losses.broken) and not self._filled:
            self.warnings.append("damaged in places")
        self.incomplete |= short
        if short or (self.incomplete and declared is not None and self._end < declared):
            self.warnings.append(f"ended at {self._end:.1f} s of {declared:.1f} s")
        elif self.incomplete:
            self.warnings.append(f"damaged: ended at {self._end:.1f} s")


def open_container(path: Path) -> Any:
    """PyAV's container of a clip.

    Raises:
        InputError: it cannot be opened, or is no clip.
    """
    import av

    try:
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file" if path.exists() else "no such file"
            raise InputError(f"cannot open video: {kind}", path=path)
        if path.stat().st_size == 0:
            raise InputError("cannot open video: empty file", path=path)
        container = _opened(path)
    except (av.FFmpegError, OSError) as error:
        raise _unusable(error, path, "cannot open video") from error
    if not _CONTAINERS & set(container.format.name.split(",")):
        name = container.format.name
        container.close()
        raise InputError(f"cannot open video: {name} is no kind of clip", path=path)
    return container


def _opened(path: Path) -> Any:
    import av

    # `file:` and the white list: a name is never a network address or a protocol, nor is what a file refers to.
    name, options = f"file:{path}", {"protocol_whitelist": "file"}
    try:
        return av.open(name, metadata_errors="replace", options=options)
    except (av.error.InvalidDataError, av.error.EOFError):
        # A fragmented MP4 that breaks off in the head of a fragment: what comes before is read if the heads are not
        # all looked at beforehand.
        return av.open(name, metadata_errors="replace", options=options | {"fflags": "+ignidx"})


def says_alpha(stream: Any) -> bool:
    """Whether a Matroska track says that there is alpha beside its pictures."""
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def _unusable(error: BaseException, path: Path, what: str) -> InputError | ResourceError:
    import av

    if isinstance(error, MemoryError):
        known = resource_error_from(error, path)
        if known is not None:
            return known
    if isinstance(error, av.error.InvalidDataError):
        return InputError(f"{what}: not a readable clip, or its index is missing (cut off?)", path=path)
    reason = getattr(error, "strerror", None) or type(error).__name__
    return InputError(f"{what}: {str(reason).lower()}", path=path)


def _video_stream(container: Any, path: Path) -> Any:
    import av

    covers = av.stream.Disposition.attached_pic | av.stream.Disposition.timed_thumbnails
    videos = [s for s in container.streams.video if not s.disposition & covers]
    if not videos:
        has_sound = "audio only" if container.streams.audio else "there is none"
        raise InputError(f"cannot open video: no video track ({has_sound})", path=path)
    marked = [s for s in videos if s.disposition & av.stream.Disposition.default]
    return (marked or videos)[0]


def _describe(path: Path, container: Any, stream: Any, first: Any) -> ClipInfo:
    matrix, mastering, light = None, None, None
    for data in first.side_data:
        name = data.type.name
        if name == "DISPLAYMATRIX":
            matrix = _MATRIX.unpack(bytes(data)[: _MATRIX.size])
        elif name == "MASTERING_DISPLAY_METADATA":
            mastering = bytes(data)
        elif name == "CONTENT_LIGHT_LEVEL":
            light = bytes(data)
    orientation = Orientation.from_matrix(matrix) if matrix else Orientation()
    width, height = first.width, first.height
    upright = (height, width) if orientation.transposed else (width, height)
    rates = [r for r in (stream.average_rate, stream.guessed_rate) if r]
    base = stream.time_base
    context = stream.codec_context
    components = first.format.components
    starts_anywhere = bool(_WITHOUT_START & set(container.format.name.split(",")))
    # container.start_time is in microseconds.
    start = round(container.start_time / base / 1_000_000) if starts_anywhere and container.start_time else 0
    aspect = stream.sample_aspect_ratio or context.sample_aspect_ratio
    return ClipInfo(
        path=path,
        container=container.format.name,
        width=upright[0],
        height=upright[1],
        coded_width=width,
        coded_height=height,
        frames=stream.frames if 0 < stream.frames <= path.stat().st_size else None,
        rate=rates[0] if rates and _SLOWEST <= rates[0] <= _FASTEST else None,
        duration=_declared_duration(container, stream),
        time_base=base,
        start=start,
        rotation=round(-first.rotation / 90) * 90 % 360,
        orientation=orientation,
        matrix=matrix,
        pixel_aspect=aspect or None,
        bit_depth=max(c.bits for c in components),
        has_alpha=any(c.is_alpha for c in components),
        codec=context.codec.canonical_name if hasattr(context.codec, "canonical_name") else context.name,
        pix_fmt=first.format.name,
        color_range=int(context.color_range or first.color_range),
        color_primaries=int(context.color_primaries),
        color_trc=int(context.color_trc),
        colorspace=int(context.colorspace),
        interlaced=bool(first.interlaced_frame),
        field_order=_field_order(context, first),
        mastering_display=mastering,
        content_light=light,
        track=stream.index,
        tracks=tuple(_track(s) for s in container.streams),
    )


def _field_order(context: Any, first: Any) -> int:
    """Which field is shown first, as in `ClipInfo`; what is interlaced and says nothing is taken for the usual."""
    # The order of coding may be the other one, which concerns nobody here.
    order = {2: 2, 3: 3, 4: 3, 5: 2}.get(int(context.field_order), int(context.field_order))
    if first.interlaced_frame and order not in (2, 3):
        return 3 if context.name == "dvvideo" else 2
    return order


def _track(stream: Any) -> TrackInfo:
    context = stream.codec_context
    return TrackInfo(stream.index, stream.type, context.name if context else "unknown", stream.language)


def _declared_duration(container: Any, stream: Any) -> float | None:
    """Seconds of the video track, by the track itself, by Matroska's tag, or by the file if it holds nothing else."""
    if _ESTIMATED & set(container.format.name.split(",")):
        return None
    if "avi" in container.format.name and (stream.duration or 0) > container.size:
        return None  # a number of frames that says nothing: the recorder never came to fill it in
    if stream.duration and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")
    with suppress(ValueError):
        hours, minutes, seconds = tag.split(":")
        if float(seconds) or int(minutes) or int(hours):
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    timed = [s for s in container.streams if s.type in ("video", "audio", "subtitle")]
    if container.duration and container.duration > 0 and len(timed) == 1:
        return float(container.duration / 1_000_000)
    return None


def _rgb(picture: Any, info: ClipInfo) -> tuple[Pixels, Pixels | None]:
    """Upright pixels and alpha of a decoded picture."""
    from av.video.reformatter import Interpolation

    deep = info.bit_depth > 8
    name = ("rgba64le" if deep else "rgba") if info.has_alpha else ("rgb48le" if deep else "rgb24")
    # The tags of the stream, not of the frame: both ways must use the same.
    if not picture.format.is_rgb:
        picture.colorspace = info.matrix_used
        if info.color_range:
            picture.color_range = info.color_range
    # The scaler's quick way cuts fractions off: a whole level of brightness there and back. Its exact way is for 8
    # bits only: 16 come out in wrong colours (FFmpeg 8).
    exact = Interpolation.BILINEAR | Interpolation.ACCURATE_RND
    if not deep:
        exact |= Interpolation.FULL_CHR_H_INT
    array = picture.to_ndarray(format=name, interpolation=exact, dst_color_range=_FULL_RANGE, threads=1)
    alpha = None
    if info.has_alpha:
        alpha = info.orientation.upright(array[:, :, 3])
        array = array[:, :, :3]
    return info.orientation.upright(array), alpha
