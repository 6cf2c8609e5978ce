"""Data that phones append to a JPEG: an HDR gain map, a video, further pictures.

A gain map is kept and rotated like the picture; everything else is dropped, together with its XMP entries, so that
galleries do not offer it. Formats: Google's Ultra HDR 1.1 (XMP container directory), CIPA DC-007 (MPF) and ISO 21496-1.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from derain_cli.media.photo.jpeg import jpeg_end, jpeg_head, jpeg_segment

__all__ = ["GainMap", "Packed", "look_behind", "turned", "with_directory", "with_gain_map", "without_directory"]

_GAIN_MAP_NAMES = (b"http://ns.adobe.com/hdr-gain-map/1.0/", b"urn:iso:std:iso:ts:21496:-1")
_ISO = b"urn:iso:std:iso:ts:21496:-1\0"
_CONTAINER = b"http://ns.google.com/photos/1.0/container/"
_SPACES = (_CONTAINER, b"http://ns.google.com/photos/1.0/camera/", b"http://ns.adobe.com/hdr-gain-map/1.0/")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""By EXIF orientation, as in PIL.ImageOps.exif_transpose."""


@dataclass(frozen=True)
class GainMap:
    """A gain map: a JPEG with its own metadata, and the segment that ISO 21496-1 requires in the main picture."""

    jpeg: bytes
    iso: bytes = b""


@dataclass
class Packed:
    """Data found after the main picture.

    Attributes:
        gain_map: unmodified.
        pictures: number of other pictures.
        clip: whether there is a video (motion photo).
        other: bytes of anything else.
    """

    gain_map: GainMap | None = None
    pictures: int = 0
    clip: bool = False
    other: int = 0
    _rest: list[bytes] = field(default_factory=list)


def look_behind(data: bytes) -> Packed:
    """The data after the first picture of a JPEG file."""
    found = Packed()
    start = jpeg_end(data)
    while 0 < start < len(data):
        begin = data.find(b"\xff\xd8\xff", start)
        end = jpeg_end(data, begin) if begin >= 0 else 0
        if not end:
            break
        found._rest.append(data[start:begin])
        picture = data[begin:end]
        if found.gain_map is None and any(n in body for _, body in jpeg_head(picture) for n in _GAIN_MAP_NAMES):
            iso = next((body for code, body in jpeg_head(data) if code == 0xE2 and body.startswith(_ISO)), b"")
            found.gain_map = GainMap(picture, iso)
        else:
            found.pictures += 1
        start = end
    if 0 < start < len(data):
        found._rest.append(data[start:])
    for rest in found._rest:
        if re.search(rb"....ftyp|MotionPhoto_Data", rest, re.DOTALL):
            found.clip = True
        else:
            found.other += len(rest.strip(b"\0"))
    return found


def turned(gain_map: GainMap, orientation: int) -> GainMap:
    """The gain map, rotated upright like its picture."""
    if orientation not in _TURNS:
        return gain_map
    with Image.open(io.BytesIO(gain_map.jpeg), formats=["JPEG"]) as image:
        stream = io.BytesIO()
        image.transpose(_TURNS[orientation]).save(stream, "JPEG", quality=95, subsampling=0)
    # Its metadata define its meaning and are independent of orientation.
    own = b"".join(jpeg_segment(code, body) for code, body in jpeg_head(gain_map.jpeg) if code in (0xE1, 0xE2))
    new = stream.getvalue()
    return GainMap(new[:2] + own + new[2:], gain_map.iso)


def without_directory(xmp: bytes) -> bytes:
    """The XMP without entries about appended data."""
    prefixes = [p for space in _SPACES for p in re.findall(rb"xmlns:([\w.-]+)\s*=\s*[\"']" + re.escape(space), xmp)]
    for prefix in dict.fromkeys(prefixes):
        name = re.escape(prefix) + rb":(?:Directory|MotionPhoto\w*|MicroVideo\w*|(?<=hdrgm:)\w+)"
        xmp = re.sub(rb"<(" + name + rb")\b[^>]*?(?:/>|>.*?</\1\s*>)", b"", xmp, flags=re.DOTALL)
        xmp = re.sub(rb"\s+" + name + rb"\s*=\s*(\"[^\"]*\"|'[^']*')", b"", xmp)
    return xmp


def with_directory(xmp: bytes | None, length: int) -> bytes:
    """The XMP with an entry for an appended gain map of `length` bytes."""
    said = (
        b'<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" xmlns:Container="'
        + _CONTAINER
        + b'" xmlns:Item="http://ns.google.com/photos/1.0/container/item/" hdrgm:Version="1.0"><Container:Directory>'
        b'<rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="Primary" Item:Mime="image/jpeg"/>'
        b'</rdf:li><rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="GainMap" Item:Mime="image/jpeg" '
        b'Item:Length="%d"/></rdf:li></rdf:Seq></Container:Directory></rdf:Description>' % length
    )
    end = b"" if xmp is None else xmp[xmp.rfind(b"</rdf:RDF>") :]
    if xmp is not None and end.startswith(b"</rdf:RDF>"):
        return xmp[: len(xmp) - len(end)] + said + end
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        + said
        + b"</rdf:RDF></x:xmpmeta>"
    )


def with_gain_map(jpeg: bytes, gain_map: GainMap) -> list[bytes]:
    """The parts of a file with both pictures and the MPF index that lets decoders find the second one."""
    place = 2 + sum(len(jpeg_segment(code, body)) for code, body in _leading(jpeg))
    iso = jpeg_segment(0xE2, gain_map.iso) if gain_map.iso else b""
    index_length = 90
    total = len(jpeg) + len(iso) + index_length
    origin = place + len(iso) + 8  # offsets are relative to here: after marker, length and name
    entries = struct.pack("<IIIHH", 0x00030000, total, 0, 0, 0)
    entries += struct.pack("<IIIHH", 0, len(gain_map.jpeg), total - origin, 0, 0)
    index = b"MPF\0II*\0" + struct.pack("<IH", 8, 3) + struct.pack("<HHI4s", 0xB000, 7, 4, b"0100")
    index += struct.pack("<HHII", 0xB001, 4, 1, 2) + struct.pack("<HHIII", 0xB002, 7, 32, 50, 0) + entries
    return [jpeg[:place], iso, jpeg_segment(0xE2, index), jpeg[place:], gain_map.jpeg]


def _leading(jpeg: bytes) -> Iterator[tuple[int, bytes]]:
    """The leading application segments of a JPEG."""
    for code, body in jpeg_head(jpeg):
        if not 0xE0 <= code <= 0xEF:
            return
        yield code, body
