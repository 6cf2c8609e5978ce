"""JPEG files without end marker: read if no part of the picture is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derain_cli.errors import InputError
from derain_cli.media.photo import (
    read_photo,
)
from tests.media.photo.samples import coded, put, scene

JPEG_KINDS: list[dict[str, Any]] = [
    {},
    {"progressive": True},
    {"restart_marker_rows": 1},
    {"subsampling": 0, "restart_marker_blocks": 3},
    {"progressive": True, "restart_marker_rows": 2},
    {"quality": 100, "optimize": True},
]


@pytest.mark.parametrize("options", JPEG_KINDS)
@pytest.mark.fault(5)
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
        else:  # the last bits of a scan may be padding: then no part of the picture is missing
            assert cut > len(data) - 8 and np.array_equal(photo.pixels, whole), cut
