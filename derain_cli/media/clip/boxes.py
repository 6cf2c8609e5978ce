"""Metadata in boxes of MP4 and QuickTime files that FFmpeg does not carry over.

Layout according to ISO/IEC 14496-12: a box has a length, a type and content, which for some types consists of boxes. In
files written here the index (`moov`) is at the end, so that it can be extended without moving other data.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

__all__ = ["DOLBY_LEFT_OUT", "Box", "Extras", "add_boxes", "boxes_of", "cover_box", "extras_of"]

DOLBY_LEFT_OUT = "Dolby Vision metadata is left out (the base picture is kept)"
"""Present in frames and index; reported once."""
_MOST = 256 << 20
"""Maximum size in bytes of an index that is parsed."""
_GPS_LEFT_OUT = "the camera's GPS track (in a box of its own) is left out"
_PADDING = 1 << 16
"""Bytes checked after the last box: recorders reserve space, filled with zeros."""
_MOST_KEPT = 16 << 20
"""Maximum size in bytes of a single box that is carried over."""
_FIXED = {b"stsd": 8}
"""Bytes before the inner boxes."""
_PARENTS = frozenset((b"moov", b"trak", b"mdia", b"minf", b"stbl", b"udta", *_FIXED))
_SAMPLE_ENTRY = 78
"""Bytes of a video sample entry before the inner boxes."""

_KNOWN = frozenset(
    b"ftyp moov mdat free skip wide moof mfra sidx ssix styp prft pdin pnot emsg meta uuid junk PICT bloc".split()
)
"""Top-level boxes without extra information, or handled separately."""
_KNOWN_IN_INDEX = frozenset(b"mvhd trak udta meta mvex iods uuid free skip ctab clip rmra".split())
_HANDED_ON = frozenset(b"meta chpl loci titl dscp perf gnre albm yrrc auth cprt rtng name hnti free skip WLOC".split())
"""Boxes of `udta` that FFmpeg reads and writes as tags, or that are empty."""
_MARKS = frozenset([b"HMMT"])
"""Boxes of `udta` that mark times: GoPro's highlights."""
_DOLBY = frozenset(b"dvcC dvvC dvwC".split())
_SPHERE = frozenset(b"st3d sv3d".split())
_SECOND_EYE = frozenset(b"vexu hfov lhvC".split())
_SPHERE_ID = bytes.fromhex("ffcc8263f8554a938814587a02521fdd")
_XMP_ID = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")


@dataclass
class Box:
    """A box: its type, the bytes before its inner boxes (everything if there are none), and the inner boxes."""

    kind: bytes
    body: bytes = b""
    inside: list[Box] = field(default_factory=list)

    def find(self, *path: bytes) -> Box | None:
        """The first box along a path of types."""
        here: Box | None = self
        for kind in path:
            here = next((each for each in here.inside if each.kind == kind), None) if here else None
        return here

    def __bytes__(self) -> bytes:
        content = self.body + b"".join(map(bytes, self.inside))
        return struct.pack(">I4s", 8 + len(content), self.kind) + content


@dataclass(frozen=True)
class Extras:
    """Metadata that FFmpeg does not carry over.

    Attributes:
        picture: boxes of the video sample entry that describe the projection.
        track: boxes of the video track that describe the projection.
        user: boxes of the user data, mostly written by cameras.
        marks: boxes of the user data that mark times.
        keys: box of QuickTime keys and their values.
        file: top-level boxes that any program can use.
        lost: one-line notes on what is left out.
    """

    picture: tuple[bytes, ...] = ()
    track: tuple[bytes, ...] = ()
    user: tuple[bytes, ...] = ()
    marks: tuple[bytes, ...] = ()
    keys: bytes | None = None
    file: tuple[bytes, ...] = ()
    lost: tuple[str, ...] = ()

    @property
    def named(self) -> list[str]:
        """The contents in words."""
        parts = (
            (self.picture or self.track, "360-degree projection metadata"),
            (self.user or self.marks, "camera settings and time marks"),
            (self.file, "XMP metadata"),
        )
        return [words for present, words in parts if present]

    def __bool__(self) -> bool:
        return bool(self.picture or self.track or self.user or self.marks or self.keys or self.file)


