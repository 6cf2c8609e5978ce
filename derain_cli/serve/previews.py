"""Identifies uploads, and writes still pictures that every browser can display."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from derain_cli.config import EncodeOptions
from derain_cli.errors import InputError
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.libraries import require_clip_libraries
from derain_cli.media.clip.names import READABLE_CLIPS
from derain_cli.media.clip.reader import Frame, open_clip
from derain_cli.media.montage import thumbnail
from derain_cli.media.photo import Metadata, Photo, probe_photo, read_photo, write_photo
from derain_cli.media.photo.formats import sniff
from derain_cli.media.pixels import Pixels, to_uint8
from derain_cli.remedies import Remedy
from derain_cli.serve.entry import Look

__all__ = ["look_at", "write_clip_stills", "write_photo_still"]

_SIDE = 2048
"""Maximum length of the longer side of a still, pixels."""
_QUALITY = EncodeOptions(quality=90)
_STILLS = 5
"""Number of stills of a clip."""
_TOLERANCE = 0.002
"""Seconds by which timestamps may change between formats with different time bases."""
_CLIP_AFTER_ALL = (Remedy.CLIP_COMMAND, Remedy.MAKE_VIDEO)


def look_at(source: Path, stem: Path, max_pixels: int) -> tuple[Look, tuple[Path, ...]]:
    """Identify an upload by its content, and write stills; the suffix only matters for unknown content.

    Args:
        source: the upload.
        stem: path of the stills without suffix.
        max_pixels: larger pictures are refused.

    Raises:
        InputError: not a photo or clip, or one that is refused.
        UsageError: a clip, and the libraries for clips are not installed.
    """
    with source.open("rb") as file:
        known = sniff(file.read(64)) is not None
    if not known and source.suffix not in READABLE_CLIPS:
        raise InputError("not a photo or video clip", path=source, hint="for example JPEG or MP4")
    try:
        info = probe_photo(source, max_pixels=max_pixels)
    except InputError as error:
        if error.remedy in _CLIP_AFTER_ALL or source.suffix in READABLE_CLIPS:
            return _look_at_clip(source, stem, max_pixels)
        raise
    look = Look("photo", info.width, info.height, info.format)
    return look, (write_photo_still(source, stem, max_pixels),)


def write_photo_still(source: Path, stem: Path, max_pixels: int) -> Path:
    """Write a still of a photo, upright, with its colour profile; PNG if it has transparency, else JPEG.

    Raises:
        InputError: the photo cannot be read.
    """
    photo = read_photo(source, max_pixels=max_pixels)
    surroundings = Metadata(icc_profile=photo.metadata.icc_profile, code_points=photo.metadata.code_points)
    return _write(replace(photo, metadata=surroundings), stem)


def write_clip_stills(source: Path, stem: Path, moments: Sequence[float]) -> dict[float, Path]:
    """Write stills of a clip at these times (seconds); paths by the time of the frame. Fewer if the clip ends earlier.

    Raises:
        InputError: the clip cannot be read.
    """
    written: dict[float, Path] = {}
    for number, moment in enumerate(moments):
        frame = _frame_at(source, moment)
        if frame is None:
            break
        if frame.seconds not in written:
            written[frame.seconds] = _write(Photo(frame.pixels, frame.alpha), stem.with_name(f"{stem.name}-{number}"))
    return written


def _look_at_clip(source: Path, stem: Path, max_pixels: int) -> tuple[Look, tuple[Path, ...]]:
    require_clip_libraries()
    with open_clip(source, max_pixels=max_pixels) as reader:
        info = reader.info
    stills = write_clip_stills(source, stem, _spread(info)) or write_clip_stills(source, stem, (0.0,))
    look = Look("clip", info.width, info.height, info.codec, tuple(stills), _duration(info), info.frames)
    return look, tuple(stills.values())


def _duration(info: ClipInfo) -> float | None:
    if info.duration is None and info.frames and info.rate:
        return float(info.frames / info.rate)
    return info.duration


def _spread(info: ClipInfo) -> list[float]:
    """Times spread evenly over a clip; only 0 if its length is unknown."""
    duration = _duration(info)
    count = _STILLS if duration and (info.frames or _STILLS) >= _STILLS else 1
    return [(number + 0.5) / count * (duration or 0) for number in range(count)]


def _frame_at(source: Path, moment: float) -> Frame | None:
    """The first frame at or after this time."""
    with open_clip(source) as reader:
        info = reader.info
        first = info.start + math.ceil((moment - _TOLERANCE) / info.time_base)
        return next(iter(reader.frames(first if moment > _TOLERANCE else None)), None)


def _write(photo: Photo, stem: Path) -> Path:
    pixels, alpha = _smaller(photo.pixels), None if photo.alpha is None else _smaller(photo.alpha)
    path = stem.with_suffix(".jpg" if alpha is None else ".png")
    write_photo(replace(photo, pixels=pixels, alpha=alpha), path, options=_QUALITY, overwrite=True)
    return path


def _smaller(pixels: Pixels) -> Pixels:
    return thumbnail(to_uint8(pixels), (_SIDE, _SIDE))
