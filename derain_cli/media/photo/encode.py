"""Writes photos atomically: encoded, written to a temporary file, verified, renamed."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from derain_cli.config import EncodeOptions
from derain_cli.errors import DestinationError, ResourceError, UsageError, resource_error_from
from derain_cli.media.photo.colour import CodePoints, with_box
from derain_cli.media.photo.exif import fitted
from derain_cli.media.photo.formats import FORMAT_OF_SUFFIX, HEIF_HINT, WRITABLE_SUFFIXES, register_heif
from derain_cli.media.photo.metadata import Metadata, png_colour_chunks, png_surroundings, save_arguments
from derain_cli.media.photo.opening import open_unlimited
from derain_cli.media.photo.packed import with_gain_map
from derain_cli.media.photo.photo import Photo
from derain_cli.media.photo.png import with_png_chunks
from derain_cli.media.photo.sixteen_bit import encode_png16, encode_ppm, encode_tiff
from derain_cli.media.pixels import Pixels, row_blocks, to_uint8
from derain_cli.system.files import atomic_file

__all__ = ["EncodeOptions", "write_photo", "write_rgb"]

_Array = npt.NDArray[Any]


_MAX_SIDE = {"JPEG": 65535, "WEBP": 16383, "AVIF": 65536}
_HOLDS_16_BITS = {"PNG", "TIFF", "PPM"}
_HOLDS_NO_ALPHA = {"JPEG", "BMP", "PPM"}
_HOLDS_NO_GREY = {"WEBP", "AVIF", "HEIF"}
_CHROMA = ("4:4:4", "4:2:2", "4:2:0")
_PNG_LEVEL = 3  # measured on photos: twice as fast as 6 and no larger


def write_photo(
    photo: Photo,
    path: str | os.PathLike[str],
    *,
    options: EncodeOptions | None = None,
    overwrite: bool = False,
    ready: Callable[[int], None] | None = None,
) -> tuple[str, ...]:
    """Write a photo atomically, in the format given by the suffix of `path`.

    The picture is encoded in memory or in parts, written to a temporary file, verified, and renamed.

    Args:
        photo: the photo; its `metadata` is kept as far as the format supports it.
        path: the final name.
        options: encoding options; None for the defaults.
        overwrite: replace an existing file.
        ready: called with the length in bytes once everything is written, just before the file gets its final name.

    Returns:
        One-line notes about what the format cannot store.

    Raises:
        UsageError: unknown suffix.
        DestinationError: as for `atomic_file`, or the format cannot store this picture.
        ResourceError: the disk is full or failing, or out of memory.
    """
    path = Path(path)
    kind = _format_of(path)
    notes: list[str] = []
    height, width = photo.pixels.shape[:2]
    if max(height, width) > _MAX_SIDE.get(kind, 1 << 30):
        raise DestinationError(
            f"{kind} supports at most {_MAX_SIDE[kind]} pixels a side", path=path, hint="use .png or .tif"
        )
    with atomic_file(path, overwrite=overwrite) as temporary:
        # Not by Pillow itself: its JPEG writer leaves a truncated file on a full disk without raising (measured).
        length = 0
        with temporary.open("wb") as file:
            for part in _encode(photo, kind, options or EncodeOptions(), path, notes):
                file.write(part)
                length += len(part)
        _look_at(temporary, kind, (width, height), length, path)
        if ready is not None:
            ready(length)
    return tuple(notes)


def write_rgb(path: str | os.PathLike[str], pixels: Pixels, *, overwrite: bool = True) -> None:
    """Write (H, W, 3) uint8 or uint16 RGB without metadata, quality 95; errors as for `write_photo`."""
    write_photo(Photo(pixels, metadata=Metadata(lossless=True)), path, overwrite=overwrite)


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in WRITABLE_SUFFIXES:
        missing = FORMAT_OF_SUFFIX.get(suffix) == "HEIF"
        hint = HEIF_HINT if missing else "one of " + " ".join(sorted(WRITABLE_SUFFIXES))
        raise UsageError(f"cannot write pictures of type {suffix or '(none)'}", path=path, hint=hint)
    return FORMAT_OF_SUFFIX[suffix]


def _look_at(temporary: Path, kind: str, size: tuple[int, int], length: int, path: Path) -> None:
    """Verify that the file on disk has the length of the encoded data and a correct header."""
    try:
        with temporary.open("rb") as file, open_unlimited(file, kind) as image:
            sound = temporary.stat().st_size == length and image.size == size
    except (OSError, SyntaxError, ValueError):
        sound = False
    if not sound:
        raise ResourceError("the written picture cannot be read back", path=path, hint="check the disk")


def _encode(
    photo: Photo, kind: str, options: EncodeOptions, path: Path, notes: list[str]
) -> Iterable[bytes | memoryview]:
    """The encoded file, in parts."""
    planes = _fitting_planes(photo, kind, notes)
    if photo.metadata.exif is not None:
        photo = replace(photo, metadata=replace(photo.metadata, exif=fitted(photo.metadata.exif, planes)))
    grey = planes.shape[2] < 3
    if kind == "PPM":
        save_arguments(photo.metadata, kind, grey=grey, notes=notes)
        return encode_ppm(planes, path, notes)
    if kind == "TIFF":
        return encode_tiff(planes, photo.metadata, notes)
    if kind == "PNG" and planes.dtype == np.uint16:
        return encode_png16(planes, png_surroundings(photo.metadata, grey=grey, notes=notes))
    arguments = save_arguments(photo.metadata, kind, grey=grey, notes=notes)
    arguments |= _coding(photo.metadata, kind, options)
    if kind == "HEIF":
        register_heif()
    stream = io.BytesIO()
    try:
        Image.fromarray(planes[..., 0] if planes.shape[2] == 1 else planes).save(stream, kind, **arguments)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if resource_error_from(error, path) is not None:
            raise
        raise DestinationError(f"cannot encode it as {kind}: {error}", path=path, hint="use .png or .tif") from error
    if kind == "PNG":  # Pillow drops chunks that it does not know
        return with_png_chunks(stream.getbuffer(), png_colour_chunks(photo.metadata))
    if kind == "JPEG" and photo.metadata.gain_map is not None:
        return with_gain_map(stream.getvalue(), photo.metadata.gain_map)
    if kind in ("AVIF", "HEIF") and photo.metadata.code_points is not None:
        return (_with_numbers(stream.getvalue(), photo.metadata.code_points, notes),)
    return (stream.getbuffer(),)


def _with_numbers(data: bytes, points: CodePoints, notes: list[str]) -> bytes:
    marked = with_box(data, points)
    if marked is None:
        notes.append(f"colours are {points.name}, but the encoder did not tag them")
    return marked or data


def _coding(metadata: Metadata, kind: str, options: EncodeOptions) -> dict[str, Any]:
    """Pillow's encoding options for a format."""
    if kind == "JPEG":
        # 4:4:4 unless the source was already subsampled. No `optimize`, which fails on some photos.
        return {"quality": options.quality, "subsampling": metadata.subsampling or 0}
    if kind == "WEBP" and metadata.lossless:
        return {"lossless": True, "exact": True, "quality": 25, "method": 4}  # quality only means effort here
    if kind == "AVIF":
        return {"quality": options.quality, "subsampling": _CHROMA[metadata.subsampling or 0]}
    if kind == "HEIF":
        return {"quality": options.quality, "chroma": int(_CHROMA[metadata.subsampling or 0].replace(":", ""))}
    if kind == "PNG":
        return {"compress_level": _PNG_LEVEL}
    return {"quality": options.quality} if kind == "WEBP" else {}


