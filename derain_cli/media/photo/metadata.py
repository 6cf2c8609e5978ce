"""What lies around the pixels in a picture file: EXIF, ICC, XMP, DPI, and the containers' own structure.

Nothing here decodes pixels. Metadata is carried as the bytes it came as wherever that is possible: EXIF is
patched in place rather than parsed and written anew, so maker notes keep their offsets.
"""

from __future__ import annotations

import contextlib
import io
import math
import random
import re
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from PIL import Image, JpegImagePlugin, PngImagePlugin

__all__ = [
    "Metadata",
    "drop_png_text",
    "exif_for_tiff",
    "jpeg_has_end",
    "jpeg_lacks_only_its_end",
    "png_chunk",
    "png_chunks",
    "png_rows_are_complete",
    "png_surroundings",
    "read_metadata",
    "save_arguments",
    "sniff",
]

_EXIF_HEAD = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005
# The tags of a TIFF's main directory that describe the photo; the others describe how this one file is stored.
_DESCRIPTIVE = (0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
_PNG_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"cICP")
_MAX_TEXT = 1 << 18  # bytes of PNG text that are carried along; more is a payload, not a description
_JPEG_MAX = {"exif": 65533 - len(_EXIF_HEAD), "xmp": 65504, "comment": 65533}
_JPEG_END = b"\xff\xd9"
_ICC_SPACES = {b"RGB ": "RGB", b"GRAY": "grey"}


@dataclass(frozen=True)
class Metadata:
    """What travels with a photo beside its pixels. Every field may be empty.

    Attributes:
        exif: TIFF-structured EXIF block without the "Exif" head; orientation 1 or absent, thumbnail unlinked.
        icc_profile: the colour profile, for RGB or for grey pixels.
        xmp: XMP packet, tiff:Orientation 1 or absent.
        dpi: horizontal and vertical dots per inch of the upright picture.
        comment: JPEG comment.
        iptc: JPEG APP13 bodies (IPTC captions), JPEG to JPEG only.
        text: PNG text entries (keyword, text), PNG to PNG only.
        png_colour: PNG colour chunks (gAMA, cHRM, sRGB, cICP) as (name, body), PNG to PNG only.
        subsampling: the JPEG's chroma subsampling, Pillow's number (0 4:4:4, 1 4:2:2, 2 4:2:0).
        lossless: the source lost nothing when it was coded.
    """

    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    iptc: tuple[bytes, ...] = ()
    text: tuple[tuple[str, str], ...] = ()
    png_colour: tuple[tuple[bytes, bytes], ...] = ()
    subsampling: int | None = None
    lossless: bool = False


# --- what kind of file it is ------------------------------------------------------------------------------------


_MAGIC = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"(II[*+]\x00|MM\x00[*+])"), "TIFF"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"BM"), "BMP"),
    (re.compile(rb"P[1-6fF][\s#]"), "PPM"),
    (re.compile(rb"....ftyp(avif|avis)", re.DOTALL), "AVIF"),
    (re.compile(rb"....ftyp(mif1|msf1).{0,40}avif", re.DOTALL), "AVIF"),
    (re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL), "HEIF"),
    (re.compile(rb"(%!PS|\xc5\xd0\xd3\xc6)"), "not read: EPS"),
    (re.compile(rb"%PDF"), "not read: PDF"),
    (re.compile(rb"SIMPLE  ="), "not read: FITS"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(svg|\?xml)"), "not read: SVG"),
    (re.compile(rb"(....jP  |\xff\x4f\xff\x51)", re.DOTALL), "not read: JPEG 2000"),
    (re.compile(rb"(....JXL |\xff\x0a)", re.DOTALL), "not read: JPEG XL"),
)


def sniff(head: bytes) -> str | None:
    """Pillow's format name for a file that begins with `head` (64 bytes are enough).

    "not read: NAME" for a known kind that this program does not open; None for an unknown one.
    """
    return next((name for pattern, name in _MAGIC if pattern.match(head)), None)


# --- reading ----------------------------------------------------------------------------------------------------


