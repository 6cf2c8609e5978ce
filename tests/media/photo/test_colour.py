"""Colour descriptions by numbers: they are kept, or a profile replaces them, or a note says that neither works."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from derain_cli.media.photo import read_photo, write_photo
from derain_cli.media.photo.colour import CodePoints, read_box, with_box
from derain_cli.media.photo.png import png_chunks
from tests.media.photo.samples import HAS_AVIF, chunk, coded, put, scene

P3, PQ = CodePoints(12, 13), CodePoints(9, 16)
needs_avif = pytest.mark.skipif(not HAS_AVIF, reason="Pillow without AVIF")


def avif(points: CodePoints, **options: object) -> bytes:
    marked = with_box(coded(scene(), "AVIF", quality=90, **options), points)
    assert marked is not None
    return marked


def png(points: CodePoints) -> bytes:
    plain = coded(scene(), "PNG")
    return plain[:33] + chunk(b"cICP", bytes((points.primaries, points.transfer, 0, 1))) + plain[33:]


@needs_avif
@pytest.mark.parametrize("points", [P3, PQ])
def test_numbers_stay_from_avif_to_avif_and_png_and_back(tmp_path: Path, points: CodePoints) -> None:
    photo = read_photo(put(tmp_path, "a.avif", avif(points)))
    assert write_photo(photo, tmp_path / "b.avif") == () == write_photo(photo, tmp_path / "b.png")
    assert read_box((tmp_path / "b.avif").read_bytes()) == points
    chunks = dict(png_chunks((tmp_path / "b.png").read_bytes()))
    assert chunks[b"cICP"] == bytes((points.primaries, points.transfer, 0, 1))
    write_photo(read_photo(tmp_path / "b.png"), tmp_path / "c.avif")
    assert read_box((tmp_path / "c.avif").read_bytes()) == points


@pytest.mark.parametrize("suffix", [".jpg", ".tif", ".webp"])
def test_a_profile_says_the_same_where_numbers_cannot_be_held(tmp_path: Path, suffix: str) -> None:
    photo = read_photo(put(tmp_path, "a.png", png(P3)))
    assert write_photo(photo, tmp_path / f"b{suffix}") == ()
    profile = read_photo(tmp_path / f"b{suffix}").metadata.icc_profile
    assert profile is not None and profile == P3.profile()
    hdr = read_photo(put(tmp_path, "c.png", png(PQ)))
    assert any("BT.2020 PQ" in note for note in write_photo(hdr, tmp_path / f"d{suffix}"))


def test_usual_numbers_say_nothing(tmp_path: Path) -> None:
    for points in (CodePoints(1, 13), CodePoints(1, 1), CodePoints(2, 2)):
        photo = read_photo(put(tmp_path, "a.png", png(points)))
        assert photo.metadata.code_points is None
        assert write_photo(photo, tmp_path / "b.jpg", overwrite=True) == ()
        assert read_photo(tmp_path / "b.jpg").metadata.icc_profile is None


@pytest.mark.parametrize("points", [CodePoints(1, 13), CodePoints(12, 13), CodePoints(9, 4)])
def test_profiles_mean_what_they_are_made_of(points: CodePoints) -> None:
    data = points.profile()
    assert data is not None
    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    assert profile.profile.xcolor_space.strip() == "RGB" and profile.profile.version == pytest.approx(4.3)
    grey = Image.new("RGB", (1, 1), (128, 128, 128))
    seen = ImageCms.profileToProfile(grey, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert seen is not None and np.ptp(np.asarray(seen).astype(int)) <= 1  # grey stays grey
    if points == CodePoints(1, 13):
        picture = Image.fromarray(scene())
        same = ImageCms.profileToProfile(picture, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert same is not None and np.abs(np.asarray(same).astype(int) - scene()).max() <= 2
    if points == P3:  # the green of P3 is outside sRGB: a saturated one is clipped
        green = Image.new("RGB", (1, 1), (0, 255, 0))
        seen = ImageCms.profileToProfile(green, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert seen is not None and seen.getpixel((0, 0)) == (0, 255, 0)
        soft = Image.new("RGB", (1, 1), (100, 160, 100))
        seen = ImageCms.profileToProfile(soft, profile, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert seen is not None
        assert np.abs(np.asarray(seen)[0, 0].astype(int) - (80, 162, 95)).max() <= 2


@needs_avif
@pytest.mark.parametrize("chroma", ["4:2:0", "4:4:4"])
def test_avif_keeps_its_chroma(tmp_path: Path, chroma: str) -> None:
    source = coded(scene(), "AVIF", quality=90, subsampling=chroma)
    write_photo(read_photo(put(tmp_path, "a.avif", source)), tmp_path / "b.avif")
    boxes = [data[data.index(b"av1C") + 6] & 0x0C for data in (source, (tmp_path / "b.avif").read_bytes())]
    assert boxes[0] == boxes[1]
