"""Photoshop image resources, which hold IPTC captions in JPEG and TIFF."""

from __future__ import annotations

import struct
from collections.abc import Iterator

__all__ = [
    "PHOTOSHOP_HEAD",
    "TIFF_IPTC",
    "TIFF_PHOTOSHOP",
    "iptc_from_photoshop",
    "photoshop_from_iptc",
    "without_previews",
]

PHOTOSHOP_HEAD = b"Photoshop 3.0\0"
TIFF_IPTC, TIFF_PHOTOSHOP = 33723, 34377
"""TIFF tags for the captions only, and for the resources."""
_IPTC, _PREVIEWS = 0x0404, (0x0409, 0x040C)  # the latter are small copies of the rainy picture


def _resources(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """(number, whole block, content) of each resource; stops silently where they are truncated."""
    position = 0
    while data[position : position + 4] == b"8BIM" and position + 7 <= len(data):
        number = int.from_bytes(data[position + 4 : position + 6], "big")
        name = 1 + data[position + 6]
        start = position + 6 + name + (name & 1)
        content = start + 4
        length = int.from_bytes(data[start:content], "big")
        end = content + length + (length & 1)
        if content + length > len(data):
            return
        yield number, data[position:end].ljust(end - position, b"\0"), data[content : content + length]
        position = end


def without_previews(data: bytes) -> bytes | None:
    """The resources without preview pictures; None if nothing is left."""
    return b"".join(block for number, block, _ in _resources(data) if number not in _PREVIEWS) or None


def iptc_from_photoshop(data: bytes) -> bytes | None:
    """Only the captions (IPTC IIM)."""
    return next((content for number, _, content in _resources(data) if number == _IPTC), None)


def photoshop_from_iptc(captions: bytes) -> bytes | None:
    """Captions (IPTC IIM) as a single image resource."""
    if not captions.startswith(b"\x1c"):
        return None
    return b"8BIM" + struct.pack(">HHI", _IPTC, 0, len(captions)) + captions + bytes(len(captions) & 1)
