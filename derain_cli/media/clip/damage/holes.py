"""Detects holes in Matroska files and transport streams; FFmpeg silently continues after a hole.

In both formats the structure alone reveals holes, regardless of the frame rate: a Matroska element has a length and may
be followed by certain elements only (RFC 8794, RFC 9559); packets of a transport stream have equal size and a counter
per track from 0 to 15 (ISO/IEC 13818-1).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Hole", "appended", "holes"]


@dataclass(frozen=True)
class Hole:
    """A place where something is missing.

    Attributes:
        position: byte where the structure breaks; the loss is before the next valid element.
        certain: whether data is certainly lost. Counters of a transport stream also jump where files were joined,
            without any loss.
        where: `here`; `end` if the file is truncated here; `before` if the structure is intact up to the end of the
            file, which is here, but the file is shorter than declared: data is missing anywhere before, or was cut
            off cleanly.
    """

    position: int
    certain: bool = True
    where: Literal["here", "end", "before"] = "here"


def holes(path: Path, container: str, start: int = 0) -> Iterator[tuple[int, Hole | None]]:
    """Parse the structure of a clip, reading no more than necessary.

    Args:
        path: the file.
        container: FFmpeg name of the format; formats other than these two yield nothing.
        start: byte to start at; parsing begins with the first valid element from there on.

    Yields:
        Byte position reached, increasing, and the hole found there, if any.

    Raises:
        OSError: the file cannot be read.
    """
    names = set(container.split(","))
    if not names & {"matroska", "mpegts"}:
        return
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        yield from _matroska(file, start, end) if "matroska" in names else _Packets(file, start, end).walk()


def appended(path: Path, container: str) -> Iterator[int]:
    """Byte positions of Matroska files appended to the first one.

    Args:
        path: the file.
        container: FFmpeg name of its format.
    """
    if "matroska" not in container.split(","):
        return
    try:
        with path.open("rb") as file:
            end = os.fstat(file.fileno()).st_size
            position = _end_of_segment(file, 0, end)
            while position is not None and position < end:
                head = _element(file, position, end)
                if head is None or head[0] != _HEADER:
                    return  # padding
                yield position
                position = _end_of_segment(file, position, end)
    except OSError:
        return  # the demuxer reports the same error


def _end_of_segment(file: BinaryIO, position: int, end: int) -> int | None:
    """End of the Matroska file that starts at a byte; None if there is none."""
    header = _element(file, position, end)
    if header is None or header[0] != _HEADER or header[2] is None:
        return None
    segment = _element(file, header[2], end)
    if segment is None or segment[0] != _SEGMENT:
        return None
    if segment[2] is not None:
        return segment[2]
    position = segment[1]  # unknown size, as in live recordings
    while (element := _element(file, position, end)) is not None and element[0] != _HEADER:
        kind, content, stop = element
        position = content if stop is None or kind == _CLUSTER else stop
    return position if element is not None else None


# --- Matroska ---------------------------------------------------------------------------------------------------

_HEADER, _SEGMENT, _CLUSTER = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_TOP = frozenset(
    bytes.fromhex(each)
    for each in ("114d9b74", "1549a966", "1654ae6b", "1c53bb6b", "1941a469", "1043a770", "1254c367", "ec", "bf")
)
"""Seek head, info, tracks, cues, attachments, chapters, tags; void and checksum."""
_IN_CLUSTER = frozenset(bytes.fromhex(each) for each in ("e7", "5854", "a7", "ab", "a3", "a0", "af", "ec", "bf"))
"""Timestamp, silent tracks, position, previous size, blocks, block groups; void and checksum."""
_STEP = 1 << 20


def _matroska(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, Hole | None]]:
    """Holes from `start` on; clusters before it are skipped by their lengths."""
    position, before, cluster_end, segment_end = 0, 0, 0, end
    endless = False  # inside a cluster of unknown size
    while position < end:
        here, inside = position, endless or position < cluster_end
        element = _element(file, position, end)
        if position == segment_end or (element and element[0] == _HEADER and position > 0):
            return  # an appended file, or padding
        hole = None
        if element is None:
            hole = Hole(position)
        else:
            kind, content, stop = element
            if kind == _SEGMENT and not inside:
                if stop is not None:
                    segment_end = stop
                position = content
            elif kind == _CLUSTER and (endless or not inside):
                endless, cluster_end = stop is None, end if stop is None else stop
                position = content if endless or cluster_end > start else cluster_end
            elif kind in (_IN_CLUSTER if inside else _TOP | {_HEADER}) or (endless and kind in _TOP):
                endless = endless and kind in _IN_CLUSTER
                if stop is None or (inside and not endless and stop > cluster_end):
                    hole = Hole(position)
                elif stop > end:
                    hole = Hole(position, where="end")
                else:
                    position = stop
            else:
                hole = Hole(position)
        if hole is None:
            yield position, None
            before = here
            continue
        # The previous element may have been truncated, and its length reach into the next one.
        found = _next_cluster(file, before + 1, end)
        if found is None:
            if not _is_padding(file, position):
                yield position, Hole(position, where="end")
            return
        if found >= start:
            yield position, Hole(position)
        position, before, cluster_end, endless = found, found, 0, False
    if segment_end > end:
        yield end, Hole(end, where="before")


def _element(file: BinaryIO, position: int, end: int) -> tuple[bytes, int, int | None] | None:
    """(identifier, start of the content, end or None if unknown) of an element; None if there is no element."""
    file.seek(position)
    head = file.read(12)
    length = _length(head, 0)
    if not 1 <= length <= 4 or position + length >= end:
        return None
    kind = head[:length]
    size_length = _length(head, length)
    if not 1 <= size_length <= 8 or len(head) < length + size_length:
        return None
    size = int.from_bytes(head[length : length + size_length], "big") - (1 << 7 * size_length)
    content = position + length + size_length
    return kind, content, None if size == (1 << 7 * size_length) - 1 else content + size


def _length(data: bytes, place: int) -> int:
    """Length in bytes of the number at `place`, from its leading zeros; 9 if there is none."""
    return 9 - data[place].bit_length() if place < len(data) else 9


def _next_cluster(file: BinaryIO, position: int, end: int) -> int | None:
    while position < end:
        file.seek(position)
        data = file.read(_STEP)
        at = data.find(_CLUSTER)
        while at >= 0:
            found = _element(file, position + at, end)
            if found and (inner := _element(file, found[1], end)) and inner[0] in _IN_CLUSTER:
                return position + at
            at = data.find(_CLUSTER, at + 1)
        if len(data) < _STEP:
            return None
        position += len(data) - len(_CLUSTER) + 1
    return None


def _is_padding(file: BinaryIO, position: int) -> bool:
    """Whether only zeros follow, as in space reserved by recorders."""
    file.seek(position)
    while data := file.read(_STEP):
        if data.count(0) < len(data):
            return False
    return True


# --- transport streams ------------------------------------------------------------------------------------------

_SYNC, _NULL = 0x47, 0x1FFF
_SIZES = ((188, 0), (192, 4), (204, 0))
"""Packet size and offset in bytes: plain, with leading timestamps (Blu-ray, camcorders), with trailing parity."""
_AT_ONCE = 2048
"""Packets per read."""


@dataclass
class _Packets:
    """The packets of a transport stream."""

    file: BinaryIO
    start: int
    end: int
    counts: dict[int, int] = field(default_factory=dict)

    def walk(self) -> Iterator[tuple[int, Hole | None]]:
        found, lost = self._sync(self.start), False
        while found is not None:
            position, size, offset = found
            self.file.seek(position)
            data = self.file.read(size * _AT_ONCE)
            rows = np.frombuffer(data, np.uint8)[: len(data) // size * size].reshape(-1, size)
            if not len(rows):
                return
            heads = np.ascontiguousarray(rows[:, offset : offset + 6].T)
            wrong = np.flatnonzero(heads[0] != _SYNC)
            sound = heads[:, : wrong[0]] if len(wrong) else heads
            for place, certain in self._jumps(sound):
                # Not the start of a new recording if packets are misaligned as well.
                yield position + place * size, Hole(position + place * size, certain or lost)
                lost = False
            position += sound.shape[1] * size
            yield position, None
            found = position, size, offset
            if len(wrong):
                found, lost = self._sync(position + 1), True
                if found is not None:
                    # Not certain: there may be padding between joined files.
                    yield position, Hole(position, certain=False)

    def _sync(self, position: int) -> tuple[int, int, int] | None:
        """First position from which five packets follow each other, their size, and their offset."""
        while position < self.end:
            self.file.seek(position)
            data = np.frombuffer(self.file.read(_STEP), np.uint8)
            marks = data == _SYNC
            best: tuple[int, int, int] | None = None
            for size, offset in _SIZES:
                last = len(marks) - 4 * size - offset
                if last <= 0:
                    continue
                row = np.logical_and.reduce([marks[offset + n * size : offset + n * size + last] for n in range(5)])
                at = int(row.argmax())
                if row[at] and (best is None or at < best[0]):
                    best = at, size, offset
            if best is not None:
                return position + best[0], best[1], best[2]
            if len(data) < _STEP:
                return None
            position += _STEP - 5 * 204
        return None

    def _jumps(self, heads: npt.NDArray[np.uint8]) -> list[tuple[int, bool]]:
        """Indices of packets before which others of the same track are missing, and whether that is certain. `heads`
        has the first bytes of consecutive packets, (6, N)."""
        track = (heads[1] & 0x1F).astype(np.int32) << 8 | heads[2]
        counts, control = heads[3] & 15, heads[3] >> 4 & 3
        begins = (heads[1] & 0x40) > 0
        announced = (control >= 2) & (heads[4] > 0) & ((heads[5] & 0x80) > 0)  # a signalled discontinuity
        found: list[tuple[int, bool]] = []
        for each in np.unique(track).tolist():
            if each == _NULL:
                continue
            places: npt.NDArray[Any] = np.flatnonzero((track == each) & (control & 1 > 0))
            if not len(places):
                continue
            own = counts[places].astype(np.int32)
            before = np.concatenate([[self.counts.get(each, own[0])], own[:-1]])
            self.counts[each] = int(own[-1])
            # A packet may be repeated. One that starts a picture with count 0 belongs to an appended file.
            jumped = ((own - before) % 16 > 1) & ~announced[places] & ~(begins[places] & (own == 0))
            # Inside a picture the loss is certain; at its start, another recording may begin.
            found += [(int(places[n]), not begins[places[n]]) for n in np.flatnonzero(jumped)]
        return sorted(found)
