"""Opens picture files and refuses those that are broken, too large or unsupported."""

from __future__ import annotations

import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from PIL import Image, TiffImagePlugin, UnidentifiedImageError

from derain_cli.errors import DerainError, InputError, OutOfMemoryError, resource_error_from
from derain_cli.media.photo.formats import CLIP, HAS_HEIF, HEIF_HINT, RAW, is_still, register_heif, sniff
from derain_cli.media.photo.jpeg import jpeg_has_end, jpeg_lacks_only_its_end
from derain_cli.media.photo.libtiff import listening
from derain_cli.media.photo.png import drop_png_text, png_rows_are_complete
from derain_cli.remedies import Remedy

__all__ = [
    "decoding",
    "known_kind",
    "open_header",
    "open_regular",
    "open_unlimited",
    "open_whole",
    "refuse_oversized_file",
    "refuse_still",
]

_PHOTOMETRIC, _SUB_FOLDERS, _DNG_VERSION = 262, 330, 50706
_SENSOR_VALUES = (32803, 34892)
"""Photometric interpretations of camera RAW: colour filter array, and DNG's linear raw."""
_WHOLE_NUMBERS = "convert it to 16-bit integers"


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Attribute any error of a decoder to the file, except running out of memory."""
    try:
        yield
    except DerainError:
        raise
    except MemoryError as error:
        raise resource_error_from(error, path) or OutOfMemoryError("out of memory", path=path) from error
    except Exception as error:
        raise InputError(_reason(error), path=path) from error


def _reason(error: Exception) -> str:
    words = str(error).lower()
    if isinstance(error, EOFError) or "truncat" in words or "end of file" in words:
        return "truncated"
    if isinstance(error, OSError) and error.errno is not None:
        return f"cannot read the file: {error.strerror}"
    return "corrupt data"


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file; anything else is refused (a FIFO would block, a device could have side effects)."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        reason = "dangling symbolic link" if path.is_symlink() else "no such file"
        raise InputError(reason, path=path) from error
    except (OSError, ValueError) as error:
        loop = path.is_symlink() and "symbolic" in str(error).lower()
        reason = "loop of symbolic links" if loop else f"cannot read the file: {getattr(error, 'strerror', error)}"
        raise InputError(reason, path=path) from error
    _refuse_irregular(status, path)
    try:
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", path=path) from error
    file = os.fdopen(handle, "rb")
    try:
        _refuse_irregular(os.fstat(handle), path)  # it may have been replaced since
    except BaseException:
        file.close()
        raise
    return file


def _refuse_irregular(status: os.stat_result, path: Path) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise InputError("a folder, not a file", path=path)
    if not stat.S_ISREG(status.st_mode):
        raise InputError("not a regular file (a FIFO, socket or device)", path=path)
    if status.st_size == 0:
        raise InputError("empty file", path=path)


def known_kind(file: BinaryIO, path: Path) -> str:
    """The format by content; refuses unsupported ones and leaves the file at its start."""
    kind = sniff(file.read(64))
    file.seek(0)
    if kind is None:
        raise InputError("not a readable image", path=path)
    if kind == RAW:
        raise _raw(path)
    if kind == CLIP:
        raise InputError("a clip, not a photo", path=path, remedy=Remedy.CLIP_COMMAND)
    if kind.startswith("not read: "):
        raise InputError(f"unsupported format: {kind.removeprefix('not read: ')}", path=path)
    if kind == "HEIF":
        if not HAS_HEIF:
            raise InputError("unsupported: HEIF needs a plug-in", path=path, hint=HEIF_HINT)
        register_heif()
    return kind


def refuse_still(path: str) -> None:
    """Check that an input for a clip is not a photo.

    Raises:
        InputError: it is a picture in a format without animation.
    """
    if is_still(path):
        raise InputError("a photo, not a clip", path=path, remedy=Remedy.PHOTO_COMMAND)


def refuse_oversized_file(file: BinaryIO, max_pixels: int, path: Path) -> None:
    """Limit the file size, since the file is read into memory (so that all checks see the same bytes)."""
    size, limit = os.fstat(file.fileno()).st_size, 8 * max_pixels + (256 << 20)
    if size > limit:
        raise InputError(
            f"too large: {size >> 20} MiB file, limit {limit >> 20} MiB", path=path, remedy=Remedy.MORE_PIXELS
        )


def open_header(file: BinaryIO, kind: str, max_pixels: int, path: Path) -> Image.Image:
    """Open a picture without decoding it; refuse it if it is too large or has several frames."""
    try:
        image = open_unlimited(file, kind)
    except UnidentifiedImageError as error:
        known = _refusal_by_tags(file, path) if kind == "TIFF" else None
        raise known or InputError(
            f"not a readable image: truncated, damaged or unsupported {kind}", path=path
        ) from error
    _refuse_raw(image, path)
    _refuse_large(image, max_pixels, path)
    _refuse_frames(image, kind, path)
    return image


def open_unlimited(file: BinaryIO, kind: str) -> Image.Image:
    """`Image.open` for one format, without Pillow's decompression bomb check, which `_refuse_large` replaces."""
    with _pillow_limit.lifted():
        return Image.open(file, formats=[kind])


