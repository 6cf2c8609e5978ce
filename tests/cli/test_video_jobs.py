"""`derain video` with many clips: estimates, a preview first, one file of all."""

from __future__ import annotations

import json
import shutil
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from derain_cli.cli import clip_jobs
from derain_cli.cli.clips import ClipTally
from derain_cli.cli.reporter import Reporter
from derain_cli.engine.restorer import Restorer
from derain_cli.jobs.clips.outcome import Pace
from derain_cli.jobs.clips.survey import Load
from derain_cli.jobs.items import Item
from tests.cli.conftest import Derain, listed, snapshot
from tests.sample_clips import packets_of, times_of, write_clip

FAST = ("--preset", "ultrafast", "--temporal", "off")


def card(*counts: int) -> None:
    """A card with clips of so many frames, with sound and a track of data."""
    Path("card").mkdir()
    for number, count in enumerate(counts, 9):
        write_clip(f"card/clip{number}.mp4", frames=count, audio=["aac"], data=["bin_data"])


# --- before and meanwhile -------------------------------------------------------------------------------------------


def test_a_dry_run_says_frames_and_estimate_and_writes_nothing(derain: Derain) -> None:
    card(12, 24)
    before = snapshot("card")
    ended = derain("video", "card", "-o", "out", "--join", "trip.mp4", "--dry-run")
    assert ended.code == 0 and snapshot("card") == before and listed() == ["card"]
    lines = ended.out.splitlines()
    assert lines[0].startswith("card/clip9.mp4 -> out/clip9.mp4 (12 frames of 48x32, 0:00 long, about ")
    assert lines[1].startswith("card/clip10.mp4 -> out/clip10.mp4 (24 frames of 48x32, 0:01 long, about ")
    assert lines[2] == "2 clips -> trip.mp4"
    assert "for 36 frames, until " in ended.err
    records = derain("video", "card", "-o", "out", "--dry-run", "--json").records
    assert sorted(each["frames"] for each in records[:-1]) == [12, 24]
    assert all(each["estimated_seconds"] > 0 for each in records[:-1])
    assert records[-1]["frames"] == 36 and records[-1]["estimated_seconds"] > 0


