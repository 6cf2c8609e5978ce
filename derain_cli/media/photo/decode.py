"""Photos in and out: the only code of the project that opens picture files.

Pillow decodes and encodes and carries the metadata; it is the one that notices broken files. It opens 16-bit
colour as 8-bit without a word; `sixteen_bit` has the 16 bits.
"""

from __future__ import annotations

import importlib.util
import io
import os
import stat
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms, TiffImagePlugin, UnidentifiedImageError

from derain_cli.errors import (
    DerainError,
    DestinationError,
    InputError,
    ResourceError,
    UsageError,
    resource_error_from,
)
from derain_cli.media.photo.metadata import (
    Metadata,
    drop_png_text,
    jpeg_has_end,
    jpeg_lacks_only_its_end,
    png_rows_are_complete,
    png_surroundings,
    read_metadata,
    save_arguments,
    sniff,
)
from derain_cli.media.photo.sixteen_bit import (
    deep_planes,
    encode_png16,
    encode_ppm,
    encode_tiff,
    keyed_alpha,
    ppm_header,
    row_blocks,
    upright,
)
from derain_cli.system.files import atomic_file

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "READABLE_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "EncodeOptions",
    "Metadata",
    "Photo",
    "PhotoInfo",
    "compare",
    "probe_photo",
    "read_photo",
    "read_rgb",
    "to_uint8",
    "write_photo",
    "write_rgb",
]

Pixels = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Pixels8 = npt.NDArray[np.uint8]
_Array = npt.NDArray[Any]

DEFAULT_MAX_PIXELS = 89_478_485
"""Pixels of the largest photo that is read without being asked to: Pillow's own warning limit."""

_FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
_READ_ONLY = {".gif": "GIF", ".pbm": "PPM", ".mpo": "JPEG", ".apng": "PNG", ".hif": "HEIF"}
_HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
_HEIF_HINT = "pip install 'derain-cli[heif]'"

READABLE_SUFFIXES = frozenset(_FORMAT_OF_SUFFIX) | frozenset(_READ_ONLY)
"""Names that are taken for photos in a folder. The content decides what a file is."""
WRITABLE_SUFFIXES = frozenset(s for s, kind in _FORMAT_OF_SUFFIX.items() if kind != "HEIF" or _HAS_HEIF)
"""Names that `write_photo` knows; HEIF only where pillow-heif is installed."""

_MAX_SIDE = {"JPEG": 65535, "WEBP": 16383, "AVIF": 65536}
_HOLDS_16_BITS = {"PNG", "TIFF", "PPM"}
_HOLDS_NO_ALPHA = {"JPEG", "BMP", "PPM"}
_HOLDS_NO_GREY = {"WEBP", "AVIF", "HEIF", "BMP"}
_PNG_LEVEL = 3  # measured on photos: twice as fast as 6 and no larger


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: (H, W, 3) RGB, uint8 in 0..255 or uint16 in 0..65535, upright.
        alpha: (H, W) of the same dtype, 0 transparent; None when the photo has none.
        grey: the source has one channel (all three of `pixels` are equal) and is written as one channel again:
            the rounded mean of the three, which gives an untouched grey back bit for bit.
        format: Pillow's name of the source format, by content.
        metadata: what lies around the pixels.
        notes: one-line warnings about the reading.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    grey: bool = False
    format: str = "PNG"
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhotoInfo:
    """What the header of a picture says: format by content, and the upright size in pixels."""

    format: str
    width: int
    height: int


@dataclass(frozen=True)
class EncodeOptions:
    """How a photo is coded.

    Attributes:
        quality: 1..100, for JPEG, AVIF, HEIF and lossy WebP. PNG, TIFF, BMP and PPM lose nothing; WebP loses
            nothing when the source was lossless.

    Raises:
        UsageError: the quality is out of range.
    """

    quality: int = 95

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 100:
            raise UsageError(f"quality {self.quality} is not in 1..100")


# --- reading ----------------------------------------------------------------------------------------------------