class _PillowLimit:
    """Disables Pillow's decompression bomb check, which has one limit per process and warns. Ours is per file.

    While any thread is inside `lifted`, Pillow checks nothing; afterwards its limit is restored.
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
        raise InputError(f"too large: {size}, limit {limit}", path=path, remedy=Remedy.MORE_PIXELS)


def _refuse_raw(image: Image.Image, path: Path) -> None:
    """Refuse camera RAW files: TIFF files whose first picture is only a small preview."""
    if isinstance(image, TiffImagePlugin.TiffImageFile) and _is_raw(image):
        raise _raw(path)


def _raw(path: Path) -> InputError:
    return InputError("unsupported: camera RAW", path=path, hint="develop it to TIFF or JPEG first")


def _is_raw(image: TiffImagePlugin.TiffImageFile) -> bool:
    tags = image.tag_v2
    if _DNG_VERSION in tags or tags.get(_PHOTOMETRIC) in _SENSOR_VALUES:
        return True
    below = tags.get(_SUB_FOLDERS, ())
    for offset in below if isinstance(below, tuple) else (below,):
        directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=tags.prefix)
        with suppress(Exception):  # ignore an unreadable sub-directory
            assert image.fp is not None
            image.fp.seek(offset)
            directory.load(image.fp)
            if directory.get(_PHOTOMETRIC) in _SENSOR_VALUES:
                return True
    return False


def _refusal_by_tags(file: BinaryIO, path: Path) -> InputError | None:
    """Why Pillow cannot open a TIFF, according to its main directory; None if unknown."""
    file.seek(0)
    with suppress(Exception):
        directory = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(directory.next)
        directory.load(file)
        if directory.get(_PHOTOMETRIC) in _SENSOR_VALUES:
            return _raw(path)
        if 3 in directory.get(TiffImagePlugin.SAMPLEFORMAT, ()):
            return _floating(path)
    return None


def _floating(path: Path) -> InputError:
    return InputError("unsupported: floating-point pixels", path=path, hint=_WHOLE_NUMBERS)


def _refuse_frames(image: Image.Image, kind: str, path: Path) -> None:
    """Refuse several frames rather than silently use one. Extras in phones' JPEG and HEIF are handled by `_decode`."""
    if kind in ("JPEG", "HEIF") or not getattr(image, "is_animated", False):
        return
    count = getattr(image, "n_frames", 2)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        pages = _pages(image, count)
        if len(pages) == 1:  # the others are previews added by scanners and editors
            image.seek(pages[0])
            return
        image.seek(0)
        raise InputError(
            f"{len(pages)} pages: only single pictures are supported", path=path, remedy=Remedy.SPLIT_PAGES
        )
    raise InputError(f"an animation with {count} frames, not a photo", path=path, remedy=Remedy.MAKE_VIDEO)


def _pages(image: TiffImagePlugin.TiffImageFile, count: int) -> list[int]:
    """The pages of a TIFF, without reduced-size copies and masks."""
    pages = []
    for number in range(count):
        image.seek(number)
        if not int(image.tag_v2.get(254, 0)) & 0b101:
            pages.append(number)
    return pages


def open_whole(data: bytes, kind: str, max_pixels: int, path: Path, notes: list[str]) -> tuple[bytes, Image.Image]:
    """Open and load the pixels of a file in memory, with checks that Pillow's `load` omits.

    Returns the decoded bytes (repaired if necessary) and the loaded picture.
    """
    try:
        image = open_header(io.BytesIO(data), kind, max_pixels, path)
    except ValueError:
        if kind != "PNG":  # Pillow limits the size of unpacked text chunks
            raise
        data = drop_png_text(data)
        notes.append("PNG text dropped: too long")
        image = open_header(io.BytesIO(data), kind, max_pixels, path)
    if kind == "PNG":
        _verify_png(data, path)
    if kind == "WEBP" and int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise InputError("truncated", path=path)
    if kind == "TIFF":
        _refuse_samples(image, path)
    if kind == "JPEG" and not jpeg_has_end(data):
        notes.append("JPEG lacks its end marker")
    try:
        # Pillow checks the size of a TIFF again while loading.
        with _pillow_limit.lifted() if kind == "TIFF" else nullcontext(), listening() as errors:
            image.load()
        if errors:
            raise InputError("corrupt data", path=path)
    except OSError as error:
        if kind != "JPEG" or "truncated" not in str(error) or not jpeg_lacks_only_its_end(data, _jpeg_bytes):
            raise
        data = data.rstrip(b"\xff") + b"\xff\xd9"
        image = open_header(io.BytesIO(data), kind, max_pixels, path)
        image.load()
    if kind == "PNG" and not _png_is_filled(image, data):
        raise InputError("truncated: rows are missing", path=path)
    return data, image


def _jpeg_bytes(data: bytes) -> bytes:
    return open_unlimited(io.BytesIO(data), "JPEG").tobytes()


def _verify_png(data: bytes, path: Path) -> None:
    """Verify the checksums of all chunks, and the end chunk, which `load` does not check."""
    try:
        open_unlimited(io.BytesIO(data), "PNG").verify()
    except (SyntaxError, ValueError) as error:
        raise InputError("corrupt data: wrong PNG checksum", path=path) from error


def _png_is_filled(image: Image.Image, data: bytes) -> bool:
    """Whether all rows are there. Missing rows are zeros, so only a picture that ends in zeros needs the slow check."""
    last_row = image.crop((0, image.height - 1, image.width, image.height))
    return last_row.getbbox(alpha_only=False) is not None or png_rows_are_complete(data)


def _refuse_samples(image: Image.Image, path: Path) -> None:
    """Refuse TIFF samples that are not unsigned integers of common widths."""
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    bits = set(tags.get(TiffImagePlugin.BITSPERSAMPLE, (1,)))
    kinds = set(tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,)))
    if 3 in kinds:
        raise _floating(path)
    if kinds - {1}:
        raise InputError("unsupported: signed or complex pixels", path=path, hint=_WHOLE_NUMBERS)
    if bits - {1, 2, 4, 8, 16}:
        raise InputError(f"unsupported: {max(bits)} bits per sample", path=path, hint="convert it to 16 bits")
