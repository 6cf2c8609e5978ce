"""Reads photos: upright pixels and metadata.

Pillow decodes, provides metadata and detects broken files. It silently opens 16-bit colour as 8-bit; `sixteen_bit`
recovers the 16 bits.
"""

from __future__ import annotations

import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, TiffImagePlugin

from derain_cli.config import DEFAULT_MAX_PIXELS
from derain_cli.errors import InputError
from derain_cli.media.photo.formats import FORMAT_OF_SUFFIX, READ_ONLY
from derain_cli.media.photo.metadata import Metadata, read_metadata
from derain_cli.media.photo.opening import (
    decoding,
    known_kind,
    open_header,
    open_regular,
    open_whole,
    refuse_oversized_file,
)
from derain_cli.media.photo.photo import Photo, PhotoInfo
from derain_cli.media.photo.sixteen_bit import keyed_alpha, ppm_header, sixteen_bit_planes, upright
from derain_cli.media.pixels import Pixels8, row_blocks, to_uint8

__all__ = ["Metadata", "probe_photo", "read_photo", "read_rgb"]

_Array = npt.NDArray[Any]


def read_photo(path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """Read a complete photo, upright.

    Formats, by content: JPEG, PNG, WebP, TIFF, BMP, PPM/PGM/PBM, AVIF, single-frame GIF, and HEIF if pillow-heif
    is installed. Only regular files (following symbolic links) are opened.

    Args:
        path: the file.
        max_pixels: larger photos are refused by their header.

    Raises:
        InputError: the file cannot be used; the reason says why.
        ResourceError: out of memory.
    """
    path = Path(path)
    with decoding(path):
        with open_regular(path) as file:
            kind = known_kind(file, path)
            refuse_oversized_file(file, max_pixels, path)
            data = file.read()
        notes: list[str] = []
        data, image = open_whole(data, kind, max_pixels, path, notes)
        return _decode(data, image, kind, path, notes)


def probe_photo(path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> PhotoInfo:
    """Read the header of a photo, with the checks and errors of `read_photo` except those of the pixels."""
    path = Path(path)
    with decoding(path), open_regular(path) as file:
        kind = known_kind(file, path)
        with open_header(file, kind, max_pixels, path) as image:
            width, height = image.size
            if isinstance(image, TiffImagePlugin.TiffImageFile):  # Pillow already returns the upright size here
                width, height = image.tag_v2[256], image.tag_v2[257]
            if _orientation(image) >= 5:
                width, height = height, width
            return PhotoInfo(kind, width, height)


def read_rgb(path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels8:
    """Read a photo as (H, W, 3) uint8 RGB, upright, 16 bits reduced, without alpha. Errors as for `read_photo`."""
    return to_uint8(read_photo(path, max_pixels=max_pixels).pixels)


def _decode(data: bytes, image: Image.Image, kind: str, path: Path, notes: list[str]) -> Photo:
    """The loaded picture as upright arrays with metadata."""
    named = (FORMAT_OF_SUFFIX | READ_ONLY).get(path.suffix.lower())
    if named not in (None, kind):
        notes.append(f"the content is {kind}, despite the name {path.suffix}")
    if kind != "JPEG" and getattr(image, "n_frames", 1) > 1:
        notes.append(f"only the main picture is used, not the {image.n_frames - 1} others in the file")  # type: ignore[attr-defined]
    orientation = _orientation(image)
    metadata = read_metadata(image, data, orientation=orientation, notes=notes)
    depth = _bit_depth(image, kind, data)
    if image.mode == "CMYK":
        image, metadata = _cmyk_to_rgb(image, metadata, notes)
    pixels, alpha, grey = _planes(image, kind, data, path)
    image.close()  # frees the memory of a large picture; its attributes remain
    if depth > 8 and pixels.dtype == np.uint8:
        deep = sixteen_bit_planes(data, kind, image, pixels, alpha) if depth == 16 else None
        if deep is None:
            notes.append(f"{depth}-bit reduced to 8-bit when reading")
        else:
            pixels, alpha = deep
    pixels = _as_rgb(upright(pixels, orientation))
    alpha = None if alpha is None else np.ascontiguousarray(upright(alpha, orientation))
    return Photo(pixels, alpha, grey, kind, metadata, tuple(notes))


def _orientation(image: Image.Image) -> int:
    """EXIF or XMP orientation, 1..8, still to be applied (Pillow rotates TIFF files while loading)."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # damaged EXIF has no orientation
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _as_rgb(array: _Array) -> _Array:
    return np.ascontiguousarray(array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2))


def _bit_depth(image: Image.Image, kind: str, data: bytes) -> int:
    """Bits per sample according to the file, which Pillow's mode does not reveal."""
    if kind == "PNG":
        return data[24]
    if kind == "TIFF" and isinstance(image, TiffImagePlugin.TiffImageFile):
        return int(max(image.tag_v2.get(TiffImagePlugin.BITSPERSAMPLE, (1,))))
    if kind == "PPM":
        return 16 if ppm_header(data)[2] > 255 else 8
    if kind == "HEIF":
        return int(image.info.get("bit_depth", 8))
    if kind == "AVIF" and (box := data.find(b"av1C", 0, 1 << 16)) >= 0:
        flags = data[box + 6]
        return 8 + 2 * bool(flags & 0x40) + 2 * (flags & 0x60 == 0x60)
    return 8


def _cmyk_to_rgb(image: Image.Image, metadata: Metadata, notes: list[str]) -> tuple[Image.Image, Metadata]:
    """Convert with the embedded profile if it is usable, and drop the profile, which does not apply to RGB pixels."""
    notes.append("CMYK converted to RGB")
    without = replace(metadata, icc_profile=None)
    if metadata.icc_profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(metadata.icc_profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted, without
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("the colour profile is damaged: colours are approximate")
    return image.convert("RGB"), without


def _planes(image: Image.Image, kind: str, data: bytes, path: Path) -> tuple[_Array, _Array | None, bool]:
    """Pixels (H, W) or (H, W, 3), alpha (H, W) or None, and whether the source has one channel."""
    mode, key = image.mode, image.info.get("transparency")
    if mode in ("L", "1"):
        grey = np.asarray(image.convert("L"))
        return grey, keyed_alpha(grey, _scaled_key(key, data, kind)), True
    if mode.startswith("I;16") or (mode == "I" and kind == "PPM"):
        deep = np.asarray(image).astype(np.uint16)
        if kind == "TIFF" and isinstance(image, TiffImagePlugin.TiffImageFile) and image.tag_v2.get(262) == 0:
            deep = 65535 - deep  # white is zero: Pillow inverts 8-bit pictures but not 16-bit ones
        return deep, keyed_alpha(deep, key), True
    if mode in ("LA", "La"):
        both = np.asarray(image.convert("LA"))
        return both[..., 0], both[..., 1], True
    if mode in ("RGBA", "RGBa", "PA") or (mode == "P" and _palette_has_alpha(image)):
        if kind == "PNG" and data[25] == 4:  # 16-bit grey with alpha, which Pillow opens as RGBA
            grey, alpha = _channels(image, "RGBA", 0, 3)
            return grey, alpha, True
        colour, alpha = _channels(image, "RGBA", slice(3), 3)
        return colour, alpha, False
    if mode in ("RGB", "RGBX", "P", "YCbCr"):
        (three,) = _channels(image, "RGB", slice(3))
        wide = kind == "PNG" and data[24] == 16  # the transparent colour has 16 bits: `sixteen_bit_planes` applies it
        return three, None if wide else keyed_alpha(three, key), False
    name = "floating-point pixels" if mode == "F" else f"pixels of mode {mode}"
    raise InputError(f"unsupported: {name}", path=path, hint="convert it to RGB")


def _channels(image: Image.Image, mode: str, *wanted: int | slice) -> list[_Array]:
    """Channels of a picture in an 8-bit mode, block by block, since Pillow would make two copies of all of it."""
    height, width = image.height, image.width
    out = [np.empty((height, width) if isinstance(c, int) else (height, width, 3), np.uint8) for c in wanted]
    for rows in row_blocks(height, width * len(out) * 3):
        block = image.crop((0, rows.start, width, rows.stop))
        samples = np.asarray(block if block.mode == mode else block.convert(mode))
        for target, channel in zip(out, wanted, strict=True):
            target[rows] = samples[..., channel]
    return out


def _palette_has_alpha(image: Image.Image) -> bool:
    return "transparency" in image.info or (image.palette is not None and image.palette.mode == "RGBA")


def _scaled_key(key: object, data: bytes, kind: str) -> object:
    """The transparent grey value in 8 bits: Pillow scales pixels of 1, 2 and 4 bits, but not always this value."""
    if not isinstance(key, int) or kind != "PNG":
        return key
    return {1: 255 * bool(key), 2: 85 * key, 4: 17 * key}.get(data[24], key)
