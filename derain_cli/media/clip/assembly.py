"""Joins segments and the other tracks and metadata of the source to one file, without re-encoding the picture."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from derain_cli.errors import InputError, resource_error_from
from derain_cli.media.clip.boxes import Extras, add_boxes, cover_box, extras_of
from derain_cli.media.clip.carried.covers import Cover, covers_of
from derain_cli.media.clip.carried.timecode import later
from derain_cli.media.clip.carried.tracks import Cut, Track, carry_tags, is_made_anew, own_tags, track_for
from derain_cli.media.clip.container import open_container, packets_of, says_alpha
from derain_cli.media.clip.encoding import FORMATS
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.segments import FIRST, Segment
from derain_cli.media.clip.timing.recordings import Recordings
from derain_cli.remedies import Remedy

__all__ = ["assemble"]

_BEYOND = 10
"""Seconds after the end of a part up to which packets of other tracks are read, since they may be stored late."""
_TIME_CODE, _REEL = "timecode", "reel_name"


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

    in_boxes = FORMATS[suffix] in ("mp4", "mov")
    options = {"fflags": "+bitexact"}
    source = open_container(info.path)
    recordings = Recordings(info.path, info.container)
    parts: list[Any] = [av.open(str(segments[0][0]))]
    try:
        first, last = segments[0][1].pts[0], segments[-1][1].pts[-1] + segments[-1][1].tail
        origin = first if cut else info.start
        base = info.time_base
        wanted = Cut(origin * base, (first * base, last * base) if cut else None, recordings)
        tags = _tags(source.metadata, info, wanted.origin)
        if in_boxes and any(key.startswith("com.") for key in tags):
            options["movflags"] = "+use_metadata_tags"  # otherwise keys written by phones are dropped
        out = av.open(str(target), "w", format=FORMATS[suffix], options=options)
        parts.append(out)
        out.metadata.update(tags)
        video = _add_video(out, parts[0], source, info, suffix, wanted.origin)
        covers = covers_of(info.path)
        tracks, notes = _add_others(out, source, info, suffix, wanted, covers)
        shown = _add_covers(out, source, covers, suffix, notes)
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
        notes += _carry_boxes(info, target, suffix, covers, cut=cut)
        return notes
    except av.FFmpegError as error:
        if resource_error_from(error, target) is not None:
            raise
        reason = f"cannot be stored in a {suffix} file: {error.strerror}"
        raise InputError(reason, path=info.path, remedy=Remedy.OTHER_FORMAT) from error
    finally:
        source.close()
        recordings.close()
        for part in reversed(parts):
            part.close()


def _tags(tags: Mapping[str, str], info: ClipInfo, origin: Fraction) -> dict[str, str]:
    """The tags of the source, with the time code of the first frame of the output."""
    start = origin - info.start * info.time_base
    return {k: later(v, start, info.rate) if k.lower() == _TIME_CODE else v for k, v in own_tags(tags).items()}


def _add_video(out: Any, part: Any, container: Any, info: ClipInfo, suffix: str, origin: Fraction) -> Any:
    template, source = part.streams.video[0], container.streams[info.track]
    reel = next((each.metadata[_REEL] for each in container.streams if _REEL in each.metadata), None)
    video = out.add_stream_from_template(template, opaque=True)
    video.time_base = info.time_base
    if template.codec_context.name in ("hevc", "libx265") and suffix != ".mkv":
        video.codec_context.codec_tag = "hvc1"  # not all players support the other tag
    carry_tags(source, video)
    video.metadata.update(_tags(source.metadata, info, origin))
    if reel is not None:
        video.metadata[_REEL] = reel  # the muxer writes it to the time code track
    if says_alpha(template):
        video.metadata["alpha_mode"] = "1"
    if info.matrix is not None:
        video.set_display_matrix(info.matrix)
    if info.rate and not video.codec_context.framerate:
        video.codec_context.framerate = info.rate  # without it, the muxer writes no time code track
    return video


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


def _add_covers(out: Any, source: Any, covers: Sequence[Cover], suffix: str, notes: list[str]) -> list[Any]:
    """Packets of covers that become tracks of the output; others are attached here, or written to boxes later."""
    import av

    packets = []
    for cover in covers:
        place = cover.place(suffix)
        if place == "attachment":
            out.add_attachment(cover.name, cover.mime, cover.picture)
        elif place == "track":
            made = out.add_stream_from_template(source.streams[cover.index], opaque=True)
            made.disposition = av.stream.Disposition.attached_pic
            packet = av.Packet(cover.picture)
            packet.stream, packet.pts, packet.dts, packet.time_base = made, 0, 0, Fraction(1, 1000)
            packets.append(packet)
        elif place is None:
            notes.append(cover.note)
    return packets


def _carry_boxes(info: ClipInfo, target: Path, suffix: str, covers: Sequence[Cover], *, cut: bool) -> list[str]:
    """Add what FFmpeg does not carry over to the written file; returns notes on what is left out."""
    into_boxes = FORMATS[suffix] in ("mp4", "mov")
    pictures = [(cover.codec, cover.picture) for cover in covers if cover.place(suffix) == "box"]
    extras = extras_of(info.path, info.track) if "mov" in info.container else Extras()
    lost = list(extras.lost)
    if cut and extras.marks:
        lost.append("the camera's time marks are left out of a part")
        extras = replace(extras, marks=())
    if not into_boxes:
        lost += [f"{each} cannot be stored in {suffix}: left out (.mp4 supports it)" for each in extras.named]
    elif extras or pictures:
        add_boxes(target, extras, [cover_box(pictures)] if pictures else [])
    return lost


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
