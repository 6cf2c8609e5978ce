"""`--engine`: what runs the network, as the commands take it and tell it."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.config import ModelConfig
from derain_cli.engine import choice
from derain_cli.media.photo import read_rgb
from tests.cli.conftest import Derain, photo
from tests.conftest import make_network
from tests.sample_clips import write_clip

for package in ("onnx", "onnxruntime", "openvino"):
    pytest.importorskip(package, reason="an extra")

FAST = ("--preset", "ultrafast", "--temporal", "off")


@pytest.fixture
def busy(tmp_path: Path) -> Path:
    """Weights that change pictures."""
    path = tmp_path / "busy.safetensors"
    save_weights(path, make_network(ModelConfig(width=8, blocks=1, unshuffle=2)), Card(name="busy"))
    return path


def test_outputs_of_all_engines_are_within_one_level(derain: Derain, busy: Path) -> None:
    photo("a.png", height=41, width=52)
    found = {}
    for engine in ("torch", "openvino", "onnx"):
        ended = derain("a.png", "-o", f"{engine}.png", "-m", busy, "--engine", engine, "--precision", "fp32", "--json")
        assert (ended.code, ended.records[-1]["engine"]) == (0, engine)
        assert f"fp32, {engine}" in ended.err
        found[engine] = read_rgb(f"{engine}.png").astype(int)
    assert np.abs(found["torch"] - read_rgb("a.png")).max() > 20
    for engine in ("openvino", "onnx"):
        assert np.abs(found["torch"] - found[engine]).max() <= 1


def test_the_environment_names_an_engine(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    photo("a.png")
    monkeypatch.setenv("DERAIN_ENGINE", "onnx")
    assert derain("a.png", "--precision", "fp32", "--json").records[-1]["engine"] == "onnx"
    assert derain("a.png", "-o", "b.png", "--engine", "torch", "--json").records[-1]["engine"] == "torch"


def test_auto_goes_by_the_work_of_the_whole_folder(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        photo(f"in/{number}.png")
    monkeypatch.setattr(choice, "EARNED", 1e6)  # two of these photos are less than that, four are more
    monkeypatch.setattr(choice, "macs_per_pixel", lambda config: 1e6 / (3 * 24 * 32))
    ask = ("-o", "out", "--precision", "fp32", "--json")
    assert derain("in/0.png", "in/1.png", *ask).records[-1]["engine"] == "torch"
    assert derain("in", "-o", "all", *ask[2:]).records[-1]["engine"] == "openvino"
    # What is done stays done, whichever engine the rest comes to.
    again = derain("in", *ask)
    assert (again.code, again.records[-1]["skipped"], again.records[-1]["ok"]) == (0, 2, 2)


def test_outputs_of_an_engine_that_was_asked_for_are_told_from_others(derain: Derain) -> None:
    photo("a.png")
    assert derain("a.png", "--engine", "openvino", "--precision", "fp32").code == 0
    assert derain("a.png", "--engine", "openvino", "--precision", "fp32").code == 0
    ended = derain("a.png", "--engine", "torch", "--precision", "fp32")
    assert ended.code == 7
    assert "made with engine openvino, not torch" in ended.err


def test_clips_are_counted_by_frames_and_keep_the_engine_they_began_with(
    derain: Derain, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_clip("walk.mp4", frames=4)
    monkeypatch.setattr(choice, "EARNED", 1e6)
    monkeypatch.setattr(choice, "macs_per_pixel", lambda config: 1e6 / (3 * 48 * 32))
    ask = ("video", "walk.mp4", *FAST, "--precision", "fp32", "--overwrite", "--json")
    assert derain(*ask).records[-1]["engine"] == "openvino"
    monkeypatch.setattr(choice, "EARNED", 2e6)
    assert derain(*ask).records[-1]["engine"] == "torch"
    monkeypatch.setattr("derain_cli.jobs.clips.parts.engine_begun_with", lambda targets: "onnx")
    assert derain(*ask).records[-1]["engine"] == "onnx"


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (("--engine", "openvino", "--precision", "fp16"), 2, "does not compute in fp16"),
        (("--engine", "onnx", "--precision", "bf16"), 2, "--precision auto or fp32"),
        (("--engine", "tensorrt"), 2, "--engine"),
    ],
)
def test_what_cannot_be_is_refused_in_a_line(derain: Derain, flags: tuple[str, ...], code: int, words: str) -> None:
    photo("a.png")
    ended = derain("a.png", *flags)
    assert ended.code == code
    assert len(ended.errors) == 1 and words in ended.errors[0]
    assert not Path("a_derained.png").exists()


def test_an_engine_that_is_not_installed_is_named(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    photo("a.png")
    monkeypatch.setitem(sys.modules, "openvino", None)
    ended = derain("a.png", "--engine", "openvino")
    assert ended.code == 2
    assert ended.errors == ["derain: error: openvino is needed, which is not installed (pip install openvino)"]


def test_eval_measures_alike_whatever_the_engine(derain: Derain, busy: Path, pair_folder: Path) -> None:
    scores = []
    for engine in ("torch", "openvino"):
        ended = derain(
            "eval", "--dataset", pair_folder, "-m", busy, "--engine", engine, "--precision", "fp32", "--json"
        )
        assert ended.code == 0, ended.err
        scores.append([float(number) for number in re.findall(r'"psnr": {"mean": ([0-9.]+)', ended.out)])
    assert scores[0] and scores[0] == pytest.approx(scores[1], abs=0.01)
