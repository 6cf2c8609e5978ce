"""Detects data after the last packet of known tracks; FFmpeg silently skips what it does not know."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from derain_cli.media.clip.boxes import boxes_of
from derain_cli.media.clip.damage.holes import appended

__all__ = ["goes_on"]

_FORMATS = frozenset(("mpegts", "mpeg", "flv"))
"""Formats without an index after their packets."""
_SHARE = 0.1
"""Share of a file that its end may take up: the rest of another track, and empty packets."""
_LEAST = 8192
"""Minimum number of bytes to report."""
_SAMPLE = 4096
_HEADS = {"flv": b"FLV\x01"}
"""File headers by format, searched for because a long end with sound only is harmless."""
_SEARCHED = 4 << 20


def goes_on(path: Path, container: str, last: int) -> bool:
    """Whether there is a large amount of data other than padding after the last packet.

    Args:
        path: the file.
        container: FFmpeg name of its format.
        last: byte position of the last packet of any known track.

    Raises:
        OSError: the file cannot be read.
    """
    if any(head > last for head in appended(path, container)):
        return True
    if "mov" in container.split(","):
        return _has_second_head(path)
    if not _FORMATS & set(container.split(",")):
        return False
    size = path.stat().st_size
    rest = size - last
    if rest < max(_LEAST, _SHARE * size):
        return False
    with path.open("rb") as file:
        if container in _HEADS:
            file.seek(last)
            return _HEADS[container] in file.read(_SEARCHED)
        file.seek(last + rest // 2)
        return len(set(file.read(_SAMPLE))) > 2


def _has_second_head(path: Path) -> bool:
    """Whether another MP4 or QuickTime file is appended."""
    with path.open("rb") as file, suppress(ValueError):
        end = os.fstat(file.fileno()).st_size
        return any(kind == b"ftyp" and start > 0 for kind, start, _, _ in boxes_of(file, 0, end))
    return False
