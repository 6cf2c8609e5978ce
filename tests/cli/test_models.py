"""`derain models`: listing, verification, averages."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import torch

import derain_cli
from derain_cli.checkpoints import find
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.header import read_head
from derain_cli.checkpoints.weight_file import load_weights, save_weights
from derain_cli.config import ModelConfig
from tests.cli.conftest import Derain
from tests.conftest import make_network


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-3] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("argv", [["models"], ["models", "list"]])
def test_list(derain: Derain, installed: Path, argv: list[str]) -> None:
    ended = derain(*argv)
    assert ended.code == 0
    one, two = ended.out.split("two: ")
    scores = "SetA, 3 pictures, y: 25.50 dB / 0.8000 -> 38.25 dB / 0.9700"
    for words in ("one: ", "width 8, blocks 1, unshuffle 2", "\n    SetA\n    SetB\n", scores, "first"):
        assert words in one
    assert "unshuffle 1" in two and "scores" not in two
    first, second = derain(*argv, "--json").records
    assert (first["name"], second["name"]) == ("one", "two")
    assert first["network"]["unshuffle"] == 2
    assert first["parameters"] > 0
    assert first["macs_per_pixel"] == checkpoint_macs(installed / "one.safetensors")


def checkpoint_macs(path: Path) -> float:
    from derain_cli.model.architecture import macs_per_pixel

    return macs_per_pixel(load_weights(path).config)


def test_the_licence_is_in_the_short_list_and_a_card_has_no_long_lines(derain: Derain, installed: Path) -> None:
    assert "licence of the weights: for research only" in derain("models").out
    shown = derain("models", "show", "two").out
    assert "optim: steps 20, milestones 0.333333; 0.5" in shown and "{" not in shown and "0" * 16 not in shown
    path_line = max(len(line) for line in shown.splitlines() if str(installed) not in line)
    assert path_line <= 100
    assert derain("models", "show", "two", "--json").records[0]["card"]["recipe"]["data"]["key59"] == 59


def test_the_licence_of_the_weights_travels_with_them() -> None:
    root = Path(derain_cli.__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert "weights/LICENSE" in project["license-files"]
    text = (root / "weights" / "LICENSE").read_text(encoding="utf-8")
    assert "research" in text and "non-commercial" in text
    for path in (root / "weights").glob("*.safetensors"):
        assert "non-commercial" in read_head(path).card.licence


def test_show(derain: Derain, installed: Path, weights: Path) -> None:
    shown = derain("models", "show", "one").out
    for words in ("  first\n", "trained on:\n    SetA\n    SetB\n", "licence of the weights: not stated"):
        assert words in shown
    assert derain("models", "show", weights, "--json").records[0]["card"]["name"] == "same"
    ended = derain("models", "show", "three")
    assert ended.code == 5
    assert "installed: one, two" in ended.err


def test_path(derain: Derain, installed: Path) -> None:
    assert derain("models", "path", "two").out == f"{installed}/two.safetensors\n"
    assert derain("models", "path", "two", "--json").records == [
        {"name": "two", "path": f"{installed}/two.safetensors"}
    ]
    assert derain("models", "path", "three").code == 5
    assert derain("models", "path", "three.safetensors").code == 5


def test_verify(derain: Derain, installed: Path, weights: Path) -> None:
    ended = derain("models", "verify")
    assert ended.code == 0
    assert [line.split(":")[0] for line in ended.out.splitlines()] == ["one", "two"]
    damage(installed / "one.safetensors")
    ended = derain("models", "verify", "--json")
    assert ended.code == 5
    assert [r["status"] for r in ended.records] == ["failed", "ok"]
    assert "checksum mismatch" in ended.err
    assert derain("models", "verify", "two", weights).code == 0
    assert derain("models", "verify", "two", "gone.safetensors").code == 5
    listed = derain("models", "list")
    assert listed.code == 5
    assert listed.out.startswith("two: ")


def test_no_models_at_all_is_4(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "_weight_folders", list)
    for command in ("list", "verify"):
        ended = derain("models", command)
        assert ended.code == 4
        assert "no models are installed" in ended.err


def test_all_commands_are_listed(derain: Derain) -> None:
    shown = derain("models", "--help").out
    assert all(name in shown for name in ("list", "show", "verify", "path", "average", "export", "pull", "push"))


@pytest.fixture
def relatives(tmp_path: Path) -> list[Path]:
    """Two weight files of the same architecture."""
    cards = Card(name="one", summary="first", trained_on=("SetA", "SetB")), Card(trained_on=("SetB",), limits="night")
    paths = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for seed, (path, card) in enumerate(zip(paths, cards, strict=True)):
        save_weights(path, make_network(ModelConfig(width=4, blocks=1), seed=seed), card)
    return paths


def test_average_writes_weights_between_others_with_the_terms_of_both(
    derain: Derain, relatives: list[Path], pair_folder: Path
) -> None:
    argv = ("models", "average", *map(str, relatives), "--share", "0.75", "--share", "0.25", "-o", "mine.safetensors")
    ended = derain(*argv, "--val", str(pair_folder), "--json")
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    made, parts = load_weights(Path("mine.safetensors")), [load_weights(path) for path in relatives]
    assert told["sha256"] == made.sha256
    for name, value in made.tensors.items():
        if value.is_floating_point():
            mean = 0.75 * parts[0].tensors[name] + 0.25 * parts[1].tensors[name]
            assert torch.allclose(value, mean, atol=1e-6)
    card = made.card
    assert (card.name, card.summary, card.trained_on, card.limits) == ("one", "first", ("SetA", "SetB"), "night")
    assert [part["sha256"] for part in card.recipe["average"]] == [part.sha256 for part in parts]
    assert [part["share"] for part in card.recipe["average"]] == [0.75, 0.25]
    assert told["scores"] == card.scores and card.scores, "measured, not taken over"
    assert "SetA" not in card.scores
    before = Path("mine.safetensors").read_bytes()
    again = derain(*argv)
    assert (again.code, len(again.errors)) == (7, 1) and "--overwrite" in again.errors[0]
    assert Path("mine.safetensors").read_bytes() == before
    assert derain(*argv, "--overwrite").code == 0
    assert load_weights(Path("mine.safetensors")).card.scores == {}


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (("gone.safetensors",), 5, "gone"),
        (("wider.safetensors", "--share", "1", "--share", "0", "--share", "0"), 2, "same configuration"),
        (("--share", "0.9"), 2, "1 shares for 2 networks"),
        (("--share", "0.9", "--share", "0.9"), 2, "sum to 1"),
        (("--val", "nowhere"), 2, "nowhere"),
    ],
)
def test_bad_averages_are_refused(
    derain: Derain, relatives: list[Path], argv: tuple[str, ...], code: int, told: str
) -> None:
    save_weights(Path("wider.safetensors"), make_network(ModelConfig(width=5, blocks=1)), Card())
    ended = derain("models", "average", *map(str, relatives), *argv, "-o", "mine.safetensors")
    assert (ended.code, len(ended.errors)) == (code, 1)
    assert told in ended.errors[0]
    assert not Path("mine.safetensors").exists()