def read_photo(path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Photo:
    """Read a photo whole and upright.

    Formats, by content: JPEG, PNG, WebP, TIFF, BMP, PPM/PGM/PBM, AVIF, single-frame GIF, and HEIF where
    pillow-heif is installed. Only regular files (symbolic links followed) are opened.

    Args:
        path: the file.
        max_pixels: larger photos are refused from their header.

    Raises:
        InputError: the file cannot be used; the reason says why.
        ResourceError: memory ran out.
    """
    path = Path(path)
    with _decoding(path):
        with _open_regular(path) as file:
            kind = _known_kind(file, path)
            _refuse_oversized_file(file, max_pixels, path)
            data = file.read()
        notes: list[str] = []
        data, image = _open_whole(data, kind, max_pixels, path, notes)
        return _decode(data, image, kind, path, notes)


def probe_photo(path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> PhotoInfo:
    """Read the header of a photo; the guards and errors of `read_photo`, without its look at the pixels."""
    path = Path(path)
    with _decoding(path), _open_regular(path) as file:
        kind = _known_kind(file, path)
        with _open_header(file, kind, max_pixels, path) as image:
            width, height = image.size
            if isinstance(image, TiffImagePlugin.TiffImageFile):  # Pillow gives the upright size here already
                width, height = image.tag_v2[256], image.tag_v2[257]
            if _orientation(image) >= 5:
                width, height = height, width
            return PhotoInfo(kind, width, height)


def read_rgb(path: str | os.PathLike[str], *, max_pixels: int = DEFAULT_MAX_PIXELS) -> Pixels8:
    """Read a photo as (H, W, 3) uint8 RGB, upright; 16 bits are reduced, alpha is left out. Errors: `read_photo`."""
    return to_uint8(read_photo(path, max_pixels=max_pixels).pixels)


def to_uint8(pixels: Pixels) -> Pixels8:
    """uint16 in 0..65535 to uint8 in 0..255, rounded to nearest; uint8 as it is. Any shape."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    deep = np.ascontiguousarray(pixels).reshape(-1)
    shallow = np.empty(deep.shape, np.uint8)
    for block in row_blocks(len(deep), 1):
        shallow[block] = (deep[block].astype(np.uint32) + 128) // 257
    return shallow.reshape(pixels.shape)


@contextmanager
def _decoding(path: Path) -> Iterator[None]:
    """Whatever a decoder raises on a broken file is the file's fault, except running out of memory."""
    try:
        yield
    except DerainError:
        raise
    except MemoryError as error:
        raise resource_error_from(error, path) or ResourceError("out of memory", path=path) from error
    except Exception as error:
        raise InputError(_reason(error), path=path) from error


def _reason(error: Exception) -> str:
    words = str(error).lower()
    if isinstance(error, EOFError) or "truncat" in words or "end of file" in words:
        return "truncated"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot be read: {error.strerror}"
    return "corrupt data"


def _open_regular(path: Path) -> BinaryIO:
    """Open a regular file; nothing else is ever opened (a FIFO would hang, a device may act)."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        reason = "dangling symbolic link" if path.is_symlink() else "no such file"
        raise InputError(reason, path=path) from error
    except (OSError, ValueError) as error:
        loop = path.is_symlink() and "symbolic" in str(error).lower()
        reason = "loop of symbolic links" if loop else f"cannot be read: {getattr(error, 'strerror', error)}"
        raise InputError(reason, path=path) from error
    _refuse_irregular(status, path)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=path) from error
    file = os.fdopen(handle, "rb")
    try:
        _refuse_irregular(os.fstat(handle), path)  # it may have been exchanged since
    except BaseException:
        file.close()
        raise
    return file


def _refuse_irregular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise InputError("is a folder", path=path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("not a regular file (a FIFO, socket or device)", path=path)
    if status.st_size == 0:
        raise InputError("empty file", path=path)


def _known_kind(file: BinaryIO, path: Path) -> str:
    """The format by content, of those that are read; leaves the file at its start."""
    kind = sniff(file.read(64))
    file.seek(0)
    if kind is None:
        raise InputError("not a readable image", path=path)
    if kind.startswith("not read: "):
        raise InputError(f"unsupported: {kind.removeprefix('not read: ')} files are not read", path=path)
    if kind == "HEIF":
        if not _HAS_HEIF:
            raise InputError("unsupported: HEIF needs a plug-in", path=path, hint=_HEIF_HINT)
        _register_heif()
    return kind


def _register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


def _refuse_oversized_file(file: BinaryIO, max_pixels: int, path: Path) -> None:
    """The file is read into memory, so that every look at it sees the same bytes; its size is bounded first."""
    size, limit = os.fstat(file.fileno()).st_size, 8 * max_pixels + (256 << 20)
    if size > limit:
        raise InputError(
            f"too large: a file of {size >> 20} MiB > limit {limit >> 20} MiB", path=path, hint="see --max-pixels"
        )


def _open_header(file: BinaryIO, kind: str, max_pixels: int, path: Path) -> Image.Image:
    """Open a picture without decoding it, refuse it if it is too large or has several frames."""
    try:
        image = _open_unlimited(file, kind)
    except UnidentifiedImageError as error:
        raise InputError(f"not a readable image: truncated, damaged or unsupported {kind}", path=path) from error
    _refuse_large(image, max_pixels, path)
    _refuse_frames(image, kind, path)
    return image


def _open_unlimited(file: BinaryIO, kind: str) -> Image.Image:
    """`Image.open` for one format, without Pillow's bomb check: ours is `_refuse_large`."""
    with _pillow_limit.lifted():
        return Image.open(file, formats=[kind])


class _PillowLimit:
    """Pillow's bomb check knows one limit for the whole process and prints warnings; ours is per call.

    While any thread is inside `lifted`, Pillow checks nothing; then its limit is what it was.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._usual: int | None = None

    @contextmanager
    def lifted(self) -> Iterator[None]:
        with self._lock:
            if self._inside == 0:
                self._usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if self._inside == 0:
                    Image.MAX_IMAGE_PIXELS = self._usual


_pillow_limit = _PillowLimit()


def _refuse_large(image: Image.Image, max_pixels: int, path: Path) -> None:
    count = image.width * image.height
    if count > max_pixels:
        size, limit = (f"{n / 1e9:.1f} Gpx" if n >= 1e9 else f"{n / 1e6:.3g} Mpx" for n in (count, max_pixels))
        raise InputError(f"too large: {size} > limit {limit}", path=path, hint="--max-pixels raises the limit")


def _refuse_frames(image: Image.Image, kind: str, path: Path) -> None:
    """One frame is never quietly taken for all. Phones pack extras behind the photo in JPEG and HEIF: see `_decode`."""
    if kind not in ("JPEG", "HEIF") and getattr(image, "is_animated", False):
        raise InputError(
            f"{getattr(image, 'n_frames', 2)} frames: pictures of several frames or pages are not supported",
            path=path,
            hint="split it, or make it a video and use derain video",
        )


def _open_whole(data: bytes, kind: str, max_pixels: int, path: Path, notes: list[str]) -> tuple[bytes, Image.Image]:
    """Open and load the pixels of a file in memory, with the checks that Pillow's `load` leaves out.

    Returns the bytes that were decoded (repaired if need be) and the loaded picture.
    """
    try:
        image = _open_header(io.BytesIO(data), kind, max_pixels, path)
    except ValueError:
        if kind != "PNG":  # Pillow bounds what text chunks may unpack to
            raise
        data = drop_png_text(data)
        notes.append("PNG text dropped: too much of it")
        image = _open_header(io.BytesIO(data), kind, max_pixels, path)
    if kind == "PNG":
        _verify_png(data, path)
    if kind == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise InputError("truncated", path=path)
    if kind == "TIFF":
        _refuse_samples(image, path)
    if kind == "JPEG" and not jpeg_has_end(data):
        notes.append("JPEG lacks its end marker")
    try:
        # Pillow checks the size of a TIFF again here.
        with _pillow_limit.lifted() if kind == "TIFF" else nullcontext():
            image.load()
    except OSError as error:
        if kind != "JPEG" or "truncated" not in str(error) or not jpeg_lacks_only_its_end(data, _jpeg_bytes):
            raise
        data = data.rstrip(b"\xff") + b"\xff\xd9"
        image = _open_header(io.BytesIO(data), kind, max_pixels, path)
        image.load()
    if kind == "PNG" and not _png_is_filled(image, data):
        raise InputError("truncated: rows are missing", path=path)
    return data, image


def _jpeg_bytes(data: bytes) -> bytes:
    return _open_unlimited(io.BytesIO(data), "JPEG").tobytes()


def _verify_png(data: bytes, path: Path) -> None:
    """Check sums of all chunks and the end chunk: `load` looks at neither."""
    try:
        _open_unlimited(io.BytesIO(data), "PNG").verify()
    except (SyntaxError, ValueError) as error:
        raise InputError("corrupt data: a check sum of the PNG is wrong", path=path) from error


def _png_is_filled(image: Image.Image, data: bytes) -> bool:
    """Missing rows are zeros at the end; only a picture that ends in zeros needs the slow look."""
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    return last_row.getbbox(alpha_only=False) is not None or png_rows_are_complete(data)


def _refuse_samples(image: Image.Image, path: Path) -> None:
    """TIFF samples that are no plain counts: signed, floating, or of odd widths."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    bits = set(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    kinds = set(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)))
    if kinds - {1}:
        name = "floating-point" if 3 in kinds else "signed or complex"
        raise InputError(f"unsupported: {name} pixels", path=path, hint="convert it to 16-bit whole numbers")
    if bits - {1, 2, 4, 8, 16}:
        raise InputError(f"unsupported: {max(bits)} bits per sample", path=path, hint="convert it to 16 bits")


def _decode(data: bytes, image: Image.Image, kind: str, path: Path, notes: list[str]) -> Photo:
    """The loaded picture as arrays, upright, with its metadata."""
    named = (_FORMAT_OF_SUFFIX | _READ_ONLY).get(path.suffix.lower())
    if named not in (None, kind):
        notes.append(f"content is {kind} though the name says {path.suffix}")
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"only the main picture is used, not the {image.n_frames - 1} packed with it")  # type: ignore[attr-defined]
    orientation = _orientation(image)
    metadata = read_metadata(image, data, turned=orientation >= 5, notes=notes)
    depth = _bit_depth(image, kind, data)
    if image.mode == "CMYK":
        image, metadata = _cmyk_to_rgb(image, metadata, notes)
    pixels, alpha, grey = _planes(image, kind, data, path)
    image.close()  # of a large picture its memory is wanted now; what it says of itself stays
    if depth > 8 and pixels.dtype == np.uint8:
        deep = deep_planes(data, kind, image, pixels, alpha) if depth == 16 else None
        if deep is None:
            notes.append(f"{depth}-bit reduced to 8-bit when reading")
        else:
            pixels, alpha = deep
    pixels = _as_rgb(upright(pixels, orientation))
    alpha = None if alpha is None else np.ascontiguousarray(upright(alpha, orientation))
    return Photo(pixels, alpha, grey, kind, metadata, tuple(notes))


def _orientation(image: Image.Image) -> int:
    """EXIF or XMP orientation, 1..8, that is still to be applied (Pillow turns TIFF by itself while loading)."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # damaged EXIF says nothing about how the photo was held
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _as_rgb(array: _Array) -> _Array:
    return np.ascontiguousarray(array if array.ndim == 3 else np.repeat(array[:, :, None], 3, axis=2))


def _bit_depth(image: Image.Image, kind: str, data: bytes) -> int:
    """Bits per sample as the file says; Pillow's mode does not tell."""
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
    """Through the embedded profile if it is a usable one; the profile then says nothing about the RGB pixels."""
    notes.append("CMYK converted to RGB")
    without = replace(metadata, icc_profile=None)
    if metadata.icc_profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(metadata.icc_profile))
            converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
            if converted is not None:
                return converted, without
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("its colour profile is damaged: colours are approximate")
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
            deep = 65535 - deep  # white is zero: Pillow inverts 8 bits but not 16
        return deep, keyed_alpha(deep, key), True
    if mode in ("LA", "La"):
        both = np.asarray(image.convert("LA"))
        return both[..., 0], both[..., 1], True
    if mode in ("RGBA", "RGBa", "PA") or (mode == "P" and _palette_has_alpha(image)):
        if kind == "PNG" and data[25] == 4:  # 16-bit grey with alpha: Pillow makes it RGBA
            grey, alpha = _channels(image, "RGBA", 0, 3)
            return grey, alpha, True
        colour, alpha = _channels(image, "RGBA", slice(3), 3)
        return colour, alpha, False
    if mode in ("RGB", "RGBX", "P", "YCbCr"):
        (three,) = _channels(image, "RGB", slice(3))
        wide = kind == "PNG" and data[24] == 16  # its key is in 16 bits: `deep_planes` applies it
        return three, None if wide else keyed_alpha(three, key), False
    name = "floating-point pixels" if mode == "F" else f"pixels of mode {mode}"
    raise InputError(f"unsupported: {name}", path=path, hint="convert it to RGB")


