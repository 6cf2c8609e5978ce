"""Properties of `derain_cli.media.photo.decode`: what is read, what is refused and why, what survives a round trip."""

from __future__ import annotations

import io
import os
import random
import socket
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile, ImageOps, PngImagePlugin, features

from derain_cli.errors import DerainError, DestinationError, InputError, ResourceError, UsageError
from derain_cli.media.photo.decode import (
    READABLE_SUFFIXES,
    WRITABLE_SUFFIXES,
    EncodeOptions,
    Metadata,
    Photo,
    compare,
    probe_photo,
    read_photo,
    read_rgb,
    to_uint8,
    write_photo,
    write_rgb,
)

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX file kinds and limits")
HAS_AVIF = features.check("avif")
HAS_HEIF = ".heic" in WRITABLE_SUFFIXES
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(height: int, width: int, channels: int = 3, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    top = np.iinfo(dtype).max
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, top + 1, shape).astype(dtype)


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """A smooth picture with some texture: codes like a photo."""
    small = noise(height // 8, width // 8).astype(np.float32)
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + noise(height, width, seed=1) / 16, 0, 255).astype(np.uint8)


def coded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(extra) + body + chunk(b"IEND", b"")


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def reason(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_photo(path, **options)
    assert caught.value.path == path
    return caught.value.reason


@cache  # a profile carries the time it was made
def icc(space: str = "RGB") -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile if space == "RGB" else profile[:16] + b"GRAY" + profile[20:]


def exif(orientation: int = 1) -> bytes:
    block = Image.Exif()
    block[0x010F] = "Maker"
    block[0x0112] = orientation
    block.get_ifd(0x8769)[0x829A] = 0.004
    block.get_ifd(0x8825)[1] = "N"
    return block.tobytes()


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="%d" note="kept"/></x:xmpmeta>'


def camera(path: Path) -> tuple[str, float, str]:
    with Image.open(path) as image:
        image.load()
        block = image.getexif()
        return block.get(0x010F), float(block.get_ifd(0x8769).get(0x829A, 0)), block.get_ifd(0x8825).get(1)


# --- round trips ------------------------------------------------------------------------------------------------


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
    assert any("alpha dropped" in n for n in notes) == (alpha and not keeps_alpha)
    if keeps_alpha and mask is not None and not (suffix == ".webp" and (expected_mask == 255).all()):
        assert back.alpha is not None and np.array_equal(back.alpha, expected_mask)
    if suffix in (".png", ".ppm"):
        assert back.grey == grey
    assert back.pixels.flags.c_contiguous and back.notes == ()


@quick
@given(height=st.integers(1, 40), width=st.integers(1, 40), mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA"]))
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
def test_arbitrary_bytes_raise_only_expected_errors(data: bytes, head: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = put(Path(folder), "a.jpg", head + data)
        for read in (read_photo, probe_photo):
            try:
                read(path)
            except InputError as error:
                assert error.reason


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF", "PPM"])
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


@pytest.mark.parametrize("depth", [8, 16])
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
        # OpenCV multiplies alpha into the colours of an 8-bit TIFF: no yardstick there.
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


def test_cmyk_is_converted_with_a_note_and_without_its_profile(tmp_path: Path) -> None:
    source = Image.fromarray(scene()).convert("CMYK")
    for kind in ("JPEG", "TIFF"):
        photo = read_photo(put(tmp_path, f"a.{kind.lower()}", coded(source, kind, icc_profile=b"broken" * 30)))
        assert any("CMYK" in n for n in photo.notes) and photo.metadata.icc_profile is None
        assert np.abs(photo.pixels.astype(int) - np.asarray(source.convert("RGB"))).mean() < 8


@pytest.mark.parametrize(("mode", "word"), [("F", "floating"), ("I", "signed"), ("LAB", "LAB")])
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


# --- orientation and metadata -----------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "PNG16", "GREY16", "XMP"])
def test_orientation_is_applied_as_pillow_does_and_reset(tmp_path: Path, kind: str, orientation: int) -> None:
    picture = scene(24, 40)
    if kind == "PNG16":
        path = tmp_path / "a.png"
        write_photo(Photo(picture.astype(np.uint16) * 257, metadata=Metadata(exif=exif(orientation)[6:])), path)
    elif kind == "GREY16":
        deep = picture[..., 0].astype(np.uint16) * 257
        path = put(tmp_path, "a.tif", coded(deep, "TIFF", exif=exif(orientation)))
    elif kind == "XMP":
        path = put(tmp_path, "a.jpg", coded(picture, "JPEG", xmp=XMP % orientation))
    else:
        path = put(tmp_path, f"a.{kind.lower()}", coded(picture, kind, exif=exif(orientation)))
    # From memory: opened by its path, Pillow maps an uncompressed 16-bit TIFF and garbles it when it is on its side.
    with Image.open(io.BytesIO(path.read_bytes())) as image:
        wanted = ImageOps.exif_transpose(image)
        expected = np.asarray(wanted if kind == "GREY16" else wanted.convert("RGB"))
    photo = read_photo(path)
    seen = photo.pixels[..., 0] if kind == "GREY16" else to_uint8(photo.pixels)
    assert np.array_equal(seen, expected)
    info = probe_photo(path)
    assert (info.height, info.width) == photo.pixels.shape[:2]
    for suffix in (".jpg", ".png", ".tif", ".webp"):
        out = tmp_path / f"out{suffix}"
        write_photo(photo, out)
        with Image.open(out) as image:
            image.load()
            assert image.getexif().get(0x0112, 1) == 1
            assert image.size == photo.pixels.shape[1::-1]
        if kind != "XMP":
            assert camera(out) == ("Maker", 0.004, "N"), suffix


def test_16_bit_colour_tiff_with_an_orientation_keeps_its_bits(tmp_path: Path) -> None:
    pixels = noise(6, 9, 3, np.uint16)
    write_photo(Photo(pixels), tmp_path / "a.tif")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    entry = data.find(struct.pack("<HHI", 284, 3, 1))  # planar configuration is the default: put orientation there
    order = [struct.unpack_from("<H", data, 10 + 12 * n)[0] for n in range(struct.unpack_from("<H", data, 8)[0])]
    before = 10 + 12 * order.index(277)
    data[entry : entry + 12] = data[before : before + 12]
    data[before : before + 12] = struct.pack("<HHIHH", 274, 3, 1, 6, 0)
    strips = 10 + 12 * order.index(278)
    rows = data[strips : strips + 12]
    data[strips : strips + 12], data[entry : entry + 12] = data[entry : entry + 12], rows
    fixed = sorted(bytes(data[10 + 12 * n : 22 + 12 * n]) for n in range(len(order)))
    fixed.sort(key=lambda e: struct.unpack_from("<H", e)[0])
    data[10 : 10 + 12 * len(order)] = b"".join(fixed)
    photo = read_photo(put(tmp_path, "b.tif", bytes(data)))
    assert np.array_equal(photo.pixels, np.rot90(pixels, 3)) and photo.notes == ()


@pytest.mark.parametrize("source", ["JPEG", "PNG", "TIFF", "WEBP", "PNG16"])
def test_metadata_survives_from_and_to_every_format_that_holds_it(tmp_path: Path, source: str) -> None:
    picture = scene()
    if source == "PNG16":
        deep = Photo(picture.astype(np.uint16) * 257, metadata=Metadata(exif()[6:], icc(), XMP % 1, (300, 200)))
        path = tmp_path / "a.png"
        write_photo(deep, path)
    else:
        options: dict[str, Any] = {"exif": exif(), "icc_profile": icc()}
        if source == "PNG":
            options["pnginfo"] = PngImagePlugin.PngInfo()
            options["pnginfo"].add_itxt("XML:com.adobe.xmp", (XMP % 1).decode())
        elif source == "TIFF":
            options["exif"] = Image.Exif()
            options["exif"].load(exif())
            options["exif"][700] = XMP % 1
        else:
            options["xmp"] = XMP % 1
        if source != "WEBP":
            options["dpi"] = (300, 200)
        path = put(tmp_path, f"a.{source.lower()}", coded(picture, source, **options))
    photo = read_photo(path)
    assert photo.metadata.xmp == XMP % 1 and photo.metadata.icc_profile == icc()
    for suffix in [".jpg", ".png", ".tif", ".webp", *([".avif"] if HAS_AVIF else [])]:
        out = tmp_path / f"out{suffix}"
        notes = write_photo(photo, out)
        assert not [n for n in notes if "16-bit" not in n]
        assert camera(out) == ("Maker", 0.004, "N"), suffix
        back = read_photo(out).metadata
        assert back.icc_profile == icc() and back.xmp == XMP % 1, suffix
        if source != "WEBP" and suffix in (".jpg", ".png", ".tif"):
            assert back.dpi == pytest.approx((300, 200), abs=0.1), suffix
    notes = write_photo(photo, tmp_path / "out.bmp")
    assert any("metadata dropped" in n for n in notes)


def test_dpi_is_turned_with_the_picture(tmp_path: Path) -> None:
    data = coded(scene(), "JPEG", exif=exif(6), dpi=(300, 200))
    assert read_photo(put(tmp_path, "a.jpg", data)).metadata.dpi == (200, 300)


def test_the_embedded_thumbnail_is_not_carried(tmp_path: Path) -> None:
    block = Image.Exif()
    block[0x010F] = "Maker"
    raw = block.tobytes()
    at = len(raw) - 6
    count = struct.unpack_from("<H", raw, 14)[0] if raw[6:8] == b"II" else struct.unpack_from(">H", raw, 14)[0]
    order = "<" if raw[6:8] == b"II" else ">"
    linked = bytearray(raw + struct.pack(order + "HHHII", 1, 0x0201, 4, 1, 0) + bytes(4))
    struct.pack_into(order + "I", linked, 16 + 12 * count, at)
    photo = read_photo(put(tmp_path, "a.jpg", coded(scene(), "JPEG", exif=bytes(linked))))
    again = Image.Exif()
    again.load(b"Exif\0\0" + (photo.metadata.exif or b""))
    assert again[0x010F] == "Maker" and not again.get_ifd(1)


def test_grey_and_colour_profiles_never_change_places(tmp_path: Path) -> None:
    for grey in (True, False):
        for space in ("RGB", "GRAY"):
            for suffix in (".png", ".jpg", ".tif", ".webp"):
                photo = Photo(scene(), grey=grey, metadata=Metadata(icc_profile=icc(space)))
                out = tmp_path / f"a{suffix}"
                notes = write_photo(photo, out, overwrite=True)
                held = "GRAY" if grey and suffix != ".webp" else "RGB"
                assert (read_photo(out).metadata.icc_profile is not None) == (space == held)
                assert any("profile dropped" in n for n in notes) == (space != held)


def test_png_text_and_colour_chunks_survive_in_png(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    info.add_text("Title", "Regen")
    info.add_itxt("Author", "Zoë", "en", "")
    path = put(tmp_path, "a.png", coded(scene(), "PNG", pnginfo=info))
    write_photo(read_photo(path), tmp_path / "b.png")
    with Image.open(tmp_path / "b.png") as image:
        image.load()
        assert image.info["gamma"] == 1.0 and image.text == {"Title": "Regen", "Author": "Zoë"}  # type: ignore[attr-defined]


def test_metadata_too_long_for_jpeg_is_dropped_with_a_note(tmp_path: Path) -> None:
    block = Image.Exif()
    block[0x010E] = "x" * 70_000
    photo = Photo(scene(), metadata=Metadata(exif=block.tobytes()[6:], xmp=b"<x/>" * 20_000, comment=b"c" * 70_000))
    notes = write_photo(photo, tmp_path / "a.jpg")
    assert len([n for n in notes if "too long for JPEG" in n]) == 3
    read_photo(tmp_path / "a.jpg")


def test_damaged_exif_is_dropped_with_a_note(tmp_path: Path) -> None:
    photo = read_photo(put(tmp_path, "a.jpg", coded(scene(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")))
    assert photo.metadata.exif is None and any("EXIF" in n for n in photo.notes)


# --- broken files -----------------------------------------------------------------------------------------------


def test_reasons_of_the_usual_broken_files(tmp_path: Path) -> None:
    whole_png, whole_jpeg = coded(scene(), "PNG"), coded(scene(), "JPEG")
    assert reason(put(tmp_path, "a.png", b"")) == "empty file"
    assert reason(put(tmp_path, "b.jpg", b"this is text\n" * 20)) == "not a readable image"
    assert reason(put(tmp_path, "c.jpg", random.Random(1).randbytes(5000))) == "not a readable image"
    assert "truncated" in reason(put(tmp_path, "d.png", whole_png[: len(whole_png) // 2]))
    assert "truncated" in reason(put(tmp_path, "e.jpg", whole_jpeg[: len(whole_jpeg) // 2]))
    flipped = bytearray(whole_png)
    flipped[len(flipped) // 2] ^= 1
    assert "corrupt" in reason(put(tmp_path, "f.png", bytes(flipped)))
    assert "corrupt" in reason(put(tmp_path, "g.png", whole_png.replace(b"IDATx", b"IDATy", 1)))
    bad_stream = png(4, 4, 8, 2, b"")
    bad_stream = bad_stream[:33] + chunk(b"IDAT", b"\x78\x9c" + b"\xff" * 30) + chunk(b"IEND", b"")
    assert reason(put(tmp_path, "h.png", bad_stream)).startswith(("corrupt", "truncated"))
    assert "no such file" in reason(tmp_path / "none.png")


@pytest.mark.parametrize("rows", [1, 30, 63])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "P", "interlaced"])
def test_a_png_whose_stream_ends_properly_but_early_is_truncated(tmp_path: Path, rows: int, mode: str) -> None:
    bits, colour = {"RGB": (24, 2), "L": (8, 0), "1": (1, 0), "P": (8, 3), "interlaced": (24, 2)}[mode]
    line = b"\0" + bytes(range(1, 1 + 64 * bits // 8)) if bits < 24 else b"\0" + bytes([1]) * 192
    extra = (chunk(b"PLTE", bytes(range(255))),) if mode == "P" else ()
    data = png(64, 64, 1 if mode == "1" else 8, colour, line * rows, *extra)
    if mode == "interlaced":
        head = struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 1)
        data = data[:8] + chunk(b"IHDR", head) + data[33:]
    assert "truncated" in reason(put(tmp_path, "a.png", data))


def test_a_black_png_is_not_taken_for_a_truncated_one(tmp_path: Path) -> None:
    for mode in ("RGB", "L", "1", "P", "RGBA", "LA"):
        assert read_photo(put(tmp_path, "a.png", coded(Image.new(mode, (37, 21)), "PNG"))).pixels.max() == 0
    for width in (1, 2, 5, 9):
        sizes = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
        passes = [(len(range(x, width, dx)), len(range(y, 7, dy))) for x, y, dx, dy in sizes]
        rows = b"".join(bytes(1 + w) * h for w, h in passes if w)
        data = png(width, 7, 8, 0, rows)
        head = struct.pack(">IIBBBBB", width, 7, 8, 0, 0, 0, 1)
        data = data[:8] + chunk(b"IHDR", head) + data[33:]
        assert read_photo(put(tmp_path, "b.png", data)).pixels.shape == (7, width, 3)
        short = png(width, 7, 8, 0, rows[:-1])
        with pytest.raises(InputError):
            read_photo(put(tmp_path, "c.png", short[:8] + chunk(b"IHDR", head) + short[33:]))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF", "AVIF"])
def test_a_file_cut_anywhere_is_refused_never_half_read(tmp_path: Path, kind: str) -> None:
    if kind == "AVIF" and not HAS_AVIF:
        pytest.skip("Pillow without AVIF")
    data = coded(scene(), kind)
    for part in range(32):
        why = reason(put(tmp_path, "a.img", data[: len(data) * part // 32]))
        assert why == "empty file" if part == 0 else "truncated" in why or "not a readable" in why or "corrupt" in why


JPEG_KINDS: list[dict[str, Any]] = [
    {},
    {"progressive": True},
    {"restart_marker_rows": 1},
    {"subsampling": 0, "restart_marker_blocks": 3},
    {"progressive": True, "restart_marker_rows": 2},
    {"quality": 100, "optimize": True},
]


@pytest.mark.parametrize("options", JPEG_KINDS)
def test_a_jpeg_without_its_end_marker_is_read_with_a_note(tmp_path: Path, options: dict[str, Any]) -> None:
    for picture in (scene(), scene(40, 48)[..., 0]):
        data = coded(picture, "JPEG", **options)
        whole = read_photo(put(tmp_path, "a.jpg", data))
        for cut in (1, 2):
            photo = read_photo(put(tmp_path, "b.jpg", data[:-cut]))
            assert photo.notes == ("JPEG lacks its end marker",)
            assert np.array_equal(photo.pixels, whole.pixels)


def test_a_missing_end_marker_is_noted_even_where_the_decoder_does_not_miss_it(tmp_path: Path) -> None:
    for quality in range(40, 96, 2):
        data = coded(scene(40, 48), "JPEG", quality=quality)
        assert read_photo(put(tmp_path, "a.jpg", data[:-2])).notes == ("JPEG lacks its end marker",)
        assert read_photo(put(tmp_path, "b.jpg", data)).notes == ()


@pytest.mark.parametrize("options", JPEG_KINDS)
def test_a_jpeg_that_lacks_more_than_its_end_marker_is_truncated(tmp_path: Path, options: dict[str, Any]) -> None:
    data = coded(scene(), "JPEG", **options)
    whole = read_photo(put(tmp_path, "whole.jpg", data)).pixels
    cuts = {len(data) * n // 32 for n in range(1, 32)} | set(range(len(data) - 12, len(data) - 2))
    scan = data.find(b"\xff\xda")
    marks = [n for n in range(scan + 2, len(data) - 2) if data[n] == 0xFF and data[n + 1] not in (0x00, 0xFF)]
    cuts |= set(marks[:20]) | set(marks[-20:]) | {n + 2 for n in marks[-3:]}
    for cut in sorted(cuts):
        try:
            photo = read_photo(put(tmp_path, "a.jpg", data[:cut]))
        except InputError as error:
            assert "truncated" in error.reason, cut
        else:  # the last bits of a scan may be padding: then nothing of the picture is missing
            assert cut > len(data) - 8 and np.array_equal(photo.pixels, whole), cut


def test_junk_behind_the_picture_is_ignored_and_not_copied(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        path = put(tmp_path, f"a.{kind.lower()}", coded(scene(), kind) + b"JUNK" * 100)
        write_photo(read_photo(path), tmp_path / f"b.{kind.lower()}")
        assert b"JUNKJUNK" not in (tmp_path / f"b.{kind.lower()}").read_bytes()


def test_the_content_counts_not_the_name(tmp_path: Path) -> None:
    photo = read_photo(put(tmp_path, "a.jpg", coded(scene(), "PNG")))
    assert photo.format == "PNG" and photo.notes == ("content is PNG though the name says .jpg",)
    write_photo(photo, tmp_path / "b.jpg")
    assert read_photo(tmp_path / "b.jpg").format == "JPEG"


# --- too large, too many, too odd -------------------------------------------------------------------------------


def bomb(width: int, height: int) -> bytes:
    return png(width, height, 8, 2, b"\0" * 1000)


def test_decompression_bombs_are_refused_from_the_header(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", bomb(60000, 60000))
    start = time.monotonic()
    assert reason(path).startswith("too large: 3.6 Gpx > limit 89.5 Mpx")
    assert time.monotonic() - start < 1
    assert "too large: 99 Mpx" in reason(put(tmp_path, "b.png", bomb(11000, 9000)))
    assert "too large" in reason(put(tmp_path, "c.png", bomb(2**31 - 1, 2**31 - 1)))
    assert "not a readable image" in reason(put(tmp_path, "d.png", bomb(0, 7)))
    with pytest.raises(InputError, match="too large"):
        probe_photo(path)
    assert Image.MAX_IMAGE_PIXELS is not None  # other users of Pillow in the process keep their guard


def test_max_pixels_is_the_limit_in_both_directions(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", coded(scene(), "PNG"))
    assert read_photo(path, max_pixels=96 * 128).pixels.shape == (96, 128, 3)
    assert "too large" in reason(path, max_pixels=96 * 128 - 1)
    assert "truncated" in reason(put(tmp_path, "b.png", bomb(11000, 9000)[:70]), max_pixels=10**9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".ppm"])
def test_our_limit_counts_not_the_one_of_pillow(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    write_rgb(tmp_path / f"a{suffix}", scene())
    assert read_rgb(tmp_path / f"a{suffix}").shape == (96, 128, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000


@posix
def test_a_bomb_needs_no_memory(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from derain_cli.media.photo.decode import read_photo\n"
        "from derain_cli.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_photo(sys.argv[1])\n"
        "except InputError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    path = put(tmp_path, "a.png", bomb(60000, 60000))
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=root, capture_output=True, timeout=60)
    assert int(done.stdout) < 100_000  # KiB


def test_text_payloads_in_png_are_dropped_with_a_note(tmp_path: Path) -> None:
    body = coded(scene(), "PNG")
    payload = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 1))
    photo = read_photo(put(tmp_path, "a.png", body[:33] + payload + body[33:]))
    assert any("text dropped" in n for n in photo.notes) and np.array_equal(photo.pixels, scene())
    many = b"".join(chunk(b"tEXt", b"k%d\0value" % n) for n in range(100_000))
    photo = read_photo(put(tmp_path, "b.png", body[:33] + many + body[33:]))
    assert any("text dropped" in n for n in photo.notes) and photo.metadata.text == ()


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused_with_their_number(tmp_path: Path, kind: str) -> None:
    frames = [Image.fromarray(noise(8, 8, seed=n)) for n in range(3)]
    path = put(tmp_path, "a.img", coded(frames[0], kind, save_all=True, append_images=frames[1:]))
    assert reason(path).startswith("3 frames")
    with pytest.raises(InputError, match="3 frames"):
        probe_photo(path)


def test_a_single_frame_gif_is_read_but_gif_is_not_written(tmp_path: Path) -> None:
    photo = read_photo(put(tmp_path, "a.gif", coded(scene(), "GIF")))
    assert photo.format == "GIF" and photo.pixels.shape == (96, 128, 3)
    with pytest.raises(UsageError):
        write_photo(photo, tmp_path / "b.gif")
    assert ".gif" in READABLE_SUFFIXES and ".gif" not in WRITABLE_SUFFIXES


def test_the_main_picture_of_a_phone_jpeg_is_used_with_a_note(tmp_path: Path) -> None:
    main, extra = Image.fromarray(scene()), Image.fromarray(noise(8, 8))
    photo = read_photo(put(tmp_path, "a.jpg", coded(main, "MPO", save_all=True, append_images=[extra])))
    assert photo.format == "JPEG" and photo.pixels.shape == (96, 128, 3)
    assert any("main picture" in n for n in photo.notes)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<svg xmlns='x'/>", "SVG"),
        (b"SIMPLE  =", "FITS"),
    ],
)
def test_formats_off_the_list_are_refused_by_name(tmp_path: Path, head: bytes, name: str) -> None:
    why = reason(put(tmp_path, "a.png", head + bytes(200)))
    assert why.startswith("unsupported") and name in why


def test_formats_that_pillow_knows_but_we_do_not_list_are_refused(tmp_path: Path) -> None:
    for kind in ("TGA", "PCX", "ICO", "SGI", "IM"):
        assert reason(put(tmp_path, "a.png", coded(scene(), kind))) == "not a readable image"


@posix
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert "folder" in reason(tmp_path / "folder.png")
    assert "not a regular file" in reason(tmp_path / "fifo.png")  # opening it would hang
    assert "dangling" in reason(tmp_path / "dangling.png")
    assert "loop" in reason(tmp_path / "loop.png")
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/s.png")
        assert "not a regular file" in reason(Path(short) / "s.png")
    real = put(tmp_path, "real.png", coded(scene(), "PNG"))
    (tmp_path / "link.png").symlink_to(real)
    assert read_photo(tmp_path / "link.png").pixels.shape == (96, 128, 3)
    if os.geteuid() != 0:
        real.chmod(0)
        assert "cannot be read" in reason(real)


def test_half_pictures_are_never_asked_for() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_running_out_of_memory_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "a.jpg", coded(scene(), "JPEG"))

    def exhausted(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", exhausted)
    with pytest.raises(ResourceError):
        read_photo(path)


# --- writing ----------------------------------------------------------------------------------------------------


def test_suffixes_and_quality_are_checked(tmp_path: Path) -> None:
    for name in ("a", "a.xyz", "a.svg"):
        with pytest.raises(UsageError):
            write_photo(Photo(scene()), tmp_path / name)
    with pytest.raises(UsageError):
        EncodeOptions(quality=0)
    with pytest.raises(DestinationError, match="16383"):
        write_photo(Photo(np.zeros((1, 16384, 3), np.uint8)), tmp_path / "a.webp")
    with pytest.raises(ValueError, match="pixels must be"):
        write_photo(Photo(np.zeros((4, 4, 3), np.float32)), tmp_path / "a.png")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    assert WRITABLE_SUFFIXES <= READABLE_SUFFIXES


def test_quality_changes_the_size_of_lossy_files(tmp_path: Path) -> None:
    for suffix in (".jpg", ".webp"):
        sizes = []
        for quality in (20, 95):
            path = tmp_path / f"{quality}{suffix}"
            write_photo(Photo(scene(), format="JPEG"), path, options=EncodeOptions(quality))
            sizes.append(path.stat().st_size)
        assert sizes[0] < sizes[1]


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", b"old")
    with pytest.raises(DestinationError):
        write_photo(Photo(scene()), path)
    assert path.read_bytes() == b"old"
    write_photo(Photo(scene()), path, overwrite=True)
    assert np.array_equal(read_rgb(path), scene())


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp", ".ppm"])
def test_a_failing_encoder_keeps_the_old_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, f"a{suffix}", b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ResourceError, match="no space"):
        write_photo(Photo(scene()), path, overwrite=True)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@posix
def test_a_disk_that_takes_no_more_is_a_resource_error_for_every_format(tmp_path: Path) -> None:
    code = (
        "import resource, sys, numpy as np; from pathlib import Path\n"
        "from derain_cli.media.photo.decode import write_rgb, WRITABLE_SUFFIXES\n"
        "from derain_cli.errors import ResourceError\n"
        "import cv2, importlib; importlib.import_module('PIL.Image').init()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)\n"
        "for suffix in ('.jpg', '.png', '.tif', '.webp', '.bmp', '.ppm'):\n"
        "    for dtype in (np.uint8, np.uint16):\n"
        "        scale = dtype(257 if dtype is np.uint16 else 1)\n"
        "        try: write_rgb(Path(sys.argv[1]) / ('a' + suffix), pixels * scale)\n"
        "        except ResourceError: continue\n"
        "        sys.exit('not noticed: ' + suffix)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_read_back_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "a.jpg", b"old")
    real = Path.open

    class Short:
        """A disk that takes half and says nothing."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Short:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def write(self, data: Any) -> int:
            return self.file.write(bytes(data)[: len(data) // 2])

    def short(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = real(self, mode, *args, **kwargs)
        return Short(file) if mode == "wb" else file

    monkeypatch.setattr(Path, "open", short)
    with pytest.raises(ResourceError, match="read back"):
        write_photo(Photo(scene()), path, overwrite=True)
    monkeypatch.undo()
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@posix
@pytest.mark.parametrize("name", [b"-rf.png", b"\xff.png", "😀 .png".encode(), b"x" * 251 + b".png", b"a\n\x1b[1m.png"])
def test_odd_names_are_read_and_written_with_the_same_bytes(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        path.touch()
        path.unlink()
    except OSError:
        pytest.skip("this file system does not allow the name")
    write_rgb(path, scene())
    assert [os.fsencode(p.name) for p in tmp_path.iterdir()] == [name]
    assert np.array_equal(read_rgb(path), scene())
    path.write_bytes(b"")
    with pytest.raises(DerainError) as caught:
        read_photo(path)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.skipif(not HAS_HEIF, reason="pillow-heif is not installed")
def test_heif_keeps_metadata(tmp_path: Path) -> None:
    write_photo(Photo(scene(), metadata=Metadata(exif()[6:], icc(), XMP % 1)), tmp_path / "a.heic")
    photo = read_photo(tmp_path / "a.heic")
    assert photo.format == "HEIF" and photo.metadata.icc_profile == icc()
    assert camera(tmp_path / "a.heic")[0] == "Maker"


def test_heif_without_the_plug_in_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derain_cli.media.photo.decode._HAS_HEIF", False)
    path = put(tmp_path, "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(InputError, match=r"HEIF.*derain-cli\[heif\]"):
        read_photo(path)


# --- helpers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_compare_puts_both_side_by_side(dtype: Any) -> None:
    before, after = noise(5, 7, 3, dtype), noise(5, 7, 3, dtype, 1)
    joined = compare(before, after, divider=3)
    assert joined.shape == (5, 17, 3) and joined.dtype == dtype
    assert np.array_equal(joined[:, :7], before) and np.array_equal(joined[:, 10:], after)
    assert (joined[:, 7:10] == np.iinfo(dtype).max).all()
    with pytest.raises(ValueError, match="compare"):
        compare(before, after[:-1])


def test_reduction_to_8_bits_rounds_to_nearest_and_inverts_the_expansion() -> None:
    every = np.arange(65536, dtype=np.uint16)
    assert np.array_equal(to_uint8(every), np.round(every / 257).astype(np.uint8))
    assert np.array_equal(to_uint8((np.arange(256) * 257).astype(np.uint16)), np.arange(256))


def test_read_rgb_reduces_16_bits_and_leaves_alpha_out(tmp_path: Path) -> None:
    deep = noise(6, 5, 3, np.uint16)
    write_photo(Photo(deep, noise(6, 5, 1, np.uint16)), tmp_path / "a.png")
    assert np.array_equal(read_rgb(tmp_path / "a.png"), to_uint8(deep))


@pytest.mark.parametrize("suffix", [".png", ".tif", ".ppm", ".bmp"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("grey", [False, True])
def test_blocks_of_rows_join_to_the_same_picture(
    tmp_path: Path, suffix: str, dtype: Any, grey: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from derain_cli.media.photo import sixteen_bit

    pixels = noise(23, 17, dtype=dtype)
    pixels = np.repeat(pixels[..., :1], 3, axis=2) if grey else pixels
    expected = to_uint8(pixels) if suffix == ".bmp" else pixels
    monkeypatch.setattr(sixteen_bit, "_BLOCK", 200)  # a few rows, and a last block that is shorter
    write_photo(Photo(pixels, grey=grey), tmp_path / f"a{suffix}")
    assert np.array_equal(read_photo(tmp_path / f"a{suffix}").pixels, expected)
    rgba = noise(23, 17, 4)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    photo = read_photo(tmp_path / "rgba.png")
    assert np.array_equal(photo.pixels, rgba[..., :3]) and np.array_equal(photo.alpha, rgba[..., 3])


def test_row_blocks_cover_every_row_once() -> None:
    from derain_cli.media.photo.sixteen_bit import row_blocks

    for rows, samples in ((0, 5), (1, 1), (7, 1 << 19), (5, 1 << 22), (3_000_001, 1)):
        blocks = list(row_blocks(rows, samples))
        assert [b.start for b in blocks] == [0, *(b.stop for b in blocks[:-1])][: len(blocks)]
        assert sum(b.stop - b.start for b in blocks) == rows
        assert all((b.stop - b.start) * samples <= max(1 << 20, samples) for b in blocks)
