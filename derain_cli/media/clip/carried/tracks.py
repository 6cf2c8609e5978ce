"""Transfer of tracks other than the picture: copied, or converted to a codec the output supports."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Protocol

from derain_cli.media.clip.carried.sound import RecodedSound, sound_codec_for
from derain_cli.media.clip.carried.subtitles import RecodedText, text_codec_for
from derain_cli.media.clip.encoding import FORMATS
from derain_cli.media.clip.timing.recordings import Recordings

__all__ = ["COVER", "CopiedTrack", "Cut", "Track", "carry_tags", "holds", "is_made_anew", "track_for"]

COVER = 0x400
"""FFmpeg flag of an attached picture."""
_OUR_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "number_of_", "bps", "_stat")
"""Prefixes of tags of a file or track that are specific to the encoding of the source."""
_MILLISECOND = Fraction(1, 1000)
_MOST_HELD = 32
"""Maximum number of packets held back until a decoding time is known."""


@dataclass(frozen=True)
class Cut:
    """The part of the source to keep.

    Attributes:
        origin: time in the source, in seconds, that becomes zero.
        span: start and end in seconds of the source; None keeps everything.
        recordings: consecutive recordings in the source, whose sound may overlap slightly.
    """

    origin: Fraction
    span: tuple[Fraction, Fraction] | None
    recordings: Recordings

    def begins_in(self, seconds: Fraction) -> bool:
        """Whether something that starts at this time is in the part."""
        return self.span is None or self.span[0] <= seconds < self.span[1]


class Track(Protocol):
    """A track of the output, made from one of the source.

    Attributes:
        stream: stream of the output.
        note: what was lost, known after `finish`; None if nothing.
    """

    stream: Any
    note: str | None

    def take(self, packet: Any) -> Iterator[Any]:
        """Process a packet of the source; yields packets of the output with their final times."""
        ...

    def finish(self) -> Iterator[Any]:
        """Yield the packets that were held back."""
        ...


@dataclass
class CopiedTrack:
    """A copied track; only timestamps change.

    Attributes:
        source: the track of the source.
        stream: stream of the output; None if the packets are passed to another `Track`.
        cut: the part to keep.
        end: end of the track in ticks according to the header; None if unknown.
    """

    source: Any
    stream: Any
    cut: Cut
    end: int | None = None
    note: str | None = None
    _early: Any = None
    _waiting: list[Any] = field(default_factory=list)
    _last: int | None = None
    _until: Fraction = Fraction(-(10**9))
    _left_out: int = 0

    def take(self, packet: Any) -> Iterator[Any]:
        if packet.dts is None and packet.pts is None:
            return
        if packet.dts is None and self.source.type == "video" and len(self._waiting) < _MOST_HELD:
            self._waiting.append(packet)  # Matroska has no decoding times; FFmpeg makes up none for the first packets
            return
        for each in self._in_time([*self._waiting, packet]):
            yield from self._cut(each)
        self._waiting = []

    def finish(self) -> Iterator[Any]:
        for each in self._in_time(self._waiting):
            yield from self._cut(each)
        if self._early is not None:
            yield from self._placed(self._early)
        if self._left_out:
            index, many = self.source.index, self._left_out
            what = f"{many} overlapping packets" if many > 1 else "one overlapping packet"
            self.note = f"audio track {index}: {what} between recordings left out"

    @staticmethod
    def _in_time(packets: list[Any]) -> list[Any]:
        """Give packets without a decoding time one before that of the next packet."""
        before: Any = None
        for packet in reversed(packets):
            if packet.dts is None:
                step = packet.duration or max(1, round(_MILLISECOND / packet.time_base))
                packet.dts = packet.pts if before is None else min(packet.pts, before.dts - step)
            before = packet
        return packets

    def _cut(self, packet: Any) -> Iterator[Any]:
        base, span = packet.time_base, self.cut.span
        start = (packet.pts if packet.pts is not None else packet.dts) * base
        if span is None or self.source.type != "subtitle":
            if self.cut.begins_in(start):
                yield from self._placed(packet)
            return
        first, last = (round(each / base) for each in span)
        at = packet.pts if packet.pts is not None else packet.dts
        if not packet.duration and at < first:
            packet.pts = packet.dts = first  # of unknown duration: shown until the next one
            self._early = packet
            return
        if self._early is not None:
            if at > first:
                yield from self._placed(self._early)
            self._early = None
        if at >= last or (packet.duration and at + packet.duration <= first):
            return
        if packet.duration:
            begin = max(at, first)
            packet.duration = max(1, min(at + packet.duration, last) - begin)
            packet.pts = packet.dts = begin
        yield from self._placed(packet)

    def _placed(self, packet: Any) -> Iterator[Any]:
        base = packet.time_base
        if packet.pts is not None and packet.duration and self.end is not None:
            # The last packet may be shortened by the header (an edit list).
            packet.duration = max(1, min(packet.duration, self.end - packet.pts))
        begin, length = packet.dts * base, (packet.duration or 0) * base
        if self.cut.recordings.starts and self.source.type == "audio" and begin < self._until - length / 2:
            self._left_out += 1
            return
        self._until = begin + length
        shift = round(self.cut.origin / base)
        packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        if self._last is not None and packet.dts <= self._last and self.source.type != "subtitle":
            # Muxers refuse decreasing times.
            packet.dts = self._last + max(1, round(_MILLISECOND / base))
            if packet.pts is not None:
                packet.pts = max(packet.pts, packet.dts)
        self._last = packet.dts
        packet.stream = self.stream
        yield packet


@dataclass
class _RecodedTextTrack:
    copied: CopiedTrack
    coder: RecodedText
    note: str | None = None

    def __post_init__(self) -> None:
        self.stream = self.copied.stream = self.coder.stream

    def take(self, packet: Any) -> Iterator[Any]:
        for each in self.copied.take(packet):
            yield from self.coder.take(each)

    def finish(self) -> Iterator[Any]:
        for each in self.copied.finish():
            yield from self.coder.take(each)


def track_for(out: Any, source: Any, suffix: str, cut: Cut, end: int | None) -> tuple[Track | None, str | None]:
    """Create the output track for a track of the source other than the picture; also returns a note on losses.

    Args:
        out: PyAV container being written.
        source: the track of the source.
        suffix: suffix of the output, lower case with dot.
        cut: the part to keep.
        end: end of the track in ticks according to the header.
    """
    context = source.codec_context
    name = f"{source.type} track {source.index} ({context.name if context else 'unknown codec'})"
    if cut.span is not None and source.type == "video":
        return None, f"{name} is left out of a part"
    if holds(suffix, source):
        track: Track = CopiedTrack(source, _add_like(out, source), cut, end)
        return track, f"{name} is copied unchanged, with its rain" if source.type == "video" else None
    if source.type == "audio":
        codec = sound_codec_for(suffix)
        try:
            sound = RecodedSound(out, source, codec, cut.origin, cut.span)
        except ValueError:
            return None, f"{name} can be neither stored in {suffix} nor decoded: left out"
        carry_tags(source, sound.stream)
        other = _other_format(source, suffix)
        lossless = ", which is lossless" if codec == "flac" else ""
        return sound, f"{name} cannot be stored in {suffix}: converted to {codec}{lossless}{other}"
    if source.type == "subtitle" and (text := text_codec_for(source, suffix)):
        coder = RecodedText(out, source, text)
        carry_tags(source, coder.stream)
        plain = " without its styles" if context.name in ("ass", "ssa") else ""
        track = _RecodedTextTrack(CopiedTrack(source, None, cut, end), coder)
        return track, f"{name} cannot be stored in {suffix}: converted to {text}{plain}"
    return None, f"{name} cannot be stored in {suffix}: left out{_other_format(source, suffix)}"


def is_made_anew(source: Any) -> bool:
    """Whether the muxer creates such a track itself: time codes from the tag, titles from the chapters."""
    import av

    # QuickTime stores chapters as a track, which the demuxer marks as discarded.
    return source.type == "data" and ("timecode" in source.metadata or source.discard == av.stream.Discard.all)


def holds(suffix: str, source: Any) -> bool:
    """Whether a format can store a track unchanged. Found by writing a header, since there is no other way to ask.

    In MP4 and QuickTime, FFmpeg writes data of unknown type without a sample entry; players cannot interpret it, and
    some such files cannot be opened again. Such data counts as not supported.
    """
    import av

    written = io.BytesIO()
    try:
        trial = av.open(written, "w", format=FORMATS[suffix])
        try:
            made = _add_like(trial, source)
            trial.start_encoding()
            if source.type == "data":
                packet = av.Packet(bytes(8))
                packet.stream, packet.pts, packet.dts, packet.time_base = made, 0, 0, _MILLISECOND
                trial.mux(packet)
        finally:
            trial.close()
    except (av.FFmpegError, ValueError, OSError):
        return False
    before, _, _ = written.getvalue().rpartition(b"stsd")
    # A box of 16 bytes has size, type, version and count, but no sample entry.
    return source.type != "data" or int.from_bytes(before[-4:], "big") > 16


def carry_tags(source: Any, made: Any) -> None:
    """Copy tags and disposition of a track."""
    made.metadata.update(own_tags(source.metadata))
    made.disposition = source.disposition


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Tags that do not depend on the encoding."""
    return {key: value for key, value in tags.items() if not key.lower().startswith(_OUR_TAGS)}


def _other_format(source: Any, suffix: str) -> str:
    other = next((each for each in (".mkv", ".mov", ".mp4") if each != suffix and holds(each, source)), None)
    return f" ({other} supports it)" if other else ""


def _add_like(out: Any, source: Any) -> Any:
    made = out.add_stream_from_template(source, opaque=True)
    if source.type == "audio" and source.codec_context.layout.name.endswith(" channels"):
        # AVI and others have only a channel count, but MP4 needs a layout: use the default one.
        made.codec_context.layout = f"{source.codec_context.layout.nb_channels}c"
    carry_tags(source, made)
    return made