def read_metadata(image: Image.Image, data: bytes, *, turned: bool, notes: list[str]) -> Metadata:
    """Collect the metadata of a loaded picture. Damaged blocks are dropped with a note, never an error.

    Args:
        image: the picture after `load()`.
        data: the whole file.
        turned: rows and columns change places when the picture is made upright.
        notes: one-line warnings are appended here.
    """
    info = image.info
    is_png = image.format == "PNG"
    dpi = _dpi(info.get("dpi"))
    return Metadata(
        exif=_read_exif(image, notes),
        icc_profile=_as_bytes(info.get("icc_profile")),
        xmp=_read_xmp(info),
        dpi=dpi[::-1] if dpi and turned else dpi,
        comment=_as_bytes(info.get("comment")) if image.format in ("JPEG", "MPO") else None,
        iptc=tuple(body for name, body in getattr(image, "applist", ()) if name == "APP13"),
        text=_read_text(image, notes) if is_png else (),
        png_colour=tuple((n, b) for n, b in png_chunks(data) if n in _PNG_COLOUR) if is_png else (),
        subsampling=_subsampling(image),
        lossless=_is_lossless(image, data),
    )


def _as_bytes(value: object) -> bytes | None:
    if isinstance(value, str):
        value = value.encode("utf-8", "surrogateescape")
    return bytes(value) if isinstance(value, bytes | bytearray) and value else None


def _dpi(value: object) -> tuple[float, float] | None:
    with contextlib.suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
        x, y = (float(v) for v in value)  # type: ignore[attr-defined]
        if all(math.isfinite(v) and 1 <= v <= 65535 for v in (x, y)):
            return x, y
    return None


def _subsampling(image: Image.Image) -> int | None:
    sampling = JpegImagePlugin.get_sampling(image) if isinstance(image, JpegImagePlugin.JpegImageFile) else -1
    return sampling if sampling in (0, 1, 2) else None


def _is_lossless(image: Image.Image, data: bytes) -> bool:
    if image.format == "WEBP":
        return _webp_is_lossless(data)
    if image.format == "TIFF":
        return "jpeg" not in str(image.info.get("compression", "")) and image.info.get("compression") != "webp"
    return image.format in ("PNG", "BMP", "PPM", "GIF")


def _webp_is_lossless(data: bytes) -> bool:
    position = 12
    while position + 8 <= len(data):
        if data[position : position + 4] in (b"VP8L", b"VP8 "):
            return data[position : position + 4] == b"VP8L"
        position += 8 + int.from_bytes(data[position + 4 : position + 8], "little")
        position += position & 1
    return False


def _read_exif(image: Image.Image, notes: list[str]) -> bytes | None:
    raw = _as_bytes(image.info.get("exif"))
    try:
        if raw is not None:
            return _reset_exif(raw)
        return _descriptive_exif(image.getexif())  # TIFF, and old PNG that keep EXIF in a text chunk
    except Exception:  # the parser meets arbitrary bytes; the pixels are sound whatever it says
        notes.append("damaged EXIF dropped")
        return None


def _reset_exif(raw: bytes) -> bytes:
    """The same block with orientation 1 and without its thumbnail, which shows the unrotated rainy photo."""
    block = bytearray(raw.removeprefix(_EXIF_HEAD))
    order = {b"II": "<", b"MM": ">"}[bytes(block[:2])]
    start = struct.unpack_from(order + "I", block, 4)[0]
    count = struct.unpack_from(order + "H", block, start)[0]
    end = start + 2 + 12 * count
    struct.unpack_from("12s", block, end - 12)  # the whole directory is there
    for entry in range(start + 2, end, 12):
        if struct.unpack_from(order + "H", block, entry)[0] == _ORIENTATION:
            struct.pack_into(order + "HHIHH", block, entry, _ORIENTATION, 3, 1, 1, 0)
    if end + 4 <= len(block):
        struct.pack_into("4s", block, end, bytes(4))  # no further directory: the thumbnail hangs on it
    return bytes(block)


def _descriptive_exif(source: Image.Exif) -> bytes | None:
    """A new EXIF block with what describes the photo, nothing about how the file stores its pixels."""
    exif = Image.Exif()
    for tag in _DESCRIPTIVE:
        if tag in source:
            exif[tag] = source[tag]
    for tag in (_EXIF_IFD, _GPS_IFD):
        directory = {k: v for k, v in source.get_ifd(tag).items() if k != _INTEROP_IFD}  # an offset into the old file
        if directory:
            exif.get_ifd(tag).update(directory)
            exif[tag] = directory
    return exif.tobytes().removeprefix(_EXIF_HEAD) if len(exif) else None


