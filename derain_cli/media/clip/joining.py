"""Finished clips behind each other in one file, without coding anything again.

All tracks of a clip are moved by one shift, so sound and data stay with the picture, and shifts are exact: nothing
drifts over hundreds of clips. A picture follows where the one before ends. Sound that a recorder wrote beyond its
picture may reach a little into the next clip; packets that would be heard over others are left out.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from derain_cli.media.clip.carried.covers import covers_of
from derain_cli.media.clip.carried.tracks import COVER, CopiedTrack, Cut, Track, is_made_anew, track_for
from derain_cli.media.clip.container import open_container, packets_of, video_stream
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.reader import open_clip
from derain_cli.media.clip.timing.recordings import Recordings
from derain_cli.media.clip.writing import add_covers, add_video, carry_boxes, muxing, open_output, tags_of

__all__ = ["Layout", "Piece", "difference", "join", "layout_of"]

_OVER = Fraction(1, 10)
"""Seconds that the sound of two clips may overlap, since its packets end where they please."""
_RATES_APART = 0.05
"""Share by which rates may differ: they are averages."""
_PICTURE = "picture"
_CARRIED = ("video", "audio", "subtitle", "data")
_TAIL = 1_000_000
"""Microseconds before the end of a clip from which packets are looked at; they begin at the key picture before."""
_TICK = Fraction(1, 1000)
"""Seconds, of chapters."""

Key = tuple[str, int]
"""A track: its kind and its place among those of this kind."""


@dataclass(frozen=True)
class Layout:
    """What clips must have in common to be joined.

    Attributes:
        info: of the picture.
        sounds: each sound track in words.
        pictures: each further track of pictures in words.
        head: what decoders are told before the first frame.
    """

    info: ClipInfo
    sounds: tuple[str, ...]
    pictures: tuple[str, ...]
    head: bytes


@dataclass(frozen=True)
class Piece:
    """A clip that is joined.

    Attributes:
        path: the file.
        title: of its chapter, if it has no chapters of its own.
    """

    path: Path
    title: str


@dataclass(frozen=True)
class _Span:
    """From when to when a clip's tracks last, seconds as its file counts; and the chapters in it."""

    tracks: Mapping[Key, tuple[Fraction, Fraction]]
    chapters: Sequence[Mapping[str, Any]]

    @property
    def picture(self) -> tuple[Fraction, Fraction]:
        return self.tracks[_PICTURE, 0]


def layout_of(path: Path, rate: float | None = None) -> Layout:
    """Of a clip; `rate` is that of numbered pictures.

    Raises:
        InputError: it cannot be read.
    """
    with open_clip(path, rate=rate) as reader:
        info = reader.info
    with open_container(path, rate) as container:
        sounds, pictures, head = [], [], b""
        for (kind, _), stream in _tracks_of(container, path).items():
            context = stream.codec_context
            if context is None:
                continue
            if kind == "audio":
                sounds.append(f"{context.name}, {context.sample_rate} Hz, {context.layout.name}")
            elif kind == "video":
                pictures.append(f"{context.name}, {context.width}x{context.height}")
            elif kind == _PICTURE:
                head = bytes(context.extradata or b"")
    return Layout(info, tuple(sounds), tuple(pictures), head)


def difference(first: Layout, other: Layout, *, coded: bool = True) -> str | None:
    """Why a clip cannot follow another one, `THIS, not THAT` in a few words; None if it can.

    Args:
        first, other: the clips.
        coded: the picture is copied, so it must be coded alike, too.
    """
    one, two = first.info, other.info
    for what, this, that in (
        ("{} pixels", f"{two.coded_width}x{two.coded_height}", f"{one.coded_width}x{one.coded_height}"),
        ("turned by {} degrees", str(two.rotation), str(one.rotation)),
        ("pixels {} as wide as high", str(two.pixel_aspect or 1), str(one.pixel_aspect or 1)),
        ("sound is {}", "; ".join(other.sounds) or "none", "; ".join(first.sounds) or "none"),
        ("further pictures are {}", "; ".join(other.pictures) or "none", "; ".join(first.pictures) or "none"),
        ("coded as {}", *((f"{each.codec} {each.pix_fmt}" if coded else "") for each in (two, one))),
    ):
        if this != that:
            return f"{what.format(this)}, not {that}"
    if one.rate and two.rate and abs(two.rate / one.rate - 1) > _RATES_APART:
        return f"{float(two.rate):.4g} frames a second, not {float(one.rate):.4g}"
    return "its picture is coded with other settings" if coded and first.head != other.head else None


