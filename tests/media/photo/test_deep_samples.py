"""16-bit samples of PNG and TIFF files that other programs wrote."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from derain_cli.media.photo import deep_samples as module
from derain_cli.media.photo import read_photo
from derain_cli.media.photo.deep_samples import png_samples, tiff_planes, tiff_samples
from derain_cli.media.photo.png import png_chunk, png_passes
from tests.media.photo.samples import noise, put

_COLOUR = {2: 4, 3: 2, 4: 6}


def _filtered(rows: np.ndarray, step: int, kinds: np.ndarray) -> bytes:
    """Rows (R, L) of bytes with these filters, straight from the specification."""
    out, above = b"", [0] * rows.shape[1]
    for kind, row in zip(kinds, rows.tolist(), strict=True):
        left = [0] * step + row[:-step]
        corner = [0] * step + above[:-step]
        guesses = {
            0: [0] * len(row),
            1: left,
            2: above,
            3: [(a + b) // 2 for a, b in zip(left, above, strict=True)],
            4: [_paeth(a, b, c) for a, b, c in zip(left, above, corner, strict=True)],
        }
        out += bytes([kind]) + bytes((x - g) % 256 for x, g in zip(row, guesses[int(kind)], strict=True))
        above = row
    return out


def _paeth(a: int, b: int, c: int) -> int:
    guess = a + b - c
    return min((abs(guess - a), 0, a), (abs(guess - b), 1, b), (abs(guess - c), 2, c))[2]


def _png(pixels: np.ndarray, kinds: np.ndarray, *, interlaced: bool = False, cut: int = 50) -> bytes:
    height, width, channels = pixels.shape
    rows = b""
    for x, y, dx, dy in png_passes(width, height, interlaced):
        part = np.ascontiguousarray(pixels[y::dy, x::dx].astype(">u2"))
        rows += _filtered(part.view(np.uint8).reshape(len(part), -1), 2 * channels, kinds[: len(part)])
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR[channels], 0, 0, interlaced)
    packed = zlib.compress(rows)
    bodies = [packed[n : n + cut] for n in range(0, len(packed), cut)]
    chunks = [png_chunk(b"IHDR", header), *(png_chunk(b"IDAT", body) for body in bodies), png_chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([2, 3, 4]), st.booleans(), st.integers(0, 2**32 - 1))
def test_png_of_any_size_and_filters_is_decoded_exactly(
    height: int, width: int, channels: int, interlaced: bool, seed: int
) -> None:
    draw = np.random.default_rng(seed)
    pixels = draw.integers(0, 65536, (height, width, channels), np.uint16)
    data = _png(pixels, draw.integers(0, 5, height), interlaced=interlaced)
    assert np.array_equal(png_samples(data), pixels)


@pytest.mark.parametrize("kind", range(5))
def test_png_rows_are_decoded_across_blocks(kind: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ROWS", 4)
    pixels = noise(11, 5, 3, np.uint16)
    assert np.array_equal(png_samples(_png(pixels, np.full(11, kind))), pixels)


def test_png_whose_rows_end_early_or_have_no_such_filter_is_refused() -> None:
    pixels = noise(6, 5, 3, np.uint16)
    wrong = _png(pixels, np.zeros(6, int), cut=1000)
    start = wrong.index(b"IDAT") - 4
    with pytest.raises(ValueError, match="filter"):
        png_samples(wrong[:start] + png_chunk(b"IDAT", zlib.compress(b"\x05" + bytes(6 * 31 - 1))))
    short = _png(pixels[:3], np.zeros(3, int))
    taller = short[:16] + struct.pack(">II", 5, 6) + short[24:]
    with pytest.raises(ValueError):
        png_samples(taller)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("form", [{}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}])
@pytest.mark.parametrize("cut", [{}, {"rowsperstrip": 7}, {"tile": (16, 32)}])
@pytest.mark.parametrize("channels", [3, 4])
def test_tiff_of_any_layout_is_decoded_exactly(
    tmp_path: Path, order: Any, form: dict[str, Any], cut: dict[str, Any], channels: int
) -> None:
    pixels = noise(41, 53, channels, np.uint16)
    for planar in ("contig", "separate"):
        stored = pixels if planar == "contig" else pixels.transpose(2, 0, 1)
        alpha = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
        stream = io.BytesIO()
        tifffile.imwrite(
            stream, stored, photometric="rgb", planarconfig=planar, byteorder=order, **form, **cut, **alpha
        )
        data = stream.getvalue()
        with Image.open(io.BytesIO(data)) as image:
            read = tiff_samples if planar == "contig" else tiff_planes
            assert np.array_equal(read(data, image.tag_v2), pixels)
        photo = read_photo(put(tmp_path, "a.tif", data))
        assert photo.notes == () and np.array_equal(photo.pixels, pixels[..., :3])
        assert photo.alpha is None if channels == 3 else np.array_equal(photo.alpha, pixels[..., 3])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_tiff_is_turned_upright_once(tmp_path: Path, orientation: int, planar: Any) -> None:
    pixels = noise(6, 9, 3, np.uint16)
    deep, shallow = tmp_path / "deep.tif", tmp_path / "shallow.tif"
    for path, stored in ((deep, pixels), (shallow, (pixels >> 8).astype(np.uint8))):
        tifffile.imwrite(
            path,
            stored if planar == "contig" else stored.transpose(2, 0, 1),
            photometric="rgb",
            planarconfig=planar,
            extratags=[(274, "H", 1, orientation, True)],
        )
    assert np.array_equal(read_photo(deep).pixels >> 8, read_photo(shallow).pixels)
