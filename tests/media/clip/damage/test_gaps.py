"""Holes in Matroska files and transport streams: every one is told, and no whole clip is reported."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from derain_cli.media.clip.damage.holes import holes
from derain_cli.media.clip.reader import ClipReader, open_clip
from tests.sample_clips import write_clip, write_without_duration

MS, TICK = Fraction(1, 1000), Fraction(1, 90000)
H264: dict[str, str] = {"preset": "ultrafast", "g": "10", "bf": "2"}
VP9: dict[str, str] = {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime", "g": "20"}


def uneven(base: Fraction, frames: int = 60) -> list[int]:
    """Timestamps of a clip with a variable rate: 10 to 120 ms apart."""
    steps = np.random.default_rng(5).integers(int(0.01 / base), int(0.12 / base), frames)
    return [int(pts) for pts in np.cumsum(steps)]


def thinned(base: Fraction, frames: int = 60) -> list[int]:
    """Timestamps at a constant rate where frames that change nothing were left out on purpose."""
    places = sorted(np.random.default_rng(6).choice(3 * frames, frames, replace=False).tolist())
    return [round(place / (25 * base)) for place in places]


KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "matroska": ("mkv", {"time_base": MS}),
    "matroska, with sound, short clusters": (
        "mkv",
        {"time_base": MS, "audio": ["aac"], "container": {"cluster_time_limit": "300"}},
    ),
    "matroska, 29.97 frames": ("mkv", {"time_base": MS, "pts": [round(n * 1001 / 30) for n in range(60)]}),
    "matroska, index in front": ("mkv", {"time_base": MS, "container": {"cues_to_front": "1"}}),
    "webm": ("webm", {"time_base": MS, "codec": "libvpx-vp9", "options": VP9}),
    "transport stream": ("ts", {"time_base": TICK}),
    "transport stream, with sound": ("ts", {"time_base": TICK, "audio": ["aac"]}),
    "transport stream of a camcorder": ("m2ts", {"time_base": TICK, "audio": ["ac3"]}),
}
VARIABLE: dict[str, tuple[str, dict[str, Any]]] = {
    f"{suffix}, {name}": (suffix, {"time_base": base, "pts": times(base), "options": H264 | {"bf": "0"}})
    for suffix, base in (("mkv", MS), ("ts", TICK))
    for name, times in (("variable rate", uneven), ("frames left out", thinned))
}


def make(folder: Path, kind: str) -> Path:
    suffix, changes = (KINDS | VARIABLE)[kind]
    return write_clip(folder / f"a.{suffix}", **({"frames": 60, "width": 96, "height": 64, "options": H264} | changes))


def read(path: Path) -> tuple[list[int], ClipReader]:
    with open_clip(path) as reader:
        return [frame.pts for frame in reader], reader


def sound(path: Path) -> None:
    """Nothing is said of it."""
    _, reader = read(path)
    assert reader.warnings == [] and not reader.incomplete


HOLES: dict[str, Callable[[bytes, int, int, np.random.Generator], bytes]] = {
    "zeros": lambda data, at, size, rng: data[:at] + bytes(size) + data[at + size :],
    "noise": lambda data, at, size, rng: data[:at] + rng.bytes(size) + data[at + size :],
    "cut out": lambda data, at, size, rng: data[:at] + data[at + size :],
}


@pytest.mark.parametrize("kind", KINDS | VARIABLE)
def test_a_whole_clip_is_never_reported(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    sound(path)
    with av.open(str(path)) as file:
        container = file.format.name
    assert [hole for _, hole in holes(path, container) if hole is not None] == []


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
        assert set(found) <= set(times) or "made up" in text
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
    closed.write_bytes(one + one)  # FFmpeg reads on: the second begins at zero again
    assert not any("damaged" in warning for warning in read(closed)[1].warnings)


def test_a_recording_that_broke_off_is_incomplete_though_it_declares_no_end(tmp_path: Path) -> None:
    path = write_without_duration(tmp_path / "a.mkv", frames=50, options=H264)
    whole = path.read_bytes()
    for percent in range(30, 100, 7):
        path.write_bytes(whole[: len(whole) * percent // 100])
        found, reader = read(path)
        if len(found) < 50:
            assert reader.incomplete and "ended at" in reader.warnings[-1]


def test_the_walk_begins_anywhere(tmp_path: Path) -> None:
    for kind in ("matroska, with sound, short clusters", "transport stream, with sound"):
        path = make(tmp_path, kind)
        data = path.read_bytes()
        at = len(data) * 6 // 10
        path.write_bytes(data[:at] + bytes(900) + data[at + 900 :])
        with av.open(str(path)) as file:
            name = file.format.name
        found = [hole.position for _, hole in holes(path, name) if hole is not None]
        assert found and all(at - 3000 < place <= at + 6000 for place in found)
        for start in range(0, at - 4000, 977):
            assert [h.position for _, h in holes(path, name, start) if h is not None] == found
        assert [h for _, h in holes(path, name, found[-1] + 4000) if h is not None] == []
