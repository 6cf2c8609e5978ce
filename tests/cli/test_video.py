"""`derain video`: outputs, exit codes, messages, records."""

from __future__ import annotations

import os
import signal
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from derain_cli.cli.times import seconds_from
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import UsageError
from derain_cli.media.clip.reader import open_clip
from tests.cli.conftest import Derain, listed, snapshot
from tests.sample_clips import picture, times_of, write_clip, write_sound

FAST = ("--preset", "ultrafast", "--temporal", "off")


@pytest.mark.parametrize("temporal", ["off", "flow"])
def test_the_result_lies_beside_the_clip_with_the_same_frames(derain: Derain, temporal: str) -> None:
    source = write_clip("walk.mp4", audio=["aac"])
    before = source.read_bytes()
    ended = derain("video", "walk.mp4", "--temporal", temporal, "--crf", "5", "--json")
    assert ended.code == 0
    assert source.read_bytes() == before
    assert times_of("walk_derained.mp4") == times_of("walk.mp4")
    assert listed() == ["walk.mp4", "walk_derained.mp4"]
    record, summary = ended.records
    assert (record["status"], record["frames"], record["codec"]) == ("ok", 12, "h264")
    assert (summary["ok"], summary["code"], summary["device"]) == (1, 0, "cpu")
    with open_clip("walk.mp4") as a, open_clip("walk_derained.mp4") as b:  # the network of these tests changes nothing
        for first, second in zip(a, b, strict=True):
            assert np.abs(first.pixels.astype(float) - second.pixels).mean() < 4


def test_folders_are_mirrored_and_a_second_run_does_nothing(derain: Derain) -> None:
    Path("in/sub").mkdir(parents=True)
    write_clip("in/a.mp4", frames=2)
    write_clip("in/sub/b.mkv", frames=2, time_base=Fraction(1, 1000))
    Path("in/notes.txt").write_text("no clip", encoding="ascii")
    assert derain("video", "in", "-r", "-o", "out", *FAST).code == 0
    made = snapshot("out")
    assert sorted(made) == ["out/a.mp4", "out/sub/b.mkv"]
    again = derain("video", "in", "-r", "-o", "out", *FAST)
    assert again.code == 0
    assert "2 skipped" in again.err
    assert snapshot("out") == made


def test_a_preview_and_a_part_have_names_and_lengths_of_their_own(derain: Derain) -> None:
    write_clip("a.mp4", frames=30)
    assert derain("video", "a.mp4", "--preview", "0.2", "--start", "0:00.4", *FAST).code == 0
    assert len(times_of("a_preview.mp4")) == 5
    assert derain("video", "a.mp4", "-o", "b.mov", "--start", "0.4", "--end", "0.6", *FAST).code == 0
    assert len(times_of("b.mov")) == 5


@pytest.mark.parametrize("make", ["empty", "junk", "folder", "text", "sound"])
@pytest.mark.fault(67)
def test_what_is_no_clip_ends_with_4_and_no_output(derain: Derain, make: str) -> None:
    if make == "sound":
        write_sound("a.m4a")
        Path("a.m4a").rename("a.mp4")
    elif make == "folder":
        Path("a.mp4").mkdir()
    else:
        Path("a.mp4").write_bytes({"empty": b"", "junk": bytes(range(256)) * 20, "text": b"hello\n" * 99}[make])
    ended = derain("video", "a.mp4")
    assert ended.code == 4
    assert len(ended.errors) == 1
    assert not Path("a_derained.mp4").exists()


def test_a_bad_clip_among_good_ones_ends_with_3(derain: Derain) -> None:
    write_clip("good.mp4", frames=3)
    Path("bad.mp4").write_bytes(b"junk" * 99)
    ended = derain("video", "bad.mp4", "good.mp4", "-o", "out", "--json", *FAST)
    assert ended.code == 3
    assert [r["status"] for r in ended.records[:-1]] == ["failed", "ok"]
    assert Path("out/good.mp4").exists()


