"""Other kinds of clips: folders of numbered pictures, and animations that FFmpeg cannot read."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

from derain_cli.media.clip.names import READABLE_CLIPS

__all__ = ["USUAL_RATE", "Pictures", "animated_webp", "named_sequence", "sequence_in"]

USUAL_RATE = 25
"""Default number of pictures per second."""
_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp"))
_NUMBERED = re.compile(r"(.*?)(\d+)(\.\w+)")
_MILLISECOND = Fraction(1, 1000)
_LEAST_SHOWN, _SHOWN = 11, 100
"""Milliseconds; browsers show pictures of an animation with a duration below the first for the second."""


@dataclass(frozen=True)
class Pictures:
    """A folder of numbered pictures.

    Attributes:
        pattern: FFmpeg pattern, including the folder.
        first: number of the first picture.
        count: number of pictures.
    """

    pattern: str
    first: int
    count: int


def sequence_in(folder: Path) -> Pictures | None:
    """The pictures of a folder that form a clip: two or more with the same name and suffix and consecutive numbers, and
    no other pictures or clips in the folder."""
    try:
        with os.scandir(folder) as entries:
            names = sorted(e.name for e in entries if not e.name.startswith(".") and e.is_file())
    except OSError:
        return None
    found = [_NUMBERED.fullmatch(name) for name in names if _may_be_shown(name)]
    parts = [each.groups() for each in found if each is not None]
    if len(parts) < 2 or len(parts) != len(found):
        return None
    (stem, digits, suffix), numbers = parts[0], sorted(int(number) for _, number, _ in parts)
    width = len(digits) if all(len(number) == len(digits) for _, number, _ in parts) else 0
    if suffix.lower() not in _SUFFIXES or any((each[0], each[2]) != (stem, suffix) for each in parts):
        return None
    if numbers != list(range(numbers[0], numbers[0] + len(numbers))):
        return None
    if not width and any(number.startswith("0") and number != "0" for _, number, _ in parts):
        return None
    prefix = f"{folder}{os.sep}{stem}".replace("%", "%%")
    return Pictures(f"{prefix}%{f'0{width}' if width else ''}d{suffix}", numbers[0], len(numbers))


def named_sequence(path: str) -> str | None:
    """The folder, with a usable name, of a sequence given as a folder or as an FFmpeg pattern such as
    `folder/frame_%04d.jpg`; None if there is none."""
    if os.path.isdir(path):  # noqa: PTH112
        if sequence_in(Path(path)) is None:
            return None
        path = os.path.normpath(path)
        return os.path.realpath(path) if os.path.basename(path) in (os.curdir, os.pardir) else path  # noqa: PTH119
    if "%" not in os.path.basename(path) or os.path.lexists(path):  # noqa: PTH119  (paths are strings)
        return None
    folder = os.path.dirname(os.path.realpath(path))  # noqa: PTH120
    pictures = sequence_in(Path(folder))
    return folder if pictures is not None and pictures.pattern == os.path.realpath(path) else None


def animated_webp(path: Path) -> IO[bytes] | None:
    """An animated WebP converted losslessly to a file that FFmpeg can read; None for anything else.

    Raises:
        OSError: it is damaged.
    """
    with path.open("rb") as file:
        if file.read(12)[8:] != b"WEBP":
            return None
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            return _recoded(image) if getattr(image, "is_animated", False) else None
    except UnidentifiedImageError:
        return None


def _recoded(image: Any) -> IO[bytes]:
    import av
    import numpy as np

    file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by the container)
    alpha = "A" in image.mode
    with av.open(file, "w", format="nut") as out:
        stream: Any = out.add_stream("ffv1", rate=1000)
        stream.width, stream.height, stream.pix_fmt = image.width, image.height, "bgra" if alpha else "bgr0"
        stream.codec_context.time_base = _MILLISECOND
        shown = 0
        for number in range(image.n_frames):
            image.seek(number)
            picture = np.asarray(image.convert("RGBA" if alpha else "RGB"))
            frame = av.VideoFrame.from_ndarray(picture, format="rgba" if alpha else "rgb24")
            frame.pts, frame.time_base = shown, _MILLISECOND
            length = int(image.info.get("duration", 0))
            shown += length if length >= _LEAST_SHOWN else _SHOWN
            out.mux(stream.encode(frame.reformat(format=stream.pix_fmt)))
        out.mux(stream.encode(None))
    file.seek(0)
    return file


def _may_be_shown(name: str) -> bool:
    suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
    return suffix in _SUFFIXES or suffix in READABLE_CLIPS or suffix in (".webp", ".gif", ".heic", ".avif")
