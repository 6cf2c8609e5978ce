"""Reads the frames of clips with their timestamps.

PyAV decodes. Unlike OpenCV it keeps timestamps unchanged, but it does not notice clips that end early or lack frames;
that is done here, with `damage`.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from derain_cli.config import DEFAULT_MAX_PIXELS
from derain_cli.errors import InputError
from derain_cli.media.clip.container import open_container, packets_of, says_alpha, unusable, video_stream
from derain_cli.media.clip.damage.gaps import Gaps
from derain_cli.media.clip.ending import Seen, judged_end
from derain_cli.media.clip.frame import LEFT_OUT, Frame, decoded_frame
from derain_cli.media.clip.info import describe, side_data_of
from derain_cli.media.clip.pictures import USUAL_RATE, sequence_in
from derain_cli.media.clip.tables import mends_of
from derain_cli.media.clip.timing.expected import Expected
from derain_cli.media.clip.timing.recordings import Recordings

__all__ = ["ClipReader", "Frame", "open_clip"]

_ALPHA_DECODERS = {"vp9": "libvpx-vp9", "vp8": "libvpx"}
"""FFmpeg's native decoders for these ignore alpha."""
_PICTURE_EACH = frozenset(("h264", "hevc", "av1", "vp9", "mjpeg", "prores", "ffv1"))
"""Codecs with one picture (or field) per packet. If a decoder omits a picture of these, its reference packets were
lost."""
_WITHOUT_ORDER = frozenset(["avi"])
"""Formats that number frames in coding order and do not store the display order. The decoder outputs display order: its
first picture gets the first timestamp, and so on."""
_OF_DEVICES = {"nv12": "yuv420p", "p010le": "yuv420p10le"}
"""Pixel formats of hardware decoders, and the planar format with the same content."""
_HELD = 4
"""Pictures held back for reordering in a damaged clip."""


def open_clip(
    path: Path | str,
    *,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    rate: float | None = None,
    device: str | None = None,
) -> ClipReader:
    """Open a clip for reading, as a context manager; header and first frame are read immediately.

    Args:
        path: a regular file (symbolic links are followed), or a folder of numbered pictures.
        max_pixels: larger frames are refused.
        rate: pictures per second of such a folder.
        device: what decodes in place of the processor (`hardware.decoding_device`); where it cannot, that does.

    Raises:
        InputError: the clip is unusable; the reason is one line.
    """
    return ClipReader(Path(path), max_pixels=max_pixels, rate=rate, device=device)


