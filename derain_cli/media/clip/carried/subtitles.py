"""Text subtitles converted to the codec of another format."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from typing import Any

__all__ = ["RecodedText", "text_codec_for"]

_CODECS = {".mp4": "mov_text", ".m4v": "mov_text", ".mov": "mov_text", ".mkv": "subrip", ".webm": "webvtt"}
_TEXTS = frozenset(("subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text", "microdvd", "subviewer", "sami"))
"""FFmpeg names of codecs and decoders for text subtitles."""
_HEADER = b"""[Script Info]
ScriptType: v4.00+
PlayResX: 384
PlayResY: 288

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,Arial,16,&Hffffff,&Hffffff,&H0,&H0,0,0,0,0,100,100,0,0,1,1,0,2,10,10,10,1

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""
"""Style header for encoders: the defaults of FFmpeg."""
_MILLISECOND = Fraction(1, 1000)


def text_codec_for(stream: Any, suffix: str) -> str | None:
    """The encoder for a subtitle track in an unsupported codec; None for bitmap subtitles."""
    context = stream.codec_context
    return _CODECS[suffix] if context is not None and context.name in _TEXTS else None


class RecodedText:
    """A text track converted to another codec.

    Args:
        out: PyAV container being written.
        stream: the track of the source.
        codec: the encoder, from `text_codec_for`.
    """

    def __init__(self, out: Any, stream: Any, codec: str):
        self.stream = out.add_stream(codec)
        self.stream.time_base = _MILLISECOND
        self._encoder = self.stream.codec_context
        self._encoder.subtitle_header = _HEADER
        self._decoder = stream.codec_context

    def take(self, packet: Any) -> Iterator[Any]:
        """Convert a packet of the source, whose times are final; yields packets of the output."""
        import av
        from av.subtitles.subtitle import SubtitleSet

        found = None
        with suppress(av.FFmpegError):
            found = self._decoder.decode2(packet)
        if found is None or not len(found):
            return
        begin = round(packet.pts * packet.time_base / _MILLISECOND)
        length = round((packet.duration or 0) * packet.time_base / _MILLISECOND) or found.end_display_time
        for rectangle in found:
            if rectangle.type == b"bitmap":
                continue
            coded = self._encoder.encode_subtitle(SubtitleSet.create(rectangle.ass, 0, length, 0))
            coded.stream, coded.time_base = self.stream, _MILLISECOND
            coded.pts = coded.dts = begin
            coded.duration = length
            yield coded
