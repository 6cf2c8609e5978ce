"""Checks whether a fragmented MP4 file is complete; FFmpeg silently skips damaged or truncated fragments.

Layout according to ISO/IEC 14496-12: boxes with length, type and content. A fragment consists of a `moof`, whose `traf`
boxes name their track in a `tfhd`, and a `mdat` with the samples.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

from derain_cli.media.clip.boxes import boxes_of

__all__ = ["lacks_fragments"]

_LARGEST = 64 << 20
"""Maximum size in bytes of a `moof` that is parsed; one for an hour is far smaller."""


def lacks_fragments(path: Path, track: int, last: int) -> bool:
    """Whether a fragment of a track follows the last sample that was read, or the file is truncated.

    Args:
        path: an MP4 or QuickTime file; False if it has no fragments.
        track: number of the track in the file.
        last: byte position of the last sample that was read.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        end, fragmented, broken, beyond = os.fstat(file.fileno()).st_size, False, False, False
        try:
            for kind, _, start, stop in boxes_of(file, 0, end):
                broken = stop > end
                if kind == b"moof":
                    fragmented = True
                    of_track = not broken and track in _tracks(file, start, stop)
                    beyond = beyond or (of_track and start > last)
        except ValueError:
            broken = True
    return fragmented and (broken or beyond)


def _tracks(file: BinaryIO, start: int, stop: int) -> set[int]:
    """Numbers of the tracks with samples in a `moof`.

    Raises:
        ValueError: it is damaged.
    """
    found = set()
    if stop - start > _LARGEST:
        raise ValueError("implausibly large fragment")
    for kind, _, inner, after in boxes_of(file, start, stop):
        if after > stop:
            raise ValueError("a box goes beyond its parent")
        if kind != b"traf":
            continue
        for part, _, content, part_end in boxes_of(file, inner, after):
            if part_end > after:
                raise ValueError("a box goes beyond its parent")
            if part == b"tfhd":
                file.seek(content + 4)  # after version and flags
                found.add(int.from_bytes(file.read(4), "big"))
    return found
