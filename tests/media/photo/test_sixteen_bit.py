"""Reading and writing of 16 bits in PNG, TIFF and PPM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from derain_cli.media import pixels as pixels_module
from derain_cli.media.photo import Photo, read_photo, write_photo
from derain_cli.media.pixels import to_uint8
from tests.media.photo.samples import coded, noise, put


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.fault(16)
def test_16_bit_png_made_by_another_program_keeps_its_bits(tmp_path: Path, depth: int) -> None:
    dtype = np.uint8 if depth == 8 else np.uint16
    for channels in (1, 3, 4):
        pixels = noise(9, 7, channels, dtype)
        done, data = cv2.imencode(".png", pixels)
        photo = read_photo(put(tmp_path, "a.png", data.tobytes()))
        rgb = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if channels == 1 else pixels[..., 2::-1]
        assert done and photo.pixels.dtype == dtype and np.array_equal(photo.pixels, rgb)
        if channels == 4:
            assert np.array_equal(photo.alpha, pixels[..., 3])
        assert photo.grey == (channels == 1)


@pytest.mark.parametrize("depth", [8, 16])
def test_our_deep_files_are_read_alike_by_another_program(tmp_path: Path, depth: int) -> None:
    dtype = np.uint8 if depth == 8 else np.uint16
    pixels, alpha = noise(300, 290, 3, dtype), noise(300, 290, 1, dtype, 3)
    for suffix in (".png", ".tif"):
        # OpenCV premultiplies the alpha of 8-bit TIFFs, so it cannot serve as reference there.
        for mask in (None,) if suffix == ".tif" and depth == 8 else (None, alpha):
            path = tmp_path / f"a{suffix}"
            write_photo(Photo(pixels, mask), path, overwrite=True)
            seen = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_UNCHANGED)
            assert seen.dtype == dtype and np.array_equal(seen[..., 2::-1], pixels)
            assert mask is None or np.array_equal(seen[..., 3], mask)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_adobe_deflate"])
def test_16_bit_tiff_colour_and_grey(tmp_path: Path, compression: str | None) -> None:
    deep = noise(20, 30, 1, np.uint16)
    data = coded(deep, "TIFF", **({"compression": compression} if compression else {}))
    photo = read_photo(put(tmp_path, "g.tif", data))
    assert photo.grey and np.array_equal(photo.pixels[..., 1], deep)
    colour = noise(20, 30, 3, np.uint16)
    done, data = cv2.imencode(".tif", colour)
    photo = read_photo(put(tmp_path, "c.tif", data.tobytes()))
    assert done and np.array_equal(photo.pixels, colour[..., ::-1]) and photo.notes == ()


@pytest.mark.parametrize("top", [255, 1023, 65535])
def test_ppm_of_any_depth_is_stretched_to_the_full_range(tmp_path: Path, top: int) -> None:
    values = np.linspace(0, top, 18).astype(">u2" if top > 255 else np.uint8)
    for magic, shape in ((b"P5", (3, 6)), (b"P6", (3, 2))):
        head = b"%b # a remark\n%d %d\n%d\n" % (magic, shape[1], shape[0], top)
        photo = read_photo(put(tmp_path, "a.ppm", head + values.tobytes()))
        full = 65535 if top > 255 else 255
        assert photo.pixels.dtype == (np.uint16 if top > 255 else np.uint8)
        assert photo.pixels.min() == 0 and photo.pixels.max() == full
        first = photo.pixels[..., 0] if magic == b"P5" else photo.pixels
        assert np.abs(first.ravel() / full - values / top).max() <= 0.51 / full + 1e-9


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm", ".bmp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("grey", [False, True])
def test_blocks_of_rows_join_to_the_same_picture(
    tmp_path: Path, suffix: str, dtype: Any, grey: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise(23, 17, dtype=dtype)
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels
    expected = to_uint8(pixels) if suffix == ".bmp" else pixels
    monkeypatch.setattr(pixels_module, "_BLOCK", 200)  # a few rows, and a shorter last block
    write_photo(Photo(pixels, grey=grey), tmp_path / f"a{suffix}")
    assert np.array_equal(read_photo(tmp_path / f"a{suffix}").pixels, expected)
    rgba = noise(23, 17, 4)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    photo = read_photo(tmp_path / "rgba.png")
    assert np.array_equal(photo.pixels, rgba[..., :3]) and np.array_equal(photo.alpha, rgba[..., 3])
