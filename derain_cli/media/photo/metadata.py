"""Metadata of picture files: EXIF, ICC, XMP, DPI and format-specific data.

Nothing here decodes pixels. Metadata is passed on as raw bytes wherever possible: EXIF is patched in place instead of
being rewritten, so maker notes keep their offsets.
"""

from __future__ import annotations

import contextlib
import io
import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, TiffTags

from derain_cli.media.photo.colour import CodePoints, colour_chunk, read_box
from derain_cli.media.photo.exif import EXIF_HEAD, descriptive_exif, reset_orientation, tiff_entries
from derain_cli.media.photo.iptc import (
    PHOTOSHOP_HEAD,
    TIFF_IPTC,
    TIFF_PHOTOSHOP,
    photoshop_from_iptc,
    without_previews,
)
from derain_cli.media.photo.jpeg import jpeg_segment
from derain_cli.media.photo.packed import GainMap, look_behind, turned, with_directory, without_directory
from derain_cli.media.photo.png import png_chunks

__all__ = ["Metadata", "exif_for_tiff", "png_colour_chunks", "png_surroundings", "read_metadata", "save_arguments"]

_PNG_COLOUR = (b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI")
_BOXES_END = 1 << 18  # the descriptive boxes of an AVIF or HEIF are before this offset
_TIFF_COLOUR = (301, 318, 319, 342)  # transfer function, white point, primaries, transfer range
_MAX_TEXT = 1 << 18  # maximum bytes of PNG text to keep; more is a payload, not a description
_JPEG_MAX = {"exif": 65533 - len(EXIF_HEAD), "xmp": 65504, "comment": 65533}
_THUMBNAILS = re.compile(rb"<xmp:Thumbnails\b.*?</xmp:Thumbnails\s*>", re.DOTALL)  # of the rainy picture
_EXTENDED = re.compile(
    rb"\s+xmpNote:HasExtendedXMP\s*=\s*(?:\"[^\"]*\"|'[^']*')|<xmpNote:HasExtendedXMP>[^<]*</xmpNote:HasExtendedXMP>"
)
"""Refers to further XMP in separate segments, which Pillow does not read."""
_ICC_SPACES = {b"RGB ": "RGB", b"GRAY": "grey"}


@dataclass(frozen=True)
class Metadata:
    """The metadata of a photo. Every field may be empty.

    Attributes:
        exif: TIFF-structured EXIF block without the "Exif" prefix; orientation 1 or absent. Size and thumbnail are
            those of the source file: `exif.fitted` adapts them to the picture that is written.
        icc_profile: the colour profile, for RGB or for grey pixels.
        xmp: XMP packet, tiff:Orientation 1 or absent.
        dpi: horizontal and vertical dots per inch of the upright picture.
        comment: of a JPEG or GIF; written to JPEG.
        photoshop: image resource blocks (including IPTC captions) without previews; written to JPEG and TIFF.
        text: PNG text entries (keyword, text), PNG to PNG only.
        png_colour: PNG colour chunks (gAMA, cHRM, sRGB, cICP, mDCV, cLLI) as (name, body), PNG to PNG only.
        tiff_colour: TIFF colour tags (white point, primaries, transfer function) as (tag, value), TIFF to TIFF only.
        code_points: colour space as code points, unless it is the default.
        gain_map: the upright HDR gain map; JPEG to JPEG only.
        subsampling: chroma subsampling of a JPEG, AVIF or HEIF, Pillow's number (0 4:4:4, 1 4:2:2, 2 4:2:0).
        lossless: whether the source was encoded losslessly.
    """

    exif: bytes | None = None
    icc_profile: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    comment: bytes | None = None
    photoshop: bytes | None = None
    text: tuple[tuple[str, str], ...] = ()
    png_colour: tuple[tuple[bytes, bytes], ...] = ()
    tiff_colour: tuple[tuple[int, Any], ...] = ()
    code_points: CodePoints | None = None
    gain_map: GainMap | None = None
    subsampling: int | None = None
    lossless: bool = False


# --- reading ----------------------------------------------------------------------------------------------------


def read_metadata(image: Image.Image, data: bytes, *, orientation: int, notes: list[str]) -> Metadata:
    """Collect the metadata of a loaded picture. Damaged blocks are dropped with a note, never an error.

    Args:
        image: the picture after `load()`.
        data: the whole file.
        orientation: EXIF orientation that is still to be applied.
        notes: one-line warnings are appended here.
    """
    info = image.info
    is_png = image.format == "PNG"
    # Pillow assumes inches if there is no unit, and invents a resolution if a TIFF has none.
    png_colour = tuple((n, b) for n, b in png_chunks(data) if n in _PNG_COLOUR) if is_png else ()
    dpi = None if _has_no_unit(image) else _dpi(info.get("dpi"))
    return Metadata(
        exif=_read_exif(image, notes),
        icc_profile=_as_bytes(info.get("icc_profile")),
        xmp=_read_xmp(info, notes),
        dpi=dpi[::-1] if dpi and orientation >= 5 else dpi,
        comment=_as_bytes(info.get("comment")) if image.format in ("JPEG", "MPO", "GIF") else None,
        photoshop=_read_photoshop(image),
        text=_read_text(image, notes) if is_png else (),
        png_colour=png_colour,
        tiff_colour=_read_tiff_colour(image),
        code_points=_read_code_points(image, data, png_colour),
        gain_map=_read_packed(data, orientation, notes) if image.format in ("JPEG", "MPO") else None,
        subsampling=_subsampling(image, data),
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


def _has_no_unit(image: Image.Image) -> bool:
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return 282 not in image.tag_v2 or image.tag_v2.get(296, 2) == 1
    if image.info.get("jfif_unit") != 0:
        return False
    with contextlib.suppress(Exception):  # damaged EXIF
        return bool(image.getexif().get(0x0128, 1) == 1)
    return False


def _read_photoshop(image: Image.Image) -> bytes | None:
    """Photoshop image resources; for a TIFF with only captions, these as a resource."""
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        resources, captions = (_tag_bytes(image, tag) for tag in (TIFF_PHOTOSHOP, TIFF_IPTC))
        return without_previews(resources) or photoshop_from_iptc(captions)
    bodies = [body for name, body in getattr(image, "applist", ()) if name == "APP13"]
    return without_previews(b"".join(b.removeprefix(PHOTOSHOP_HEAD) for b in bodies if b.startswith(PHOTOSHOP_HEAD)))


def _tag_bytes(image: TiffImagePlugin.TiffImageFile, tag: int) -> bytes:
    """The bytes of a tag, regardless of its declared type: captions are often declared as numbers."""
    data: bytes = image.tag_v2._tagdata.get(tag, b"")
    kind = image.tag_v2.tagtype.get(tag)
    if kind == TiffTags.LONG and image.tag_v2.prefix == b"MM":
        whole = data[: len(data) // 4 * 4]
        return np.frombuffer(whole, ">u4").astype("<u4").tobytes() if whole[3:4] == b"\x1c" else data
    return data


def _read_tiff_colour(image: Image.Image) -> tuple[tuple[int, Any], ...]:
    if not isinstance(image, TiffImagePlugin.TiffImageFile):
        return ()
    return tuple((tag, image.tag_v2[tag]) for tag in _TIFF_COLOUR if tag in image.tag_v2)


def _read_code_points(
    image: Image.Image, data: bytes, png_colour: tuple[tuple[bytes, bytes], ...]
) -> CodePoints | None:
    if image.format in ("AVIF", "HEIF"):
        return read_box(data)
    body = dict(png_colour).get(b"cICP", b"")
    points = CodePoints(body[0], body[1]) if len(body) == 4 else None
    return points if points and not points.is_usual else None


def _read_packed(data: bytes, orientation: int, notes: list[str]) -> GainMap | None:
    """The gain map; anything else appended to the picture is noted."""
    packed = look_behind(data)
    if packed.pictures:
        notes.append(f"only the main picture is used, not the {packed.pictures} others in the file")
    if packed.clip:
        notes.append("the video of the motion photo is dropped")
    if packed.gain_map is None:
        return None
    try:
        return turned(packed.gain_map, orientation)
    except Exception:  # arbitrary bytes after an intact picture
        notes.append("damaged HDR gain map dropped")
        return None


def _subsampling(image: Image.Image, data: bytes) -> int | None:
    if isinstance(image, JpegImagePlugin.JpegImageFile):
        sampling = JpegImagePlugin.get_sampling(image)
        return sampling if sampling in (0, 1, 2) else None
    if image.format == "AVIF" and (box := data.find(b"av1C", 0, _BOXES_END)) >= 0:
        across, down = data[box + 6] & 0x08, data[box + 6] & 0x04
        return 2 if across and down else 1 if across else 0
    if image.format == "HEIF" and (box := data.find(b"hvcC", 0, _BOXES_END)) >= 0 and box + 21 <= len(data):
        return {1: 2, 2: 1, 3: 0}.get(data[box + 20] & 3)
    return None


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
            return reset_orientation(raw)
        return descriptive_exif(image.getexif())  # TIFF, and old PNG files with EXIF in a text chunk
    except Exception:  # the parser sees arbitrary bytes; the pixels are intact in any case
        notes.append("damaged EXIF dropped")
        return None


def _read_xmp(info: dict[Any, Any], notes: list[str]) -> bytes | None:
    xmp = _as_bytes(info.get("xmp")) or _as_bytes(info.get("XML:com.adobe.xmp"))
    if xmp and _EXTENDED.search(xmp):
        notes.append("extended XMP dropped: it mostly holds pictures such as depth maps or the original photo")
        xmp = _EXTENDED.sub(b"", xmp)
    xmp = xmp and _THUMBNAILS.sub(b"", xmp)
    return xmp and without_directory(re.sub(rb'(tiff:Orientation(?:="|>))[0-9]', rb"\g<1>1", xmp))


def _read_text(image: Image.Image, notes: list[str]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = getattr(image, "text", {})
    text = tuple(
        (str(key), str(value))
        for key, value in found.items()
        if key != "XML:com.adobe.xmp" and not key.startswith("Raw profile type")
    )
    if sum(len(key) + len(value) for key, value in text) > _MAX_TEXT:
        notes.append("PNG text dropped: too long")
        return ()
    return text


# --- writing ----------------------------------------------------------------------------------------------------


def save_arguments(meta: Metadata, kind: str, *, grey: bool, notes: list[str]) -> dict[str, Any]:
    """Keyword arguments for Pillow's `save` that store `meta` in a file of format `kind`.

    Anything the format does not support is dropped with a note.

    Args:
        meta: the metadata.
        kind: Pillow's format name.
        grey: the pixels are written as one channel (a colour profile must match, or the file is invalid).
        notes: one-line warnings are appended here.
    """
    _note_losses(meta, kind, notes)
    if kind in ("BMP", "PPM"):
        if meta.exif or meta.xmp or meta.icc_profile:
            notes.append(f"metadata dropped: {kind} does not support it")
        return {"dpi": meta.dpi} if meta.dpi and kind == "BMP" else {}
    arguments: dict[str, Any] = {}
    if meta.exif:
        arguments["exif"] = EXIF_HEAD + meta.exif
    profile = meta.icc_profile or _profile_of_numbers(meta.code_points, kind, grey, notes)
    if icc := _matching_profile(profile, grey, notes):
        arguments["icc_profile"] = icc
    if meta.gain_map is not None and kind == "JPEG":
        arguments["xmp"] = with_directory(meta.xmp, len(meta.gain_map.jpeg))
    elif meta.xmp and kind != "PNG":
        arguments["xmp"] = meta.xmp
    if meta.dpi and kind in ("JPEG", "PNG", "TIFF"):
        arguments["dpi"] = meta.dpi
    if kind == "JPEG":
        _add_jpeg_arguments(arguments, meta, notes)
    if kind == "PNG":
        arguments["pnginfo"] = _png_info(meta)
    return arguments


def _profile_of_numbers(points: CodePoints | None, kind: str, grey: bool, notes: list[str]) -> bytes | None:
    """A profile equivalent to the code points, for formats that cannot store these."""
    if points is None or grey or kind in ("AVIF", "HEIF", "PNG"):
        return None
    profile = points.profile()
    if profile is None:
        notes.append(f"colours are {points.name}, which {kind} cannot store: they will look pale (use PNG or AVIF)")
    return profile


def _note_losses(meta: Metadata, kind: str, notes: list[str]) -> None:
    """Note metadata that only some formats support."""
    lost = {
        "IPTC captions": meta.photoshop is not None and kind not in ("JPEG", "TIFF"),
        "the HDR gain map": meta.gain_map is not None and kind != "JPEG",
        "the comment": meta.comment is not None and kind != "JPEG",
        "text": bool(meta.text) and kind != "PNG",
    }
    if names := [name for name, is_lost in lost.items() if is_lost]:
        notes.append(f"dropped, as {kind} does not support it: {' and '.join(names)}")


def _matching_profile(icc: bytes | None, grey: bool, notes: list[str]) -> bytes | None:
    if icc is None:
        return None
    space = _ICC_SPACES.get(icc[16:20], "other")
    if space == ("grey" if grey else "RGB"):
        return icc
    notes.append(f"colour profile dropped: it is for {space} pixels, the file has {'grey' if grey else 'RGB'} ones")
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
        jpeg_segment(0xED, PHOTOSHOP_HEAD + part) for part in _parts(meta.photoshop or b"", 65533 - len(PHOTOSHOP_HEAD))
    )


def _parts(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def _png_info(meta: Metadata) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in meta.text:
        with contextlib.suppress(UnicodeEncodeError, ValueError):
            info.add_text(key, value)
    if meta.xmp:
        info.add_itxt("XML:com.adobe.xmp", meta.xmp.decode("utf-8", "replace"))
    return info


def png_colour_chunks(meta: Metadata) -> tuple[tuple[bytes, bytes], ...]:
    """The colour space chunks of a PNG, of which Pillow writes only some."""
    if meta.code_points is None or meta.png_colour:
        return meta.png_colour
    return (colour_chunk(meta.code_points),)


def png_surroundings(meta: Metadata, *, grey: bool, notes: list[str]) -> list[tuple[bytes, bytes]]:
    """The metadata chunks of a PNG, as written by Pillow, for use in a 16-bit PNG."""
    stream = io.BytesIO()
    Image.new("L" if grey else "RGB", (1, 1)).save(stream, "PNG", **save_arguments(meta, "PNG", grey=grey, notes=notes))
    made = png_chunks(stream.getvalue())
    return [*png_colour_chunks(meta), *((name, body) for name, body in made if name not in (b"IHDR", b"IDAT", b"IEND"))]


def exif_for_tiff(meta: Metadata) -> dict[int, Any]:
    """`meta.exif` as main-directory entries of a TIFF (tag to value, sub-directories as dicts)."""
    if meta.exif is None:
        return {}
    exif = Image.Exif()
    exif.load(EXIF_HEAD + meta.exif)
    return tiff_entries(exif)
