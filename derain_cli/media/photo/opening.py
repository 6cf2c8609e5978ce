"""Opening picture files, and refusing those that are broken, too large, or not to be read."""

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
"""Photometric interpretations of camera RAW: a colour filter array, and DNG's linear raw."""
_WHOLE_NUMBERS = "convert it to 16-bit whole numbers"


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Whatever a decoder raises on a broken file is the file's fault, except running out of memory."""
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
        return f"cannot be read: {error.strerror}"
    return "corrupt data"


def open_regular(path: Path) -> BinaryIO:
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


def known_kind(file: BinaryIO, path: Path) -> str:
    """The format by content, of those that are read; leaves the file at its start."""
    kind = sniff(file.read(64))
    file.seek(0)
    if kind is None:
        raise InputError("not a readable image", path=path)
    if kind == RAW:
        raise _raw(path)
    if kind == CLIP:
        raise InputError("is a clip, not a photo", path=path, remedy=Remedy.CLIP_COMMAND)
    if kind.startswith("not read: "):
        raise InputError(f"unsupported: {kind.removeprefix('not read: ')} files are not read", path=path)
    if kind == "HEIF":
        if not HAS_HEIF:
            raise InputError("unsupported: HEIF needs a plug-in", path=path, hint=HEIF_HINT)
        register_heif()
    return kind


def refuse_still(path: str) -> None:
    """See that what is to be a clip is no photo.

    Raises:
        InputError: it is a picture of a format that holds no animation.
    """
    if is_still(path):
        raise InputError("is a photo, not a clip", path=path, remedy=Remedy.PHOTO_COMMAND)


def refuse_oversized_file(file: BinaryIO, max_pixels: int, path: Path) -> None:
    """The file is read into memory, so that every look at it sees the same bytes; its size is bounded first."""
    size, limit = os.fstat(file.fileno()).st_size, 8 * max_pixels + (256 << 20)
    if size > limit:
        raise InputError(
            f"too large: a file of {size >> 20} MiB > limit {limit >> 20} MiB", path=path, remedy=Remedy.MORE_PIXELS
        )


def open_header(file: BinaryIO, kind: str, max_pixels: int, path: Path) -> Image.Image:
    """Open a picture without decoding it, refuse it if it is too large or has several frames."""
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
        raise InputError(f"too large: {size} > limit {limit}", path=path, remedy=Remedy.MORE_PIXELS)


def _refuse_raw(image: Image.Image, path: Path) -> None:
    """A camera's raw file is a TIFF whose first picture is a small preview; to derain that one would be a trick."""
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
        with suppress(Exception):  # a sub-directory that cannot be read says nothing
            assert image.fp is not None
            image.fp.seek(offset)
            directory.load(image.fp)
            if directory.get(_PHOTOMETRIC) in _SENSOR_VALUES:
                return True
    return False


def _refusal_by_tags(file: BinaryIO, path: Path) -> InputError | None:
    """Why a TIFF that Pillow cannot open is not read, as its main directory tells."""
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
    """One frame is never quietly taken for all. Phones pack extras behind the photo in JPEG and HEIF: see `_decode`."""
    if kind in ("JPEG", "HEIF") or not getattr(image, "is_animated", False):
        return
    count = getattr(image, "n_frames", 2)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        pages = _pages(image, count)
        if len(pages) == 1:  # the others are previews, as scanners and editors leave them
            image.seek(pages[0])
            return
        image.seek(0)
        raise InputError(f"{len(pages)} pages: only single pictures are derained", path=path, remedy=Remedy.SPLIT_PAGES)
    raise InputError(f"{count} frames: an animation, not a photo", path=path, remedy=Remedy.MAKE_VIDEO)


def _pages(image: TiffImagePlugin.TiffImageFile, count: int) -> list[int]:
    """The pages of a TIFF that are no smaller copy and no mask of another one."""
    pages = []
    for number in range(count):
        image.seek(number)
        if not int(image.tag_v2.get(254, 0)) & 0b101:
            pages.append(number)
    return pages


def open_whole(data: bytes, kind: str, max_pixels: int, path: Path, notes: list[str]) -> tuple[bytes, Image.Image]:
    """Open and load the pixels of a file in memory, with the checks that Pillow's `load` leaves out.

    Returns the bytes that were decoded (repaired if need be) and the loaded picture.
    """
    try:
        image = open_header(io.BytesIO(data), kind, max_pixels, path)
    except ValueError:
        if kind != "PNG":  # Pillow bounds what text chunks may unpack to
            raise
        data = drop_png_text(data)
        notes.append("PNG text dropped: too much of it")
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
        # Pillow checks the size of a TIFF again here.
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
    """Check sums of all chunks and the end chunk: `load` looks at neither."""
    try:
        open_unlimited(io.BytesIO(data), "PNG").verify()
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
    if 3 in kinds:
        raise _floating(path)
    if kinds - {1}:
        raise InputError("unsupported: signed or complex pixels", path=path, hint=_WHOLE_NUMBERS)
    if bits - {1, 2, 4, 8, 16}:
        raise InputError(f"unsupported: {max(bits)} bits per sample", path=path, hint="convert it to 16 bits")
