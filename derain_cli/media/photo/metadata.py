"""What lies around the pixels in a picture file: EXIF, ICC, XMP, DPI, and the containers' own structure.

Nothing here decodes pixels. Metadata is carried as the bytes it came as wherever that is possible: EXIF is
patched in place rather than parsed and written anew, so maker notes keep their offsets.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
import struct
from dataclasses import dataclass
from typing import Any

from PIL import Image, JpegImagePlugin, PngImagePlugin

from derain_cli.media.photo.png import png_chunks

__all__ = ["Metadata", "exif_for_tiff", "png_surroundings", "read_metadata", "save_arguments"]

_EXIF_HEAD = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x8769, 0x8825, 0xA005
# The tags of a TIFF's main directory that describe the photo; the others describe how this one file is stored.
_DESCRIPTIVE = (0x010D, 0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298)
_PNG_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"cICP")
_MAX_TEXT = 1 << 18  # bytes of PNG text that are carried along; more is a payload, not a description
_JPEG_MAX = {"exif": 65533 - len(_EXIF_HEAD), "xmp": 65504, "comment": 65533}
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
