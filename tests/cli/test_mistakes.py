"""Common mistakes: each gives one line with a hint, before anything slow is loaded."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.cli import route
from derain_cli.config import ModelConfig
from derain_cli.media.photo import formats
from tests import scenes
from tests.cli.conftest import Derain, Ended, listed, photo
from tests.conftest import make_network
from tests.media.photo.samples import png
from tests.sample_clips import write_clip


def only_line(ended: Ended, code: int) -> str:
    assert ended.code == code
    assert ended.err.count("\n") == 1
    return ended.err


@pytest.mark.parametrize(
    ("argv", "near"),
    [
        (["vidoe", "clip.mp4"], "derain video"),
        (["model"], "derain models"),
        (["Info"], "derain info"),
        (["-q", "modles"], "derain models"),
        (["derian", "a.jpg", "--compare"], "derain derain"),
        (["fine-tune-real"], "derain finetune-real"),
    ],
)
def test_a_mistyped_command_is_no_photo(derain: Derain, argv: list[str], near: str) -> None:
    photo("a.jpg")
    assert near in only_line(derain(*argv), 2)
    assert listed() == ["a.jpg"]


def test_a_file_of_that_name_comes_first(derain: Derain) -> None:
    photo("x.png").rename("model")
    assert derain("model", "-q").code == 0
    photo("help/a.png")
    assert derain("help", "-q").code == 0
    assert "help_derained" in listed()


def test_words_for_the_flags_of_the_program(derain: Derain) -> None:
    assert derain("help").out == derain("--help").out
    assert derain("help", "video").out == derain("video", "--help").out
    assert derain("version").out == derain("--version").out
    assert route(["-q", "video", "a.mp4"]) == ["video", "-q", "a.mp4"]


def test_clips_go_to_their_own_command(derain: Derain) -> None:
    write_clip("a.mp4", frames=2)
    photo("b.jpg")
    assert derain("a.mp4", "--preset", "ultrafast", "--temporal", "off").code == 0
    assert "a_derained.mp4" in listed()
    assert "derain video" in only_line(derain("derain", "a.mp4"), 3)
    ended = derain("a.mp4", "b.jpg")
    assert ended.code == 3 and "derain video" in ended.errors[0] and "b_derained.jpg" in listed()
    Path("a.mp4").rename("clip")  # detected by content, not by name
    assert "derain video" in only_line(derain("clip", "-o", "x.jpg"), 3)


def test_photos_go_to_their_own_command(derain: Derain) -> None:
    photo("a.jpg")
    line = only_line(derain("video", "a.jpg"), 4)
    assert "a photo, not a clip" in line and "without video" in line


def test_a_folder_with_both_names_what_the_other_command_would_do(derain: Derain) -> None:
    photo("both/a.jpg")
    write_clip("both/b.mp4", frames=2)
    Path("only").mkdir()
    write_clip("only/b.mp4", frames=2)
    ended = derain("both")
    assert ended.code == 0 and "1 clip left for `derain video`" in ended.err
    assert "1 photo left for" in derain("video", "both", "--dry-run").err
    assert "1 clip left for `derain video`" in only_line(derain("only"), 4)


def test_photos_of_kinds_that_are_not_read_are_counted_once(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    photo("in/a.jpg")
    for name in ("b.DNG", "c.dng", "d.jxl", "e.txt", "f.xmp", "Thumbs.db", ".g.dng", "h.heic"):
        Path("in", name).write_bytes(b"?")
    monkeypatch.setattr("derain_cli.media.photo.READABLE_SUFFIXES", formats.READABLE_SUFFIXES - formats.HEIF_SUFFIXES)
    ended = derain("in", "-o", "out")
    notes = [line for line in ended.err.splitlines() if "note" in line]
    assert ended.code == 0 and len(notes) == 2
    assert "3 photos in unsupported formats: .dng .jxl" in notes[0]
    assert "1 photo in a format that needs a plug-in, pip install pillow-heif: .heic" in notes[1]


def test_what_the_header_tells_is_told_before_the_model_is_loaded(derain: Derain) -> None:
    Path("bomb.png").write_bytes(png(20000, 20000, 8, 2, b""))
    for flags in ([], ["--dry-run"]):
        assert "too large" in only_line(derain("bomb.png", "-o", "o.png", *flags), 3)
    photo("good.png")
    ended = derain("bomb.png", "good.png")
    assert ended.code == 3 and "done: 1 ok, 0 skipped, 1 failed" in ended.err


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (["gone.jpg"], 4, "no such file or folder"),
        (["video", "gone.mp4"], 4, "no such file or folder"),
        (["*.gif"], 4, "no files match"),
        (["https://example.org/a.jpg"], 4, "https://example.org/a.jpg is a URL: download it first"),
        (["-dash.jpg"], 2, "write ./-dash.jpg"),
        (["a.jpg", "out.jpg"], 2, "-o out.jpg"),
        (["eval", "-"], 2, "does not support pipes"),
        (["fifo.jpg"], 3, "not a regular file"),
        (["a.jpg", "-m", "nosuch"], 5, "no model named"),
        (["a.jpg", "-m", "nosuch.safetensors"], 5, "cannot read the weights"),
        (["a.jpg", "-m", "a.jpg"], 5, "not a usable weights file"),
        (["a.jpg", "-m", "nosuch", "--dry-run"], 5, "no model named"),
        (["a.jpg", "-d", "cuda:63"], 6, "no device"),
    ],
)
def test_one_mistake_is_one_line(derain: Derain, argv: list[str], code: int, told: str) -> None:
    photo("a.jpg")
    photo("-dash.jpg")
    os.mkfifo("fifo.jpg")
    assert told in only_line(derain(*argv), code)
    assert listed() == ["-dash.jpg", "a.jpg", "fifo.jpg"]


def test_a_network_for_clips_is_not_for_photos(derain: Derain) -> None:
    photo("a.jpg")
    config = ModelConfig(width=4, blocks=1, detail="none", unshuffle=4, frames=3)
    save_weights(Path("clip.safetensors"), make_network(config), Card(name="clip"))
    assert "3 frames of a clip at once" in only_line(derain("a.jpg", "-m", "clip.safetensors"), 2)
    assert listed() == ["a.jpg", "clip.safetensors"]


def test_a_folder_with_brackets_is_one(derain: Derain) -> None:
    photo("trip [2026]/a[1].jpg")
    photo("trip [2026]/b.jpg")
    assert derain("trip [2026]/*.jpg", "-o", "out").code == 0
    assert listed("out") == ["a[1].jpg", "b.jpg"]


@pytest.mark.parametrize(("name", "made"), [("a.mpo", "a.jpg"), ("a", "a.jpg"), ("a.jpg.part", "a.jpg")])
def test_the_content_says_what_an_odd_name_becomes(derain: Derain, name: str, made: str) -> None:
    photo("x.jpg").rename(name)
    ended = derain(name, "-o", "out/")
    assert ended.code == 0 and "cannot write" not in ended.err
    assert listed("out") == [made]


@pytest.mark.parametrize("argv", [["a.jpg", "-m", "nosuch"], ["a.jpg", "-d", "cuda:63"], ["bomb.png"], ["vidoe"]])
def test_mistakes_are_found_without_torch(argv: list[str]) -> None:
    photo("a.jpg")
    Path("bomb.png").write_bytes(png(20000, 20000, 8, 2, b""))
    program = "import sys; from derain_cli.cli import main; code = main(sys.argv[1:]); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (["train", "-o", "run"], 2, "nothing to train on (--dataset, --layers or --clean)"),
        (["train", "-o", "run", "--clean", "nowhere"], 4, "nowhere: no such folder"),
        (["train", "-o", "run", "--clean", ".", "-d", "cuda:63"], 6, "no device"),
        (["train", "-o", "run", "--clean", ".", "--set", "steps=20"], 2, "did you mean optim.steps?"),
        (["train", "-o", "run", "--clean", ".", "--from", "nosuch"], 5, "no model named"),
        (["finetune-real", "--real", ".", "-o", "run"], 2, "nothing to train on"),
        (["eval", "--dataset", "nowhere"], 2, "no data set or folder"),
        (["eval", "--dataset", ".", "-m", "nosuch"], 5, "no model named"),
        (["eval", "--dataset", ".", "-d", "cuda:63"], 6, "no device"),
    ],
)
def test_mistakes_before_training_and_measuring_need_no_torch(argv: list[str], code: int, told: str) -> None:
    program = (
        "import sys; from derain_cli.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(100 if 'torch' in sys.modules else code)"
    )
    ended = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.count("\n")) == (code, 1)
    assert told in ended.stderr


def test_what_is_advised_exists(derain: Derain) -> None:
    ended = derain("train", "-o", "run", "--dataset", "Rain100L")
    assert ended.code == 4 and "derain eval --download" in ended.err
    assert "--download" in derain("eval", "--help").out


def test_a_hub_that_does_not_answer_is_one_line_at_once(
    derain: Derain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    photo("a.jpg")
    with socket.socket() as taken:  # bound but not listening: connections are refused
        taken.bind(("127.0.0.1", 0))
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{taken.getsockname()[1]}")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        begin = time.monotonic()
        line = only_line(derain("a.jpg", "-m", "hf:a/b"), 5)
    assert time.monotonic() - begin < 8
    assert "cannot get a/b from the Hub" in line and "cannot be reached" in line


def test_a_clip_that_gives_nothing_is_counted_apart(derain: Derain) -> None:
    black = [np.zeros((64, 96, 3), np.uint8)] * 12
    scenes.write_clip(Path("black.mkv"), black)
    ended = derain("frames", "black.mkv", "-o", "set", "--json")
    assert ended.code == 4
    assert "0 ok, 0 skipped, 0 failed, 1 without usable frames" in ended.err and "12 frames" in ended.err
    assert "--min-rain" not in ended.err
    record, summary = ended.records
    assert (record["status"], record["frames"], summary["ok"], summary["empty"]) == ("empty", 12, 0, 1)
