"""Invalid time tables."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest

from derain_cli.media.clip.reader import open_clip
from derain_cli.media.clip.tables import mends_of
from tests.sample_clips import write_clip

OPTIONS = {"preset": "ultrafast", "bf": "0", "g": "12"}


def with_table(path: Path, *entries: tuple[int, int]) -> Path:
    """A clip of 30 frames whose time table is replaced by one with a single entry."""
    write_clip(path, frames=30, options=OPTIONS)
    data = bytearray(path.read_bytes())
    at = data.index(b"stts") + 8
    assert struct.unpack(">I", data[at : at + 4])[0] == 1
    data[at : at + 12] = struct.pack(">III", 1, *entries[0])
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("entry", [(30, 0), (30, 0x7FFFFFFF), (30, 0xFFFFFF00), (10, 512)])
def test_all_frames_come_at_the_usual_rate(tmp_path: Path, entry: tuple[int, int]) -> None:
    with open_clip(with_table(tmp_path / "a.mp4", entry)) as clip:
        assert [round(frame.seconds, 4) for frame in clip] == [round(n / 25, 4) for n in range(30)]
    assert not clip.incomplete
    assert clip.warnings == ["the time table of the file is broken: a constant rate is assumed"]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"pts": [0, 1, 2, 3, 12800 * 50, 12800 * 50 + 512], "options": {"bf": "0"}},
        {"frames": 1},
        {"frames": 6, "pts": [128000 * n for n in range(6)], "options": {"bf": "0"}},  # a picture every ten seconds
        {"container": {"movflags": "frag_keyframe+empty_moov"}},
    ],
)
def test_unusual_times_that_are_true_are_left_alone(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert mends_of(write_clip(tmp_path / "a.mp4", **changes)) == []


@pytest.mark.parametrize(
    "content", [b"", b"\0\0\0\x08moov", b"\0\0\0\x20ftypisom" + bytes(60), b"\0\0\0\x10moov\0\0\0\x01trak"]
)
def test_what_is_no_file_of_the_kind_is_left_to_the_demuxer(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert mends_of(path) == []
