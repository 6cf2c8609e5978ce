"""Whether a fragmented MP4 file is whole: FFmpeg passes over a fragment that is damaged or breaks off without a word.

Layout after ISO/IEC 14496-12: boxes of a length, a type and a content; a fragment is a `moof`, whose `traf` say by a
`tfhd` which track they are of, and a `mdat` with the samples.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

__all__ = ["lacks_fragments"]

_LARGEST = 64 << 20
"""Bytes of a `moof` that are looked at; one of an hour's fragment is far smaller."""


def lacks_fragments(path: Path, track: int, last: int) -> bool:
    """Whether a fragment of a track lies behind the last sample that was read, or the file breaks off.

    Args:
        path: an MP4 or QuickTime file; one without fragments lacks none.
        track: number of the track in the file.
        last: position of the last sample that was read, bytes.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        end, fragmented, broken, beyond = os.fstat(file.fileno()).st_size, False, False, False
        try:
            for kind, start, stop in _boxes(file, 0, end):
                broken = stop > end
                if kind == b"moof":
                    fragmented = True
                    of_track = not broken and track in _tracks(file, start, stop)
                    beyond = beyond or (of_track and start > last)
        except ValueError:
            broken = True
    return fragmented and (broken or beyond)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start of the content, end) of the boxes within a span; the last one may end beyond it.

    Raises:
        ValueError: what lies there is no box.
    """
    while start < end:
        file.seek(start)
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("a box breaks off")
        size, kind = struct.unpack(">I4s", head)
        content = start + 8
        if size == 1:
            long = file.read(8)
            if len(long) < 8:
                raise ValueError("a box breaks off")
            (size,), content = struct.unpack(">Q", long), start + 16
        elif size == 0:  # up to the end
            size = end - start
        if start + size < content or not all(32 <= c < 127 or c == 0xA9 for c in kind):
            raise ValueError("no box")
        yield kind, content, start + size
        start += size


def _tracks(file: BinaryIO, start: int, stop: int) -> set[int]:
    """Numbers of the tracks that a `moof` has samples of.

    Raises:
        ValueError: it is damaged.
    """
    found = set()
    if stop - start > _LARGEST:
        raise ValueError("no such fragments are made")
    for kind, inner, after in _boxes(file, start, stop):
        if after > stop:
            raise ValueError("a box goes beyond its parent")
        if kind != b"traf":
            continue
        for part, content, part_end in _boxes(file, inner, after):
            if part_end > after:
                raise ValueError("a box goes beyond its parent")
            if part == b"tfhd":
                file.seek(content + 4)  # after version and flags
                found.add(int.from_bytes(file.read(4), "big"))
    return found
