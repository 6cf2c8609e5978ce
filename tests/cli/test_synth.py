"""`derain synth`: exit codes and messages."""

from __future__ import annotations

import errno
from pathlib import Path

import numpy as np
import pytest

from derain_cli.datasets.finding import find_pairs
from derain_cli.jobs.synth import run as synth_run
from derain_cli.media.photo import read_photo
from derain_cli.system.signals import Interrupted
from tests.cli.conftest import photo, snapshot


@pytest.fixture
def clean() -> Path:
    for number in range(3):
        photo(f"clean/{number}.png", seed=number)
    return Path("clean")


def test_pairs_of_a_folder(derain, clean):
    ended = derain("synth", clean, "-o", "out")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.splitlines()[-1] == "done: 3 ok, 0 skipped, 0 failed"
    assert [pair.name for pair in find_pairs(Path("out")).pairs] == ["0", "1", "2"]
    again = derain("synth", clean, "-o", "out")
    assert again.code == 0
    assert again.err.splitlines()[-1] == "done: 0 ok, 3 skipped, 0 failed"


def test_records(derain, clean):
    photo("clean/bad.png").write_bytes(b"junk")
    derain("synth", "clean/0.png", "-o", "out", "-q")
    ended = derain("synth", clean, "-o", "out", "--json")
    *records, summary = ended.records
    assert ended.code == summary["code"] == 3
    assert {record["input"]: record["status"] for record in records} == {
        "clean/0.png": "skipped",
        "clean/1.png": "ok",
        "clean/2.png": "ok",
        "clean/bad.png": "failed",
    }
    done = next(record for record in records if record["status"] == "ok")
    assert done["pairs"] == [
        {"profile": "real", "variant": 1, "rainy": "out/rain/1.png", "clean": "out/norain/1.png"},
    ]
    assert (summary["ok"], summary["skipped"], summary["failed"], summary["pairs"]) == (2, 1, 1, 2)


def test_a_bad_photo_is_named_and_the_others_are_made(derain, clean):
    Path("clean/1.png").write_bytes(b"junk")
    ended = derain("synth", clean, "-o", "out", "-q")
    assert ended.code == 3
    assert ended.err == "derain: error: clean/1.png: not a readable image\n"
    assert len(find_pairs(Path("out")).pairs) == 2


def test_a_dry_run_writes_nothing(derain, clean):
    ended = derain("synth", clean, "-o", "out", "--profile", "light", "--profile", "heavy", "--dry-run")
    assert ended.code == 0
    lines = ended.out.splitlines()
    assert lines[0] == "clean/0.png -> out/light/rain/0.png, out/light/norain/0.png"
    assert len(lines) == 6
    assert ended.err.splitlines()[-1] == "planned: 3 ok, 0 skipped, 0 failed"
    assert not Path("out").exists()


def test_jpeg_is_warned_of(derain, clean):
    assert "loses detail" in derain("synth", clean, "-o", "lossy", "--format", "jpg").err
    assert "loses detail" not in derain("synth", clean, "-o", "whole", "--format", "WEBP").err
    assert len(find_pairs(Path("lossy")).pairs) == len(find_pairs(Path("whole")).pairs) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["clean"], 2, "--output"),
        (["clean", "-o", ""], 2, "name is empty"),
        (["clean", "-o", "out", "--profile", "snow"], 2, "light, heavy, real"),
        (["clean", "-o", "out", "--variants", "0"], 2, "variants"),
        (["clean", "-o", "out", "--target", "dry"], 2, "target"),
        (["clean", "-o", "out", "--format", "gif"], 2, "gif"),
        (["none", "-o", "out"], 4, "no photos found"),
        (["missing", "-o", "out"], 4, "missing"),
        (["clean", "same", "-o", "out"], 7, "the same pair"),
        (["clean", "-o", "clean"], 7, "input"),
        (["clean", "-o", "clean/0.png"], 7, "a file"),
    ],
)
def test_what_is_refused_before_any_work(derain, clean, arguments, code, words):
    photo("same/0.jpg")
    Path("none").mkdir()
    before = snapshot()
    ended = derain("synth", *arguments)
    assert ended.code == code
    assert len(ended.errors) == 1
    assert words in ended.errors[0]
    assert snapshot() == before
    assert not Path("out").exists()


def test_a_full_disk_stops_the_run(derain, clean, monkeypatch):
    def full(*arguments, **settings):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(synth_run, "write_photo", full)
    ended = derain("synth", clean, "-o", "out", "--json")
    assert ended.code == 6
    assert "no space left" in ended.errors[0]
    assert ended.records[-1]["code"] == 6


def test_a_signal_ends_with_a_summary(derain, clean, monkeypatch):
    def stopped(*arguments, **settings):
        raise Interrupted(15)

    monkeypatch.setattr(synth_run, "synthesize", stopped)
    ended = derain("synth", clean, "-o", "out")
    assert ended.code == 143
    assert ended.err.splitlines()[-1] == "done: 0 ok, 0 skipped, 0 failed, 3 not tried"


def test_a_bug_is_told_as_one(derain, clean, monkeypatch):
    def broken(*arguments, **settings):
        raise ZeroDivisionError

    monkeypatch.setattr(synth_run, "add_rain", broken)
    ended = derain("synth", clean, "-o", "out")
    assert ended.code == 1
    assert "internal error: ZeroDivisionError" in ended.errors[0]


def test_sub_folders_and_variants(derain, clean):
    photo("clean/deep/0.png", seed=9)
    assert derain("synth", clean, "-o", "out", "-r", "--variants", "2", "-j", "2", "--max-side", "20").code == 0
    found = find_pairs(Path("out"))
    assert len(found.pairs) == 8
    assert found.rejected == ()
    shapes = {np.asarray(read_photo(pair.rainy).pixels).shape for pair in found.pairs}
    assert shapes == {(15, 20, 3)}
