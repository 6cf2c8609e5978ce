"""Formats, by content and by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from derain_cli.errors import UsageError
from derain_cli.media.photo import (
    READABLE_SUFFIXES,
    WRITABLE_SUFFIXES,
    read_photo,
    write_photo,
)
from tests.media.photo.samples import coded, put, reason, scene


@pytest.mark.fault(9)
def test_the_content_counts_not_the_name(tmp_path: Path) -> None:
    photo = read_photo(put(tmp_path, "a.jpg", coded(scene(), "PNG")))
    assert photo.format == "PNG" and photo.notes == ("the content is PNG, despite the name .jpg",)
    write_photo(photo, tmp_path / "b.jpg")
    assert read_photo(tmp_path / "b.jpg").format == "JPEG"


def test_a_single_frame_gif_is_read_but_gif_is_not_written(tmp_path: Path) -> None:
    photo = read_photo(put(tmp_path, "a.gif", coded(scene(), "GIF")))
    assert photo.format == "GIF" and photo.pixels.shape == (96, 128, 3)
    with pytest.raises(UsageError):
        write_photo(photo, tmp_path / "b.gif")
    assert ".gif" in READABLE_SUFFIXES and ".gif" not in WRITABLE_SUFFIXES


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "EPS"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<svg xmlns='x'/>", "SVG"),
        (b"SIMPLE  =", "FITS"),
    ],
)
@pytest.mark.fault(21)
def test_formats_off_the_list_are_refused_by_name(tmp_path: Path, head: bytes, name: str) -> None:
    why = reason(put(tmp_path, "a.png", head + bytes(200)))
    assert why.startswith("unsupported") and name in why


@pytest.mark.fault(21)
def test_formats_that_pillow_knows_but_we_do_not_list_are_refused(tmp_path: Path) -> None:
    for kind in ("TGA", "PCX", "ICO", "SGI", "IM"):
        assert reason(put(tmp_path, "a.png", coded(scene(), kind))) == "not a readable image"
