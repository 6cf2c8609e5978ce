"""Sound re-encoded for formats that do not support its codec."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

import numpy as np

__all__ = ["RecodedSound", "sound_codec_for"]

_CODECS = {".webm": "libopus", ".mkv": "flac"}
"""Encoder by format; a lossless one for Matroska."""
_OTHERS = "aac"
_RATES = {
    "libopus": (48000,),
    "aac": (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000),
}
_PER_CHANNEL = {"aac": 96_000, "libopus": 64_000}
"""Bits per second and channel, hardly distinguishable from the source."""
_MOST_PER_SAMPLE = 6
"""Maximum bits per sample of AAC."""
_OFF = Fraction(1, 20)
"""Tolerance in seconds of audio timestamps; larger deviations are gaps or overlaps."""


def sound_codec_for(suffix: str) -> str:
    """The encoder for sound in an unsupported codec, by suffix of the format."""
    return _CODECS.get(suffix, _OTHERS)


class RecodedSound:
    """A re-encoded sound track; implements `tracks.Track`.

    Args:
        out: PyAV container being written.
        stream: the track of the source.
        codec: the encoder, from `sound_codec_for`.
        origin: time in the source, in seconds, that becomes zero.
        span: start and end of the part to keep, in seconds of the source; None keeps everything.

    Raises:
        ValueError: there is no decoder.
    """

    note: str | None = None

    def __init__(
        self, out: Any, stream: Any, codec: str, origin: Fraction, span: tuple[Fraction, Fraction] | None
    ) -> None:
        import av

        context = stream.codec_context
        if context is None or not context.codec.is_decoder:
            raise ValueError("no decoder")
        channels = context.layout.nb_channels or 1
        # A bare channel count means the default layout.
        layout = f"{channels}c" if context.layout.name.endswith(" channels") else context.layout.name
        rates = _RATES.get(codec)
        rate = context.sample_rate if rates is None or context.sample_rate in rates else 48000
        self.stream = out.add_stream(codec, rate=rate, layout=layout)
        if codec in _PER_CHANNEL:
            self.stream.bit_rate = min(_PER_CHANNEL[codec], _MOST_PER_SAMPLE * rate) * channels
        form = self.stream.codec_context.format.name
        if codec == "flac":
            form = "s16" if context.format.bytes <= 2 else "s32"
            self.stream.format = form
        self._decoder = context
        self._resampler = av.AudioResampler(format=form, layout=layout, rate=rate)
        self._fifo = av.AudioFifo()
        self._form, self._layout, self._rate = form, layout, rate
        self._origin, self._span = origin, span
        self._next: int | None = None
        self._coded = 0

    def take(self, packet: Any) -> Iterator[Any]:
        """Decode a packet of the source; yields encoded packets of the output track."""
        import av

        frames = []
        with suppress(av.error.InvalidDataError):  # leaves a gap, filled with silence
            frames = self._decoder.decode(packet)
        for frame in frames:
            self._add(frame)
        yield from self._code(full=True)

    def finish(self) -> Iterator[Any]:
        """Yield the remaining packets."""
        import av

        with suppress(av.FFmpegError):
            for frame in self._decoder.decode(None):
                self._add(frame)
        for frame in self._resampler.resample(None):
            self._keep(frame.to_ndarray())
        yield from self._code(full=False)
        yield from self._of_track(self.stream.encode(None))

    def _add(self, frame: Any) -> None:
        seconds = frame.pts * frame.time_base if frame.pts is not None else None
        if seconds is not None and self._span is not None and seconds >= self._span[1]:
            return
        frame.pts = None  # otherwise the resampler makes up timestamps
        for each in self._resampler.resample(frame):
            samples = each.to_ndarray()
            planar = each.format.is_planar
            width = 1 if planar else len(each.layout.channels)
            if seconds is not None:
                begins = round((seconds - self._origin) * self._rate)
                if self._next is None:
                    self._next = begins if self._span is None else max(0, begins)
                    self._coded = self._next
                early, off = self._next - begins, _OFF * self._rate
                if early > 0 and (early > off or begins < 0):
                    samples = samples[:, early * width :]
                elif early < -off:
                    self._keep(np.zeros((len(samples), -early * width), samples.dtype))
                seconds = None
            self._keep(samples)

    def _keep(self, samples: Any) -> None:
        import av

        if samples.shape[1] == 0:
            return
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format=self._form, layout=self._layout)
        frame.sample_rate = self._rate
        self._next = (self._next or 0) + frame.samples
        self._fifo.write(frame)

    def _code(self, *, full: bool) -> Iterator[Any]:
        size = self.stream.codec_context.frame_size or 1024
        while (frame := self._fifo.read(size, partial=not full)) is not None:
            frame.pts, frame.time_base = self._coded, Fraction(1, self._rate)
            self._coded += frame.samples
            yield from self._of_track(self.stream.encode(frame))

    def _of_track(self, packets: Any) -> Iterator[Any]:
        yield from (packet for packet in packets if packet.size)
