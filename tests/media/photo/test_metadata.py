"""Metadata: it is kept, or a note says that it is not."""

from __future__ import annotations

import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from derain_cli.media.photo import Metadata, Photo, probe_photo, read_photo, write_photo
from derain_cli.media.photo.png import png_chunks
from derain_cli.media.pixels import to_uint8
from tests.media.photo.samples import HAS_AVIF, XMP, camera, chunk, coded, exif, icc, noise, put, scene


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "PNG16", "GREY16", "XMP"])
@pytest.mark.fault(18)
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
    # From memory: opened by path, Pillow maps an uncompressed 16-bit TIFF and garbles it if it is rotated.
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
    # Planar configuration is the default: use its entry for the orientation.
    entry = data.find(struct.pack("<HHI", 284, 3, 1))
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
@pytest.mark.fault(19)
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


def with_thumbnail(thumbnail: bytes, width: int, height: int) -> bytes:
    """An EXIF block as written by cameras: picture size, and a second directory with a thumbnail JPEG."""
    first = [(0x0112, 3, 6), (0x8769, 4, 8 + 2 + 12 * 2 + 4)]
    sizes = [(0xA002, 4, width), (0xA003, 4, height)]
    start = 8 + 2 * (2 + 12 * 2 + 4)
    second = [(0x0103, 3, 6), (0x0112, 3, 6), (0x0201, 4, start + 2 + 12 * 4 + 4), (0x0202, 4, len(thumbnail))]
    block = b"II*\0\x08\0\0\0"
    for entries, following in ((first, start), (sizes, 0), (second, 0)):
        block += struct.pack("<H", len(entries))
        block += b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
        block += struct.pack("<I", following)
    return b"Exif\0\0" + block + thumbnail


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp"])
def test_the_embedded_thumbnail_shows_the_written_picture_and_sizes_are_its_own(tmp_path: Path, suffix: str) -> None:
    rainy, dry = scene(96, 128), 255 - scene(96, 128)
    small = coded(Image.fromarray(rainy).resize((64, 48)), "JPEG", quality=95)
    path = put(tmp_path, "a.jpg", coded(rainy, "JPEG", exif=with_thumbnail(small, 128, 96)))
    photo = read_photo(path)
    upright = np.ascontiguousarray(np.rot90(dry, 3))
    write_photo(Photo(upright, metadata=photo.metadata), tmp_path / f"b{suffix}")
    data = (tmp_path / f"b{suffix}").read_bytes()
    assert small[-120:-40] not in data
    with Image.open(tmp_path / f"b{suffix}") as image:
        image.load()
        block = image.getexif()
        sizes = block.get_ifd(0x8769)
        assert (sizes[0xA002], sizes[0xA003]) == (96, 128) == image.size
        raw = image.info["exif"].removeprefix(b"Exif\0\0")
    start = 8 + 2 * (2 + 12 * 2 + 4) + 2
    second = {e[0]: e[3] for e in (struct.unpack_from("<HHII", raw, start + 12 * n) for n in range(4))}
    assert second[0x0112] == 1
    shown = Image.open(io.BytesIO(raw[second[0x0201] :][: second[0x0202]]))
    assert shown.size == (48, 64)
    wanted = np.asarray(Image.fromarray(upright).resize(shown.size, Image.Resampling.LANCZOS)).astype(float)
    assert np.abs(np.asarray(shown).astype(float) - wanted).mean() < 12


def test_a_thumbnail_without_room_for_a_new_one_is_taken_out_bytes_and_all(tmp_path: Path) -> None:
    stump = b"\xff\xd8stump of a thumbnail"
    path = put(tmp_path, "a.jpg", coded(scene(), "JPEG", exif=with_thumbnail(stump, 128, 96)))
    write_photo(read_photo(path), tmp_path / "b.jpg")
    data = (tmp_path / "b.jpg").read_bytes()
    assert b"stump" not in data
    with Image.open(tmp_path / "b.jpg") as image:
        assert not image.getexif().get_ifd(1)


def test_a_jfif_density_without_unit_stays_one(tmp_path: Path) -> None:
    block = Image.Exif()
    block[0x011A] = block[0x011B] = 1.0
    block[0x0128] = 1
    path = put(tmp_path, "a.jpg", coded(scene(), "JPEG", exif=block.tobytes()))
    write_photo(read_photo(path), tmp_path / "b.jpg")
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["jfif_unit"] == 0 and image.getexif()[0x0128] == 1


def test_hdr_chunks_of_png_stay(tmp_path: Path) -> None:
    chunks = {b"cICP": bytes((9, 16, 0, 1)), b"mDCV": bytes(range(24)), b"cLLI": bytes(range(8))}
    plain = coded(scene(), "PNG")
    more = b"".join(chunk(name, body) for name, body in chunks.items())
    path = put(tmp_path, "a.png", plain[:33] + more + plain[33:])
    for pixels in (scene(), scene().astype(np.uint16) * 257):
        write_photo(Photo(pixels, metadata=read_photo(path).metadata), tmp_path / "b.png", overwrite=True)
        found = dict(png_chunks((tmp_path / "b.png").read_bytes()))
        assert {name: found[name] for name in chunks} == chunks


def test_comment_and_text_that_a_format_has_no_place_for_are_named(tmp_path: Path) -> None:
    path = put(tmp_path, "a.jpg", coded(scene(), "JPEG", comment=b"after the storm"))
    photo = read_photo(path)
    assert write_photo(photo, tmp_path / "b.jpg") == ()
    assert any("comment" in note for note in write_photo(photo, tmp_path / "b.png"))


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


def test_xmp_in_further_segments_is_dropped_with_a_note_and_no_longer_promised(tmp_path: Path) -> None:
    guid = b"0123456789ABCDEF" * 2
    promise = b'<x:xmpmeta xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="%b" a="1"/>' % guid
    more = b"http://ns.adobe.com/xmp/extension/\0" + guid + struct.pack(">II", 20, 0) + b"the rainy photo 1234"
    segment = b"\xff\xe1" + struct.pack(">H", len(more) + 2) + more
    photo = read_photo(put(tmp_path, "a.jpg", coded(scene(), "JPEG", xmp=promise, extra=segment)))
    assert any("extended XMP" in note for note in photo.notes)
    write_photo(photo, tmp_path / "b.jpg")
    data = (tmp_path / "b.jpg").read_bytes()
    assert b"HasExtendedXMP" not in data and b"rainy photo" not in data and b'a="1"' in data


def test_a_tiff_without_a_resolution_gets_none(tmp_path: Path) -> None:
    photo = read_photo(put(tmp_path, "a.tif", coded(scene(), "TIFF")))
    write_photo(photo, tmp_path / "b.tif")
    assert photo.metadata.dpi is None
    assert read_photo(tmp_path / "b.tif").metadata.dpi is None


def test_a_comment_of_a_gif_is_named(tmp_path: Path) -> None:
    photo = read_photo(put(tmp_path, "a.gif", coded(Image.fromarray(scene()).quantize(16), "GIF", comment=b"hello")))
    assert any("comment" in note for note in write_photo(photo, tmp_path / "b.png"))
    assert write_photo(photo, tmp_path / "b.jpg") == ()
    with Image.open(tmp_path / "b.jpg") as image:
        assert image.info["comment"] == b"hello"
