"""Reading and writing of 16-bit colour in PNG, TIFF and PPM, which Pillow does not support.

Readers do not decide whether a file is valid: Pillow has accepted it before, and their result must agree with the 8
bits that Pillow returned. `deep_samples` decodes.
"""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin, TiffTags

from derain_cli.media.photo.deep_samples import png_samples, tiff_planes, tiff_samples
from derain_cli.media.photo.iptc import TIFF_IPTC, TIFF_PHOTOSHOP, iptc_from_photoshop
from derain_cli.media.photo.metadata import Metadata, exif_for_tiff, save_arguments
from derain_cli.media.photo.opening import open_unlimited
from derain_cli.media.photo.png import png_chunk
from derain_cli.media.pixels import row_blocks

__all__ = ["encode_png16", "encode_ppm", "encode_tiff", "keyed_alpha", "ppm_header", "sixteen_bit_planes", "upright"]

_Array = npt.NDArray[Any]
_PLANAR, _SEPARATE = 284, 2
_TRANSFER_FUNCTION = 301
_LEVEL = 3  # zlib compression level; measured on photos: as small as 6 and faster


def upright(array: _Array, orientation: int) -> _Array:
    """(H, W, ...) rotated and flipped as by PIL.ImageOps.exif_transpose. Returns a view."""
    if orientation in (5, 7):
        array = array.swapaxes(0, 1)
    turns = {3: 2, 4: 2, 6: 3, 7: 2, 8: 1}.get(orientation, 0)
    array = np.rot90(array, turns)
    return array[:, ::-1] if orientation in (2, 4) else array


def keyed_alpha(pixels: _Array, key: object) -> _Array | None:
    """Alpha of a PNG with a transparent value or colour."""
    if isinstance(key, int):
        hit = pixels == key
    elif isinstance(key, tuple) and pixels.ndim == 3 and len(key) == 3:
        hit = (pixels == np.asarray(key)).all(axis=2)
    else:
        return None
    alpha = np.full(hit.shape, np.iinfo(pixels.dtype).max, pixels.dtype)
    alpha[hit] = 0
    return alpha


def sixteen_bit_planes(
    data: bytes, kind: str, image: Image.Image, pixels: _Array, alpha: _Array | None
) -> tuple[_Array, _Array | None] | None:
    """16-bit pixels and alpha in the layout of Pillow's 8-bit ones, or None.

    None if they are not the same picture (premultiplied alpha, a colour transform): 8 correct bits are better than 16
    doubtful ones.
    """
    premultiplied, orientation, certain = False, 1, False
    if kind == "TIFF" and isinstance(image, TiffImagePlugin.TiffImageFile):
        certain = image.tag_v2.get(_PLANAR) == _SEPARATE  # Pillow decodes these wrongly: nothing to compare with
        premultiplied = alpha is not None and _is_premultiplied(image)
        orientation = _stored_orientation(data, image)
        found = tiff_planes(data, image.tag_v2) if certain else _tried(tiff_samples, data, image.tag_v2)
    elif kind == "PPM":
        found = _ppm_samples(data)
    else:
        found = _tried(png_samples, data)
    if found is None:
        return None
    deep, deep_alpha = _with_alpha(found, alpha is not None, premultiplied=premultiplied)
    deep = upright(deep[..., 0] if pixels.ndim == 2 else deep, orientation)
    if not certain and not _same_high_bits(deep, pixels, alpha if premultiplied else None):
        return None
    if alpha is None or deep_alpha is None:
        key = image.info.get("transparency") if kind == "PNG" else None
        return deep, keyed_alpha(deep, key)
    deep_alpha = upright(deep_alpha, orientation)
    return (deep, deep_alpha) if certain or _same_high_bits(deep_alpha, alpha) else None


def _tried(decode: Callable[..., _Array], *arguments: Any) -> _Array | None:
    """(H, W, C) uint16, at least 3 channels; None if they cannot be decoded."""
    try:
        samples = decode(*arguments)
    except (OSError, ValueError, KeyError, zlib.error):
        return None
    return np.repeat(samples, (3, 1), axis=2) if samples.shape[2] == 2 else samples


