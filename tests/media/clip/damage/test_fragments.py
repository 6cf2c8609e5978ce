"""Fragmented MP4 files that are truncated or have a damaged fragment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.media.clip.reading import FRAGMENTED, LONG, read
from tests.sample_clips import write_clip


@pytest.mark.parametrize("flags", [FRAGMENTED, "frag_keyframe", "frag_keyframe+empty_moov+separate_moof"])
@pytest.mark.fault(69)
def test_a_fragmented_file_that_breaks_off_is_noticed_wherever_it_does(tmp_path: Path, flags: str) -> None:
    path = write_clip(tmp_path / "a.mp4", container={"movflags": flags}, audio=["aac"], **LONG)
    frames, reader = read(path)
    assert len(frames) == 50 and not reader.incomplete and not reader.warnings
    times = [f.pts for f in frames]
    whole = path.read_bytes()
    for percent in range(45, 100, 3):
        path.write_bytes(whole[: len(whole) * percent // 100])
        frames, reader = read(path)
        assert 0 < len(frames) <= 50
        assert reader.incomplete and "ended at" in reader.warnings[-1], percent
        assert [f.pts for f in frames] == times[: len(frames)]


def test_a_fragment_that_is_passed_over_is_noticed(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", container={"movflags": FRAGMENTED}, **LONG)
    data = bytearray(path.read_bytes())
    third = [place for place in range(len(data)) if data[place : place + 4] == b"moof"][2]
    data[third - 4 : third + 40] = bytes(44)
    path.write_bytes(data)
    frames, reader = read(path)
    assert 0 < len(frames) < 50
    assert reader.incomplete
