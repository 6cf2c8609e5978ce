"""Properties of `derain_cli.media.photo.decode`: what is read, what is refused and why, what survives a round trip."""

from __future__ import annotations

import random
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from derain_cli.errors import InputError, ResourceError
from derain_cli.media.photo import Metadata, Photo, probe_photo, read_photo, read_rgb, write_photo
from derain_cli.media.pixels import to_uint8
from tests.media.photo.samples import HAS_AVIF, HAS_HEIF, chunk, coded, noise, png, put, quick, reason, scene


@quick
@given(
    height=st.integers(1, 64),
    width=st.integers(1, 64),
    deep=st.booleans(),
    alpha=st.booleans(),
    grey=st.booleans(),
    suffix=st.sampled_from([".png", ".tif", ".ppm", ".bmp", ".webp"]),
    seed=st.integers(0, 9),
)
def test_lossless_formats_give_back_every_bit_they_can_hold(
    height: int, width: int, deep: bool, alpha: bool, grey: bool, suffix: str, seed: int
) -> None:
    dtype = np.uint16 if deep else np.uint8
    pixels = noise(height, width, dtype=dtype, seed=seed)
    if grey:
        pixels[...] = pixels[..., :1]
    mask = noise(height, width, 1, dtype, seed + 100) if alpha else None
    photo = Photo(pixels, mask, grey, metadata=Metadata(lossless=True))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a{suffix}"
        notes = write_photo(photo, path)
        back = read_photo(path)
        assert [p.name for p in Path(folder).iterdir()] == [path.name]
    keeps_depth, keeps_alpha = suffix in (".png", ".tif", ".ppm"), suffix in (".png", ".tif", ".webp")
    expected, expected_mask = pixels, mask
    if not keeps_depth:
        expected, expected_mask = to_uint8(pixels), None if mask is None else to_uint8(mask)
    assert back.pixels.dtype == expected.dtype and np.array_equal(back.pixels, expected)
    assert any("16-bit reduced" in n for n in notes) == (deep and not keeps_depth)
    assert any("transparency dropped" in n for n in notes) == (alpha and not keeps_alpha)
    if keeps_alpha and mask is not None and not (suffix == ".webp" and (expected_mask == 255).all()):
        assert back.alpha is not None and np.array_equal(back.alpha, expected_mask)
    if suffix in (".png", ".ppm"):
        assert back.grey == grey
    assert back.pixels.flags.c_contiguous and back.notes == ()


@quick
@given(height=st.integers(1, 40), width=st.integers(1, 40), mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA"]))
@pytest.mark.fault(15)
def test_pillow_modes_read_as_pillow_converts_them(height: int, width: int, mode: str) -> None:
    source = Image.fromarray(noise(height, width, 4 if "A" in mode else 3, seed=height)).convert(mode)
    with tempfile.TemporaryDirectory() as folder:
        photo = read_photo(put(Path(folder), "a.png", coded(source, "PNG")))
    assert np.array_equal(photo.pixels, np.asarray(source.convert("RGBA"))[..., :3])
    assert (photo.alpha is not None) == (mode in ("LA", "RGBA"))
    if photo.alpha is not None:
        assert np.array_equal(photo.alpha, np.asarray(source.convert("RGBA"))[..., 3])
    assert photo.grey == (mode in ("1", "L", "LA"))
    assert photo.pixels.dtype == np.uint8 and photo.format == "PNG" and photo.notes == ()


@quick
@given(
    data=st.binary(max_size=300), head=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"BM"])
)
@pytest.mark.fault(2)
def test_arbitrary_bytes_raise_only_expected_errors(data: bytes, head: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), "a.jpg", head + data)
        for read in (read_photo, probe_photo):
            try:
                read(path)
            except InputError as error:
                assert error.reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM"])
@pytest.mark.fault(7)
def test_flipped_bytes_never_crash(tmp_path: Path, kind: str) -> None:
    sound, chance = coded(scene(), kind), random.Random(5)
    for _ in range(60):
        data = bytearray(sound)
        for _ in range(chance.choice((1, 1, 8))):
            data[chance.randrange(len(data) if chance.random() < 0.5 else 200)] ^= 1 << chance.randrange(8)
        try:
            read_photo(put(tmp_path, "a.img", bytes(data)))
        except (InputError, ResourceError) as error:
            assert error.reason