def _channels(image: Image.Image, mode: str, *wanted: int | slice) -> list[_Array]:
    """Channels of a picture in an 8-bit mode. Block by block: Pillow's own way makes two copies of all of it."""
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
    """The transparent grey value in 8 bits: Pillow scales the pixels of 1, 2 and 4 bits, the value not always."""
    if not isinstance(key, int) or kind != "PNG":
        return key
    return {1: 255 * bool(key), 2: 85 * key, 4: 17 * key}.get(data[24], key)


# --- writing ----------------------------------------------------------------------------------------------------


def write_photo(
    photo: Photo, path: str | os.PathLike[str], *, options: EncodeOptions | None = None, overwrite: bool = False
) -> tuple[str, ...]:
    """Write a photo whole or not at all; the suffix of `path` says the format.

    The picture is coded in memory or in parts, written to a temporary file, looked at, and renamed.

    Args:
        photo: what to write; its `metadata` goes along as far as the format can hold it.
        path: the final name.
        options: how to code; None for the defaults.
        overwrite: replace an existing file.

    Returns:
        One-line notes about what the format could not hold.

    Raises:
        UsageError: unknown suffix.
        DestinationError: as `atomic_file`, or the format cannot hold this picture.
        ResourceError: the disk is full or failing, or memory ran out.
    """
    path = Path(path)
    kind = _format_of(path)
    notes: list[str] = []
    height, width = photo.pixels.shape[:2]
    if max(height, width) > _MAX_SIDE.get(kind, 1 << 30):
        raise DestinationError(
            f"{kind} holds at most {_MAX_SIDE[kind]} pixels a side", path=path, hint="write .png or .tif"
        )
    with atomic_file(path, overwrite=overwrite) as temporary:
        # Not by Pillow itself: measured, its JPEG writer leaves a stump on a full disk and reports nothing.
        length = 0
        with temporary.open("wb") as file:
            for part in _encode(photo, kind, options or EncodeOptions(), path, notes):
                file.write(part)
                length += len(part)
        _look_at(temporary, kind, (width, height), length, path)
    return tuple(notes)