def test_a_dry_run_without_weights_that_load_says_so(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    from derain_cli.errors import WeightsError

    def refused(*arguments: Any, **more: Any) -> Any:
        raise WeightsError("checksum mismatch", path="w.safetensors")

    monkeypatch.setattr(Restorer, "from_pretrained", refused)
    card(12)
    ended = derain("video", "card/clip9.mp4", "--dry-run")
    assert (ended.code, ended.out) == (
        0, "card/clip9.mp4 -> card/clip9_derained.mp4 (12 frames of 48x32, 0:00 long)\n",
    )  # fmt: skip
    assert "no estimate: checksum mismatch" in ended.err


def watched(monkeypatch: pytest.MonkeyPatch, *, frames: int, rate: float, seconds: int) -> None:
    """Progress of two clips of `frames`, `rate` a second, for so many seconds."""
    tally, now = ClipTally(Reporter()), [0.0]
    monkeypatch.setattr("derain_cli.cli.clips.time.monotonic", lambda: now[0])
    items = [Item("a.mp4", "x.mp4"), Item("b.mp4", "y.mp4")]
    from derain_cli.cli.reporter import Bar

    tally.watch(items, [Load(frames, 100, 100)] * 2, Bar())
    for second in range(seconds):
        now[0] = float(second)
        done = int(second * rate)
        tally.progress(done // frames, Pace(done % frames, frames, 0))


@pytest.mark.fault(76)
def test_the_first_estimate_is_a_line_and_then_there_is_one_a_minute(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched(monkeypatch, frames=1000, rate=2, seconds=190)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("about 17 min for 2 clips, until ") and lines[0].endswith("(2.0 fps)")
    assert len(lines) == 4
    assert lines[1].startswith("a.mp4 [1/2]: 7% of all, 2.0 fps, 16 min left, until ") or "6% of all" in lines[1]


def test_a_job_that_is_done_at_once_has_no_estimate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    watched(monkeypatch, frames=10, rate=2, seconds=10)
    assert capsys.readouterr().err == ""


# --- a preview first ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [True, False])
def test_after_a_preview_the_whole_is_done_without_loading_again(
    derain: Derain, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    loaded, asked = [0], list[str]()
    load = Restorer.from_pretrained.__func__  # type: ignore[attr-defined]

    def counted(cls: Any, *arguments: Any, **more: Any) -> Any:
        loaded[0] += 1
        return load(cls, *arguments, **more)

    def confirm(question: str, **more: Any) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr(Restorer, "from_pretrained", classmethod(counted))
    monkeypatch.setattr(clip_jobs, "can_be_asked", lambda: True)
    monkeypatch.setattr("derain_cli.cli.clip_jobs.typer.confirm", confirm)
    monkeypatch.setattr("derain_cli.jobs.ordered._EVERY", 0.002)
    write_clip("a.mp4", frames=60)
    ended = derain("video", "a.mp4", "--preview", "1", *FAST)
    assert ended.code == 0 and loaded == [1]
    assert len(asked) == 1 and asked[0].startswith("Continue with the whole (about ")
    assert Path("a_derained.mp4").exists() == answer
    assert len(times_of("a_preview.mp4")) == 25


def test_where_nobody_can_be_asked_the_estimate_is_told(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derain_cli.jobs.ordered._EVERY", 0.002)
    write_clip("a.mp4", frames=60)
    ended = derain("video", "a.mp4", "--preview", "1", *FAST)
    assert ended.code == 0 and "without --preview: about " in ended.err
    assert listed() == ["a.mp4", "a_preview.mp4"]


# --- one file -------------------------------------------------------------------------------------------------------


def test_a_card_becomes_one_file_in_the_order_of_the_names(derain: Derain) -> None:
    card(10, 20, 15)
    ended = derain("video", "card", "--join", "trip.mp4", "--json", *FAST)
    assert ended.code == 0
    assert [Path(each["input"]).name for each in ended.records[:3]] == ["clip9.mp4", "clip10.mp4", "clip11.mp4"]
    assert [each["output"] for each in ended.records[:3]] == [None] * 3
    told = ended.records[3]
    assert (told["status"], told["output"], told["frames"], len(told["inputs"])) == ("joined", "trip.mp4", 45, 3)
    assert not list(Path().glob(".derain-parts*")) and listed() == ["card", "trip.mp4"]
    assert times_of("trip.mp4") == [Fraction(n, 25) for n in range(45)]
    assert len(packets_of("trip.mp4", 2)) == 45
    with av.open("trip.mp4") as file:
        chapters: list[Any] = list(file.chapters())
    assert [each["metadata"]["title"] for each in chapters] == ["clip9", "clip10", "clip11"]
    again = derain("video", "card", "--join", "trip.mp4", *FAST)
    assert again.code == 0 and "3 skipped" in again.err


def test_with_a_folder_the_clips_stay_and_another_clip_makes_the_file_anew(derain: Derain) -> None:
    card(10, 20)
    assert derain("video", "card", "-o", "clean", "--join", "clean/trip.mp4", *FAST).code == 0
    assert {each.name for each in Path("clean").glob("*.mp4")} == {"clip9.mp4", "clip10.mp4", "trip.mp4"}
    shutil.copy("card/clip9.mp4", "card/clip12.mp4")
    refused = derain("video", "card", "-o", "clean", "--join", "clean/trip.mp4", *FAST)
    assert refused.code == 7 and "trip.mp4" in refused.err
    Path("clean/trip.mp4").unlink()
    ended = derain("video", "card", "-o", "clean", "--join", "clean/trip.mp4", "--json", *FAST)
    assert ended.code == 0 and len(times_of("clean/trip.mp4")) == 40
    assert [each["status"] for each in ended.records[:-1]].count("skipped") == 2


def test_the_joined_file_among_the_clips_is_no_clip(derain: Derain) -> None:
    card(10, 20)
    for _ in range(2):
        ended = derain("video", "card", "--join", "card/trip.mp4", *FAST)
        assert ended.code == 0 and len(times_of("card/trip.mp4")) == 30


def test_a_clip_that_fails_leaves_no_file_and_the_command_goes_on(derain: Derain) -> None:
    card(10, 20)
    Path("card/clip10.mp4").write_bytes(b"junk" * 99)
    ended = derain("video", "card", "--join", "trip.mp4", *FAST)
    assert ended.code == 3
    assert "not joined: 1 of 2 clips are missing (--exclude NAME leaves a clip out)" in ended.errors[-1]
    assert not Path("trip.mp4").exists()
    ended = derain("video", "card", "--join", "trip.mp4", "--exclude", "clip10.mp4", "--json", *FAST)
    assert ended.code == 0 and len(times_of("trip.mp4")) == 10
    assert ended.records[0]["status"] == "skipped"  # it was kept
    assert not list(Path().glob(".derain-parts*"))


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--join", "trip.avi"), 2, "cannot join clips in a file of type .avi"),
        (("--join", "trip.mp4", "--start", "1"), 2, "--join takes whole clips"),
        (("--join", "card"), 2, "cannot join clips in a file of type none"),
        (("--join", "trip.mp4", "-o", "x.mp4"), 2, "need a folder"),
        (("--join", "none/x/trip.mp4", "-o", "out"), 2, "64x32 pixels, not 48x32"),
        (("--join", "file.mp4/trip.mp4"), 7, "not a folder"),
    ],
)
def test_what_cannot_be_joined_is_told_before_the_work(
    derain: Derain, flags: tuple[str, ...], code: int, words: str
) -> None:
    card(3)
    Path("file.mp4").write_bytes(b"")
    write_clip("card/clip90.mp4", frames=3, width=64, audio=["aac"])
    before = listed()
    ended = derain("video", "card", *flags)
    assert (ended.code, len(ended.errors)) == (code, 1) and words in ended.err
    assert listed() == before


def test_scale_keeps_the_size_and_belongs_to_what_made_the_output(derain: Derain) -> None:
    write_clip("a.mp4", frames=5)
    assert derain("video", "a.mp4", "--scale", "0.5", *FAST).code == 0
    with av.open("a_derained.mp4") as file:
        assert (file.streams.video[0].width, file.streams.video[0].height) == (48, 32)
    again = derain("video", "a.mp4", "--json", *FAST)
    assert again.code == 7 and "scale 0.5, not 1.0" in json.dumps(again.records)
    assert derain("video", "a.mp4", "--scale", "0", *FAST).code == 2


def test_a_chip_that_is_not_there_is_told_and_the_work_is_done(derain: Derain) -> None:
    write_clip("a.mp4", frames=5)
    ended = derain("video", "a.mp4", "--hw", "vaapi", *FAST)
    assert ended.code == 0 and "vaapi codes h264 here: libx264 does" in ended.err
    assert len(times_of("a_derained.mp4")) == 5