class ClipReader:
    """An open clip: iterate over it once for its frames.

    Attributes:
        info: description from the header and the first frame.
        warnings: one-line notes, complete after iteration.
        incomplete: whether the file ended before its declared end; known after iteration.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_pixels: int = DEFAULT_MAX_PIXELS,
        rate: float | None = None,
        device: str | None = None,
    ):
        self.warnings: list[str] = []
        self.incomplete = False
        self._damaged = 0
        self._filled = 0
        self._odd = 0
        self._fields = False
        self._last_byte = 0
        self._expected = Expected()
        self._end = 0.0
        self._pass_over = 0
        self._carried: set[str] = set()
        self._container = open_container(path, rate, device)
        try:
            self._stream = video_stream(self._container, path)
            self._recordings = Recordings(path, self._container.format.name)
            self._without_order = self._container.format.name in _WITHOUT_ORDER
            self._gaps = Gaps(path, self._container.format.name, float(self._stream.time_base))
            self._decoder = self._make_decoder(path)
            self._decoded = self._decode(path)
            first = next(self._decoded, None)
            if first is None:
                raise InputError("cannot open video: no frame can be decoded", path=path)
            self._first = first
            info = describe(path, self._container, self._stream, first)
            self.info = replace(info, pix_fmt=_OF_DEVICES.get(info.pix_fmt, info.pix_fmt)) if device else info
            if first.width * first.height > max_pixels:
                raise InputError(f"too large: frames of {first.width}x{first.height}", path=path)
        except BaseException:
            self._container.close()
            raise
        if (pictures := sequence_in(path)) is not None:
            shown = f"{rate:g} per second" if rate else f"{USUAL_RATE} per second by default"
            self.warnings.append(f"{pictures.count} numbered pictures are used as a clip, {shown}")
        elif rate is not None:
            self.warnings.append("the clip has its own rate: the given one applies to numbered pictures only")
        if mends_of(path):
            self.warnings.append("the time table of the file is broken: a constant rate is assumed")

    def __enter__(self) -> ClipReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def trouble(self) -> bool:
        """Whether damage was found or timestamps were replaced so far; if so, a run must not start in the middle."""
        return bool(self._damaged or self._odd or self._gaps.met)

    @property
    def left_out(self) -> list[str]:
        """One-line notes on side data of the frames so far that no encoder here can write."""
        return list(dict.fromkeys(text for name, text in LEFT_OUT.items() if name in self._carried))

    def close(self) -> None:
        """Close the file."""
        self._decoded.close()
        self._recordings.close()
        self._container.close()

    def __iter__(self) -> Iterator[Frame]:
        return self.frames()

    def frames(self, first: int | None = None) -> Iterator[Frame]:
        """Frames in the order of their timestamps.

        Args:
            first: pts of the first frame; None starts at the beginning. Earlier frames are skipped, without decoding if
                the file is seekable.

        Raises:
            InputError: the picture size changes, or the file can no longer be read.
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
            last = decoded_frame(picture, pts, self.info)
            self._carried.update(data.type.name for data in side_data_of(picture))
            yield last
        seen = Seen(
            last_byte=self._last_byte,
            end=self._end,
            damaged=self._damaged,
            filled=self._filled,
            incomplete=self.incomplete,
        )
        ending = judged_end(self.info, self._stream.id, self._recordings, self._gaps, seen)
        self.incomplete = ending.incomplete
        self.warnings += ending.warnings

    def _seek(self, first: int) -> None:
        """Seek to a key frame well before `first`, or to the start if the file is not seekable."""
        import av

        base, index = self.info.time_base, self._stream.index
        target = max(first - int(1 / base), self.info.start)
        if self._first.pts is None or target <= self._first.pts:
            return
        key = self._recordings.key_before(index, float(target * base))
        self._decoded.close()
        if key is not None:
            self._pass_over = key
        else:
            try:
                self._container.seek(target, stream=self._stream, backward=True)
            except (av.FFmpegError, OSError):
                self._container.seek(0, stream=self._stream)
        found = self._begin_anew()
        if key is None and (found is None or found.pts is None or found.pts > first):
            self._container.seek(0, stream=self._stream, backward=True, any_frame=True)
            found = self._begin_anew()
        if found is not None:
            self._first = found

    def _begin_anew(self) -> Any:
        """Decode the first picture at the current position."""
        self._decoder.flush_buffers()
        self._expected = Expected()
        self._gaps.restart()
        self._decoded = self._decode(self.info.path)
        return next(self._decoded, None)

    def _with_timestamps(self) -> Iterator[tuple[int, Any]]:
        """(pts, picture) with strictly increasing pts; picture is None for frames lost to damage."""
        info = self.info
        step = max(1, int(1 / (info.rate * info.time_base))) if info.rate else 1
        last: int | None = None
        for picture in self._in_order():
            pts = self._expected.next() if self._without_order else picture.pts
            if pts is None:
                self._odd += 1
                pts = info.start if last is None else last + step
            missed = self._expected.before(pts)
            # A packet may have no picture of its own (second field); otherwise frames are missing only due to damage.
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
            self.warnings.append(f"{self._odd} timestamps were missing or not increasing and have been replaced")

    def _in_order(self) -> Iterator[Any]:
        """Decoded pictures in display order; a decoder that lacks pictures may return others too early."""
        info = self.info
        step = 1 / ((info.rate or 25) * info.time_base)
        held: list[tuple[int, int, Any]] = []
        for number, picture in enumerate(itertools.chain([self._first], self._decoded)):
            pts = picture.pts
            # A large step back is the start of another recording.
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
        """Decoded pictures; damaged packets are counted and skipped, a damaged end ends the clip."""
        import av

        packets = packets_of(self._container, [self._stream])
        while True:
            try:
                packet = next(packets, None)
            except (av.error.InvalidDataError, av.error.EOFError):
                self.incomplete = True
                packet = None
            except (av.FFmpegError, OSError) as error:
                raise unusable(error, path, "cannot read it") from error
            if packet is None or (packet.size == 0 and packet.dts is None):
                with suppress(av.FFmpegError):  # the end of a damaged clip
                    yield from self._decoder.decode(None)
                return
            self._recordings.place(packet)
            if packet.size == 0 or (packet.pos or 0) < self._pass_over:
                continue  # empty: the previous picture is repeated
            self._pass_over = 0
            if self._without_order:
                packet.pts = packet.dts
            if packet.pts is not None and not packet.is_discard:
                self._expected.sent(packet.pts)
            self._last_byte = max(self._last_byte, packet.pos or 0)
            self._gaps.sent(packet.pos, packet.pts)
            try:
                yield from self._decoder.decode(packet)
            except av.error.InvalidDataError:
                self._damaged += 1
                self._expected.lost.add(packet.pts)
            except (av.FFmpegError, OSError) as error:
                raise unusable(error, path, "cannot decode it") from error

    def _make_decoder(self, path: Path) -> Any:
        import av

        context = self._stream.codec_context
        if context is None:
            raise InputError("cannot open video: unknown codec", path=path)
        other = _ALPHA_DECODERS.get(context.name)
        if other and says_alpha(self._stream):
            with suppress(av.FFmpegError, ValueError):
                decoder = av.CodecContext.create(other, "r")
                if context.extradata:
                    decoder.extradata = context.extradata
                return decoder
        context.thread_type = "AUTO"
        return context
