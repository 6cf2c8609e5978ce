"""JPEG segments and end markers: whether a file has one, and whether a file without one is complete."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator

__all__ = ["jpeg_end", "jpeg_has_end", "jpeg_head", "jpeg_lacks_only_its_end", "jpeg_segment"]

_JPEG_END = b"\xff\xd9"
_MARKER = re.compile(rb"\xff[^\x00\xff\x01\xd0-\xd8]")


def jpeg_has_end(data: bytes) -> bool:
    """Whether an end marker follows the last scan header. Pillow notices a missing one only if it reads that far."""
    return data.rfind(_JPEG_END) > data.rfind(b"\xff\xda")


def jpeg_head(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, body) of each segment before the first scan; stops silently where they are truncated."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0xDA:
        end = position + 2 + int.from_bytes(data[position + 2 : position + 4], "big")
        yield data[position + 1], data[position + 4 : end]
        position = end


def jpeg_segment(marker: int, body: bytes) -> bytes:
    """The encoded segment; the inverse of `jpeg_head`."""
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def jpeg_end(data: bytes, start: int = 0) -> int:
    """The position after the end marker of the JPEG that begins at `start`; 0 if unknown."""
    if data[start : start + 2] != b"\xff\xd8":
        return 0
    position = start + 2
    while found := _MARKER.search(data, position):
        code = data[found.start() + 1]
        if code == 0xD9:
            return found.end()
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    return 0


def jpeg_lacks_only_its_end(data: bytes, decode: Callable[[bytes], bytes]) -> bool:
    """Whether no pixel of a JPEG without end marker depends on missing data.

    libjpeg fills in missing data, so successful decoding proves nothing. Instead, different bits are appended: if the
    pixels are the same for all of them, nothing is missing. Completely missing scans (progressive JPEG) are detected
    from the scan headers.

    Args:
        data: the whole file.
        decode: returns the pixels of a JPEG as bytes; may raise.
    """
    body = data.rstrip(b"\xff")  # half a marker, which appended bits must not turn into another one
    try:
        if not _jpeg_scans_are_complete(body):
            return False
    except (IndexError, KeyError, ValueError):  # scan headers that contradict the frame header
        return False
    chance = random.Random(7)
    noise = [bytes(b for b in chance.randbytes(256) if b != 0xFF) for _ in range(4)]
    # Only the very next bits may be missing: zeros, ones (FF is escaped as FF 00) and both alternations.
    plain = [b"\x00" * 64, b"\xff\x00" * 64, b"\x55" * 64, b"\xaa" * 64]
    restarts = re.findall(rb"\xff([\xd0-\xd7])", body[body.rfind(b"\xff\xda") :])
    follow = restarts[-1][0] - 0xD0 + 1 if restarts else 0
    marked = b"".join(bytes([0xFF, 0xD0 + (follow + n) % 8]) + noise[n % 4] for n in range(8))
    try:
        pixels: bytes = decode(body + _JPEG_END)
        return all(decode(body + tail + _JPEG_END) == pixels for tail in (*noise, *plain, marked))
    except Exception:  # a decoder that fails on the tail was still reading picture data
        return False


def _jpeg_scans_are_complete(data: bytes) -> bool:
    """Whether the scans that started bring every coefficient of every component to full precision."""
    lowest: dict[int, list[int]] = {}  # component: the lowest bit sent so far, per coefficient
    for marker, body in _jpeg_segments(data):
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            lowest = {body[6 + 3 * n]: [255] * 64 for n in range(body[5])}
        elif marker == 0xDA:
            names = body[1 : 1 + 2 * body[0] : 2]
            first, last, bits = body[1 + 2 * body[0] : 4 + 2 * body[0]]
            for name in names:
                lowest[name][first : last + 1] = [bits & 15] * (last + 1 - first)
    return bool(lowest) and all(not any(bits) for bits in lowest.values())


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(marker, body) of each segment; the entropy-coded data between them is skipped."""
    marker = re.compile(rb"\xff[^\x00\xff\x01\xd0-\xd9]")
    position = 2
    while found := marker.search(data, position):
        position = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
        if position > len(data):
            return
        yield data[found.start() + 1], data[found.end() + 2 : position]
