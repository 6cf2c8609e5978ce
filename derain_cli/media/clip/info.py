"""What is known of a clip before its frames are read: from its header and the first frame."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["ClipInfo", "Orientation", "describe", "side_data_of"]

_ESTIMATED = frozenset(("mpeg", "mpegvideo", "h264", "hevc", "m4v", "flv", "asf", "vob", "av1", "obu", "dv"))
"""Where a declared duration is only worked out from the size of the file."""
_WITHOUT_START = frozenset(["mpegts", "mpeg"])
"""Their clock starts anywhere: the first timestamp of the file is its zero."""
_SLOWEST, _FASTEST = Fraction(1, 10_000), 1000
"""Frames per second that a header is believed."""

_MATRIX = struct.Struct("9i")
_BT709, _BT601 = 1, 6
_MATRICES = frozenset({1, 4, 5, 6, 7, 9, 10})
"""YUV matrices the scaler knows, by FFmpeg's numbers."""


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


def describe(path: Path, container: Any, stream: Any, first: Any) -> ClipInfo:
    """From PyAV's container, its video stream and the first frame."""
    matrix, mastering, light = None, None, None
    for data in side_data_of(first):
        name = data.type.name
        if name == "DISPLAYMATRIX":
            matrix = _MATRIX.unpack(bytes(data)[: _MATRIX.size])
        elif name == "MASTERING_DISPLAY_METADATA":
            mastering = bytes(data)
        elif name == "CONTENT_LIGHT_LEVEL":
            light = bytes(data)
    if matrix is None and first.rotation:
        matrix = _turning(first.rotation)
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
    )


def side_data_of(picture: Any) -> list[Any]:
    """What a decoded picture carries; nothing where there is a kind among it that PyAV has no name for (EXIF)."""
    try:
        return list(picture.side_data)
    except ValueError:
        return []


def _turning(degrees: int) -> tuple[int, ...]:
    """The display matrix of a turn as PyAV tells it (negative is clockwise), as FFmpeg stores it."""
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[round(degrees / 90) % 4]
    one = 1 << 16
    return (cos * one, -sin * one, 0, sin * one, cos * one, 0, 0, 0, 1 << 30)


def _field_order(context: Any, first: Any) -> int:
    """Which field is shown first, as in `ClipInfo`; what is interlaced and says nothing is taken for the usual."""
    # The order of coding may be the other one, which concerns nobody here.
    order = {2: 2, 3: 3, 4: 3, 5: 2}.get(int(context.field_order), int(context.field_order))
    if first.interlaced_frame and order not in (2, 3):
        return 3 if context.name == "dvvideo" else 2
    return order


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