@pytest.mark.parametrize(("depth", "scale"), [(1, 255), (2, 85), (4, 17), (8, 1), (16, 1)])
def test_a_transparent_grey_value_becomes_alpha(tmp_path: Path, depth: int, scale: int) -> None:
    width, key = 8, 1
    values = (np.arange(width) % min(4, 1 << depth)).astype(np.uint32)
    bits = "".join(f"{v:0{depth}b}" for v in values)
    row = int(bits, 2).to_bytes(len(bits) // 8, "big")
    data = png(width, 1, depth, 0, b"\0" + row, chunk(b"tRNS", struct.pack(">H", key)))
    photo = read_photo(put(tmp_path, "a.png", data))
    assert np.array_equal(photo.pixels[0, :, 0], values * scale)
    assert photo.alpha is not None and np.array_equal(photo.alpha[0] == 0, values == key)
    assert photo.alpha.max() == np.iinfo(photo.pixels.dtype).max


@pytest.mark.parametrize("depth", [8, 16])
def test_a_transparent_colour_becomes_alpha(tmp_path: Path, depth: int) -> None:
    colours = np.array([[1, 2, 3], [1, 2, 4], [0, 0, 0]]) * (257 if depth == 16 else 1) + (depth == 16)
    row = b"\0" + colours.astype(">u2" if depth == 16 else np.uint8).tobytes()
    key = struct.pack(">HHH", *(int(v) for v in colours[0]))
    photo = read_photo(put(tmp_path, "a.png", png(3, 1, depth, 2, row, chunk(b"tRNS", key))))
    assert np.array_equal(photo.pixels[0], colours)
    assert photo.alpha is not None and list(photo.alpha[0] == 0) == [True, False, False]


def test_palette_transparency_is_expanded(tmp_path: Path) -> None:
    source = Image.fromarray(scene()).quantize(16)
    source.info["transparency"] = bytes(range(0, 256, 16))
    photo = read_photo(put(tmp_path, "a.png", coded(source, "PNG", transparency=bytes(range(0, 256, 16)))))
    wanted = np.asarray(source.convert("RGBA"))
    assert np.array_equal(photo.pixels, wanted[..., :3]) and np.array_equal(photo.alpha, wanted[..., 3])


@pytest.mark.fault(15)
def test_cmyk_is_converted_with_a_note_and_without_its_profile(tmp_path: Path) -> None:
    source = Image.fromarray(scene()).convert("CMYK")
    for kind in ("JPEG", "TIFF"):
        photo = read_photo(put(tmp_path, f"a.{kind.lower()}", coded(source, kind, icc_profile=b"broken" * 30)))
        assert any("CMYK" in n for n in photo.notes) and photo.metadata.icc_profile is None
        assert np.abs(photo.pixels.astype(int) - np.asarray(source.convert("RGB"))).mean() < 8


@pytest.mark.parametrize(("mode", "word"), [("F", "floating"), ("I", "signed"), ("LAB", "LAB")])
@pytest.mark.fault(17)
def test_pixels_that_are_not_counts_of_light_are_refused_by_name(tmp_path: Path, mode: str, word: str) -> None:
    pixels = noise(4, 4, 1).astype(np.float32)
    pixels[0, 0] = np.nan
    source = Image.new("LAB", (4, 4)) if mode == "LAB" else Image.fromarray(np.nan_to_num(pixels)).convert(mode)
    if mode == "F":
        source = Image.fromarray(pixels)
    why = reason(put(tmp_path, "a.tif", coded(source, "TIFF")))
    assert why.startswith("unsupported") and word in why


def test_lossy_formats_keep_size_and_nearly_the_colours(tmp_path: Path) -> None:
    picture = scene(31, 33)
    for suffix in [".jpg", ".webp", *([".avif"] if HAS_AVIF else []), *([".heic"] if HAS_HEIF else [])]:
        path = tmp_path / f"a{suffix}"
        write_photo(Photo(picture, format="JPEG"), path)
        photo = read_photo(path)
        assert photo.pixels.shape == picture.shape
        assert np.abs(photo.pixels.astype(int) - picture).mean() < 6, suffix
        assert probe_photo(path).format == photo.format


def test_webp_stays_lossless_or_lossy(tmp_path: Path) -> None:
    for lossless in (True, False):
        photo = read_photo(put(tmp_path, "a.webp", coded(scene(), "WEBP", lossless=lossless)))
        assert photo.metadata.lossless == lossless
        write_photo(photo, tmp_path / "b.webp", overwrite=True)
        back = read_photo(tmp_path / "b.webp")
        assert back.metadata.lossless == lossless
        assert not lossless or np.array_equal(back.pixels, photo.pixels)


@pytest.mark.parametrize("subsampling", [0, 1, 2])
def test_jpeg_keeps_its_subsampling_and_grey_its_channel(tmp_path: Path, subsampling: int) -> None:
    photo = read_photo(put(tmp_path, "a.jpg", coded(scene(), "JPEG", subsampling=subsampling)))
    write_photo(photo, tmp_path / "b.jpg")
    assert read_photo(tmp_path / "b.jpg").metadata.subsampling == subsampling
    grey = read_photo(put(tmp_path, "g.jpg", coded(scene()[..., 0], "JPEG")))
    write_photo(grey, tmp_path / "h.jpg")
    with Image.open(tmp_path / "h.jpg") as image:
        assert grey.grey and image.mode == "L"


def test_grey_is_written_from_the_mean_of_three(tmp_path: Path) -> None:
    pixels = np.array([[[10, 20, 33], [7, 7, 7], [0, 0, 1], [255, 255, 254]]], np.uint8)
    write_photo(Photo(pixels, grey=True), tmp_path / "a.png")
    assert read_photo(tmp_path / "a.png").pixels[0, :, 0].tolist() == [21, 7, 0, 255]


def test_read_rgb_reduces_16_bits_and_leaves_alpha_out(tmp_path: Path) -> None:
    deep = noise(6, 5, 3, np.uint16)
    write_photo(Photo(deep, noise(6, 5, 1, np.uint16)), tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), to_uint8(deep))