def write_rgb(path: str | os.PathLike[str], pixels: Pixels, *, overwrite: bool = True) -> None:
    """Write (H, W, 3) uint8 or uint16 RGB without metadata, quality 95; errors as for `write_photo`."""
    write_photo(Photo(pixels, metadata=Metadata(lossless=True)), path, overwrite=overwrite)


def _format_of(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in WRITABLE_SUFFIXES:
        missing = _FORMAT_OF_SUFFIX.get(suffix) == "HEIF"
        hint = _HEIF_HINT if missing else "one of " + " ".join(sorted(WRITABLE_SUFFIXES))
        raise UsageError(f"cannot write pictures of type {suffix or '(none)'}", path=path, hint=hint)
    return _FORMAT_OF_SUFFIX[suffix]


def _look_at(temporary: Path, kind: str, size: tuple[int, int], length: int, path: Path) -> None:
    """The file on the disk is as long as what was coded and its header says what was meant."""
    try:
        with temporary.open("rb") as file, _open_unlimited(file, kind) as image:
            sound = temporary.stat().st_size == length and image.size == size
    except (OSError, SyntaxError, ValueError):
        sound = False
    if not sound:
        raise ResourceError("the written picture does not read back", path=path, hint="is the disk sound?")


def _encode(
    photo: Photo, kind: str, options: EncodeOptions, path: Path, notes: list[str]
) -> Iterable[bytes | memoryview]:
    """The content of the file, in parts."""
    planes = _fitting_planes(photo, kind, notes)
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
        _register_heif()
    stream = io.BytesIO()
    try:
        Image.fromarray(planes[..., 0] if planes.shape[2] == 1 else planes).save(stream, kind, **arguments)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        if resource_error_from(error, path) is not None:
            raise
        raise DestinationError(f"cannot be coded as {kind}: {error}", path=path, hint="write .png or .tif") from error
    return (stream.getbuffer(),)


def _coding(metadata: Metadata, kind: str, options: EncodeOptions) -> dict[str, Any]:
    """Pillow's options for the pixels of one format."""
    if kind == "JPEG":
        # 4:4:4 unless the source has thrown the colour detail away already. No `optimize`: it fails on some photos.
        return {"quality": options.quality, "subsampling": metadata.subsampling or 0}
    if kind == "WEBP" and metadata.lossless:
        return {"lossless": True, "exact": True, "quality": 25, "method": 4}  # here quality is effort only
    if kind == "AVIF":
        return {"quality": options.quality, "subsampling": "4:4:4"}
    if kind == "HEIF":
        return {"quality": options.quality, "chroma": 444}
    if kind == "PNG":
        return {"compress_level": _PNG_LEVEL}
    return {"quality": options.quality} if kind == "WEBP" else {}


def _fitting_planes(photo: Photo, kind: str, notes: list[str]) -> _Array:
    """(H, W, C) with the channels and the depth that the format holds, C of 1 (grey), 2 (+ alpha), 3 or 4."""
    pixels, alpha = photo.pixels, photo.alpha
    if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"pixels must be (H, W, 3) uint8 or uint16, not {pixels.shape} {pixels.dtype}")
    if alpha is not None and (alpha.shape != pixels.shape[:2] or alpha.dtype != pixels.dtype):
        raise ValueError(f"alpha must be {pixels.shape[:2]} {pixels.dtype}, not {alpha.shape} {alpha.dtype}")
    if pixels.dtype == np.uint16 and kind not in _HOLDS_16_BITS:
        notes.append(f"16-bit reduced to 8-bit: {kind} holds 8 bits")
        pixels, alpha = to_uint8(pixels), None if alpha is None else to_uint8(alpha)
    if alpha is not None and kind in _HOLDS_NO_ALPHA:
        notes.append(f"alpha dropped: {kind} has none")
        alpha = None
    # Few programs, Pillow not among them, open 16-bit grey with alpha in a TIFF.
    as_grey = photo.grey and kind not in _HOLDS_NO_GREY
    as_grey = as_grey and not (kind == "TIFF" and alpha is not None and pixels.dtype == np.uint16)
    planes = _mean_of_channels(pixels)[..., None] if as_grey else pixels
    return np.ascontiguousarray(planes if alpha is None else np.concatenate([planes, alpha[..., None]], axis=2))


