"""The 16-bit colour samples of PNG and TIFF files, which Pillow opens with 8 bits.

A TIFF is read by Pillow itself, as the grey picture that its bytes are too. A PNG's rows are decoded here.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, TiffImagePlugin

from derain_cli.media.photo.png import png_chunks, png_passes

__all__ = ["png_samples", "tiff_planes", "tiff_samples"]

_Array = npt.NDArray[Any]
_Bytes = npt.NDArray[np.uint8]

_WIDTH, _COMPRESSION, _OFFSETS, _CHANNELS, _SIZES = 256, 259, 273, 277, 279
_PREDICTOR, _TILE_WIDTH, _TILE_OFFSETS, _TILE_SIZES = 317, 322, 324, 325
_LAYOUT = (_WIDTH, 257, _COMPRESSION, 266, 278, _PREDICTOR, _TILE_WIDTH, 323)
"""Tags that say how the bytes are arranged."""
_PREDICTING = (5, 8, 32946, 34925, 50000)
"""Compressions that libtiff combines with a predictor: LZW, deflate (two codes), LZMA, Zstandard."""
_PNG_CHANNELS = {2: 3, 4: 2, 6: 4}
_ROWS = 1024
_BLOCK = 2**25
"""Rows of a PNG, and about their bytes, that are decoded together: fewer cost time, more cost memory."""


def tiff_samples(data: bytes, tags: TiffImagePlugin.ImageFileDirectory_v2) -> _Array:
    """(H, W, C) uint16 as stored, of a TIFF with interleaved channels of 16 bits.

    Its rows are read as a grey picture that is C times as wide, and differences between pixels, which a grey picture
    would have between samples, are summed here.

    Raises:
        OSError, ValueError: libtiff cannot decode it.
    """
    channels = int(tags[_CHANNELS])
    layout = {tag: tags[tag] for tag in _LAYOUT if tag in tags}
    differences = layout.pop(_PREDICTOR, 1) == 2 and tags.get(_COMPRESSION, 1) in _PREDICTING
    layout |= {tag: channels * layout[tag] for tag in (_WIDTH, _TILE_WIDTH) if tag in layout}
    for tag in (_TILE_OFFSETS, _TILE_SIZES) if _TILE_OFFSETS in tags else (_OFFSETS, _SIZES):
        layout[tag] = tags[tag]
    wide = _as_grey(data, tags, layout)
    samples = wide.reshape(len(wide), -1, channels)
    if differences:
        step = int(tags.get(_TILE_WIDTH, samples.shape[1]))
        for start in range(0, samples.shape[1], step):
            tile = samples[:, start : start + step]
            np.cumsum(tile, axis=1, dtype=np.uint16, out=tile)  # modulo 65536, as the differences are
    return samples


def tiff_planes(data: bytes, tags: TiffImagePlugin.ImageFileDirectory_v2) -> _Array:
    """(H, W, C) uint16 as stored, of a TIFF with one plane of 16 bits per channel, each read as a grey picture.

    Raises:
        OSError, ValueError: libtiff cannot decode it.
    """
    places, sizes = (_TILE_OFFSETS, _TILE_SIZES) if _TILE_OFFSETS in tags else (_OFFSETS, _SIZES)
    count = len(tags[places]) // tags[_CHANNELS]
    planes = []
    for start in range(0, tags[_CHANNELS] * count, count):
        layout = {tag: tags[tag] for tag in _LAYOUT if tag in tags}
        layout |= {tag: tags[tag][start : start + count] for tag in (places, sizes)}
        planes.append(_as_grey(data, tags, layout))
    return np.stack(planes, axis=-1)


def _as_grey(data: bytes, tags: TiffImagePlugin.ImageFileDirectory_v2, layout: Mapping[int, Any]) -> _Array:
    """(H, W) uint16 of the same bytes under a directory for one 16-bit channel."""
    layout = {**layout, 258: 16, 262: 1, _CHANNELS: 1, 339: 1}
    with Image.open(io.BytesIO(_with_directory(data, tags.prefix, layout)), formats=["TIFF"]) as plane:
        return np.asarray(plane).astype(np.uint16)


def _with_directory(data: bytes, prefix: bytes, layout: Mapping[int, Any]) -> bytes:
    """The file with a different directory, appended at its end; all values as 32-bit numbers."""
    order = "<" if prefix == b"II" else ">"
    start = len(data) + len(data) % 2
    beyond = start + 2 + 12 * len(layout) + 4
    entries, lists = b"", b""
    for tag, value in sorted(layout.items()):
        values = value if isinstance(value, tuple) else (value,)
        packed = struct.pack(f"{order}{len(values)}I", *values)
        if len(values) > 1:
            place = beyond + len(lists)
            lists += packed
            packed = struct.pack(order + "I", place)
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + packed
    head = prefix + struct.pack(order + "HI", 42, start)
    directory = struct.pack(order + "H", len(layout)) + entries + bytes(4)
    return head + data[len(head) :].ljust(start - len(head), b"\0") + directory + lists


def png_samples(data: bytes) -> _Array:
    """(H, W, C) uint16 of a PNG with 16 bits and 2 to 4 channels (grey and alpha, RGB, RGBA).

    Args:
        data: a file with valid chunks and all its rows.

    Raises:
        ValueError: rows are missing, or a row's filter is unknown.
        zlib.error: the compressed rows are damaged.
    """
    width, height, _, colour, _, _, interlaced = struct.unpack_from(">IIBBBBB", data, 16)
    channels = _PNG_CHANNELS[colour]
    inflate = zlib.decompressobj()
    bodies = (body for name, body in png_chunks(data) if name == b"IDAT")
    waiting = bytearray()

    def next_bytes(count: int) -> bytes:
        while len(waiting) < count:
            missing = count - len(waiting)
            part = inflate.decompress(inflate.unconsumed_tail or next(bodies, b""), missing)
            if not part and not inflate.unconsumed_tail and inflate.eof:
                break
            waiting.extend(part)
        found = bytes(waiting[:count])
        del waiting[:count]
        return found

    samples = np.empty((height, width, channels), np.uint16)
    for x, y, dx, dy in png_passes(width, height, interlaced):
        part = samples[y::dy, x::dx]
        line = 2 * channels * part.shape[1]
        above = np.zeros(line, np.uint8)
        together = min(_ROWS, max(1, _BLOCK // line))
        for top in range(0, len(part), together):
            rows = part[top : top + together]
            packed = next_bytes(len(rows) * (1 + line))
            block = np.frombuffer(packed, np.uint8).reshape(len(rows), 1 + line)
            decoded = _unfiltered(block[:, 0], block[:, 1:], above, 2 * channels)
            above = decoded[-1]
            rows[...] = decoded.view(">u2").reshape(rows.shape)
    return samples


def _unfiltered(kinds: _Bytes, rows: _Bytes, above: _Bytes, step: int) -> _Bytes:
    """Rows without their filters (PNG specification, section 9).

    Args:
        kinds: (R,) filters.
        rows: (R, L) filtered bytes.
        above: (L,) the row before them.
        step: bytes per pixel.

    Returns:
        (R, L) contiguous.
    """
    if kinds.max() > 4:
        raise ValueError("unknown filter")
    if kinds.max() <= 2:
        return _unfiltered_simply(kinds, rows, above, step)
    # A pixel depends on those to the left, above, and above left, so that all pixels of a diagonal are independent:
    # one operation for all rows, each one pixel behind the row above it.
    count, pixels = len(rows), rows.shape[1] // step
    steps = pixels + count - 1
    skewed = np.zeros((steps + 2, count + 1, step), np.int16)
    """[diagonal + 2, row + 1], decoded; two diagonals and a row of margin."""
    wide = np.zeros((count, steps, step), np.uint8)
    for row in range(count):
        wide[row, row : row + pixels] = rows[row].reshape(pixels, step)
    skewed[2:, 1:] = wide.swapaxes(0, 1)
    skewed[1 : pixels + 1, 0] = above.reshape(pixels, step)
    is_left, is_above, is_mean, is_paeth = (np.repeat(kinds == kind, step).reshape(-1, step) for kind in (1, 2, 3, 4))
    with_mean = bool(is_mean.any())
    for now in range(steps):
        # Only rows that have begun and not ended.
        first, last = max(0, now - pixels + 1), min(count, now + 1)
        span = slice(first, last)
        left, up, corner = skewed[now + 1, first + 1 : last + 1], skewed[now + 1, span], skewed[now, span]
        to_left, to_up = up - corner, left - corner
        from_left, from_up, from_corner = np.abs(to_left), np.abs(to_up), np.abs(to_left + to_up)
        paeth = np.where(from_up <= from_corner, up, corner)
        np.copyto(paeth, left, where=(from_left <= from_up) & (from_left <= from_corner))
        guess = np.where(is_paeth[span], paeth, 0)
        np.copyto(guess, left, where=is_left[span])
        np.copyto(guess, up, where=is_above[span])
        if with_mean:
            np.copyto(guess, (left + up) >> 1, where=is_mean[span])
        here = skewed[now + 2, first + 1 : last + 1]
        here += guess
        here &= 255
    decoded = np.empty((count, pixels, step), np.uint8)
    for row in range(count):
        decoded[row] = skewed[row + 2 : row + 2 + pixels, row + 1]
    return decoded.reshape(count, -1)


def _unfiltered_simply(kinds: _Bytes, rows: _Bytes, above: _Bytes, step: int) -> _Bytes:
    """As `_unfiltered`, of rows without filters or with differences to one neighbour only."""
    decoded = np.empty(rows.shape, np.uint8)
    for number, kind in enumerate(kinds):
        if kind == 1:
            np.cumsum(rows[number].reshape(-1, step), axis=0, dtype=np.uint8, out=decoded[number].reshape(-1, step))
        else:
            np.add(rows[number], above if kind == 2 else 0, out=decoded[number])
        above = decoded[number]
    return decoded
