"""Repeated commands: an output counts as done only if the same command would produce it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import derain_cli.jobs.photos.writing
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.jobs.items import Item
from derain_cli.jobs.made import RECORD_NAME, MadeRecord
from tests.cli.conftest import Derain, listed, photo, snapshot, unchanging
from tests.sample_clips import write_clip

FAST = ["--preset", "ultrafast", "--temporal", "off"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--strength", "0.2"], "strength 1.0, not 0.2"),
        (["--quality", "20"], "quality 95, not 20"),
        (["--precision", "fp32"], "precision auto, not fp32"),
    ],
)
def test_other_options_are_refused_and_named(derain: Derain, flags: list[str], told: str) -> None:
    photo("a.jpg")
    assert derain("a.jpg").code == 0
    before = snapshot()
    for more in ([], ["-o", "a_derained.jpg"], ["--dry-run"]):
        ended = derain("a.jpg", *flags, *more)
        assert ended.code == 7 and told in ended.err and len(ended.err.splitlines()) == 1
    assert snapshot() == before
    assert derain("a.jpg", *flags, "--overwrite").code == 0
    assert "skipped" in derain("a.jpg", *flags).err
    assert derain("a.jpg").code == 7


def test_options_that_change_nothing_are_no_difference(derain: Derain) -> None:
    photo("a.png")
    assert derain("a.png").code == 0
    for flags in (["--quality", "20"], ["--tile", "64"], ["-d", "auto"], ["-j", "0"], ["-o", "a_derained.png"]):
        ended = derain("a.png", *flags)
        assert (ended.code, "skipped" in ended.err) == (0, True), flags


def test_another_model_is_a_difference_and_a_missing_one_an_error(derain: Derain) -> None:
    photo("a.png")
    assert derain("a.png").code == 0
    other = unchanging(unshuffle=1)
    save_weights(Path("other.safetensors"), other, Card(name="other"))
    ended = derain("a.png", "-m", "other.safetensors")
    assert ended.code == 7 and "model same (" in ended.err and "not other (" in ended.err
    assert derain("a.png", "-m", "nosuch").code == 5
    assert derain("a.png", "-d", "cuda:63").code == 6


def test_another_input_is_a_difference_a_copy_of_the_same_is_none(derain: Derain) -> None:
    photo("a.png")
    assert derain("a.png").code == 0
    os.utime("a.png", (1, 1))
    assert derain("a.png").code == 0
    photo("b.png", seed=1).rename("a.png")
    ended = derain("a.png")
    assert ended.code == 7 and "another input" in ended.err


def test_an_output_that_was_changed_or_is_not_ours_stays(derain: Derain) -> None:
    photo("a.png")
    assert derain("a.png").code == 0
    with Path("a_derained.png").open("ab") as file:
        file.write(b"edited")
    ended = derain("a.png")
    assert ended.code == 7 and "changed since" in ended.err
    Path(RECORD_NAME).unlink()
    ended = derain("a.png")
    assert ended.code == 7 and "no record of how" in ended.err


def test_missing_further_pictures_are_written_and_the_output_stays(derain: Derain) -> None:
    photo("a.png")
    assert derain("a.png").code == 0
    before = snapshot()
    assert derain("a.png", "--compare", "--save-layers").code == 0
    assert listed() == [
        *("a.png", "a_derained.png", "a_derained_compare.png", "a_derained_detail.png", "a_derained_rain.png"),
    ]
    assert {name: content for name, content in snapshot().items() if name in before} == before
    Path("a_derained_rain.png").unlink()
    assert derain("a.png", "--compare", "--save-layers").code == 0
    assert "a_derained_rain.png" in listed()
    assert "skipped" in derain("a.png", "--compare", "--save-layers").err


def test_a_folder_with_both_kinds_does_what_is_left_and_says_what_differs(derain: Derain) -> None:
    for number in range(3):
        photo(f"in/{number}.jpg", seed=number)
    assert derain("in/0.jpg", "-o", "out/", "--quality", "20").code == 0
    assert derain("in/1.jpg", "-o", "out/").code == 0
    ended = derain("in", "-o", "out")
    assert ended.code == 3
    assert "done: 1 ok, 1 skipped, 1 failed" in ended.err
    assert len(ended.errors) == 1 and "out/0.jpg" in ended.errors[0]


@pytest.mark.parametrize("flags", [[], ["--strength", "0.5"]])
def test_what_another_run_has_just_written_is_no_failure(
    derain: Derain, monkeypatch: pytest.MonkeyPatch, flags: list[str]
) -> None:
    photo("in/a.jpg")
    photo("in/b.jpg")
    usual = derain_cli.jobs.photos.writing.write_photo

    def beaten(*args: object, **options: object) -> object:
        monkeypatch.setattr(derain_cli.jobs.photos.writing, "write_photo", usual)
        assert derain("in/a.jpg", "-o", "out/", *flags).code == 0
        return usual(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(derain_cli.jobs.photos.writing, "write_photo", beaten)
    ended = derain("in", "-o", "out", "--json")
    statuses = [record["status"] for record in ended.records[-3:-1]]
    if flags:
        assert ended.code == 3 and statuses == ["failed", "ok"] and "strength 0.5, not 1.0" in ended.err
    else:
        assert ended.code == 0 and statuses == ["skipped", "ok"]


def test_half_a_line_of_a_killed_run_spoils_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"in")
    (tmp_path / "b.png").write_bytes(b"out")
    item = Item(str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    (tmp_path / RECORD_NAME).write_bytes(b'\xff\x00\n[1]\n{"output": 3}\n{"output": "b.png"}\n{"outp\n')
    problem = MadeRecord({"strength": 1.0}).problem(item)
    assert problem is not None and "no record of how" in problem.reason
    MadeRecord({"strength": 1.0}).add(item, 3)
    assert MadeRecord({"strength": 1.0}).problem(item) is None
    assert MadeRecord({"strength": 1.0, "new": 1}).problem(item) is not None


def test_clips_know_their_options_too(derain: Derain) -> None:
    write_clip("a.mp4", frames=6)
    assert derain("video", "a.mp4", *FAST).code == 0
    before = snapshot()
    assert "skipped" in derain("video", "a.mp4", *FAST).err
    assert derain("video", "a.mp4", "-o", "a_derained.mp4", *FAST).code == 0
    ended = derain("video", "a.mp4", *FAST, "--crf", "30", "--strength", "0.5")
    assert ended.code == 7 and "strength 1.0, not 0.5" in ended.err and "crf default, not 30" in ended.err
    assert derain("video", "a.mp4", *FAST, "-m", "nosuch").code == 5
    assert snapshot() == before
    assert derain("video", "a.mp4", *FAST, "--preview", "0.1").code == 0
    ended = derain("video", "a.mp4", *FAST, "--preview", "0.1", "--start", "0.1")
    assert ended.code == 7 and "start 0.0, not 0.1" in ended.err
