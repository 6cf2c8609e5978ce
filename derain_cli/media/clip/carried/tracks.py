"""What the source carries besides its picture, on its way into the output: as it is, or in a kind that is held."""

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
"""FFmpeg's flag of a picture that stands for the file."""
_OUR_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "number_of_", "bps", "_stat")
"""Tags of a file or track that hold for the source's coding only, by their beginnings."""
_MILLISECOND = Fraction(1, 1000)
_MOST_HELD = 32
"""Packets whose decoding times are waited for."""


@dataclass(frozen=True)
class Cut:
    """What of the source's time is wanted.

    Attributes:
        origin: seconds of the source that become zero.
        span: from when to when, seconds of the source; None takes all.
        recordings: that follow each other in the source: their sound may overlap a little.
    """

    origin: Fraction
    span: tuple[Fraction, Fraction] | None
    recordings: Recordings

    def begins_in(self, seconds: Fraction) -> bool:
        """Whether what begins then is wanted."""
        return self.span is None or self.span[0] <= seconds < self.span[1]


class Track(Protocol):
    """A track of the output, made of one of the source.

    Attributes:
        stream: of the output.
        note: what could not stay, once it is finished; None where all did.
    """

    stream: Any
    note: str | None

    def take(self, packet: Any) -> Iterator[Any]:
        """Packets of the output, with their final times, that a packet of the source leads to."""
        ...

    def finish(self) -> Iterator[Any]:
        """Those that were waited with."""
        ...


@dataclass
class CopiedTrack:
    """Packets as they are, at other times.

    Attributes:
        source: the track of the source.
        stream: of the output; None for one whose packets go on to another `Track`.
        cut: what of the time is wanted.
        end: where the header says that the track ends, ticks; None where it says nothing of use.
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
            self._waiting.append(packet)  # Matroska has no decoding times: those of the first are not made up
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
            what = f"{many} packets, which overlap" if many > 1 else "one packet, which overlaps"
            self.note = f"audio track {index}: {what} where recordings meet, left out"

    @staticmethod
    def _in_time(packets: list[Any]) -> list[Any]:
        """Gives those without a decoding time one before the next that has it."""
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
            packet.pts = packet.dts = first  # of unknown length: it stands until the next
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
            # The end of the last packet may be cut off by the header alone (an edit list).
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
            # A muxer takes no times that go back.
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
    """The track of the output for one of the source that is not its picture, and a remark on what does not stay.

    Args:
        out: PyAV's container that is written.
        source: the track of the source.
        suffix: of the output, lower case with dot.
        cut: what of the source's time is wanted.
        end: where the header says that the track ends, ticks.
    """
    context = source.codec_context
    name = f"{source.type} track {source.index} ({context.name if context else 'of unknown kind'})"
    if cut.span is not None and source.type == "video":
        return None, f"{name} is left out of a part"
    if holds(suffix, source):
        track: Track = CopiedTrack(source, _add_like(out, source), cut, end)
        return track, f"{name} is copied as it is, with its rain" if source.type == "video" else None
    if source.type == "audio":
        codec = sound_codec_for(suffix)
        try:
            sound = RecodedSound(out, source, codec, cut.origin, cut.span)
        except ValueError:
            return None, f"{name} cannot be stored in {suffix}, nor decoded: it is left out"
        carry_tags(source, sound.stream)
        other = _other_format(source, suffix)
        lossless = ", which loses nothing" if codec == "flac" else ""
        return sound, f"{name} is not copied into {suffix}: it is converted to {codec}{lossless}{other}"
    if source.type == "subtitle" and (text := text_codec_for(source, suffix)):
        coder = RecodedText(out, source, text)
        carry_tags(source, coder.stream)
        plain = " without its styles" if context.name in ("ass", "ssa") else ""
        track = _RecodedTextTrack(CopiedTrack(source, None, cut, end), coder)
        return track, f"{name} cannot be stored in {suffix}: it is converted to {text}{plain}"
    return None, f"{name} cannot be stored in {suffix}: it is left out{_other_format(source, suffix)}"


def is_made_anew(source: Any) -> bool:
    """Whether the muxer makes such a track itself: time codes from the tag, titles from the chapters."""
    import av

    # QuickTime stores chapters as a track, which the demuxer marks as not to be read.
    return source.type == "data" and ("timecode" in source.metadata or source.discard == av.stream.Discard.all)


def holds(suffix: str, source: Any) -> bool:
    """Whether a format takes a track as it is: found by writing a header, since formats don't tell before.

    Data that FFmpeg has no name for in MP4 and QuickTime gets in without one: players don't know what it is, and some
    such files cannot be opened again.
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
    # A box of 16 bytes holds its own size and type, its version and a count, but no name of what is in the track.
    return source.type != "data" or int.from_bytes(before[-4:], "big") > 16


def carry_tags(source: Any, made: Any) -> None:
    """Give a track the tags of the source's, and what it is for."""
    made.metadata.update(own_tags(source.metadata))
    made.disposition = source.disposition


def own_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Those that hold for any coding of the same."""
    return {key: value for key, value in tags.items() if not key.lower().startswith(_OUR_TAGS)}


def _other_format(source: Any, suffix: str) -> str:
    other = next((each for each in (".mkv", ".mov", ".mp4") if each != suffix and holds(each, source)), None)
    return f" ({other} holds it)" if other else ""


def _add_like(out: Any, source: Any) -> Any:
    made = out.add_stream_from_template(source, opaque=True)
    if source.type == "audio" and source.codec_context.layout.name.endswith(" channels"):
        # AVI and others only count channels; MP4 wants to know which they are. The usual ones of that number are meant.
        made.codec_context.layout = f"{source.codec_context.layout.nb_channels}c"
    carry_tags(source, made)
    return made
