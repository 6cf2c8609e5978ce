"""PNG files: missing rows, excessive text."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derain_cli.errors import InputError
from derain_cli.media.photo import (
    read_photo,
)
from tests.media.photo.samples import chunk, coded, png, put, reason, scene


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


@pytest.mark.fault(13)
def test_text_payloads_in_png_are_dropped_with_a_note(tmp_path: Path) -> None:
    body = coded(scene(), "PNG")
    payload = chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(50_000_000), 1))
    photo = read_photo(put(tmp_path, "a.png", body[:33] + payload + body[33:]))
    assert any("text dropped" in n for n in photo.notes) and np.array_equal(photo.pixels, scene())
    many = b"".join(chunk(b"tEXt", b"k%d\0value" % n) for n in range(100_000))
    photo = read_photo(put(tmp_path, "b.png", body[:33] + many + body[33:]))
    assert any("text dropped" in n for n in photo.notes) and photo.metadata.text == ()
