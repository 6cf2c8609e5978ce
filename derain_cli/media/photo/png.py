"""The structure of PNG files: chunks, and completeness of rows."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

__all__ = ["drop_png_text", "png_chunk", "png_chunks", "png_passes", "png_rows_are_complete", "with_png_chunks"]

_HEADER_END = 33


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of each complete chunk of a PNG file up to IEND; stops silently where the file is truncated."""
    position = 8
    while position + 12 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        name = data[position + 4 : position + 8]
        if position + 12 + length > len(data):
            return
        yield name, data[position + 8 : position + 8 + length]
        if name == b"IEND":
            return
        position += 12 + length


def drop_png_text(data: bytes) -> bytes:
    """The PNG without its text chunks, for files that hide a payload there."""
    kept = [data[:8]]
    for name, body in png_chunks(data):
        if name not in (b"tEXt", b"zTXt", b"iTXt"):
            kept.append(png_chunk(name, body))
    return b"".join(kept)


def png_chunk(name: bytes, body: bytes) -> bytes:
    """An encoded chunk with length and checksum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))


def with_png_chunks(data: memoryview, chunks: Iterable[tuple[bytes, bytes]]) -> list[bytes | memoryview]:
    """The PNG, in parts, with chunks (name, body) inserted after its header, replacing those with the same name."""
    wanted = dict(chunks)
    if not wanted:
        return [data]
    parts: list[bytes | memoryview] = [data[:_HEADER_END], *(png_chunk(*chunk) for chunk in wanted.items())]
    position = _HEADER_END
    while bytes(data[position + 4 : position + 8]) != b"IDAT":
        end = position + 12 + int.from_bytes(data[position : position + 4], "big")
        if bytes(data[position + 4 : position + 8]) not in wanted:
            parts.append(data[position:end])
        position = end
    return [*parts, data[position:]]


def png_rows_are_complete(data: bytes) -> bool:
    """Whether the compressed stream of a PNG contains all rows.

    Pillow silently fills missing rows with zeros if the stream ends properly but too early. Needs only a few MB
    of memory for pictures of any size.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    missing = 0
    for x, y, dx, dy in png_passes(width, height, interlaced):
        columns, rows = len(range(x, width, dx)), len(range(y, height, dy))
        missing += rows * (1 + (columns * bits + 7) // 8)
    inflate = zlib.decompressobj()
    for name, body in png_chunks(data):
        if name == b"IDAT":
            missing -= len(inflate.decompress(body, 1 << 20))
            while inflate.unconsumed_tail and missing > 0:
                missing -= len(inflate.decompress(inflate.unconsumed_tail, 1 << 20))
        if missing <= 0:
            return True
    return bool(missing <= len(inflate.flush()))


def png_passes(width: int, height: int, interlaced: int) -> list[tuple[int, int, int, int]]:
    """(x, y, dx, dy) of each non-empty pass: its pixels are every dx-th from x and every dy-th row from y."""
    if not interlaced:
        return [(0, 0, 1, 1)]
    grid = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    return [(x, y, dx, dy) for x, y, dx, dy in grid if x < width and y < height]
