"""TIFF files as written by scanners, cameras and editors."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter, TiffImagePlugin

from derain_cli.errors import InputError
from derain_cli.media.photo import Photo, probe_photo, read_photo, write_photo
from derain_cli.media.photo.iptc import iptc_from_photoshop, photoshop_from_iptc
from tests.media.photo.samples import coded, noise, put, reason, scene

Entry = tuple[int, int, Any]
"""Tag, type (1 bytes, 2 text, 3 and 4 numbers, 5 rationals as pairs, 7 bytes), value."""


def tiff(entries: list[Entry], strips: list[bytes], order: str = "<", more: list[Entry] | None = None) -> bytes:
    """A TIFF built by hand: `strips` one after the other, then a directory; `more` is a subdirectory."""
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "H", 42)
    body, places = b"", []
    for strip in strips:
        places.append(8 + len(body))
        body += strip + bytes(len(strip) % 2)
    if more is not None:
        entries = [*entries, (330, 4, [8 + len(body)])]
        body += directory(more, 8 + len(body), order)
    entries = [*entries, (273, 4, places), (279, 4, [len(strip) for strip in strips])]
    start = 8 + len(body)
    return head + struct.pack(order + "I", start) + body + directory(entries, start, order)


def directory(entries: list[Entry], start: int, order: str) -> bytes:
    out, beyond = struct.pack(order + "H", len(entries)), b""
    for tag, kind, value in sorted(entries, key=lambda entry: entry[0]):
        if kind in (1, 2, 7):
            data, count = value, len(value)
        elif kind == 5:
            data, count = struct.pack(f"{order}{len(value)}I", *value), len(value) // 2
        else:
            data, count = struct.pack(f"{order}{len(value)}{'H' if kind == 3 else 'I'}", *value), len(value)
        if len(data) > 4:
            place = start + 2 + 12 * len(entries) + 4 + len(beyond)
            beyond += data + bytes(len(data) % 2)
            data = struct.pack(order + "I", place)
        out += struct.pack(order + "HHI", tag, kind, count) + data.ljust(4, b"\0")
    return out + bytes(4) + beyond


def plain(pixels: np.ndarray, *more: Entry, order: str = "<", sub: list[Entry] | None = None) -> bytes:
    """Uncompressed, one strip."""
    height, width, channels = pixels.shape
    entries: list[Entry] = [(256, 3, [width]), (257, 3, [height]), (258, 3, [8 * pixels.itemsize] * channels)]
    entries += [(259, 3, [1]), (262, 3, [2 if channels > 2 else 1]), (277, 3, [channels]), (278, 3, [height])]
    own = {tag for tag, _, _ in more}
    data = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    return tiff([*(e for e in entries if e[0] not in own), *more], [data], order, sub)


@pytest.mark.parametrize("code", ["group3", "group4"])
def test_a_damaged_fax_is_refused_and_libtiff_keeps_its_words(
    tmp_path: Path, code: str, capfd: pytest.CaptureFixture[str]
) -> None:
    page = Image.fromarray(scene(128, 160)[..., 0] // 2 + 60).filter(ImageFilter.GaussianBlur(3)).convert("1", dither=0)
    sound = coded(page, "TIFF", compression=code)
    photo = read_photo(put(tmp_path, "a.tif", sound))
    assert photo.grey and photo.notes == ()
    with Image.open(io.BytesIO(sound)) as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        place, length = image.tag_v2[273][0], image.tag_v2[279][0]
    refused = 0
    for seed in range(8):
        damaged = bytearray(sound)
        middle = place + length // 3
        damaged[middle : middle + length // 2] = np.random.default_rng(seed).bytes(length // 2)
        path = put(tmp_path, "b.tif", bytes(damaged))
        with suppress(InputError):
            read_photo(path)
            continue
        refused += 1
    assert refused >= 4  # by chance, code words can have the same length
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("strips", [1, 3])
@pytest.mark.parametrize("channels", [3, 4])
def test_16_bits_stay_where_each_channel_is_stored_by_itself(
    tmp_path: Path, order: str, strips: int, channels: int
) -> None:
    pixels = noise(12, 10, channels, np.uint16)
    planes = [pixels[..., c].astype(pixels.dtype.newbyteorder(order)) for c in range(channels)]
    parts = [plane[n : n + 12 // strips].tobytes() for plane in planes for n in range(0, 12, 12 // strips)]
    entries: list[Entry] = [(256, 3, [10]), (257, 3, [12]), (258, 3, [16] * channels), (259, 3, [1]), (262, 3, [2])]
    entries += [(277, 3, [channels]), (278, 3, [12 // strips]), (284, 3, [2])]
    if channels == 4:
        entries.append((338, 3, [2]))
    photo = read_photo(put(tmp_path, "a.tif", tiff(entries, parts, order)))
    assert photo.pixels.dtype == np.uint16 and photo.notes == ()
    assert np.array_equal(photo.pixels, pixels[..., :3])
    assert channels == 3 or (photo.alpha is not None and np.array_equal(photo.alpha, pixels[..., 3]))


def test_16_bits_stay_where_alpha_is_multiplied_in(tmp_path: Path) -> None:
    pixels, alpha = noise(12, 10, 3, np.uint16), noise(12, 10, 1, np.uint16, seed=1)
    alpha[:3] = 65535
    product = np.rint(pixels * (alpha[..., None] / 65535)).astype(np.uint16)
    photo = read_photo(put(tmp_path, "a.tif", plain(np.dstack([product, alpha]), (338, 3, [1]))))
    assert photo.notes == () and photo.alpha is not None and np.array_equal(photo.alpha, alpha)
    assert np.array_equal(photo.pixels[:3], pixels[:3])
    seen = np.abs(photo.pixels.astype(float) - pixels) * (alpha[..., None] / 65535)
    assert seen.max() <= 1


def test_colour_tags_and_text_stay_as_they_are(tmp_path: Path) -> None:
    white, primaries = [3127, 10000, 3290, 10000], [64, 100, 33, 100, 21, 100, 71, 100, 15, 100, 6, 100]
    words = {270: "Regen über Łódź – 雨".encode(), 315: "Zoë Ångström".encode(), 33432: "© Someone".encode("latin-1")}
    curve = [min(65535, 257 * n) for n in range(256)] * 3
    tags: list[Entry] = [(tag, 2, text + b"\0") for tag, text in words.items()]
    tags += [(318, 5, white), (319, 5, primaries), (301, 3, curve)]
    photo = read_photo(put(tmp_path, "a.tif", plain(scene(), *tags)))
    assert write_photo(photo, tmp_path / "b.tif") == ()
    data = (tmp_path / "b.tif").read_bytes()
    assert all(text + b"\0" in data for text in words.values())
    with Image.open(tmp_path / "b.tif") as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile)
        assert [float(v) for v in image.tag_v2[318]] == pytest.approx([0.3127, 0.3290])
        assert [float(v) for v in image.tag_v2[319]] == pytest.approx([0.64, 0.33, 0.21, 0.71, 0.15, 0.06])
        assert list(image.tag_v2[301]) == curve
    for suffix in (".jpg", ".png"):  # EXIF contains the text, too
        write_photo(photo, tmp_path / f"b{suffix}")
        assert all(text + b"\0" in (tmp_path / f"b{suffix}").read_bytes() for text in words.values())
        back = read_photo(tmp_path / f"b{suffix}")
        write_photo(back, tmp_path / f"c{suffix}.tif")
        assert all(text + b"\0" in (tmp_path / f"c{suffix}.tif").read_bytes() for text in words.values())


def test_a_transfer_function_of_another_depth_is_left_out(tmp_path: Path) -> None:
    photo = read_photo(put(tmp_path, "a.tif", plain(scene(), (301, 3, list(range(256)) * 3))))
    write_photo(Photo(photo.pixels.astype(np.uint16) * 257, metadata=photo.metadata), tmp_path / "b.tif")
    with Image.open(tmp_path / "b.tif") as image:
        assert isinstance(image, TiffImagePlugin.TiffImageFile) and 301 not in image.tag_v2


@pytest.mark.parametrize("kind", ["bytes", "numbers"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_captions_stay_between_tiff_and_jpeg(tmp_path: Path, kind: str, order: str) -> None:
    captions = b"\x1c\x02\x5a\x00\x04\xc5\x81\xc3\xb3\x1c\x02\x78\x00\x03Wet"  # city and caption
    captions += bytes(-len(captions) % 4)
    entry: Entry = (33723, 7, captions)
    if kind == "numbers":  # as Photoshop has always written them: byte-swapped, like numbers
        entry = (33723, 4, list(struct.unpack(f"<{len(captions) // 4}I", captions)))
    photo = read_photo(put(tmp_path, "a.tif", plain(scene(), entry, order=order)))
    names = ["b.tif", "c.jpg", "d.tif"]
    for name in names:
        assert write_photo(photo, tmp_path / name) == ()
        assert captions in (tmp_path / name).read_bytes()
        photo = read_photo(tmp_path / name)
    assert any("IPTC" in note for note in write_photo(photo, tmp_path / "e.png"))


def test_small_copies_among_photoshops_resources_are_left_out(tmp_path: Path) -> None:
    captions = photoshop_from_iptc(b"\x1c\x02\x78\x00\x03Wet")
    assert captions is not None
    preview = b"8BIM" + struct.pack(">HHI", 0x040C, 0, 9) + b"rainy pic\0"
    photo = read_photo(put(tmp_path, "a.tif", plain(scene(), (34377, 1, preview + captions))))
    assert photo.metadata.photoshop == captions
    assert iptc_from_photoshop(captions) == b"\x1c\x02\x78\x00\x03Wet"


@pytest.mark.parametrize("kind", ["dng", "sensor below", "linear below", "sensor"])
def test_camera_raw_is_refused_not_taken_for_its_preview(tmp_path: Path, kind: str) -> None:
    more: list[Entry] = [(254, 4, [1])]
    below: list[Entry] | None = None
    if kind == "dng":
        more.append((50706, 1, b"\x01\x04\0\0"))
    elif kind == "sensor":
        more.append((262, 3, [32803]))
    else:
        below = [(256, 3, [192]), (257, 3, [128]), (262, 3, [32803 if kind == "sensor below" else 34892])]
    path = put(tmp_path, "a.tif", plain(scene(24, 32), *more, sub=below))
    assert "camera RAW" in reason(path)
    with pytest.raises(InputError, match="develop"):
        probe_photo(path)


@pytest.mark.parametrize(
    "head", [b"II*\0\x10\0\0\0CR\x02\0", b"IIRO\x08\0\0\0", b"FUJIFILMCCD-RAW 0201", b"\0\0\0\x18ftypcrx "]
)
def test_raw_files_that_are_no_tiff_are_named_too(tmp_path: Path, head: bytes) -> None:
    assert "camera RAW" in reason(put(tmp_path, "a.jpg", head + bytes(100)))


@pytest.mark.parametrize("main", [0, 1])
def test_previews_behind_the_photo_are_no_pages(tmp_path: Path, main: int) -> None:
    picture, small = Image.fromarray(scene()), Image.fromarray(scene(24, 32))
    pages = []
    for image, preview in ((picture, False), (small, True)) if main == 0 else ((small, True), (picture, False)):
        info = TiffImagePlugin.ImageFileDirectory_v2()
        info[254] = int(preview)
        pages.append((image, info))
    stream = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(stream, True) as writer:
        for image, info in pages:
            image.save(writer, "TIFF", tiffinfo=info)
            writer.newFrame()
    path = put(tmp_path, "a.tif", stream.getvalue())
    photo = read_photo(path)
    assert np.array_equal(photo.pixels, scene()) and any("main picture" in note for note in photo.notes)
    assert (probe_photo(path).height, probe_photo(path).width) == (96, 128)


def test_floating_point_is_named_in_colour_too(tmp_path: Path) -> None:
    pixels = scene(8, 8).astype(np.float32)
    path = put(tmp_path, "a.tif", plain(pixels, (339, 3, [3, 3, 3])))
    assert "floating-point" in reason(path)
    assert "floating-point" in reason(put(tmp_path, "b.tif", coded(pixels[..., 0], "TIFF")))


@pytest.mark.parametrize("mode", ["L", "1"])
def test_grey_bmp_stays_one_channel(tmp_path: Path, mode: str) -> None:
    path = put(tmp_path, "a.bmp", coded(Image.fromarray(scene()[..., 0]).convert(mode), "BMP"))
    photo = read_photo(path)
    assert write_photo(photo, tmp_path / "b.bmp") == ()
    with Image.open(tmp_path / "b.bmp") as image:
        assert image.mode == "L" and np.array_equal(np.asarray(image), photo.pixels[..., 0])
