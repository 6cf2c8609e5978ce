"""Data that phones append to a JPEG."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from derain_cli.media.photo import read_photo, write_photo
from derain_cli.media.photo.jpeg import jpeg_end, jpeg_head
from derain_cli.media.photo.packed import look_behind, without_directory
from tests.media.photo.samples import coded, exif, put, scene

RDF = 'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
GCAMERA = 'xmlns:GCamera="http://ns.google.com/photos/1.0/camera/"'
CONTAINER = (
    'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"'
)
HDRGM = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"'
ISO = b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0"
CLIP = b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + bytes(500)


def xmp(attributes: str, inside: str = "") -> bytes:
    text = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF {RDF}><rdf:Description rdf:about="" {attributes}>{inside}'
    return (text + "</rdf:Description></rdf:RDF></x:xmpmeta>").encode()


def container(*items: tuple[str, int]) -> str:
    inside = "".join(
        f'<rdf:li rdf:parseType="Resource"><Container:Item Item:Semantic="{name}" Item:Length="{length}"/></rdf:li>'
        for name, length in (("Primary", 0), *items)
    )
    return f"<Container:Directory><rdf:Seq>{inside}</rdf:Seq></Container:Directory>"


def gain_map(height: int = 48, width: int = 64) -> bytes:
    """A small grey JPEG whose XMP describes its role."""
    own = xmp(f'{HDRGM} hdrgm:Version="1.0" hdrgm:GainMapMax="2.5"')
    return coded(scene(height, width)[..., 0], "JPEG", quality=95, xmp=own)


def ultra_hdr(small: bytes, orientation: int = 1, iso: bool = False, clip: bytes = b"") -> bytes:
    items = [("GainMap", len(small))] + ([("MotionPhoto", len(clip))] if clip else [])
    about = xmp(f'{HDRGM} {GCAMERA} {CONTAINER} hdrgm:Version="1.0" GCamera:MotionPhoto="1"', container(*items))
    extra = b"\xff\xe2" + struct.pack(">H", len(ISO) + 2) + ISO if iso else b""
    main = coded(scene(), "JPEG", xmp=about, exif=exif(orientation), extra=extra)
    return main + small + clip


def parts(data: bytes) -> tuple[Image.Image, Image.Image]:
    """Both pictures, the second one found through the index, as decoders do (CIPA DC-007)."""
    index = next(body for code, body in jpeg_head(data) if code == 0xE2 and body.startswith(b"MPF\0"))
    place = data.index(index) + 4
    size, offset = struct.unpack_from("<II", index, 4 + 50 + 16 + 4)
    first = struct.unpack_from("<I", index, 4 + 50 + 4)[0]
    second = data[place + offset :][:size]
    assert first == place + offset and data.endswith(second)
    return Image.open(io.BytesIO(data)), Image.open(io.BytesIO(second))


@pytest.mark.parametrize("iso", [False, True])
def test_a_gain_map_stays_with_what_decoders_find_it_by(tmp_path: Path, iso: bool) -> None:
    small = gain_map()
    photo = read_photo(put(tmp_path, "a.jpg", ultra_hdr(small, iso=iso)))
    assert photo.notes == () and write_photo(photo, tmp_path / "b.jpg") == ()
    data = (tmp_path / "b.jpg").read_bytes()
    main, second = parts(data)
    assert main.size == (128, 96) and data.endswith(small) and second.size == (64, 48)
    told = main.info["xmp"]
    assert told.count(b'Semantic="GainMap"') == 1 and f'Item:Length="{len(small)}"'.encode() in told
    assert b"hdrgm:Version" in told and b"MotionPhoto" not in told
    assert (ISO in data) == iso
    again = read_photo(tmp_path / "b.jpg")  # we can read what we write
    assert again.metadata.gain_map is not None and again.metadata.gain_map.jpeg == small


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_gain_map_is_turned_with_its_picture(tmp_path: Path, orientation: int) -> None:
    small = gain_map()
    write_photo(read_photo(put(tmp_path, "a.jpg", ultra_hdr(small, orientation))), tmp_path / "b.jpg")
    _, second = parts((tmp_path / "b.jpg").read_bytes())
    assert b'hdrgm:GainMapMax="2.5"' in second.info["xmp"]
    wanted = Image.open(io.BytesIO(small))
    wanted.getexif()[0x0112] = orientation
    upright = ImageOps.exif_transpose(wanted)
    assert second.size == upright.size
    assert np.abs(np.asarray(second).astype(int) - np.asarray(upright)).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".tif", ".webp"])
def test_a_gain_map_that_cannot_go_along_is_named_and_no_longer_spoken_of(tmp_path: Path, suffix: str) -> None:
    photo = read_photo(put(tmp_path, "a.jpg", ultra_hdr(gain_map())))
    assert any("HDR gain map" in note for note in write_photo(photo, tmp_path / f"b{suffix}"))
    data = (tmp_path / f"b{suffix}").read_bytes()
    assert b"GainMap" not in data and b"hdrgm:Version" not in data


def test_a_damaged_gain_map_is_dropped_with_a_note(tmp_path: Path) -> None:
    small = gain_map()
    broken = small.replace(b"\xff\xc0", b"\xff\xc3")  # a JPEG variant that no decoder supports
    photo = read_photo(put(tmp_path, "a.jpg", ultra_hdr(broken, orientation=6)))
    assert photo.metadata.gain_map is None and any("damaged HDR" in note for note in photo.notes)


@pytest.mark.parametrize(
    "about",
    [
        xmp(f'{GCAMERA} GCamera:MicroVideo="1" GCamera:MicroVideoOffset="524" {GCAMERA}'),
        xmp(f'{GCAMERA} {CONTAINER} GCamera:MotionPhoto="1"', container(("MotionPhoto", 524))),
        xmp(
            GCAMERA,
            "<GCamera:MotionPhoto>1</GCamera:MotionPhoto><GCamera:MotionPhotoVersion>1</GCamera:MotionPhotoVersion>",
        ),
    ],
)
def test_a_clip_behind_the_picture_is_left_out_and_no_longer_spoken_of(tmp_path: Path, about: bytes) -> None:
    photo = read_photo(put(tmp_path, "a.jpg", coded(scene(), "JPEG", xmp=about) + CLIP))
    assert any("motion photo" in note for note in photo.notes)
    write_photo(photo, tmp_path / "b.jpg")
    data = (tmp_path / "b.jpg").read_bytes()
    assert b"ftyp" not in data and b"MotionPhoto" not in data and b"MicroVideo" not in data


def test_a_clip_behind_a_gain_map_goes_and_the_gain_map_stays(tmp_path: Path) -> None:
    small = gain_map()
    photo = read_photo(put(tmp_path, "a.jpg", ultra_hdr(small, clip=CLIP)))
    assert photo.metadata.gain_map is not None and any("motion photo" in note for note in photo.notes)


def test_xmp_that_speaks_of_nothing_packed_stays_byte_for_byte() -> None:
    plain = xmp('xmlns:dc="http://purl.org/dc/elements/1.1/" dc:title="MotionPhoto of a Directory"', "<dc:x>1</dc:x>")
    assert without_directory(plain) == plain


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_the_end_of_a_jpeg_is_found_whatever_lies_behind(options: dict[str, bool]) -> None:
    one = coded(scene(), "JPEG", exif=exif(), **options)
    assert jpeg_end(one) == len(one) == jpeg_end(one + one) == jpeg_end(one + b"\xff\xd9junk")
    found = look_behind(one + one + bytes(100))
    assert (found.pictures, found.clip, found.gain_map, found.other) == (1, False, None, 0)
    assert jpeg_end(one[:-2]) == 0


def test_small_copies_in_xmp_are_left_out(tmp_path: Path) -> None:
    about = xmp(
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/"', "<xmp:Thumbnails><rdf:Alt>rainy</rdf:Alt></xmp:Thumbnails><xmp:a/>"
    )
    kept = read_photo(put(tmp_path, "a.jpg", coded(scene(), "JPEG", xmp=about))).metadata.xmp
    assert kept is not None and b"rainy" not in kept and b"<xmp:a/>" in kept