def _read_xmp(info: dict[Any, Any]) -> bytes | None:
    xmp = _as_bytes(info.get("xmp")) or _as_bytes(info.get("XML:com.adobe.xmp"))
    return xmp and re.sub(rb'(tiff:Orientation(?:="|>))[0-9]', rb"\g<1>1", xmp)


def _read_text(image: Image.Image, notes: list[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = getattr(image, "text", {})
    text = tuple(
        (str(key), str(value))
        for key, value in found.items()
        if key != "XML:com.adobe.xmp" and not key.startswith("Raw profile type")
    )
    if sum(len(key) + len(value) for key, value in text) > _MAX_TEXT:
        notes.append("PNG text dropped: too much of it")
        return ()
    return text


# --- writing ----------------------------------------------------------------------------------------------------


def save_arguments(meta: Metadata, kind: str, *, grey: bool, notes: list[str]) -> dict[str, Any]:
    """Keyword arguments for Pillow's `save` that carry `meta` in a file of format `kind`.

    What the format cannot hold is left out with a note.

    Args:
        kind: Pillow's format name.
        grey: the pixels are written as one channel (a colour profile must agree, or the file is invalid).
    """
    if kind in ("BMP", "PPM"):
        if meta.exif or meta.xmp or meta.icc_profile:
            notes.append(f"metadata dropped: {kind} holds none")
        return {"dpi": meta.dpi} if meta.dpi and kind == "BMP" else {}
    arguments: dict[str, Any] = {}
    if meta.exif:
        arguments["exif"] = _EXIF_HEAD + meta.exif
    if icc := _matching_profile(meta.icc_profile, grey, notes):
        arguments["icc_profile"] = icc
    if meta.xmp and kind != "PNG":
        arguments["xmp"] = meta.xmp
    if meta.dpi and kind in ("JPEG", "PNG", "TIFF"):
        arguments["dpi"] = meta.dpi
    if kind == "JPEG":
        _add_jpeg_arguments(arguments, meta, notes)
    if kind == "PNG":
        arguments["pnginfo"] = _png_info(meta)
    return arguments


def _matching_profile(icc: bytes | None, grey: bool, notes: list[str]) -> bytes | None:
    if icc is None:
        return None
    space = _ICC_SPACES.get(icc[16:20], "other")
    if space == ("grey" if grey else "RGB"):
        return icc
    notes.append(f"colour profile dropped: it is for {space} pixels, the file holds {'grey' if grey else 'RGB'}")
    return None


def _add_jpeg_arguments(arguments: dict[str, Any], meta: Metadata, notes: list[str]) -> None:
    for name, value in (("exif", meta.exif), ("xmp", meta.xmp), ("comment", meta.comment)):
        if value and len(value) > _JPEG_MAX[name]:
            notes.append(f"{name.upper()} dropped: too long for JPEG")
            arguments.pop(name, None)
        elif name == "comment" and value:
            arguments[name] = value
    if meta.dpi:
        arguments["dpi"] = tuple(max(1, round(v)) for v in meta.dpi)
    arguments["extra"] = b"".join(
        b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body for body in meta.iptc if len(body) <= 65533
    )


def _png_info(meta: Metadata) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for name, body in meta.png_colour:
        info.add(name, body)
    for key, value in meta.text:
        with contextlib.suppress(UnicodeEncodeError, ValueError):
            info.add_text(key, value)
    if meta.xmp:
        info.add_itxt("XML:com.adobe.xmp", meta.xmp.decode("utf-8", "replace"))
    return info


def png_surroundings(meta: Metadata, *, grey: bool, notes: list[str]) -> list[tuple[bytes, bytes]]:
    """The metadata chunks of a PNG, as Pillow writes them, to be put before the pixels of a 16-bit one."""
    stream = io.BytesIO()
    Image.new("L" if grey else "RGB", (1, 1)).save(stream, "PNG", **save_arguments(meta, "PNG", grey=grey, notes=notes))
    return [(name, body) for name, body in png_chunks(stream.getvalue()) if name not in (b"IHDR", b"IDAT", b"IEND")]


def exif_for_tiff(meta: Metadata) -> dict[int, Any]:
    """The main-directory entries (tag to value, sub-directories as dicts) that carry `meta.exif` in a TIFF."""
    if meta.exif is None:
        return {}
    exif = Image.Exif()
    exif.load(_EXIF_HEAD + meta.exif)
    entries: dict[int, Any] = {tag: exif[tag] for tag in _DESCRIPTIVE if tag in exif}
    for tag in (_EXIF_IFD, _GPS_IFD):
        directory = {k: v for k, v in exif.get_ifd(tag).items() if k != _INTEROP_IFD}
        if directory:
            entries[tag] = directory
    return entries


# --- the structure of PNG ---------------------------------------------------------------------------------------


def png_chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """(name, body) of each whole chunk of a PNG file up to IEND; stops silently where the file breaks off."""
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
    """The same PNG without its text chunks, for files that hide a payload there."""
    kept = [data[:8]]
    for name, body in png_chunks(data):
        if name not in (b"tEXt", b"zTXt", b"iTXt"):
            kept.append(png_chunk(name, body))
    return b"".join(kept)


def png_chunk(name: bytes, body: bytes) -> bytes:
    """One chunk with its length and check sum."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))


def png_rows_are_complete(data: bytes) -> bool:
    """Whether the compressed stream of a PNG holds all rows.

    Pillow fills missing rows with zeros without a word when the stream was ended properly too early.
    Memory stays at a few MB however large the picture is.
    """
    width, height, depth, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    missing = sum(rows * (1 + (columns * bits + 7) // 8) for columns, rows in _png_passes(width, height, interlaced))
    inflate = zlib.decompressobj()
    for name, body in png_chunks(data):
        if name == b"IDAT":
            missing -= len(inflate.decompress(body, 1 << 20))
            while inflate.unconsumed_tail and missing > 0:
                missing -= len(inflate.decompress(inflate.unconsumed_tail, 1 << 20))
        if missing <= 0:
            return True
    return bool(missing <= len(inflate.flush()))


def _png_passes(width: int, height: int, interlaced: int) -> list[tuple[int, int]]:
    """(columns, rows) of each pass; a pass without columns holds nothing."""
    if not interlaced:
        return [(width, height)]
    grid = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    passes = (((width - x + dx - 1) // dx, (height - y + dy - 1) // dy) for x, y, dx, dy in grid)
    return [(columns, rows) for columns, rows in passes if columns > 0 and rows > 0]


# --- the end of a JPEG ------------------------------------------------------------------------------------------


def jpeg_has_end(data: bytes) -> bool:
    """Whether an end marker follows the last scan header. Pillow misses it only when the decoder looks that far."""
    return data.rfind(_JPEG_END) > data.rfind(b"\xff\xda")


def jpeg_lacks_only_its_end(data: bytes, decode: Callable[[bytes], bytes]) -> bool:
    """Whether no pixel of a JPEG without end marker depends on what is missing.

    libjpeg fills in whatever lacks, so the fact that it decodes says nothing. Here different bits are put in the
    place of the missing ones: if the pixels are the same for all of them, nothing had been missing. Scans that
    are missing as a whole (progressive JPEG) show in the scan headers instead.

    Args:
        data: the whole file.
        decode: pixels of a JPEG as bytes; may raise.
    """
    body = data.rstrip(b"\xff")  # half of a marker; more bits must not turn it into another one
    try:
        if not _jpeg_scans_are_complete(body):
            return False
    except (IndexError, KeyError, ValueError):  # scan headers that contradict the frame header
        return False
    chance = random.Random(7)
    noise = [bytes(b for b in chance.randbytes(256) if b != 0xFF) for _ in range(4)]
    # The very next bits may be all that is missing: zeros, ones (FF is escaped as FF 00) and both alternations.
    plain = [b"\x00" * 64, b"\xff\x00" * 64, b"\x55" * 64, b"\xaa" * 64]
    restarts = re.findall(rb"\xff([\xd0-\xd7])", body[body.rfind(b"\xff\xda") :])
    follow = restarts[-1][0] - 0xD0 + 1 if restarts else 0
    marked = b"".join(bytes([0xFF, 0xD0 + (follow + n) % 8]) + noise[n % 4] for n in range(8))
    try:
        pixels: bytes = decode(body + _JPEG_END)
        return all(decode(body + tail + _JPEG_END) == pixels for tail in (*noise, *plain, marked))
    except Exception:  # a decoder that stumbles over the tail was still reading picture data
        return False


def _jpeg_scans_are_complete(data: bytes) -> bool:
    """Whether the scans that began bring every coefficient of every component to its full precision."""
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
