"""Holes in Matroska files and transport streams: all are reported, and none for intact clips."""

from __future__ import annotations

import re
from pathlib import Path

import av
import numpy as np
import pytest

from tests.media.clip.damage.breaking import H264, HOLES, KINDS, MS, TICK, VARIABLE, make, read, sound
from tests.sample_clips import write_clip, write_without_duration


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("kind", KINDS)
def test_frames_that_went_with_a_hole_are_counted(tmp_path: Path, kind: str, hole: str) -> None:
    path = make(tmp_path, kind)
    whole, (times, _) = path.read_bytes(), read(path)
    rng, told = np.random.default_rng(len(kind)), 0
    for _ in range(6):
        at, size = (int(rng.integers(len(whole) * a // 10, len(whole) * b // 10)) for a, b in ((2, 6), (1, 2)))
        path.write_bytes(HOLES[hole](whole, at, size, rng))
        found, reader = read(path)
        lost = len(set(times) - set(found))
        text = " / ".join(reader.warnings)
        if reader.incomplete:
            assert "ended at" in text
        elif lost:
            assert f"damaged: {lost} frames are missing after" in text, (at, size)
            told += 1
        assert set(found) <= set(times) or "have been replaced" in text
    assert told or "sound" not in kind


@pytest.mark.parametrize("hole", HOLES)
@pytest.mark.parametrize("kind", VARIABLE)
def test_with_a_variable_rate_a_hole_is_told_without_a_number(tmp_path: Path, kind: str, hole: str) -> None:
    path = make(tmp_path, kind)
    whole, (times, _) = path.read_bytes(), read(path)
    rng = np.random.default_rng(len(kind))
    for _ in range(6):
        at, size = (int(rng.integers(len(whole) * a // 10, len(whole) * b // 10)) for a, b in ((2, 6), (1, 2)))
        path.write_bytes(HOLES[hole](whole, at, size, rng))
        found, reader = read(path)
        if set(times) - set(found):
            assert re.search("damaged: frames may be missing|damaged in places|ended at", " ".join(reader.warnings))


def test_the_time_of_the_first_gap_is_told(tmp_path: Path) -> None:
    path = make(tmp_path, "transport stream")
    whole = path.read_bytes()
    with av.open(str(path)) as file:
        places = {p.pts: p.pos for p in file.demux(video=0) if p.pts is not None and p.pos is not None}
    times = sorted(places)
    path.write_bytes(whole[: places[times[30]]] + whole[places[times[40]] :])  # both are key frames
    found, reader = read(path)
    assert set(times) - set(found) == set(times[30:40])
    after = (times[29] - times[0]) / 90000
    assert reader.warnings == [f"damaged: 10 frames are missing after {after:.1f} s"]


def test_whole_clusters_that_are_missing_are_noticed_by_the_length(tmp_path: Path) -> None:
    path = write_clip(
        tmp_path / "a.mkv", frames=60, time_base=MS, options=H264, container={"cluster_time_limit": "400"}
    )
    data = path.read_bytes()
    clusters = [place.start() for place in re.finditer(b"\x1f\x43\xb6\x75", data)]
    times, _ = read(path)
    path.write_bytes(data[: clusters[2]] + data[clusters[3] :])
    found, reader = read(path)
    lost = len(set(times) - set(found))
    assert lost >= 10
    assert f"damaged: {lost} frames are missing" in reader.warnings[0]


def test_lost_sound_is_told_too(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.ts", frames=60, time_base=TICK, options=H264, audio=["aac"])
    data = path.read_bytes()
    with av.open(str(path)) as file:
        track = file.streams.audio[0].id
    of_sound = [
        at
        for at in range(0, len(data), 188)
        if int.from_bytes(data[at + 1 : at + 3], "big") & 0x5FFF == track  # not the beginning of one
    ]
    at = of_sound[len(of_sound) // 2]
    path.write_bytes(data[:at] + data[at + 188 :])
    found, reader = read(path)
    assert len(found) == 60
    assert reader.warnings == ["damaged in places"]


def test_joined_recordings_and_padding_are_no_damage(tmp_path: Path) -> None:
    options = H264 | {"bf": "0"}
    one = write_clip(tmp_path / "one.ts", frames=25, time_base=TICK, options=options).read_bytes()
    later = [90000 + 3600 * n for n in range(25)]
    two = write_clip(tmp_path / "two.ts", frames=25, time_base=TICK, options=options, pts=later).read_bytes()
    path = tmp_path / "both.ts"
    for joined in (one + two, one + bytes(4096) + two, one + two + bytes(5000), b"\x00" * 1000 + one + two):
        path.write_bytes(joined)
        found, reader = read(path)
        assert len(found) == 50
        assert reader.warnings == [] and not reader.incomplete
    live = write_without_duration(tmp_path / "live.mkv", frames=50, options=H264)
    whole = live.read_bytes()
    for padded in (whole, whole + bytes(10_000)):
        live.write_bytes(padded)
        sound(live)
    closed = write_clip(tmp_path / "c.mkv", time_base=MS)
    one = closed.read_bytes()
    for tail in (bytes(3000), b"junk" * 500):
        closed.write_bytes(one + tail)
        sound(closed)
    closed.write_bytes(one + one)  # FFmpeg continues: the second one starts at zero again
    assert not any("damaged" in warning for warning in read(closed)[1].warnings)


def test_a_recording_that_broke_off_is_incomplete_though_it_declares_no_end(tmp_path: Path) -> None:
    path = write_without_duration(tmp_path / "a.mkv", frames=50, options=H264)
    whole = path.read_bytes()
    for percent in range(30, 100, 7):
        path.write_bytes(whole[: len(whole) * percent // 100])
        found, reader = read(path)
        if len(found) < 50:
            assert reader.incomplete and "ended at" in reader.warnings[-1]
