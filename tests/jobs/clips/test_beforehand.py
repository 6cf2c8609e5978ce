"""Refusals before anything expensive is loaded, and RGB."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derain_cli.config import VideoOptions
from derain_cli.errors import UsageError
from derain_cli.jobs.clips.beforehand import require_encodings
from derain_cli.jobs.items import Item
from derain_cli.media.clip.encoding import choose_encoding
from derain_cli.media.clip.reader import open_clip
from tests.jobs.clips.conftest import good, restore
from tests.sample_clips import write_clip


def require(source: Path, suffix: str, **options: Any) -> None:
    require_encodings([Item(str(source), str(source.with_name(f"out{suffix}")))], VideoOptions(**options))


@pytest.mark.parametrize(
    ("suffix", "codec", "preset", "words"),
    [
        (".mp4", "auto", "quick", "no preset 'quick' for h264: ultrafast"),
        (".mp4", "hevc", "10", "no preset '10' for hevc"),
        (".webm", "auto", "fast", "no preset 'fast' for vp9: -8"),
        (".mp4", "av1", "fast", "no preset 'fast' for av1: 0"),
        (".mp4", "av1", "14", "to 13"),
        (".mov", "prores", "slow", "prores has no presets"),
        (".webm", "h264", None, "does not support h264"),
    ],
)
def test_what_cannot_be_coded_is_refused(
    tmp_path: Path, suffix: str, codec: Any, preset: str | None, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        require(write_clip(tmp_path / "a.mp4", width=64), suffix, codec=codec, preset=preset)


def test_a_picture_too_narrow_for_x265_is_coded_by_another_or_refused(tmp_path: Path) -> None:
    # Up to a width of 48 x265 writes beyond its buffers, and the program dies some time later.
    with pytest.raises(UsageError, match="hevc does not support 48x32 pixels"):
        require(write_clip(tmp_path / "a.mp4", width=48), ".mp4", codec="hevc")
    with open_clip(write_clip(tmp_path / "b.mp4", width=62)) as reader:
        narrow = replace(reader.info, codec="hevc")
    found = choose_encoding(narrow, ".mp4", VideoOptions())
    assert found.codec == "h264" and found.notes == ("hevc does not support 62x32 pixels: using h264",)


@pytest.mark.parametrize(
    ("suffix", "codec", "preset"),
    [
        (".mp4", "auto", "slow"),
        (".mp4", "auto", "8"),
        (".webm", "auto", "-3"),
        (".mp4", "av1", "12"),
        (".mov", "prores", None),
    ],
)
def test_what_can_be_coded_is_not_refused(tmp_path: Path, suffix: str, codec: Any, preset: str | None) -> None:
    require(write_clip(tmp_path / "a.mp4"), suffix, codec=codec, preset=preset)


def test_a_clip_that_cannot_be_read_is_left_for_later(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    require(tmp_path / "a.mp4", ".mp4", preset="slow")


def rgb(path: Path) -> Path:
    return write_clip(path, codec="libx264rgb", pix_fmt="rgb24", options={"preset": "ultrafast", "crf": "0"}, width=64)


@pytest.mark.parametrize(
    ("suffix", "codec", "most"), [("mkv", "ffv1", 0), ("mp4", "auto", 4), ("mkv", "auto", 4), ("mp4", "hevc", 4)]
)
def test_rgb_stays_where_the_codec_has_it(tmp_path: Path, suffix: str, codec: Any, most: int) -> None:
    source, target = rgb(tmp_path / "a.mp4"), tmp_path / f"b.{suffix}"
    outcome = good(restore(source, target, codec=codec, crf=1, preset=None if codec == "ffv1" else "ultrafast"))
    assert outcome.notes == ()
    with open_clip(source) as a, open_clip(target) as b:
        assert a.info.pix_fmt == "gbrp" and b.info.pix_fmt in ("gbrp", "bgr0")
        for one, other in zip(a, b, strict=True):
            assert np.abs(one.pixels.astype(int) - other.pixels).mean() <= most


def test_rgb_that_is_coded_otherwise_is_told(tmp_path: Path) -> None:
    outcome = good(restore(rgb(tmp_path / "a.mp4"), tmp_path / "b.mov", codec="prores", preset=None))
    assert any("RGB is converted to yuv4" in note for note in outcome.notes)
