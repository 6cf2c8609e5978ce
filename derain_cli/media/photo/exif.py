"""EXIF blocks, patched in place instead of being rewritten, so that maker notes keep their offsets."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["EXIF_HEAD", "descriptive_exif", "fitted", "reset_orientation", "tiff_entries"]

EXIF_HEAD = b"Exif\x00\x00"
_ORIENTATION, _WIDTH, _HEIGHT = 0x0112, 0x0100, 0x0101
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005
_SHOWN_WIDTH, _SHOWN_HEIGHT = 0xA002, 0xA003
_STRIPS, _STRIP_SIZES, _JPEG, _JPEG_SIZE = 0x0111, 0x0117, 0x0201, 0x0202
# Tags of a TIFF's main directory that describe the photo; the others describe how the file is stored.
_DESCRIPTIVE = (0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x4746, 0x4749, 0x8298)
_FORMATS = {1: "B", 3: "H", 4: "I"}
_THUMBNAIL_SIDE = 160
_THUMBNAIL_QUALITIES = (90, 80, 65, 50, 35, 20)

_Array = npt.NDArray[Any]


@dataclass
class _Block:
    """An EXIF block without its prefix, with its byte order."""

    data: bytearray
    order: str

    @classmethod
    def of(cls, raw: bytes) -> Self:
        data = bytearray(raw.removeprefix(EXIF_HEAD))
        return cls(data, {b"II": "<", b"MM": ">"}[bytes(data[:2])])

    def number(self, form: str, at: int) -> int:
        return int(struct.unpack_from(self.order + form, self.data, at)[0])

    def entries(self, start: int) -> Iterator[tuple[int, int]]:
        """(tag, offset of the entry) of a directory; raises struct.error if it is truncated."""
        for number in range(self.number("H", start)):
            at = start + 2 + 12 * number
            struct.unpack_from("12s", self.data, at)
            yield self.number("H", at), at

    def next_at(self, start: int) -> int:
        """Position of the offset of the next directory."""
        return start + 2 + 12 * self.number("H", start)

    def value(self, at: int) -> int:
        """The value of an entry with a single number."""
        form = _FORMATS.get(self.number("H", at + 2))
        if form is None or self.number("I", at + 4) != 1:
            raise struct.error("not one number")
        return self.number(form, at + 8)

    def put(self, at: int, value: int) -> None:
        """Write a single number into an entry, keeping its type if the number fits."""
        kind = self.number("H", at + 2)
        if kind not in (3, 4) or (kind == 3 and value > 0xFFFF):
            kind = 4
        struct.pack_into(self.order + "HI", self.data, at + 2, kind, 1)
        struct.pack_into(self.order + "I", self.data, at + 8, 0)
        struct.pack_into(self.order + _FORMATS[kind], self.data, at + 8, value)


def reset_orientation(raw: bytes) -> bytes:
    """The block without its prefix, with orientation 1.

    Raises:
        KeyError, struct.error: it is damaged.
    """
    block = _Block.of(raw)
    for tag, at in block.entries(block.number("I", 4)):
        if tag == _ORIENTATION:
            struct.pack_into(block.order + "HIHH", block.data, at + 2, 3, 1, 1, 0)
    return bytes(block.data)


def fitted(raw: bytes, pixels: _Array) -> bytes:
    """The block, without its prefix, adapted to `pixels`: their size, and a new thumbnail if there was one.

    A thumbnail that is not a JPEG, or for which the new one would be too large, is erased.

    Args:
        raw: a block from `reset_orientation`.
        pixels: (H, W, C) uint8 or uint16, as written; C is 1 or 3, or 2 or 4 with alpha.
    """
    block = _Block.of(raw)
    try:
        main = block.number("I", 4)
        directories = [main, *(block.value(at) for tag, at in block.entries(main) if tag == _EXIF_IFD)]
        height, width = pixels.shape[:2]
        sizes = {_WIDTH: width, _SHOWN_WIDTH: width, _HEIGHT: height, _SHOWN_HEIGHT: height}
        for start in directories:
            for tag, at in block.entries(start):
                if tag in sizes:
                    block.put(at, sizes[tag])
        _renew_thumbnail(block, block.next_at(main), pixels)
    except struct.error:  # the rest is damaged and stays unchanged
        return bytes(block.data)
    return bytes(block.data)


def _renew_thumbnail(block: _Block, link: int, pixels: _Array) -> None:
    if link + 4 > len(block.data) or not block.number("I", link):
        return
    start, places = block.number("I", link), dict[int, int]()
    try:
        places = dict(block.entries(start))
        offset, room = block.value(places[_JPEG]), block.value(places[_JPEG_SIZE])
    except (KeyError, struct.error):
        offset, room = _strips(block, places)
        new = None
    else:
        new = _thumbnail(pixels, block.data[offset : offset + room]) if offset + room <= len(block.data) else None
    end = min(offset + room, len(block.data))
    block.data[offset:end] = bytes(max(0, end - offset))
    if new is None:
        struct.pack_into("4s", block.data, link, bytes(4))
        return
    block.data[offset : offset + len(new)] = new
    block.put(places[_JPEG_SIZE], len(new))
    width, height = Image.open(io.BytesIO(new)).size
    for tag, value in ((_ORIENTATION, 1), (_WIDTH, width), (_HEIGHT, height)):
        if tag in places:
            block.put(places[tag], value)


def _strips(block: _Block, places: Mapping[int, int]) -> tuple[int, int]:
    """Offset and length of a thumbnail that is not a JPEG; (0, 0) if unknown."""
    try:
        return block.value(places[_STRIPS]), block.value(places[_STRIP_SIZES])
    except (KeyError, struct.error):
        return 0, 0


def _thumbnail(pixels: _Array, old: bytes | bytearray) -> bytes | None:
    """A JPEG thumbnail of `pixels`, with no more bytes or pixels than the old one; None if impossible."""
    try:
        side = max(Image.open(io.BytesIO(old)).size)
    except Exception:  # damaged: its size is unknown
        side = _THUMBNAIL_SIDE
    height, width = pixels.shape[:2]
    step = max(1, min(height, width) // (4 * side))  # avoids copying a large picture
    small = pixels[::step, ::step]
    if small.dtype == np.uint16:
        small = (small >> 8).astype(np.uint8)
    image = Image.fromarray(small[..., 0] if small.shape[2] < 3 else np.ascontiguousarray(small[..., :3]))
    image.thumbnail((side, side))
    for quality in _THUMBNAIL_QUALITIES:
        stream = io.BytesIO()
        image.save(stream, "JPEG", quality=quality, optimize=True)
        if stream.tell() <= len(old):
            return stream.getvalue()
    return None


def descriptive_exif(source: Image.Exif) -> bytes | None:
    """A new block, without its prefix, with the descriptive tags but nothing about how the file stores its pixels."""
    exif = Image.Exif()
    for tag, value in tiff_entries(source).items():
        if isinstance(value, dict):
            exif.get_ifd(tag).update(value)
        exif[tag] = value
    return exif.tobytes().removeprefix(EXIF_HEAD) if len(exif) else None


def tiff_entries(exif: Image.Exif) -> dict[int, Any]:
    """The descriptive tags as main-directory entries of a TIFF: tag to value, sub-directories as dicts.

    Text is kept as bytes: Pillow decodes it as Latin-1 and writes everything that is not ASCII as question marks.
    """
    entries: dict[int, Any] = {tag: _bytes_of(exif[tag]) for tag in _DESCRIPTIVE if tag in exif}
    for tag in (_EXIF_IFD, _GPS_IFD):
        # The interoperability entry is an offset into the old file.
        directory = {k: _bytes_of(v) for k, v in exif.get_ifd(tag).items() if k != _INTEROP_IFD}
        if directory:
            entries[tag] = directory
    return entries


def _bytes_of(value: Any) -> Any:
    return value.encode("latin-1", "replace") if isinstance(value, str) and not value.isascii() else value