def _mean_of_channels(pixels: _Array) -> _Array:
    """(H, W, 3) to (H, W), rounded; three equal channels give themselves.

    A mean, no luma weights: the three channels are equally good estimates of one grey value.
    """
    mean = np.empty(pixels.shape[:2], pixels.dtype)
    for rows in row_blocks(len(pixels), pixels[0].size):
        total = pixels[rows, :, 0].astype(np.uint32)
        total += pixels[rows, :, 1]
        total += pixels[rows, :, 2]
        mean[rows] = (total + 1) // 3
    return mean


# --- showing ----------------------------------------------------------------------------------------------------


def compare(before: Pixels, after: Pixels, *, divider: int = 4) -> Pixels:
    """Before and after side by side, a white line between.

    Args:
        before: (H, W, 3).
        after: the same shape and dtype.
        divider: width of the line in pixels.

    Returns:
        (H, 2 W + divider, 3) of the same dtype.

    Raises:
        ValueError: shapes or dtypes differ.
    """
    if before.shape != after.shape or before.dtype != after.dtype:
        raise ValueError(f"cannot compare {before.shape} {before.dtype} with {after.shape} {after.dtype}")
    line = np.full((before.shape[0], divider, 3), np.iinfo(before.dtype).max, before.dtype)
    joined: Pixels = np.concatenate([before, line, after], axis=1)
    return joined
