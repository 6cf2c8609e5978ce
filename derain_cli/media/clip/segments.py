"""Segments: small Matroska files with consecutive frames of a clip, each from a separate encoder.

Their timestamps are frame numbers; the actual ones are stored separately (`Segment`), since Matroska would round them
to milliseconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from derain_cli.errors import InputError, resource_error_from
from derain_cli.media.clip.encoding import Encoding
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.pixels import Pixels
from derain_cli.remedies import Remedy

__all__ = ["FIRST", "Segment", "SegmentWriter"]

FIRST = 1000
"""Number of the first frame of a segment; above zero so that earlier decoding times need no shift."""
_REORDER = 64
"""Frames; more than any encoder reorders."""
_FULL_RANGE, _RGB = 2, 0
_SWS_MATRIX = {6: 5, 10: 9}
"""YUV matrices whose number in the scaler differs from the FFmpeg number."""


@dataclass(frozen=True)
class Segment:
    """Description of a finished segment; stored in the manifest.

    Attributes:
        pts: timestamps of its frames in ticks of the source time base, increasing.
        tail: duration of the last frame in ticks.
        delay: maximum reordering of packets in frames.
        bytes: size of the file.
    """

    pts: tuple[int, ...]
    tail: int
    delay: int
    bytes: int


class SegmentWriter:
    """Encodes consecutive frames into one segment. Not thread-safe.

    Args:
        path: the file; an existing one is replaced.
        info: the source.
        encoding: codec and its options.

    Raises:
        InputError: the encoder does not support such frames.
        ResourceError: the disk is full.
    """

    def __init__(self, path: Path, info: ClipInfo, encoding: Encoding):
        import av
        from av.codec.hwaccel import HWAccel

        if encoding.codec == "av1":
            os.environ.setdefault("SVT_LOG", "1")  # errors only; the default is a page on stderr per segment
        self._path, self._info, self._encoding = path, info, encoding
        self._pts: list[int] = []
        self._tail = 0
        self._packets = 0
        self._delay = 0
        self._matrix = _SWS_MATRIX.get(info.matrix_used, info.matrix_used)
        self._range = _FULL_RANGE if _is_rgb(encoding.pix_fmt) else info.color_range
        self._container = av.open(str(path), "w", format="matroska", options={"fflags": "+bitexact"})
        try:
            # The encoder uses the average rate, which appears in its headers; with the clip's time base, players would
            # find a rate of thousands there.
            self._tick = 1 / (info.rate or Fraction(25)).limit_denominator(60000)
            device = {} if encoding.device is None else {"hwaccel": HWAccel(encoding.device)}
            # Any: the type stubs do not know that this is a video stream.
            stream: Any = self._container.add_stream(
                encoding.encoder, rate=1 / self._tick, options=dict(encoding.options), **device
            )
            stream.width, stream.height = info.coded_width, info.coded_height
            stream.pix_fmt = encoding.pix_fmt
            context = stream.codec_context
            context.time_base = self._tick
            context.color_range = self._range
            context.color_primaries = info.color_primaries
            context.color_trc = info.color_trc
            if _is_rgb(encoding.pix_fmt):
                context.colorspace = _RGB
            else:
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
        """Number of frames so far."""
        return len(self._pts)

    def add(self, pixels: Pixels, alpha: Pixels | None, pts: int, duration: int) -> None:
        """Encode a frame: (H, W, 3) RGB in stored orientation, with alpha, timestamp and duration in ticks."""
        picture = self._picture(pixels, alpha)
        picture.pts, picture.time_base = len(self._pts), self._tick
        self._pts.append(pts)
        self._tail = duration
        self._mux(picture)

    def close(self) -> Segment:
        """Finish the file and return its description.

        Raises:
            InputError: the encoder lost a frame.
        """
        self._mux(None)
        self._container.close()
        if self._packets != len(self._pts):
            reason = f"the encoder made {self._packets} packets for {len(self._pts)} frames"
            raise InputError(reason, path=self._info.path, remedy=Remedy.OTHER_CODEC)
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
            dst_color_range=self._range or 1,
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
            packet.pts, packet.dts, packet.duration = FIRST + shown, FIRST + self._packets - _REORDER, 1
            self._packets += 1
            self._container.mux(packet)


def _refused(error: Exception, info: ClipInfo, encoding: Encoding) -> Exception:
    full = resource_error_from(error, info.path)
    what = f"{info.width}x{info.height} pixels as {encoding.pix_fmt}"
    return full or InputError(f"{encoding.encoder} cannot encode {what}: {error.strerror}", path=info.path)  # type: ignore[attr-defined]


def _is_rgb(pix_fmt: str) -> bool:
    import av

    return bool(av.VideoFormat(pix_fmt, 64, 64).is_rgb)
