"""Repairs MP4 and QuickTime files with an invalid time table: they are read with a constant rate.

The `stts` of a track (ISO/IEC 14496-12) gives the duration of every sample. FFmpeg trusts it: if durations are zero,
negative or hours long, or if there are fewer durations than samples, frames coincide or are dropped.
"""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from derain_cli.media.clip.boxes import boxes_of

__all__ = ["Mend", "mended_file", "mends_of"]

_LONGEST = 60
"""Seconds; longer frames are implausible if the track is much shorter than their sum."""
_TIMES = 2
_LARGEST = 64 << 20
_USUAL = 25


@dataclass(frozen=True)
class Mend:
    """Bytes to read in place of the ones in the file."""

    position: int
    data: bytes


def mends_of(path: Path) -> list[Mend]:
    """The repairs of a file; empty for valid files and other formats."""
    try:
        with path.open("rb") as file:
            if file.read(8)[4:] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
                return []
            end = file.seek(0, io.SEEK_END)
            found = []
            for kind, _, content, stop in boxes_of(file, 0, end):
                if kind == b"moov" and stop <= end:
                    for inner, _, start, after in boxes_of(file, content, stop):
                        mend = _of_track(file, start, after) if inner == b"trak" else None
                        found += [mend] if mend else []
                    break
            return found
    except (OSError, ValueError, struct.error):
        return []  # the demuxer reports the same error


def mended_file(path: Path) -> BinaryIO | None:
    """A file object with the repairs applied; None if there are none."""
    mends = mends_of(path)
    return io.BufferedReader(_Mended(path, mends)) if mends else None


class _Mended(io.RawIOBase):
    def __init__(self, path: Path, mends: list[Mend]):
        self._file = path.open("rb")
        self._mends = mends

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any) -> int:
        start = self._file.tell()
        count = self._file.readinto(buffer)
        for mend in self._mends:
            first = max(start, mend.position)
            last = min(start + count, mend.position + len(mend.data))
            if first < last:
                buffer[first - start : last - start] = mend.data[first - mend.position : last - mend.position]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _of_track(file: BinaryIO, start: int, stop: int) -> Mend | None:
    boxes = _leaves(file, start, stop, (b"mdia", b"minf", b"stbl"))
    if not {b"mdhd", b"stts", b"stsz"} <= boxes.keys():
        return None
    header = _read(file, *boxes[b"mdhd"])
    scale, length = struct.unpack(
        ">IQ" if header[0] == 1 else ">II", header[20:32] if header[0] == 1 else header[12:20]
    )
    count = struct.unpack(">I", _read(file, *boxes[b"stsz"])[8:12])[0]
    at, after = boxes[b"stts"]
    table = _read(file, at, after)
    entries = np.frombuffer(table[8:], ">u4")
    entries = entries[: len(entries) // 2 * 2].reshape(-1, 2)[: struct.unpack(">I", table[4:8])[0]].astype(np.int64)
    if count < 2 or not len(entries) or not scale or not _is_broken(entries, count, scale, length):
        return None
    step = length // count
    if not scale <= 1000 * max(step, 1) or not 0 < step <= 10 * scale:
        step = max(1, scale // _USUAL)
    data = struct.pack(">III", 1, count, step)
    return Mend(at + 4, data) if at + 4 + len(data) <= after else None


def _is_broken(entries: Any, count: int, scale: int, length: int) -> bool:
    counts, steps = entries[:, 0], entries[:, 1]
    if counts.sum() < count:
        return True
    invalid = (steps == 0) | (steps >= 1 << 31)
    if 2 * counts[invalid].sum() > count:
        return True
    long = steps > _LONGEST * scale
    return bool(length) and bool(long.any()) and int((counts * steps).sum()) > _TIMES * length + scale


def _leaves(file: BinaryIO, start: int, stop: int, parents: tuple[bytes, ...]) -> dict[bytes, tuple[int, int]]:
    found: dict[bytes, tuple[int, int]] = {}
    for kind, _, content, after in boxes_of(file, start, stop):
        if kind in parents:
            found |= _leaves(file, content, after, parents)
        else:
            found[kind] = content, after
    return found


def _read(file: BinaryIO, start: int, stop: int) -> bytes:
    if stop - start > _LARGEST:
        raise ValueError("implausibly large table")
    file.seek(start)
    return file.read(stop - start)