def _fitting_planes(photo: Photo, kind: str, notes: list[str]) -> _Array:
    """(H, W, C) with channels and depth supported by the format; C is 1 (grey), 2 (with alpha), 3 or 4."""
    pixels, alpha = photo.pixels, photo.alpha
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"pixels must be (H, W, 3) uint8 or uint16, not {pixels.shape} {pixels.dtype}")
    if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
        raise ValueError(f"alpha must be {pixels.shape[:2]} {pixels.dtype}, not {alpha.shape} {alpha.dtype}")
    if pixels.dtype == np.uint16 and kind not in _HOLDS_16_BITS:
        notes.append(f"16-bit reduced to 8-bit: {kind} has 8 bits")
        pixels, alpha = to_uint8(pixels), None if alpha is None else to_uint8(alpha)
    if alpha is not None and kind in _HOLDS_NO_ALPHA:
        notes.append(f"transparency dropped: {kind} does not support it")
        alpha = None
    # Few programs can open a TIFF with 16-bit grey and alpha; Pillow cannot.
    as_grey = photo.grey and kind not in _HOLDS_NO_GREY
    as_grey = as_grey and not (kind == "TIFF" and alpha is not None and pixels.dtype == np.uint16)
    planes = _mean_of_channels(pixels)[..., None] if as_grey else pixels
    return np.ascontiguousarray(planes if alpha is None else np.concatenate([planes, alpha[..., None]], axis=2))


def _mean_of_channels(pixels: _Array) -> _Array:
    """(H, W, 3) to (H, W), rounded; three equal channels are preserved.

    A mean without luma weights, since the channels are equally good estimates of one grey value.
    """
    mean = np.empty(pixels.shape[:2], pixels.dtype)
    for rows in row_blocks(len(pixels), pixels[0].size):
        total = pixels[rows, :, 0].astype(np.uint32)
        total += pixels[rows, :, 1]
        total += pixels[rows, :, 2]
        mean[rows] = (total + 1) // 3
    return mean
