"""Whether a file goes on behind the last packet of known tracks: FFmpeg passes over what it does not know."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from derain_cli.media.clip.boxes import boxes_of
from derain_cli.media.clip.damage.holes import appended

__all__ = ["goes_on"]

_FORMATS = frozenset(("mpegts", "mpeg", "flv"))
"""Formats without an index behind their packets."""
_SHARE = 0.1
"""Of a file, that what ends it may take: the end of another track, and packets that hold nothing."""
_LEAST = 8192
"""Bytes that are worth a word."""
_SAMPLE = 4096
_HEADS = {"flv": b"FLV\x01"}
"""How files of a format begin, where that is looked for: a long end of sound alone is nothing to speak of."""
_SEARCHED = 4 << 20


def goes_on(path: Path, container: str, last: int) -> bool:
    """Whether something that is no padding, and large, lies behind the last packet.

    Args:
        path: the file.
        container: FFmpeg's name of its format.
        last: where the last packet of any known track begins, bytes.

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
    """Whether another MP4 or QuickTime file lies behind the first one."""
    with path.open("rb") as file, suppress(ValueError):
        end = os.fstat(file.fileno()).st_size
        return any(kind == b"ftyp" and start > 0 for kind, start, _, _ in boxes_of(file, 0, end))
    return False
