"""Joins segments and the other tracks and metadata of the source to one file, without re-encoding the picture."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from derain_cli.errors import InputError
from derain_cli.media.clip.carried.covers import Cover, covers_of
from derain_cli.media.clip.carried.tracks import Cut, Track, is_made_anew, track_for
from derain_cli.media.clip.container import open_container, packets_of
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.segments import FIRST, Segment
from derain_cli.media.clip.timing.recordings import Recordings
from derain_cli.media.clip.writing import add_covers, add_video, carry_boxes, muxing, open_output, tags_of
from derain_cli.remedies import Remedy

__all__ = ["assemble"]

_BEYOND = 10
"""Seconds after the end of a part up to which packets of other tracks are read, since they may be stored late."""


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
        segments: files and their contents, in order; at least one.
        info: the source.
        target: the file to write, a temporary name; it may exist.
        suffix: suffix of the format to write, lower case with dot.
        cut: the segments are a part of the clip: other tracks are cut as well, and time starts at zero.

    Returns:
        One-line notes on what the output cannot store.

    Raises:
        InputError: a segment or the source can no longer be read.
        ResourceError: the disk is full.
    """
    import av

    source = open_container(info.path)
    recordings = Recordings(info.path, info.container)
    parts: list[Any] = [av.open(str(segments[0][0]))]
    try:
        with muxing(info.path, target, suffix):
            first, last = segments[0][1].pts[0], segments[-1][1].pts[-1] + segments[-1][1].tail
            origin = first if cut else info.start
            base = info.time_base
            wanted = Cut(origin * base, (first * base, last * base) if cut else None, recordings)
            out = open_output(target, suffix, tags_of(source.metadata, info, wanted.origin))
            parts.append(out)
            video = add_video(out, parts[0].streams.video[0], source, info, suffix, wanted.origin)
            covers = covers_of(info.path)
            tracks, notes = _add_others(out, source, info, suffix, wanted, covers)
            shown = add_covers(out, source, covers, suffix, notes)
            out.set_chapters(_chapters(source, info, origin, last if cut else None))
            packets = [_video_packets(segments, video, info, origin)]
            if tracks:
                packets.append(_other_packets(source, tracks, wanted))
            out.start_encoding()
            for packet in shown:
                out.mux(packet)
            for _, packet in heapq.merge(*packets, key=lambda timed: timed[0]):
                out.mux(packet)
            notes += [track.note for track in tracks.values() if track.note]
            for part in reversed(parts):
                part.close()
            notes += carry_boxes(info, target, suffix, covers, "a part" if cut else None)
            return notes
    finally:
        source.close()
        recordings.close()
        for part in reversed(parts):
            part.close()


def _add_others(
    out: Any, source: Any, info: ClipInfo, suffix: str, cut: Cut, covers: Sequence[Cover]
) -> tuple[dict[int, Track], list[str]]:
    """Tracks of the output by their index in the source, and notes."""
    tracks: dict[int, Track] = {}
    notes: list[str] = []
    apart = {info.track, *(cover.index for cover in covers)}
    for stream in source.streams:
        is_still = "avi" in source.metadata.get("major_brand", "") and stream.type == "video"
        if stream.index in apart or is_made_anew(stream) or is_still:
            continue
        declared = stream.start_time is not None and stream.duration and "mov" in info.container
        end = stream.start_time + stream.duration if declared else None
        track, note = track_for(out, stream, suffix, cut, end)
        if track is not None:
            tracks[stream.index] = track
        if note is not None:
            notes.append(note)
    return tracks, notes


def _chapters(source: Any, info: ClipInfo, origin: int, last: int | None) -> list[Any]:
    """Chapters of the source, shifted with the picture and, for a part, cut to it."""
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
    """Packets of all segments with the timestamps of the source, which also serve as decoding times, delayed."""
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
                assert packet.pts is not None  # set by `SegmentWriter`
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


def _other_packets(source: Any, tracks: Mapping[int, Track], cut: Cut) -> Iterator[tuple[Fraction, Any]]:
    """Packets of the other tracks, each with the time used for merging."""
    import av

    latest = Fraction(-(10**9))

    def timed(packets: Iterator[Any]) -> Iterator[tuple[Fraction, Any]]:
        nonlocal latest
        for packet in packets:
            # Merging needs increasing times; slightly out-of-order packets are muxed as they come.
            latest = max(latest, packet.dts * packet.time_base)
            yield latest, packet

    packets = packets_of(source, [source.streams[index] for index in tracks])
    reached: dict[int, Fraction] = {}
    while True:
        try:
            packet = next(packets, None)
        except (av.error.InvalidDataError, av.error.EOFError):  # reported by the reader
            break
        if packet is None:
            break
        if packet.size == 0:
            continue
        cut.recordings.place(packet)
        if cut.span is not None and packet.dts is not None:
            reached[packet.stream_index] = packet.dts * packet.time_base
            if len(reached) == len(tracks) and min(reached.values()) > cut.span[1] + _BEYOND:
                break
        yield from timed(tracks[packet.stream_index].take(packet))
    for track in tracks.values():
        yield from timed(track.finish())