def join(pieces: Sequence[Piece], target: Path, suffix: str, tick: Callable[[float], None]) -> list[str]:
    """Write clips of one layout behind each other.

    Tags, cover and the camera's boxes are those of the first clip; each clip is a chapter, or has its own.

    Args:
        pieces: in order; at least one.
        target: the file to write, which may exist (a temporary name).
        suffix: which format to write, lower case with dot.
        tick: called again and again with the share that is done, 0 to 1; what it raises ends the work.

    Returns:
        One-line remarks on what the output could not hold.

    Raises:
        InputError: a clip cannot be read, or the format does not take something.
    """
    head = pieces[0].path
    with open_clip(head) as reader:
        info = reader.info
    spans = [_span(piece.path) for piece in pieces]
    shifts = _shifts(spans)
    covers = covers_of(head)
    recordings = Recordings(head, info.container, starts=[float(shift) for shift in shifts[1:]])
    with muxing(head, target, suffix), ExitStack() as opened:
        opened.callback(recordings.close)
        source = opened.enter_context(open_container(head))
        out = opened.enter_context(open_output(target, suffix, tags_of(source.metadata, info, Fraction(0))))
        cut = Cut(Fraction(0), None, recordings)
        video = add_video(out, source.streams[info.track], source, info, suffix, Fraction(0))
        tracks: dict[Key, Track] = {(_PICTURE, 0): CopiedTrack(source.streams[info.track], video, cut)}
        notes = _add_tracks(tracks, out, _tracks_of(source, head), suffix, cut)
        for piece, span in zip(pieces[1:], spans[1:], strict=True):
            if span.tracks.keys() - tracks.keys():  # data or subtitles that begin later
                later = opened.enter_context(open_container(piece.path))
                notes += _add_tracks(tracks, out, _tracks_of(later, piece.path), suffix, cut)
        shown = add_covers(out, source, covers, suffix, notes)
        out.set_chapters(_chapters(pieces, spans, shifts))
        out.start_encoding()
        for packet in shown:
            out.mux(packet)
        _mux_all(out, pieces, shifts, tracks, tick)
    return [*dict.fromkeys(notes), *carry_boxes(info, target, suffix, covers, "a joined clip")]


def _tracks_of(container: Any, path: Path) -> dict[Key, Any]:
    """The tracks that go on, without covers and what the muxer makes itself."""
    picture = video_stream(container, path).index
    counts: Counter[str] = Counter()
    found: dict[Key, Any] = {}
    for stream in container.streams:
        if stream.index == picture:
            found[_PICTURE, 0] = stream
        elif stream.type in _CARRIED and not is_made_anew(stream) and not stream.disposition & COVER:
            found[stream.type, counts[stream.type]] = stream
            counts[stream.type] += 1
    return found


def _add_tracks(tracks: dict[Key, Track], out: Any, found: Mapping[Key, Any], suffix: str, cut: Cut) -> list[str]:
    """Add those that are not there yet to the output; returns remarks on what is left out."""
    notes = []
    for key, stream in found.items():
        if key not in tracks:
            track, note = track_for(out, stream, suffix, cut, None)
            if track is not None:
                tracks[key] = track
            if note is not None:
                notes.append(note)
    return notes


def _span(path: Path) -> _Span:
    with open_container(path) as container:
        found = _tracks_of(container, path)
        chapters = container.chapters()
        # Headers round: MP4's with an edit list to milliseconds, which would add up.
        ends = _ends(container, {stream.index: key for key, stream in found.items()})
    spans = {}
    for key, stream in found.items():
        start = (stream.start_time or 0) * stream.time_base
        spans[key] = start, ends.get(key, start)
    return _Span(spans, chapters)


def _ends(container: Any, keys: Mapping[int, Key]) -> dict[Key, Fraction]:
    """When tracks end that last to the end of the file, by their last packets."""
    if container.duration:
        container.seek(max(0, container.duration - _TAIL))
    ends: dict[Key, Fraction] = {}
    for packet in packets_of(container, [container.streams[index] for index in keys]):
        if packet.size and packet.pts is not None:
            key, end = keys[packet.stream_index], (packet.pts + (packet.duration or 0)) * packet.time_base
            ends[key] = max(ends.get(key, end), end)
    return ends


def _shifts(spans: Sequence[_Span]) -> list[Fraction]:
    """By how much each clip is moved: the least by which no picture lies over another one, nor sound by much."""
    shifts = [Fraction(0)]
    for before, after in itertools.pairwise(spans):
        least = [before.picture[1] - after.picture[0]]
        for key in before.tracks.keys() & after.tracks.keys():
            if key[0] == "audio":
                least.append(before.tracks[key][1] - _OVER - after.tracks[key][0])
        shifts.append(shifts[-1] + max(least))
    return shifts


def _chapters(pieces: Sequence[Piece], spans: Sequence[_Span], shifts: Sequence[Fraction]) -> list[Any]:
    chapters: list[Any] = []
    for piece, span, shift in zip(pieces, spans, shifts, strict=True):
        for each in span.chapters:
            moved = round(shift / each["time_base"])
            chapters.append({**each, "start": each["start"] + moved, "end": each["end"] + moved})
        if not span.chapters:
            start, end = (round((each + shift) / _TICK) for each in span.picture)
            chapters.append({"start": start, "end": end, "time_base": _TICK, "metadata": {"title": piece.title}})
    return [{**each, "id": number} for number, each in enumerate(chapters)]


def _mux_all(
    out: Any,
    pieces: Sequence[Piece],
    shifts: Sequence[Fraction],
    tracks: Mapping[Key, Track],
    tick: Callable[[float], None],
) -> None:
    sizes = [piece.path.stat().st_size for piece in pieces]
    total, done = sum(sizes), 0
    for piece, shift, size in zip(pieces, shifts, sizes, strict=True):
        with open_container(piece.path) as container:
            found = {stream.index: key for key, stream in _tracks_of(container, piece.path).items() if key in tracks}
            for packet in packets_of(container, [container.streams[index] for index in found]):
                tick((done + min(size, max(0, packet.pos or 0))) / total)
                if packet.size:
                    _move(packet, shift)
                    for made in tracks[found[packet.stream_index]].take(packet):
                        out.mux(made)
        done += size
    for track in tracks.values():
        for made in track.finish():
            out.mux(made)


def _move(packet: Any, shift: Fraction) -> None:
    ticks = round(shift / packet.time_base)
    packet.pts = None if packet.pts is None else packet.pts + ticks
    packet.dts = None if packet.dts is None else packet.dts + ticks
