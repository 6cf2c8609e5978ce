"""Reading clips: timing, orientation, depth, and every way a clip can be broken."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from derain_cli.errors import InputError
from derain_cli.media.clip.info import Orientation
from derain_cli.media.clip.reader import ClipReader, Frame, open_clip
from tests.sample_clips import picture, times_of, write_clip, write_sound, write_without_duration

LONG: dict[str, Any] = {"frames": 50, "options": {"preset": "ultrafast", "g": "10"}}


def read(path: str | Path) -> tuple[list[Frame], ClipReader]:
    with open_clip(path) as reader:
        return list(reader), reader


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def difference(a: Any, b: Any) -> float:
    return float(np.abs(a.astype(float) - b.astype(float)).mean())


def test_frames_come_in_order_with_their_times_and_pictures(tmp_path: Path) -> None:
    frames, reader = read(write_clip(tmp_path / "a.mp4"))
    assert [f.time for f in frames] == pytest.approx([n / 25 for n in range(12)])
    assert all(difference(f.pixels, picture(n)) < 6 for n, f in enumerate(frames))
    assert (reader.info.frames, reader.info.rate, reader.info.duration) == (12, Fraction(25), 0.48)
    assert not reader.warnings and not reader.incomplete


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


def test_all_eight_orientations_are_undone() -> None:
    array = np.arange(12).reshape(3, 4)
    for bits in itertools.product([False, True], repeat=3):
        turn = Orientation(*bits)
        assert np.array_equal(turn.coded(turn.upright(array)), array)


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


def test_odd_sizes_and_pixel_aspect(tmp_path: Path) -> None:
    options = {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime"}
    frames, _ = read(write_clip(tmp_path / "a.webm", codec="libvpx-vp9", width=49, height=33, options=options))
    assert frames[0].pixels.shape == (33, 49, 3)
    _, reader = read(write_clip(tmp_path / "b.mp4", pixel_aspect=Fraction(4, 3)))
    assert reader.info.pixel_aspect == Fraction(4, 3)


def test_a_single_frame(tmp_path: Path) -> None:
    frames, reader = read(write_clip(tmp_path / "a.mp4", frames=1))
    assert len(frames) == 1
    assert not reader.warnings


def test_a_missing_duration_is_none(tmp_path: Path) -> None:
    frames, reader = read(write_without_duration(tmp_path / "a.mkv"))
    assert len(frames) == 12
    assert reader.info.duration is None and reader.info.frames is None
    assert not reader.incomplete


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


FRAGMENTED = "frag_keyframe+empty_moov+default_base_moof"


@pytest.mark.parametrize("flags", [FRAGMENTED, "frag_keyframe", "frag_keyframe+empty_moov+separate_moof"])
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
    # The key frame of a group is gone, and with it, without an error, what the decoder cannot make from nothing.
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


def test_a_change_of_size_is_refused_at_its_time(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "one.ts", frames=10).read_bytes()
    later = [6400 + 512 * n for n in range(10)]
    two = write_clip(tmp_path / "two.ts", frames=10, width=64, height=64, pts=later).read_bytes()
    path = tmp_path / "both.ts"
    path.write_bytes(one + two)
    with open_clip(path) as reader, pytest.raises(InputError, match=r"changes from 48x32 to 64x64 at 0\.4 s"):
        list(reader)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("zero.mp4", b"", "empty file"),
        ("junk.mp4", bytes(range(256)) * 40, "not a readable clip"),
        ("text.mp4", b"hello\n" * 500, "not a readable clip"),
        ("text.txt", b"hello\n" * 500, "no kind of clip"),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:1,\nhttp://localhost/a.ts\n", "cannot open video"),
        ("list.ffconcat", b"ffconcat version 1.0\nfile /etc/hostname\n", "cannot open video"),
    ],
)
def test_what_is_no_clip_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, reason: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"cannot open video: .*{reason}|{reason}") as caught:
        open_clip(path)
    assert "\n" not in str(caught.value)
    assert caught.value.path == path


def test_a_folder_a_missing_file_sound_alone_and_half_an_mp4_are_refused(tmp_path: Path) -> None:
    for path, reason in [
        (tmp_path, "a folder"),
        (tmp_path / "none.mp4", "no such file"),
        (write_sound(tmp_path / "a.m4a"), "audio only"),
        (cut(write_clip(tmp_path / "a.mp4", **LONG), 0.5), "index is missing"),
    ]:
        with pytest.raises(InputError, match=reason):
            open_clip(path)


def test_names_are_never_protocols(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip("a.mp4").rename("concat:a.mp4")
    frames, _ = read("concat:a.mp4")
    assert len(frames) == 12


def test_frames_that_are_too_large_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too large"):
        open_clip(write_clip(tmp_path / "a.mp4"), max_pixels=1000)
