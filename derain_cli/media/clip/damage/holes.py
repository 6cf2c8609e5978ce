"""Where a Matroska file or a transport stream is broken: FFmpeg reads on behind a hole without a word.

Both formats say where their next piece must be, so a hole is known by the structure alone, whatever the clip's rate:
a Matroska element has a length and only certain ones follow it (RFC 8794, RFC 9559); packets of a transport stream
have one size and are counted, by track, from 0 to 15 (ISO/IEC 13818-1).
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
        position: byte where the structure ends; what is missing lay before the next sound piece.
        certain: whether something is lost for sure. Counters of a transport stream may also jump where files were
            joined, and then nothing is.
        where: `here`; `end`, when the file breaks off here; `before`, when the file is whole up to its end, which is
            here, but shorter than it says: something is missing anywhere before, or cut off cleanly.
    """

    position: int
    certain: bool = True
    where: Literal["here", "end", "before"] = "here"


def holes(path: Path, container: str, start: int = 0) -> Iterator[tuple[int, Hole | None]]:
    """Walk through a clip's structure, reading no more of it than that takes.

    Args:
        path: the file.
        container: FFmpeg's name of the format; any but these two has no holes.
        start: where to begin, bytes; the walk begins with the first sound piece from there on.

    Yields:
        How far the walk has come, in bytes and increasing, and the hole that was found there, if one was.

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
    """Bytes where further Matroska files begin that were put behind the first one.

    Args:
        path: the file.
        container: FFmpeg's name of its format.
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
        return  # the demuxer meets the same and says so


def _end_of_segment(file: BinaryIO, position: int, end: int) -> int | None:
    """Where the Matroska file that begins at a byte ends; None where there is none."""
    header = _element(file, position, end)
    if header is None or header[0] != _HEADER or header[2] is None:
        return None
    segment = _element(file, header[2], end)
    if segment is None or segment[0] != _SEGMENT:
        return None
    if segment[2] is not None:
        return segment[2]
    position = segment[1]  # a recorder that could not say how long it would be
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
"""Time, silent tracks, position, size of the cluster before, blocks, groups of blocks; void and checksum."""
_STEP = 1 << 20


def _matroska(file: BinaryIO, start: int, end: int) -> Iterator[tuple[int, Hole | None]]:
    """`start` is looked for by the lengths of clusters, which are passed over up to there."""
    position, before, cluster_end, segment_end = 0, 0, 0, end
    endless = False  # a cluster that does not say how long it is
    while position < end:
        here, inside = position, endless or position < cluster_end
        element = _element(file, position, end)
        if position == segment_end or (element and element[0] == _HEADER and position > 0):
            return  # another file has been appended, or padding
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
        # The piece before may have been cut, and reach into what follows.
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
    """(identifier, start of the content, end or None where it is not told) of an element; None where there is none."""
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
    """Bytes of the number that begins there, by its leading zeros; 9 where there is none."""
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
    """Whether nothing but zeros follows: recorders reserve space."""
    file.seek(position)
    while data := file.read(_STEP):
        if data.count(0) < len(data):
            return False
    return True


# --- transport streams ------------------------------------------------------------------------------------------

_SYNC, _NULL = 0x47, 0x1FFF
_SIZES = ((188, 0), (192, 4), (204, 0))
"""Bytes of a packet and where it begins: plain, with times before each (Blu-ray, camcorders), with parity behind."""
_AT_ONCE = 2048
"""Packets."""


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
                # Where packets are no longer in line, too, no recording begins anew.
                yield position + place * size, Hole(position + place * size, certain or lost)
                lost = False
            position += sound.shape[1] * size
            yield position, None
            found = position, size, offset
            if len(wrong):
                found, lost = self._sync(position + 1), True
                if found is not None:
                    # By itself uncertain: there may be padding between joined files.
                    yield position, Hole(position, certain=False)

    def _sync(self, position: int) -> tuple[int, int, int] | None:
        """The first place from there on where five packets follow each other, their size, and where they begin."""
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
        """Places in a row of packets, (6, N) first bytes of each, before which others of its track are missing, and
        whether that is certain."""
        track = (heads[1] & 0x1F).astype(np.int32) << 8 | heads[2]
        counts, control = heads[3] & 15, heads[3] >> 4 & 3
        begins = (heads[1] & 0x40) > 0
        told = (control >= 2) & (heads[4] > 0) & ((heads[5] & 0x80) > 0)  # a jump that is announced
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
            # A packet may come twice. One that begins a picture with a count of 0 is of a file that was appended.
            jumped = ((own - before) % 16 > 1) & ~told[places] & ~(begins[places] & (own == 0))
            # Within a picture something is lost for sure; before one, it may be of another recording.
            found += [(int(places[n]), not begins[places[n]]) for n in np.flatnonzero(jumped)]
        return sorted(found)
