"""Segments, with all that the source carries besides its picture, to one file, without coding anything again."""

from __future__ import annotations

import heapq
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from derain_cli.errors import InputError, resource_error_from
from derain_cli.media.clip.container import open_container, says_alpha
from derain_cli.media.clip.encoding import FORMATS
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.segments import FIRST, Segment
from derain_cli.remedies import Remedy

__all__ = ["assemble"]

_OUR_TAGS = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration", "number_of_", "bps", "_stat")
"""Tags of a file or track that hold for the source's coding only, by their beginnings."""


@dataclass
class _Copied:
    """Tracks of the source that go into the output as they are: source index to output stream."""

    streams: dict[int, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def assemble(
    segments: Sequence[tuple[Path, Segment]],
    info: ClipInfo,
    target: Path,
    suffix: str,
    *,
    cut: bool = False,
) -> list[str]:
    """Join segments, and the source's other tracks, chapters and tags, into one file.

    Args:
        segments: files and what they hold, in order; at least one.
        info: the source.
        target: the file to write, which may exist (a temporary name).
        suffix: which format to write, lower case with dot.
        cut: the segments are a part of the clip: other tracks are cut to it, and time starts at zero.

    Returns:
        One-line remarks on what the output could not hold.

    Raises:
        InputError: a segment or the source cannot be read any more.
        ResourceError: the disk is full.
    """
    import av

    options = {"fflags": "+bitexact"}
    source = open_container(info.path)
    parts: list[Any] = [av.open(str(segments[0][0]))]
    try:
        tags = {k: v for k, v in source.metadata.items() if not k.lower().startswith(_OUR_TAGS)}
        if FORMATS[suffix] in ("mp4", "mov") and any(key.startswith("com.") for key in tags):
            options["movflags"] = "+use_metadata_tags"  # keys of phones, which are dropped without it
        out = av.open(str(target), "w", format=FORMATS[suffix], options=options)
        parts.append(out)
        out.metadata.update(tags)
        first, last = segments[0][1].pts[0], segments[-1][1].pts[-1] + segments[-1][1].tail
        origin = first if cut else info.start
        copied = _Copied()
        for stream in source.streams:
            if stream.index == info.track:
                video = _add_video(out, parts[0], stream, info, suffix)
            else:
                _add_copy(out, stream, suffix, cut, copied)
        out.set_chapters(_chapters(source, info, origin, last if cut else None))
        packets = [_video_packets(segments, video, info, origin)]
        if copied.streams:
            span = (first * info.time_base, last * info.time_base) if cut else None
            packets.append(_other_packets(source, copied, origin * info.time_base, span))
        for _, packet in heapq.merge(*packets, key=lambda timed: timed[0]):
            out.mux(packet)
        return copied.notes
    except av.FFmpegError as error:
        if resource_error_from(error, target) is not None:
            raise
        reason = f"a {suffix} file does not take it: {error.strerror}"
        raise InputError(reason, path=info.path, remedy=Remedy.OTHER_FORMAT) from error
    finally:
        source.close()
        for part in reversed(parts):
            part.close()


def _add_video(out: Any, part: Any, source: Any, info: ClipInfo, suffix: str) -> Any:
    template = part.streams.video[0]
    video = out.add_stream_from_template(template, opaque=True)
    video.time_base = info.time_base
    if template.codec_context.name in ("hevc", "libx265") and suffix != ".mkv":
        video.codec_context.codec_tag = "hvc1"  # the other tag is not played everywhere
    _carry_tags(source, video)
    if says_alpha(template):
        video.metadata["alpha_mode"] = "1"
    if info.matrix is not None:
        video.set_display_matrix(info.matrix)
    return video


def _add_copy(out: Any, stream: Any, suffix: str, cut: bool, copied: _Copied) -> None:
    context = stream.codec_context
    name = f"{stream.type} track {stream.index} ({context.name if context else 'of unknown kind'})"
    if stream.type == "data" and ("timecode" in stream.metadata or _is_chapter_titles(stream)):
        return  # the muxer makes it anew, from the tag or the chapters
    if cut and stream.type == "video":
        copied.notes.append(f"{name} is left out of a part")
        return
    if not _is_held(stream, suffix):
        other = next((each for each in (".mkv", ".mov", ".mp4") if each != suffix and _is_held(stream, each)), None)
        hint = f" ({other} holds it)" if other else ""
        copied.notes.append(f"{name} cannot be stored in {suffix}: it is left out{hint}")
        return
    made = _add_like(out, stream)
    copied.streams[stream.index] = made
    if stream.type == "video" and not stream.disposition & 0x400:  # no cover picture
        copied.notes.append(f"{name} is copied as it is, with its rain")


def _is_chapter_titles(stream: Any) -> bool:
    """Whether QuickTime's way of storing chapters made a track of it: the demuxer marks it as not to be read."""
    import av

    return bool(stream.discard == av.stream.Discard.all)


def _add_like(out: Any, stream: Any) -> Any:
    made = out.add_stream_from_template(stream, opaque=True)
    if stream.type == "audio" and stream.codec_context.layout.name.endswith(" channels"):
        # AVI and others only count channels; MP4 wants to know which they are. The usual ones of that number are meant.
        made.codec_context.layout = f"{stream.codec_context.layout.nb_channels}c"
    _carry_tags(stream, made)
    return made


def _is_held(stream: Any, suffix: str) -> bool:
    """Whether the format takes a track of this kind: found by writing a header, since formats don't tell before.

    Data that FFmpeg has no name for in MP4 and QuickTime gets in without one: players don't know what it is, and some
    such files cannot be opened again.
    """
    import av

    written = io.BytesIO()
    try:
        trial = av.open(written, "w", format=FORMATS[suffix])
        try:
            made = _add_like(trial, stream)
            trial.start_encoding()
            if stream.type == "data":
                packet = av.Packet(bytes(8))
                packet.stream, packet.pts, packet.dts, packet.time_base = made, 0, 0, Fraction(1, 1000)
                trial.mux(packet)
        finally:
            trial.close()
    except (av.FFmpegError, ValueError, OSError):
        return False
    before, _, _ = written.getvalue().rpartition(b"stsd")
    # A box of 16 bytes holds its own size and type, its version and a count, but no name of what is in the track.
    return stream.type != "data" or int.from_bytes(before[-4:], "big") > 16


def _carry_tags(source: Any, made: Any) -> None:
    made.metadata.update({k: v for k, v in source.metadata.items() if not k.lower().startswith(_OUR_TAGS)})
    made.disposition = source.disposition


def _chapters(source: Any, info: ClipInfo, origin: int, last: int | None) -> list[Any]:
    """The source's chapters, shifted with the picture and, for a part, cut to it."""
    shifted = []
    for chapter in source.chapters():
        base = chapter["time_base"]
        shift = round(origin * info.time_base / base)
        end = chapter["end"] - shift
        if last is not None:
            end = min(end, round((last - origin) * info.time_base / base))
        start = chapter["start"] - shift
        if last is not None:
            start = max(0, start)
        if start < end:
            shifted.append({**chapter, "start": start, "end": end})
    return shifted


def _video_packets(
    segments: Sequence[tuple[Path, Segment]], video: Any, info: ClipInfo, origin: int
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of all segments with the source's timestamps; decoding times are the same ones, moved back."""
    import av

    shown = [pts - origin for _, segment in segments for pts in segment.pts]
    ends = [*shown[1:], shown[-1] + max(segments[-1][1].tail, 1)]
    delay = max(segment.delay for _, segment in segments)
    step = max(1, ends[0] - shown[0])
    number, before = 0, 0
    for path, segment in segments:
        with av.open(str(path)) as part:
            for packet in part.demux(video=0):
                if packet.size == 0:
                    continue
                if number == len(shown):
                    break
                assert packet.pts is not None  # `SegmentWriter` gives each one
                index = before + packet.pts - FIRST
                packet.stream, packet.time_base = video, info.time_base
                early = number - delay
                packet.pts, packet.duration = shown[index], ends[index] - shown[index]
                packet.dts = shown[early] if early >= 0 else shown[0] + early * step
                number += 1
                yield packet.dts * info.time_base, packet
        before += len(segment.pts)
        if number != before:
            raise InputError("a segment is damaged", path=path, remedy=Remedy.START_AGAIN)


def _other_packets(
    source: Any, copied: _Copied, origin: Fraction, span: tuple[Fraction, Fraction] | None
) -> Iterator[tuple[Fraction, Any]]:
    """Packets of copied tracks; those that begin within `span` (seconds) if one is given."""
    import av

    wanted = [source.streams[index] for index in copied.streams]
    ends = {s.index: s.start_time + s.duration for s in wanted if s.start_time is not None and s.duration}
    latest = Fraction(-(10**9))
    packets = source.demux(wanted)
    while True:
        try:
            packet = next(packets, None)
        except (av.error.InvalidDataError, av.error.EOFError):  # the reader has said so
            return
        if packet is None:
            return
        if packet.size == 0 or packet.dts is None:
            continue
        base = packet.time_base
        start = (packet.pts if packet.pts is not None else packet.dts) * base
        if span is not None and not span[0] <= start < span[1]:
            continue
        shift = round(origin / base)
        if packet.pts is not None and packet.duration and packet.stream_index in ends:
            # The end of the last packet may be cut off by the header alone (an edit list).
            packet.duration = max(1, min(packet.duration, ends[packet.stream_index] - packet.pts))
        packet.stream = copied.streams[packet.stream.index]
        packet.dts -= shift
        if packet.pts is not None:
            packet.pts -= shift
        # Merging needs an order; a track that goes back a little is muxed as it comes.
        latest = max(latest, packet.dts * base)
        yield latest, packet
