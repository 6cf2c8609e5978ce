"""Description of a clip from its header and first frame."""

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
"""Formats whose duration is only estimated from the file size."""
_WITHOUT_START = frozenset(["mpegts", "mpeg"])
"""Formats whose clock starts at an arbitrary value; the first timestamp counts as zero."""
_SLOWEST, _FASTEST = Fraction(1, 10_000), 1000
"""Range of plausible frame rates in headers, frames per second."""

_MATRIX = struct.Struct("9i")
_BT709, _BT601 = 1, 6
_MATRICES = frozenset({1, 4, 5, 6, 7, 9, 10})
"""YUV matrices supported by the scaler, FFmpeg numbers."""


@dataclass(frozen=True)
class Orientation:
    """How stored pictures are rotated upright: first transposed, then mirrored.

    Attributes:
        transposed: swap rows and columns.
        mirrored: then swap left and right.
        flipped: then swap top and bottom.
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    @classmethod
    def from_matrix(cls, matrix: tuple[int, ...]) -> Orientation:
        """From the nine numbers of a display matrix; angles are rounded to quarter turns."""
        a, b, _, c, d = matrix[:5]
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    def upright(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """(H, W, ...) as stored to (H', W', ...) upright; contiguous; the same array if nothing changes."""
        turned = picture.swapaxes(0, 1) if self.transposed else picture
        return np.ascontiguousarray(turned[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1])

    def coded(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """The inverse of `upright`."""
        turned = picture[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1]
        return np.ascontiguousarray(turned.swapaxes(0, 1) if self.transposed else turned)


@dataclass(frozen=True)
class ClipInfo:
    """Description of a clip.

    Attributes:
        path: the file.
        container: FFmpeg name of the format, by content.
        width, height: size of the upright picture in pixels.
        coded_width, coded_height: size of the picture as stored.
        frames: declared number of frames, possibly wrong; None if not declared.
        rate: average frames per second; None if unknown. The rate may be variable.
        duration: declared duration of the video track in seconds; None if not declared.
        time_base: seconds per tick of `Frame.pts`.
        start: pts that counts as zero seconds.
        rotation: clockwise degrees (0, 90, 180, 270) by which players rotate the stored picture.
        orientation: the same including mirroring.
        matrix: the display matrix as stored; None without one.
        pixel_aspect: width / height of a stored pixel; None if not declared.
        bit_depth: bits per channel: 8, 10, 12, 16.
        has_alpha: whether frames have transparency.
        codec: FFmpeg codec name.
        pix_fmt: FFmpeg pixel format name (with alpha, if any).
        color_range, color_primaries, color_trc, colorspace: FFmpeg numbers (unspecified is 2; for the range 0).
        interlaced: whether the first frame is interlaced.
        field_order: FFmpeg number: 2 is top field first, 3 bottom field first, 1 progressive, 0 unknown. A track may
            declare 2 or 3 although its frames are progressive.
        mastering_display, content_light: FFmpeg HDR structures as bytes; None if absent.
        track: index of the video track.
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
        """FFmpeg number of the YUV matrix used for decoding and encoding: the tag, or the default of players."""
        if self.colorspace in _MATRICES:
            return self.colorspace
        return _BT709 if min(self.coded_width, self.coded_height) >= 720 else _BT601

    def seconds(self, pts: int) -> float:
        """Timestamp in seconds from `start`."""
        return float((pts - self.start) * self.time_base)

    def described(self, pts: int) -> str:
        """Timestamp as text for messages."""
        return f"{self.seconds(pts):.1f} s"


def describe(path: Path, container: Any, stream: Any, first: Any) -> ClipInfo:
    """Create the description from a PyAV container, its video stream and the first frame."""
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
    """Side data of a decoded picture; empty if PyAV does not know one of its types (EXIF)."""
    try:
        return list(picture.side_data)
    except ValueError:
        return []


def _turning(degrees: int) -> tuple[int, ...]:
    """The display matrix, as stored by FFmpeg, of a rotation as given by PyAV (negative is clockwise)."""
    cos, sin = ((1, 0), (0, 1), (-1, 0), (0, -1))[round(degrees / 90) % 4]
    one = 1 << 16
    return (cos * one, -sin * one, 0, sin * one, cos * one, 0, 0, 0, 1 << 30)


def _field_order(context: Any, first: Any) -> int:
    """Field order as in `ClipInfo`; interlaced clips that do not declare it get the usual one of their codec."""
    # Values 4 and 5 also give the coding order, which is irrelevant for display.
    order = {2: 2, 3: 3, 4: 3, 5: 2}.get(int(context.field_order), int(context.field_order))
    if first.interlaced_frame and order not in (2, 3):
        return 3 if context.name == "dvvideo" else 2
    return order


def _declared_duration(container: Any, stream: Any) -> float | None:
    """Seconds of the video track: from the track, the Matroska tag, or the file if there is no other track."""
    if _ESTIMATED & set(container.format.name.split(",")):
        return None
    if "avi" in container.format.name and (stream.duration or 0) > container.size:
        return None  # a placeholder that the recorder never filled in
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