def extras_of(path: Path, number: int) -> Extras:
    """Read the extras of a file.

    Args:
        path: an MP4 or QuickTime file; for damaged files the result is empty.
        number: position of the video track in the index, from 0.
    """
    try:
        with path.open("rb") as file:
            return _Survey(file, number).extras()
    except (OSError, ValueError, struct.error, RecursionError):
        return Extras()


def add_boxes(path: Path, extras: Extras, covers: Sequence[bytes] = ()) -> None:
    """Add the extras of another file to a newly written one; `covers` come from `cover_box`.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("r+b") as file:
        end = os.fstat(file.fileno()).st_size
        indexes = [(start, stop) for kind, start, _, stop in boxes_of(file, 0, end) if kind == b"moov"]
        if not indexes or indexes[-1][1] != end:
            return  # not written by this program
        start, stop = indexes[-1]
        file.seek(start)
        data = file.read(stop - start)
        index = _parsed(data)[0]
        if bytes(index) != data:
            return
        _put(index, extras, covers)
        file.seek(start)
        file.write(bytes(index) + b"".join(extras.file))
        file.truncate()


def cover_box(pictures: Sequence[tuple[str, bytes]]) -> bytes:
    """The boxes for cover pictures in the iTunes layout, from pairs of FFmpeg codec name and encoded picture."""
    kinds = {"mjpeg": 13, "png": 14, "bmp": 27}
    data = [Box(b"data", struct.pack(">II", kinds[codec], 0) + coded) for codec, coded in pictures]
    handler = Box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    return bytes(Box(b"meta", bytes(4) + bytes(handler) + bytes(Box(b"ilst", inside=[Box(b"covr", inside=data)]))))


def _put(index: Box, extras: Extras, covers: Sequence[bytes]) -> None:
    if extras.keys is not None:
        index.inside = [each for each in index.inside if each.kind != b"meta"]
        index.inside.append(_raw(extras.keys))
    if extras.user or extras.marks or covers:
        user = index.find(b"udta")
        if user is None:
            user = Box(b"udta")
            index.inside.append(user)
        user.inside += [_raw(each) for each in (*extras.user, *extras.marks, *covers)]
    track = next((each for each in index.inside if each.kind == b"trak" and _is_picture(each)), None)
    if track is None:
        return
    track.inside += [_raw(each) for each in extras.track]
    table = track.find(b"mdia", b"minf", b"stbl", b"stsd")
    if table is not None and table.inside:
        table.inside[0].inside += [_raw(each) for each in extras.picture]


@dataclass
class _Survey:
    """Collects the extras of one file."""

    file: BinaryIO
    number: int
    lost: list[str] = field(default_factory=list)

    def extras(self) -> Extras:
        end = os.fstat(self.file.fileno()).st_size
        index: Box | None = None
        kept: list[bytes] = []
        after = 0
        try:
            for kind, start, content, stop in boxes_of(self.file, 0, end):
                after = stop
                if kind == b"moov" and index is None and stop <= end and stop - start <= _MOST:
                    index = _parsed(self._read(start, stop))[0]
                elif kind == b"ftyp" and start > 0:
                    break  # another clip, reported by the reader
                elif kind in (b"free", b"skip"):
                    if b"GPS" in self._read(content, min(stop, content + 64)).upper():
                        self.lost.append(_GPS_LEFT_OUT)
                elif kind == b"uuid" and self._read(content, content + 16) == _XMP_ID and stop - start < _MOST_KEPT:
                    kept.append(self._read(start, stop))
                elif kind not in _KNOWN:
                    self.lost.append(f"the camera's own box {_named(kind)!r} is left out")
        except ValueError:
            if 0 < after < end and any(self._read(after, min(end, after + _PADDING))):
                self.lost.append(f"{end - after} unknown bytes after the clip are left out")
        if index is None:
            return Extras(lost=tuple(self.lost))
        return self._of_index(index, tuple(kept))

    def _of_index(self, index: Box, kept: tuple[bytes, ...]) -> Extras:
        for box in index.inside:
            if box.kind in (b"gps ", b"gps0", b"GPS "):
                self.lost.append(_GPS_LEFT_OUT)
            elif box.kind not in _KNOWN_IN_INDEX:
                self.lost.append(f"the camera's own box {_named(box.kind)!r} is left out")
        tracks = [each for each in index.inside if each.kind == b"trak"]
        track = tracks[self.number] if self.number < len(tracks) else Box(b"trak")
        table = track.find(b"mdia", b"minf", b"stbl", b"stsd")
        entry = table.inside[0].inside if table is not None and table.inside else []
        kinds = {each.kind for each in entry}
        if kinds & _DOLBY:
            self.lost.append(DOLBY_LEFT_OUT)
        if kinds & _SECOND_EYE:
            self.lost.append("the second view of a spatial clip is left out: only one picture is restored")
        user = index.find(b"udta")
        keys = index.find(b"meta")
        own = [
            each
            for each in (user.inside if user is not None else ())
            if each.kind not in _HANDED_ON and each.kind[0] != 0xA9 and len(each.body) < _MOST_KEPT
        ]
        return Extras(
            picture=tuple(bytes(each) for each in entry if each.kind in _SPHERE),
            track=tuple(bytes(e) for e in track.inside if e.kind == b"uuid" and e.body.startswith(_SPHERE_ID)),
            user=tuple(bytes(each) for each in own if each.kind not in _MARKS),
            marks=tuple(bytes(each) for each in own if each.kind in _MARKS),
            keys=bytes(keys)
            if keys is not None and b"mdta" in keys.body[:40] and len(keys.body) < _MOST_KEPT
            else None,
            file=kept,
            lost=tuple(dict.fromkeys(self.lost)),
        )

    def _read(self, start: int, stop: int) -> bytes:
        self.file.seek(start)
        return self.file.read(stop - start)


def _is_picture(track: Box) -> bool:
    handler = track.find(b"mdia", b"hdlr")
    return handler is not None and handler.body[8:12] == b"vide"


def _raw(box: bytes) -> Box:
    return Box(box[4:8], box[8:])


def _named(kind: bytes) -> str:
    return kind.decode("latin-1").strip()


def boxes_of(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int, int]]:
    """(type, start, start of the content, end) of the boxes of a file.

    Raises:
        ValueError: the data is not a box.
    """
    while start < end:
        file.seek(start)
        head = file.read(16)
        if len(head) < 8:
            raise ValueError("truncated box")
        kind, content, stop = _head(head, start, end)
        if stop < content or not all(32 <= c < 127 or c == 0xA9 for c in kind):
            raise ValueError("not a box")
        yield kind, start, content, stop
        start = stop


def _head(head: bytes, start: int, end: int) -> tuple[bytes, int, int]:
    """(type, start of the content, end) of the box at `start`, from its first 8 to 16 bytes; length 0 means up to
    `end`."""
    size, kind = struct.unpack(">I4s", head[:8])
    if size == 1 and len(head) == 16:
        return kind, start + 16, start + int.from_bytes(head[8:], "big")
    return kind, start + 8, start + size if size else end


def _parsed(data: bytes, *, entries: bool = False) -> list[Box]:
    """Parse bytes into boxes; sample entries are parsed as video ones.

    Raises:
        ValueError: the data does not consist of boxes.
    """
    found, start = [], 0
    while start < len(data):
        if len(data) - start < 8:
            if any(data[start:]):
                raise ValueError("not a box")
            break  # QuickTime terminates user data with zeros
        kind, content, stop = _head(data[start : start + 16], start, len(data))
        if stop < content or stop > len(data):
            raise ValueError("not a box")
        body = data[content:stop]
        fixed = _SAMPLE_ENTRY if entries else _FIXED.get(kind, 0)
        if entries or kind in _PARENTS:
            try:
                inside = _parsed(body[fixed:], entries=kind == b"stsd")
            except (ValueError, struct.error):
                found.append(Box(kind, body))
            else:
                found.append(Box(kind, body[:fixed], inside))
        else:
            found.append(Box(kind, body))
        start = stop
    return found
