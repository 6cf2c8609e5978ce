"""Reading clips: timing, orientation, depth, and every way a clip can be broken."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from derain_cli.errors import InputError
from derain_cli.media.clip.reader import open_clip
from tests.media.clip.reading import LONG, cut, difference, read
from tests.sample_clips import picture, times_of, write_clip


def test_frames_come_in_order_with_their_times_and_pictures(tmp_path: Path) -> None:
    frames, reader = read(write_clip(tmp_path / "a.mp4"))
    assert [f.time for f in frames] == pytest.approx([n / 25 for n in range(12)])
    assert all(difference(f.pixels, picture(n)) < 6 for n, f in enumerate(frames))
    assert (reader.info.frames, reader.info.rate, reader.info.duration) == (12, Fraction(25), 0.48)
    assert not reader.warnings and not reader.incomplete


@pytest.mark.fault(71)
def test_a_variable_rate_keeps_every_timestamp(tmp_path: Path) -> None:
    pts = [0, 512, 1100, 1300, 3000, 3100, 3333]
    frames, _ = read(write_clip(tmp_path / "a.mp4", pts=pts))
    assert [f.pts * f.time_base for f in frames] == [Fraction(p, 12800) for p in pts]


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_pictures_come_upright(tmp_path: Path, rotation: int) -> None:
    path = write_clip(tmp_path / "a.mp4", rotation=rotation)
    frames, reader = read(path)
    expected = np.rot90(picture(0), rotation // 90)
    assert frames[0].pixels.shape == expected.shape
    assert difference(frames[0].pixels, expected) < 6
    assert (reader.info.width, reader.info.height) == (expected.shape[1], expected.shape[0])
    assert np.array_equal(reader.info.orientation.coded(reader.info.orientation.upright(picture(0))), picture(0))


def test_ten_bits_come_as_sixteen(tmp_path: Path) -> None:
    frames, reader = read(write_clip(tmp_path / "a.mp4", pix_fmt="yuv420p10le"))
    assert frames[0].pixels.dtype == np.uint16
    assert reader.info.bit_depth == 10
    assert difference(frames[0].pixels / 257, picture(0)) < 6


def test_high_dynamic_range_is_told_and_its_colours_are_right(tmp_path: Path) -> None:
    params = "log-level=none:master-display=G(1,2)B(3,4)R(5,6)WP(7,8)L(10000000,1):max-cll=1000,400"
    options = {"preset": "ultrafast", "crf": "10", "x265-params": params}
    path = write_clip(
        tmp_path / "a.mp4", codec="libx265", pix_fmt="yuv420p10le", options=options, colours=(1, 9, 16, 9), width=64
    )
    frames, reader = read(path)
    info = reader.info
    assert (info.color_range, info.color_primaries, info.color_trc, info.colorspace) == (1, 9, 16, 9)
    assert info.mastering_display is not None and info.content_light is not None
    assert difference(frames[0].pixels / 257, picture(0, 64)) < 6


def test_brightness_is_not_lost_on_the_way(tmp_path: Path) -> None:
    frames, _ = read(write_clip(tmp_path / "a.mp4", options={"qp": "0"}, pix_fmt="yuv444p"))
    assert abs((frames[0].pixels.astype(float) - picture(0)).mean()) < 0.3


def test_alpha_of_vp9_is_read(tmp_path: Path) -> None:
    options = {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime", "auto-alt-ref": "0"}
    path = write_clip(tmp_path / "a.webm", codec="libvpx-vp9", pix_fmt="yuva420p", options=options)
    frames, reader = read(path)
    assert reader.info.has_alpha
    assert frames[0].alpha is not None
    assert difference(frames[0].alpha[0], np.linspace(0, 255, 48)) < 6


@pytest.mark.fault(72)
def test_a_single_frame(tmp_path: Path) -> None:
    frames, reader = read(write_clip(tmp_path / "a.mp4", frames=1))
    assert len(frames) == 1
    assert not reader.warnings


def test_a_start_in_the_middle_gives_the_same_frames(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=80, options={"preset": "ultrafast", "g": "10", "bf": "2"})
    frames, _ = read(path)
    for begin in (0, 1, 29, 55, 79):
        with open_clip(path) as reader:
            rest = list(reader.frames(frames[begin].pts))
        assert [f.pts for f in rest] == [f.pts for f in frames[begin:]]
        assert all(np.array_equal(a.pixels, b.pixels) for a, b in zip(rest, frames[begin:], strict=True))


def test_half_a_matroska_file_is_noticed(tmp_path: Path) -> None:
    frames, reader = read(cut(write_clip(tmp_path / "a.mkv", **LONG), 0.5))
    assert 0 < len(frames) < 50
    assert reader.incomplete
    assert reader.warnings == [f"ended at {len(frames) / 25:.1f} s of 2.0 s"]


@pytest.mark.fault(70)
def test_damage_in_the_middle_keeps_every_timestamp(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", **LONG)
    expected = times_of(path)
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    middle = (begin + data.index(b"moov")) // 2
    data[middle : middle + 600] = np.random.default_rng(0).bytes(600)
    path.write_bytes(data)
    frames, reader = read(path)
    assert [f.pts * f.time_base for f in frames] == expected
    assert not reader.incomplete


def test_packets_that_were_lost_do_not_take_frames_with_them(tmp_path: Path) -> None:
    # The key frame of a group is missing, and with it, without an error, the pictures that depend on it.
    source = write_clip(tmp_path / "a.mkv", **LONG)
    path, kept = tmp_path / "b.mkv", []
    with av.open(str(source)) as file, av.open(str(path), "w") as out:
        track = out.add_stream_from_template(file.streams.video[0])
        keys = itertools.count()
        for packet in file.demux(video=0):
            if packet.size and not (packet.is_keyframe and next(keys) == 2):
                kept.append(packet.pts)
                packet.stream = track
                out.mux(packet)
    frames, reader = read(path)
    assert [f.pts for f in frames] == sorted(p for p in kept if p is not None)
    assert not reader.incomplete


@pytest.mark.fault(75)
def test_a_change_of_size_is_refused_at_its_time(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "one.ts", frames=10).read_bytes()
    later = [6400 + 512 * n for n in range(10)]
    two = write_clip(tmp_path / "two.ts", frames=10, width=64, height=64, pts=later).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(one + two)
    with open_clip(path) as reader, pytest.raises(InputError, match=r"changes from 48x32 to 64x64 at 0\.4 s"):
        list(reader)


def test_frames_that_are_too_large_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too large"):
        open_clip(write_clip(tmp_path / "a.mp4"), max_pixels=1000)