@pytest.mark.fault(68)
def test_a_clip_that_is_cut_off_ends_with_3_and_what_there_is(derain: Derain) -> None:
    path = write_clip("a.mkv", frames=50, options={"preset": "ultrafast", "g": "10"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    ended = derain("video", "a.mkv", *FAST)
    assert ended.code == 3
    assert "ended at 0." in ended.err and "of 2.0 s" in ended.err
    assert len(times_of("a_derained.mkv")) > 0


def test_frames_that_went_with_a_hole_are_told_and_the_rest_is_done(derain: Derain) -> None:
    short = {"cluster_time_limit": "400"}
    options = {"preset": "ultrafast", "g": "10"}
    path = write_clip("a.mkv", frames=60, time_base=Fraction(1, 1000), options=options, container=short)
    whole, before = path.read_bytes(), times_of(path)
    at = len(whole) // 2
    path.write_bytes(whole[:at] + bytes(500) + whole[at + 500 :])
    ended = derain("video", "a.mkv", "--json", *FAST)
    after = times_of("a_derained.mkv")
    assert ended.code == 0
    assert set(after) < set(before)
    note = f"damaged: {len(before) - len(after)} frames are missing after"
    assert note in ended.err
    assert any(note in each for each in ended.records[0]["notes"])


@pytest.mark.fault(74)
def test_a_signal_ends_the_run_keeps_a_part_and_the_command_goes_on(
    derain: Derain, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip("a.mp4", frames=12)
    whole, seen = Restorer.batch, [0]

    def interrupted(self: Restorer, images: Any) -> Any:
        seen[0] += 1
        if seen[0] >= 8:
            if seen[0] == 8:  # SIGINT is ignored by background jobs, and these tests may run as one
                os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
        return whole(self, images)

    monkeypatch.setattr(Restorer, "batch", interrupted)
    ended = derain("video", "a.mp4", "--keep-partial", *FAST)
    assert ended.code == 143
    assert not Path("a_derained.mp4").exists()
    part = times_of("a_derained_partial.mp4")
    assert part and part == times_of("a.mp4")[: len(part)]
    assert "run the same command to resume" in ended.err
    assert derain("video", "a.mp4", *FAST).code == 0
    assert times_of("a_derained.mp4") == times_of("a.mp4")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--start", "x"), "--start must be"),
        (("--start", "2", "--end", "1"), "end must come after start"),
        (("--crf", "99"), "crf"),
        (("--format", "avi"), "cannot write"),
        (("-o", "out.webm", "--codec", "h264"), "does not support h264"),
        (("-o", "out.txt"), "cannot write files of type"),
    ],
)
def test_wrong_options_are_told(derain: Derain, flags: tuple[str, ...], words: str) -> None:
    write_clip("a.mp4", frames=2)
    ended = derain("video", "a.mp4", *flags)
    assert ended.code == 2
    assert words in ended.err
    assert listed() == ["a.mp4"]


def test_the_input_is_never_the_output(derain: Derain) -> None:
    path = write_clip("a.mp4", frames=2)
    before = path.read_bytes()
    assert derain("video", "a.mp4", "-o", "a.mp4", "--overwrite").code == 7
    assert path.read_bytes() == before


def test_a_dry_run_writes_nothing(derain: Derain) -> None:
    write_clip("a.avi", codec="mpeg4", options={}, time_base=Fraction(1, 25), frames=2)
    ended = derain("video", "a.avi", "--dry-run")
    assert (ended.code, ended.out) == (0, "a.avi -> a_derained.mp4 (2 frames of 48x32, 0:00 long, about 1 s)\n")
    assert listed() == ["a.avi"]


def test_nothing_found_is_4(derain: Derain) -> None:
    Path("empty").mkdir()
    ended = derain("video", "empty")
    assert ended.code == 4
    assert "no clips found" in ended.err


@pytest.mark.parametrize(("text", "seconds"), [("12.5", 12.5), ("1:02", 62), ("1:02:03.5", 3723.5), ("0", 0)])
def test_times_are_read(text: str, seconds: float) -> None:
    assert seconds_from(text, "--start") == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1:2:3:4", "nan", "inf", "1:-2"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--start must be"):
        seconds_from(text, "--start")


def test_a_sequence_and_an_unknown_preset(derain: Derain) -> None:
    Path("shots").mkdir()
    for number in range(1, 5):
        Image.fromarray(picture(number)).save(f"shots/s_{number:03d}.png")
    for name in ("shots", "shots/", "shots/s_%03d.png"):
        assert derain("video", name, "-o", "o.mp4", "--rate", "10", "--overwrite").code == 0
        assert len(times_of("o.mp4")) == 4
    done = derain("video", "shots", "-o", "p.mp4", "--preset", "quick")
    assert done.code == 2 and "no preset 'quick' for h264" in done.err