def _stored_orientation(data: bytes, image: TiffImagePlugin.TiffImageFile) -> int:
    """The orientation in the file, which Pillow removed when it rotated the picture."""
    with open_unlimited(io.BytesIO(data), "TIFF") as again:
        again.seek(image.tell())
        return int(again.tag_v2.get(274, 1)) if isinstance(again, TiffImagePlugin.TiffImageFile) else 1


def _is_premultiplied(image: TiffImagePlugin.TiffImageFile) -> bool:
    return tuple(image.tag_v2.get(TiffImagePlugin.EXTRASAMPLES, ())[:1]) == (1,)


def _with_alpha(samples: _Array, wanted: bool, *, premultiplied: bool) -> tuple[_Array, _Array | None]:
    """(H, W, C) split into (unmultiplied) colours, and alpha if wanted."""
    pixels, alpha = samples[..., :3], samples[..., 3] if wanted else None
    return (_straight(pixels, alpha) if premultiplied and alpha is not None else pixels), alpha


def _straight(pixels: _Array, alpha: _Array) -> _Array:
    """Colours (H, W, 3) divided by their premultiplied alpha (H, W)."""
    out = np.empty(pixels.shape, np.uint16)
    for rows in row_blocks(len(pixels), pixels[0].size):
        shares = np.maximum(alpha[rows, :, None].astype(np.float64), 1) / 65535
        out[rows] = np.minimum(np.rint(pixels[rows] / shares), 65535)
    return out


def _same_high_bits(deep: _Array, shallow: _Array, alpha: _Array | None = None) -> bool:
    """Whether 16-bit and 8-bit samples agree; Pillow keeps the high byte, or rounds (PPM).

    With `alpha` (8 bits) both were divided by it, so nearly transparent pixels are weighted down.
    """
    if deep.shape != shallow.shape:
        return False
    for rows in row_blocks(len(deep), deep[0].size):
        off = np.abs((deep[rows] >> 8).astype(np.float32) - shallow[rows])
        if alpha is not None:
            off *= alpha[rows, :, None] / 255
        if off.max() > (1 if alpha is None else 2):
            return False
    return True


def ppm_header(data: bytes) -> tuple[int, int, int, int]:
    """Width, height, maximum value, and offset of the samples of a PNM file."""
    bitmap = data[1:2] in b"14"
    space = rb"(?:\s|#[^\n]*\n)"
    numbers = rb"%b+(\d{1,10})" % space * (2 if bitmap else 3)
    found = re.match(rb"P[1-6]" + numbers + rb"\s", data[: 1 << 16])
    if found is None:
        return 0, 0, 0, 0
    values = [int(v) for v in found.groups()]
    return values[0], values[1], 1 if bitmap else values[2], found.end()


