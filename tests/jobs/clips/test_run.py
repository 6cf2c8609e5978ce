"""Clips through a restorer: what is kept, parts, faults."""

from __future__ import annotations

import errno
import os
import shutil
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from derain_cli.config import VideoOptions
from derain_cli.errors import DestinationError, InputError, ResourceError
from derain_cli.jobs.clips.outcome import ClipOutcome
from derain_cli.jobs.clips.run import restore_clips
from derain_cli.jobs.items import Item
from derain_cli.media.clip.reader import open_clip
from tests.jobs.clips.conftest import IDENTITY, QUICK, each, failing_after, good, leftovers, mean_difference, restore
from tests.sample_clips import packets_of, times_of, write_clip, write_without_duration

QUICK_VP9 = {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime"}

# --- what is kept ---------------------------------------------------------------------------------------------------

KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "constant rate": ("mp4", {}),
    "variable rate": ("mp4", {"pts": [0, 512, 1100, 1300, 3000, 3100, 3333, 9000], "options": {"bf": "0"}}),
    "variable rate, out of order": ("mov", {"pts": [0, 512, 1100, 1300, 3000, 3100, 3333, 3900]}),
    "a late start": ("mp4", {"pts": [7000 + 512 * n for n in range(12)]}),
    "turned": ("mp4", {"rotation": 90}),
    "turned, matroska": ("mkv", {"rotation": 180, "time_base": Fraction(1, 1000)}),
    "pixels not square": ("mp4", {"pixel_aspect": Fraction(4, 3)}),
    "full range": ("mp4", {"colours": (2, 1, 13, 1)}),
    "4:4:4": ("mov", {"pix_fmt": "yuv444p"}),
    "ten bits": ("mp4", {"pix_fmt": "yuv420p10le"}),
    "odd size": ("webm", {"codec": "libvpx-vp9", "width": 49, "height": 33, "options": QUICK_VP9}),
    "one frame": ("mp4", {"frames": 1}),
    "an old codec": ("mkv", {"codec": "mpeg4", "options": {"qscale": "2"}, "time_base": Fraction(1, 1000)}),
    "29.97 frames": ("mp4", {"rate": Fraction(30000, 1001), "time_base": Fraction(1, 30000)}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.fault(71)
def test_frames_times_and_what_the_picture_is_stay(tmp_path: Path, kind: str) -> None:
    suffix, changes = KINDS[kind]
    source, target = write_clip(tmp_path / f"a.{suffix}", **changes), tmp_path / f"b.{suffix}"
    before = source.read_bytes()
    preset = "8" if suffix == "webm" else "ultrafast"
    outcome = good(restore(source, target, crf=8, preset=preset))
    assert source.read_bytes() == before
    assert times_of(target) == times_of(source)
    assert outcome.frames == len(times_of(source))
    with open_clip(source) as a, open_clip(target) as b:
        was, now = a.info, b.info
    for name in (
        *("width", "height", "rotation", "matrix", "pixel_aspect", "bit_depth", "pix_fmt"),
        *("color_range", "color_primaries", "color_trc", "colorspace"),
    ):
        if not (kind == "an old codec" and name == "pixel_aspect"):  # the codec defaults to 1:1
            assert getattr(was, name) == getattr(now, name), name
    assert was.duration is not None and now.duration is not None
    if "out of order" not in kind:  # its declared duration is wrong
        assert now.duration == pytest.approx(was.duration, abs=0.5 / float(was.rate or 25))
    assert mean_difference(source, target) < 4
    assert leftovers(tmp_path) == []


@pytest.mark.fault(71)
def test_high_dynamic_range_stays(tmp_path: Path) -> None:
    params = "log-level=none:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,1)"
    options = {"preset": "ultrafast", "crf": "10", "x265-params": f"{params}:max-cll=1000,400"}
    source = write_clip(
        tmp_path / "a.mp4", codec="libx265", pix_fmt="yuv420p10le", options=options, colours=(1, 9, 16, 9), width=64
    )
    good(restore(source, tmp_path / "b.mp4"))
    with open_clip(source) as a, open_clip(tmp_path / "b.mp4") as b:
        was, now = a.info, b.info
    for name in ("codec", "pix_fmt", "color_primaries", "color_trc", "colorspace", "content_light"):
        assert getattr(was, name) == getattr(now, name), name
    assert now.mastering_display is not None


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
@pytest.mark.fault(71)
def test_sound_subtitles_chapters_and_tags_stay(tmp_path: Path, suffix: str) -> None:
    source = write_clip(
        tmp_path / f"a.{suffix}",
        frames=30,
        audio=["aac", "aac"],
        subtitles=["subrip"] if suffix == "mkv" else [],
        chapters=[(0, 0.5, "one"), (0.5, 1.2, "two")],
        tags={"title": "a walk"},
        time_base=Fraction(1, 1000) if suffix == "mkv" else Fraction(1, 12800),
    )
    target = tmp_path / f"b.{suffix}"
    good(restore(source, target))
    with av.open(str(source)) as a, av.open(str(target)) as b:
        assert [s.type for s in a.streams] == [s.type for s in b.streams]
        assert [s.language for s in a.streams][1:] == [s.language for s in b.streams][1:]
        assert [s.disposition for s in a.streams] == [s.disposition for s in b.streams]
        assert b.metadata["title"] == "a walk"
        titles = [(c["metadata"]["title"], c["start"] * (c["time_base"] or 0)) for c in b.chapters()]
        assert titles == [("one", 0), ("two", Fraction(1, 2))]
        count = len(a.streams)
    for index in range(1, count):
        assert packets_of(source, index) == packets_of(target, index)
    assert times_of(source) == times_of(target)


@pytest.mark.parametrize("fields", ["tff", "bff"])
@pytest.mark.parametrize(("before", "after"), [("mp4", "mp4"), ("mkv", "mkv"), ("ts", "mp4"), ("mov", "mkv")])
@pytest.mark.fault(71)
def test_interlaced_frames_stay_so_in_their_order(tmp_path: Path, fields: str, before: str, after: str) -> None:
    base = {"mkv": Fraction(1, 1000), "ts": Fraction(1, 90000)}.get(before, Fraction(1, 12800))
    source = write_clip(tmp_path / f"a.{before}", fields=fields, time_base=base)
    target = tmp_path / f"b.{after}"
    outcome = good(restore(source, target, crf=8))
    assert outcome.notes == ("interlaced: both fields of a frame are restored as one picture",)
    with open_clip(source) as a, open_clip(target) as b:
        assert a.info.interlaced and b.info.interlaced
        assert a.info.field_order == b.info.field_order == {"tff": 2, "bff": 3}[fields]
    assert mean_difference(source, target) < 4


@pytest.mark.parametrize(("suffix", "codec", "height"), [("mkv", "hevc", 64), ("webm", "vp9", 64), ("mp4", "h264", 66)])
def test_interlaced_frames_that_cannot_be_marked_are_told(tmp_path: Path, suffix: str, codec: Any, height: int) -> None:
    changes: dict[str, Any] = {"codec": "mpeg4", "options": {"qscale": "2"}} if height % 4 else {}
    source = write_clip(
        tmp_path / "a.mkv", fields="bff", width=64, height=height, time_base=Fraction(1, 1000), **changes
    )
    target = tmp_path / f"b.{suffix}"
    outcome = good(restore(source, target, codec=codec, crf=8, preset="8" if codec == "vp9" else "ultrafast"))
    assert any(note.startswith(f"{codec} does not mark interlaced frames") for note in outcome.notes)
    with open_clip(target) as reader:
        assert reader.info.field_order == {"mkv": 3, "webm": 0, "mp4": 1}[suffix]
    assert mean_difference(source, target) < 4


def test_fields_of_a_camcorder_tape_are_taken_for_what_they_are(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.avi", codec="dvvideo", options={}, width=720, height=576, frames=2, time_base=Fraction(1, 25)
    )
    good(restore(source, tmp_path / "b.mp4"))
    with open_clip(tmp_path / "b.mp4") as reader:
        assert reader.info.interlaced and reader.info.field_order == 3  # always bottom field first


@pytest.mark.parametrize("after", ["mp4", "mov"])
def test_data_that_the_format_holds_stay(tmp_path: Path, after: str) -> None:
    source, target = write_clip(tmp_path / "a.mp4", data=["bin_data"], audio=["aac"]), tmp_path / f"b.{after}"
    assert good(restore(source, target)).notes == ()
    with av.open(str(source)) as a, av.open(str(target)) as b:
        kinds = [[stream.type for stream in file.streams] for file in (a, b)]
    assert kinds[0] == kinds[1] and "data" in kinds[0]
    place = kinds[0].index("data")
    assert packets_of(source, place) == packets_of(target, place) != []


@pytest.mark.parametrize("codec", ["klv", "bin_data", "timed_id3"])
@pytest.mark.parametrize("after", ["mp4", "mov", "mkv"])
def test_data_that_no_format_would_name_are_left_out_and_told(tmp_path: Path, codec: str, after: str) -> None:
    source = write_clip(tmp_path / "a.ts", data=[codec], audio=["aac"], time_base=Fraction(1, 90000))
    target = tmp_path / f"b.{after}"
    outcome = good(restore(source, target))
    assert any("data track" in note and f"cannot be stored in .{after}: left out" in note for note in outcome.notes)
    assert not any("supports it" in note for note in outcome.notes)
    with av.open(str(target)) as file:
        assert sorted(stream.type for stream in file.streams) == ["audio", "video"]
    assert len(times_of(target)) == 12


def test_where_data_could_go_is_told(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", data=["bin_data"])
    assert any(".mov supports it" in note for note in good(restore(source, tmp_path / "b.mkv")).notes)


@pytest.mark.parametrize(
    ("suffix", "changes"),
    [
        ("webm", {"codec": "libvpx-vp9", "pix_fmt": "yuva420p", "options": QUICK_VP9 | {"auto-alt-ref": "0"}}),
        ("mov", {"codec": "prores_ks", "pix_fmt": "yuva444p10le", "options": {"profile": "4444"}}),
    ],
)
def test_alpha_stays(tmp_path: Path, suffix: str, changes: dict[str, Any]) -> None:
    source, target = write_clip(tmp_path / f"a.{suffix}", **changes), tmp_path / f"b.{suffix}"
    good(restore(source, target, preset="8", crf=8))
    with open_clip(source) as a, open_clip(target) as b:
        for first, second in zip(a, b, strict=True):
            assert first.alpha is not None and second.alpha is not None
            scale = 255 / np.iinfo(first.alpha.dtype).max
            assert np.abs(first.alpha.astype(float) - second.alpha).mean() * scale < 3


def test_alpha_that_cannot_be_held_is_named(tmp_path: Path) -> None:
    options = QUICK_VP9 | {"auto-alt-ref": "0"}
    source = write_clip(tmp_path / "a.webm", codec="libvpx-vp9", pix_fmt="yuva420p", options=options)
    assert any("transparency" in note for note in good(restore(source, tmp_path / "b.mp4", codec="h264")).notes)


@pytest.mark.fault(71)
def test_an_odd_size_stays_in_h264_too(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.webm", codec="libvpx-vp9", width=49, height=33, options=QUICK_VP9)
    outcome = good(restore(source, tmp_path / "b.mp4", codec="h264"))
    with open_clip(tmp_path / "b.mp4") as reader:
        assert (reader.info.width, reader.info.height) == (49, 33)
    assert any("odd size" in note for note in outcome.notes)


def test_a_track_the_format_cannot_hold_is_named(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", subtitles=["subrip"])
    assert any("subtitle track" in note for note in good(restore(source, tmp_path / "b.mp4")).notes)


def test_sound_whose_channels_are_only_counted_goes_into_mp4(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.avi",
        codec="mjpeg",
        pix_fmt="yuvj420p",
        options={},
        time_base=Fraction(1, 25),
        audio=["pcm_s16le"],
    )
    good(restore(source, tmp_path / "b.mp4"))
    sound = [b"".join(content for _, content in packets_of(path, 1)) for path in (source, tmp_path / "b.mp4")]
    assert sound[0] == sound[1] != b""


def test_the_average_rate_of_a_matroska_file_stays_and_chapters_need_no_remark(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", time_base=Fraction(1, 1000))
    good(restore(source, tmp_path / "b.mkv"))
    with open_clip(tmp_path / "b.mkv") as reader:
        assert reader.info.rate == 25
    chaptered = write_clip(tmp_path / "c.mp4", chapters=[(0, 0.2, "one"), (0.2, 0.48, "two")])
    assert good(restore(chaptered, tmp_path / "d.mp4")).notes == ()


def test_the_engine_sees_upright_pictures_and_its_result_is_written(tmp_path: Path) -> None:
    seen: list[tuple[int, ...]] = []

    def darker(pixels: Any) -> Any:
        seen.append(pixels.shape)
        return pixels // 2

    source = write_clip(tmp_path / "a.mp4", rotation=90)
    good(restore(source, tmp_path / "b.mp4", each(darker, "darker"), crf=5))
    assert set(seen) == {(48, 32, 3)}
    with open_clip(source) as a, open_clip(tmp_path / "b.mp4") as b:
        for first, second in zip(a, b, strict=True):
            assert np.abs(first.pixels / 2 - second.pixels).mean() < 4


@pytest.mark.parametrize("codec", ["hevc", "av1", "vp9", "ffv1"])
def test_other_codecs(tmp_path: Path, codec: Any) -> None:
    source = write_clip(tmp_path / "a.mkv", width=64, height=64, time_base=Fraction(1, 1000))
    preset = {"hevc": "ultrafast", "av1": "12", "vp9": "8"}.get(codec)
    good(restore(source, tmp_path / "b.mkv", codec=codec, preset=preset))
    assert times_of(source) == times_of(tmp_path / "b.mkv")
    with open_clip(tmp_path / "b.mkv") as reader:
        assert reader.info.codec == codec


def test_alpha_of_another_kind_fits_the_output(tmp_path: Path) -> None:
    source = write_clip(
        tmp_path / "a.mov", codec="prores_ks", pix_fmt="yuva444p10le", options={"profile": "4444"}, width=64
    )
    for suffix in ("webm", "mkv"):
        good(restore(source, tmp_path / f"b.{suffix}", preset="8", crf=8))
        with open_clip(tmp_path / f"b.{suffix}") as reader:
            frame = next(iter(reader))
        assert frame.alpha is not None
        most = np.iinfo(frame.alpha.dtype).max
        assert np.abs(frame.alpha[0] / most - np.linspace(0, 1, 64)).mean() < 0.02


# --- a part, a preview ----------------------------------------------------------------------------------------------


def test_a_part_begins_at_zero_with_its_own_sound(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", frames=50, audio=["aac"])
    outcome = good(restore(source, tmp_path / "b.mp4", start=0.4, end=1.2))
    assert times_of(tmp_path / "b.mp4") == [Fraction(n, 25) for n in range(20)]
    assert outcome.duration == pytest.approx(0.8)
    sound = packets_of(tmp_path / "b.mp4", 1)
    assert 0 <= float(sound[0][0]) < 0.03 and float(sound[-1][0]) < 0.8
    whole = {content: time for time, content in packets_of(source, 1)}
    assert all(abs(float(whole[content] - time) - 0.4) < 1e-3 for time, content in sound)


def test_a_part_beyond_the_end_is_an_error(tmp_path: Path) -> None:
    outcome = restore(write_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4", start=5.0)
    assert isinstance(outcome.error, InputError)
    assert not (tmp_path / "b.mp4").exists() and leftovers(tmp_path) == []


def test_a_preview_shows_before_and_after_upright(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", frames=50, rotation=90, pixel_aspect=Fraction(2, 1))
    good(restore(source, tmp_path / "p.mp4", each(lambda p: p // 4, "dark"), start=0.2, preview=0.4))
    with open_clip(tmp_path / "p.mp4") as reader:
        frames = list(reader)
        info = reader.info
    assert (info.width, info.height, info.rotation, info.pixel_aspect) == (68, 48, 0, Fraction(1, 2))
    assert len(frames) == 10
    assert frames[0].pixels[:, :32].mean() > 2 * frames[0].pixels[:, 36:].mean()


# --- wrong headers --------------------------------------------------------------------------------------------------


def patched(path: Path, tag: bytes, offset: int, number: bytes) -> Path:
    """The same file with some bytes after a tag replaced."""
    data = path.read_bytes()
    at = data.index(tag) + offset
    path.write_bytes(data[:at] + number + data[at + len(number) :])
    return path


def motion_jpegs(path: Path) -> Path:
    return write_clip(path, codec="mjpeg", pix_fmt="yuvj420p", options={}, time_base=Fraction(1, 25))


@pytest.mark.parametrize(("scale", "rate"), [(1, 0), (0, 25), (0, 0)])
@pytest.mark.fault(72)
def test_a_rate_of_zero_counts_as_25(tmp_path: Path, scale: int, rate: int) -> None:
    source = patched(motion_jpegs(tmp_path / "a.avi"), b"strh", 28, struct.pack("<II", scale, rate))
    patched(source, b"avih", 8, bytes(4))  # microseconds per frame
    outcome = good(restore(source, tmp_path / "b.mp4"))
    assert times_of(tmp_path / "b.mp4") == [Fraction(n, 25) for n in range(12)]
    assert outcome.duration == pytest.approx(0.48)
    assert good(restore(source, tmp_path / "p.mp4", preview=0.2)).frames == 5
    assert good(restore(source, tmp_path / "c.mp4", start=0.1, end=0.3)).frames == 5


@pytest.mark.parametrize(("scale", "rate"), [(1, 2**31 - 1), (2**31 - 1, 1), (1, 2**32 - 1)])
def test_a_rate_beyond_reason_loses_no_frame(tmp_path: Path, scale: int, rate: int) -> None:
    source = patched(motion_jpegs(tmp_path / "a.avi"), b"strh", 28, struct.pack("<II", scale, rate))
    outcome = restore(source, tmp_path / "b.mp4")
    assert outcome.error is None or isinstance(outcome.error, InputError)
    assert outcome.error is not None or outcome.frames == 12


@pytest.mark.parametrize("count", [0, 2**32 - 1, 2**32 - 5, 2**31])
@pytest.mark.fault(72)
def test_a_number_of_frames_that_is_zero_or_negative_is_not_believed(tmp_path: Path, count: int) -> None:
    source = patched(motion_jpegs(tmp_path / "a.avi"), b"strh", 40, struct.pack("<I", count))
    patched(source, b"avih", 24, struct.pack("<I", count))
    with open_clip(source) as reader:
        assert reader.info.frames is None and reader.info.duration is None
    outcome = good(restore(source, tmp_path / "b.mp4"))
    assert outcome.frames == 12 and outcome.notes == ()


@pytest.mark.parametrize("length", [b"\0\0\0\0", b"\xff\xff\xff\xff"])
def test_a_length_of_a_track_that_is_zero_or_unknown_is_none(tmp_path: Path, length: bytes) -> None:
    source = patched(write_clip(tmp_path / "a.mp4"), b"mdhd", 20, length)
    assert good(restore(source, tmp_path / "b.mp4")).frames == 12
    assert times_of(tmp_path / "b.mp4") == [Fraction(n, 25) for n in range(12)]


@pytest.mark.parametrize("value", [0.0, -5.0, float("nan"), float("inf")])
def test_a_length_of_a_matroska_file_that_is_no_length_is_none(tmp_path: Path, value: float) -> None:
    source = write_clip(tmp_path / "a.mkv", time_base=Fraction(1, 1000))
    patched(source, b"\x44\x89\x88", 3, struct.pack(">d", value))
    assert good(restore(source, tmp_path / "b.mkv")).frames == 12
    assert times_of(tmp_path / "b.mkv") == times_of(source)


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.mark.fault(67)
def test_what_is_no_clip_is_told_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    outcome = restore(tmp_path / "a.mp4", tmp_path / "b.mp4")
    assert outcome.unusable and isinstance(outcome.error, InputError)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.fault(68)
def test_half_a_clip_gives_what_there_is_and_says_so(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", frames=50, options={"preset": "ultrafast", "g": "10"}, audio=["aac"])
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    outcome = restore(source, tmp_path / "b.mkv")
    assert outcome.error is None and outcome.incomplete
    assert any(note.startswith("ended at") for note in outcome.notes)
    assert len(times_of(tmp_path / "b.mkv")) == outcome.frames > 0


def test_without_a_declared_duration_all_is_written(tmp_path: Path) -> None:
    source = write_without_duration(tmp_path / "a.mkv")
    assert good(restore(source, tmp_path / "b.mkv")).frames == 12


def test_a_full_disk_is_seen_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    engine, done = failing_after(-1)
    outcome = restore(write_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4", engine)
    assert isinstance(outcome.error, ResourceError) and outcome.fatal
    assert done[0] == 0 and leftovers(tmp_path) == []


@pytest.mark.fault(73)
def test_a_disk_that_fills_up_during_the_work_is_fatal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("derain_cli.jobs.clips.parts.SegmentWriter.close", full)
    told: list[ClipOutcome] = []
    source = write_clip(tmp_path / "a.mp4")
    items = [Item(str(source), str(tmp_path / name)) for name in ("b.mp4", "c.mp4")]
    restore_clips(items, IDENTITY, VideoOptions(**QUICK), report=told.append)
    assert len(told) == 1 and told[0].fatal and isinstance(told[0].error, ResourceError)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="a folder that nobody can write to")
def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    outcome = restore(write_clip(tmp_path / "a.mp4"), Path("/proc/b.mp4"))
    assert isinstance(outcome.error, DestinationError)


def test_an_output_that_is_there_stays(tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    target.write_bytes(b"mine")
    assert isinstance(restore(source, target).error, DestinationError)
    assert target.read_bytes() == b"mine"


_SOAK = """
import sys
from pathlib import Path
from tests.jobs.clips.conftest import IDENTITY, QUICK
from derain_cli.config import VideoOptions
from derain_cli.jobs.clips.run import restore_clips
from derain_cli.jobs.items import Item

def resident():
    line = next(line for line in open("/proc/self/status") if line.startswith("VmRSS"))
    return int(line.split()[1])

def seen(index, pace):
    print("at", pace.done, resident(), flush=True)

def told(outcome):
    print(outcome.error or "done")

options = VideoOptions(**(QUICK | {"segment": 50}))
restore_clips([Item(sys.argv[1], sys.argv[2])], IDENTITY, options, report=told, progress=seen)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="tells how much memory is in use now")
@pytest.mark.fault(76)
def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    # In one arena: by itself glibc gives each thread one of its own, which fill by and by with nothing lost, and the
    # noise of that hides what grows by the frame.
    source = write_clip(tmp_path / "a.mp4", frames=6000, width=320, height=240)
    ended = subprocess.run(
        [sys.executable, "-c", _SOAK, str(source), str(tmp_path / "b.mp4")],
        env=os.environ | {"MALLOC_ARENA_MAX": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    *lines, last = ended.stdout.splitlines()
    assert last == "done"
    seen = np.array([[int(word) for word in line.split()[1:]] for line in lines])
    early, late = (seen[(seen[:, 0] > 6000 * a) & (seen[:, 0] <= 6000 * b)] for a, b in ((0.25, 0.5), (0.75, 1.0)))
    growth = (np.median(late[:, 1]) - np.median(early[:, 1])) / (np.median(late[:, 0]) - np.median(early[:, 0]))
    assert growth < 3.0  # kB a frame, of which each has 225; the allocator alone levels off at about 1
