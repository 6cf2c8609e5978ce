"""What an output takes over from its source besides copied tracks: tags, video properties, covers, boxes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from derain_cli.errors import InputError, resource_error_from
from derain_cli.media.clip.boxes import Extras, add_boxes, cover_box, extras_of
from derain_cli.media.clip.carried.covers import Cover
from derain_cli.media.clip.carried.timecode import later
from derain_cli.media.clip.carried.tracks import carry_tags, own_tags
from derain_cli.media.clip.container import says_alpha
from derain_cli.media.clip.encoding import FORMATS
from derain_cli.media.clip.info import ClipInfo
from derain_cli.remedies import Remedy

__all__ = ["add_covers", "add_video", "carry_boxes", "muxing", "open_output", "tags_of"]

_TIME_CODE, _REEL = "timecode", "reel_name"


@contextmanager
def muxing(source: Path, target: Path, suffix: str) -> Iterator[None]:
    """Report what FFmpeg refuses while `target` is written as an error of the source.

    Raises:
        InputError: the format cannot store something.
    """
    import av

    try:
        yield
    except av.FFmpegError as error:
        if resource_error_from(error, target) is not None:
            raise
        reason = f"cannot be stored in a {suffix} file: {error.strerror}"
        raise InputError(reason, path=source, remedy=Remedy.OTHER_FORMAT) from error


def open_output(target: Path, suffix: str, tags: Mapping[str, str]) -> Any:
    """Open the file to write as a PyAV container, with its tags."""
    import av

    options = {"fflags": "+bitexact"}
    if FORMATS[suffix] in ("mp4", "mov") and any(key.startswith("com.") for key in tags):
        options["movflags"] = "+use_metadata_tags"  # otherwise keys written by phones are dropped
    out = av.open(str(target), "w", format=FORMATS[suffix], options=options)
    out.metadata.update(tags)
    return out


def tags_of(tags: Mapping[str, str], info: ClipInfo, origin: Fraction) -> dict[str, str]:
    """The tags of the source, with the time code of the first frame of the output."""
    start = origin - info.start * info.time_base
    return {k: later(v, start, info.rate) if k.lower() == _TIME_CODE else v for k, v in own_tags(tags).items()}


def add_video(out: Any, template: Any, container: Any, info: ClipInfo, suffix: str, origin: Fraction) -> Any:
    """The video track, encoded as the track `template`, with other properties of the source (`container`)."""
    source = container.streams[info.track]
    reel = next((each.metadata[_REEL] for each in container.streams if _REEL in each.metadata), None)
    video = out.add_stream_from_template(template, opaque=True)
    video.time_base = info.time_base
    if template.codec_context.name in ("hevc", "libx265") and suffix != ".mkv":
        video.codec_context.codec_tag = "hvc1"  # not all players support the other tag
    carry_tags(source, video)
    video.metadata.update(tags_of(source.metadata, info, origin))
    if reel is not None:
        video.metadata[_REEL] = reel  # the muxer writes it to the time code track
    if says_alpha(template):
        video.metadata["alpha_mode"] = "1"
    if info.matrix is not None:
        video.set_display_matrix(info.matrix)
    if info.rate and not video.codec_context.framerate:
        video.codec_context.framerate = info.rate  # without it, the muxer writes no time code track
    return video


def add_covers(out: Any, source: Any, covers: Sequence[Cover], suffix: str, notes: list[str]) -> list[Any]:
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


def carry_boxes(
    info: ClipInfo, target: Path, suffix: str, covers: Sequence[Cover], without_marks: str | None = None
) -> list[str]:
    """Add what FFmpeg does not carry over to the written file; returns notes on what is left out.

    Args:
        info: the source.
        target: the written file.
        suffix: its suffix, which gives the format.
        covers: cover pictures of the source.
        without_marks: what the output is, if the camera's time marks would be wrong in it; None keeps them.
    """
    into_boxes = FORMATS[suffix] in ("mp4", "mov")
    pictures = [(cover.codec, cover.picture) for cover in covers if cover.place(suffix) == "box"]
    extras = extras_of(info.path, info.track) if "mov" in info.container else Extras()
    lost = list(extras.lost)
    if without_marks is not None and extras.marks:
        lost.append(f"the camera's time marks are left out of {without_marks}")
        extras = replace(extras, marks=())
    if not into_boxes:
        lost += [f"{each} cannot be stored in {suffix}: left out (.mp4 supports it)" for each in extras.named]
    elif extras or pictures:
        add_boxes(target, extras, [cover_box(pictures)] if pictures else [])
    return lost