def _ppm_samples(data: bytes) -> _Array | None:
    """(H, W, 3) uint16 of a binary PPM, stretched to 0..65535."""
    width, height, top, start = ppm_header(data)
    if data[:2] != b"P6" or len(data) - start < 6 * width * height:
        return None
    samples = np.frombuffer(data, ">u2", 3 * width * height, start).reshape(height, width, 3)
    if top == 65535:
        return samples.astype(np.uint16)
    stretched = np.empty(samples.shape, np.uint16)
    for rows in row_blocks(height, 3 * width):
        stretched[rows] = (np.minimum(samples[rows], top).astype(np.uint32) * 65535 + top // 2) // top
    return stretched


def encode_ppm(planes: _Array, path: Path, notes: list[str]) -> Iterator[bytes]:
    """A binary PGM or PPM from (H, W, 1) or (H, W, 3), 8 or 16 bits, in parts."""
    colour = planes.shape[2] == 3
    if colour and path.suffix.lower() == ".pgm":
        notes.append("the content is colour (PPM), despite the name .pgm")
    height, width, channels = planes.shape
    yield b"P%d\n%d %d\n%d\n" % (6 if colour else 5, width, height, np.iinfo(planes.dtype).max)
    for rows in row_blocks(height, width * channels):
        yield planes[rows].astype(planes.dtype.newbyteorder(">")).tobytes()


def encode_png16(planes: _Array, chunks: Iterable[tuple[bytes, bytes]]) -> Iterator[bytes]:
    """A 16-bit PNG in parts (Pillow writes only grey with 16 bits). Rows are stored as differences to the one above."""
    height, width, channels = planes.shape
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    header = b"".join((width.to_bytes(4, "big"), height.to_bytes(4, "big"), bytes((16, colour, 0, 0, 0))))
    yield b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + b"".join(png_chunk(*chunk) for chunk in chunks)
    packer = zlib.compressobj(_LEVEL)
    above = np.zeros((1, 2 * width * channels), np.uint8)
    for block in row_blocks(height, above.size):
        rows = planes[block].astype(">u2").view(np.uint8).reshape(-1, above.size)
        filtered = np.full((len(rows), above.size + 1), 2, np.uint8)
        filtered[:, 1:] = rows - np.concatenate([above, rows[:-1]])
        above = rows[-1:]
        if packed := packer.compress(filtered.tobytes()):
            yield png_chunk(b"IDAT", packed)
    yield png_chunk(b"IDAT", packer.flush()) + png_chunk(b"IEND", b"")


def encode_tiff(planes: _Array, metadata: Metadata, notes: list[str]) -> list[bytes]:
    """A TIFF in parts, 8 or 16 bits, 1 to 4 channels, deflate with predictor (Pillow writes no 16-bit colour)."""
    height, width, channels = planes.shape
    arguments = save_arguments(metadata, "TIFF", grey=channels < 3, notes=notes)
    blocks = list(row_blocks(height, width * channels * planes.itemsize))
    strips = []
    for block in blocks:
        rows = planes[block].astype(planes.dtype.newbyteorder("<"))
        rows[:, 1:] -= planes[block, :-1]
        strips.append(zlib.compress(rows.tobytes(), _LEVEL))
    layout: dict[int, Any] = {
        256: width,
        257: height,
        258: (8 * planes.itemsize,) * channels,
        259: 8,  # deflate
        262: 2 if channels >= 3 else 1,
        277: channels,
        278: blocks[0].stop,
        284: 1,  # channels interleaved
        317: 2,  # horizontal differences
        339: (1,) * channels,
    }
    if channels in (2, 4):
        layout[338] = (2,)  # the last channel is alpha, not premultiplied
    stream = io.BytesIO()
    try:
        _tiff_directory(layout, strips, arguments, metadata, exif_for_tiff(metadata)).save(stream)
    except Exception:  # EXIF values whose types the writer cannot determine; the pixels matter more
        notes.append("EXIF dropped: it cannot be written to a TIFF")
        stream = io.BytesIO()
        _tiff_directory(layout, strips, arguments, metadata, {}).save(stream)
    return [stream.getvalue(), *strips]


def _tiff_directory(
    layout: dict[int, Any], strips: list[bytes], arguments: dict[str, Any], metadata: Metadata, exif: dict[int, Any]
) -> TiffImagePlugin.ImageFileDirectory_v2:
    """The directory of a TIFF whose strips follow it (`save` adds its own length to their offsets)."""
    directory = TiffImagePlugin.ImageFileDirectory_v2(prefix=b"II")
    colour = dict(metadata.tiff_colour)
    levels = 2 ** layout[258][0]
    if len(colour.get(_TRANSFER_FUNCTION, ())) not in (levels, 3 * levels):  # for another bit depth
        colour.pop(_TRANSFER_FUNCTION, None)
    for tag, value in (exif | layout | colour).items():
        directory[tag] = value
    sizes = [len(strip) for strip in strips]
    raw = {
        TiffImagePlugin.STRIPOFFSETS: (TiffTags.LONG, tuple(sum(sizes[:n]) for n in range(len(sizes)))),
        TiffImagePlugin.STRIPBYTECOUNTS: (TiffTags.LONG, tuple(sizes)),
        TiffImagePlugin.ICCPROFILE: (TiffTags.UNDEFINED, arguments.get("icc_profile")),
        TiffImagePlugin.XMP: (TiffTags.BYTE, arguments.get("xmp")),
        TIFF_PHOTOSHOP: (TiffTags.BYTE, metadata.photoshop),
        TIFF_IPTC: (TiffTags.UNDEFINED, iptc_from_photoshop(metadata.photoshop or b"")),
    }
    for tag, (code, value) in raw.items():
        if value is not None:
            directory.tagtype[tag] = code
            directory[tag] = value
    if dpi := arguments.get("dpi"):
        directory[282], directory[283] = dpi
        directory[296] = 2  # inches
    return directory
