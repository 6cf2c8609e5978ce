"""Finding weights by name, and the errors if there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from derain_cli.checkpoints import find
from derain_cli.checkpoints.find import find_weights, installed_models
from derain_cli.checkpoints.weight_file import load_weights
from derain_cli.errors import WeightsError


def test_installed_models_are_found_by_name(tmp_path, monkeypatch):
    first, second = tmp_path / "wheel", tmp_path / "checkout"
    for folder, names in ((first, "ab"), (second, "bc")):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.safetensors").touch()
        (folder / "notes.txt").touch()
    monkeypatch.setattr(find, "_weight_folders", lambda: [first, second])
    assert installed_models() == {
        "a": first / "a.safetensors",
        "b": first / "b.safetensors",
        "c": second / "c.safetensors",
    }
    assert find_weights("c") == second / "c.safetensors"


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(find, "_weight_folders", list)
    monkeypatch.chdir(tmp_path)
    Path("plain").touch()
    Path("runs").mkdir()
    for name in ("plain", "missing.safetensors", "runs/x", "gone/x.safetensors", "a/b/c", str(tmp_path / "x.pt")):
        assert find_weights(name) == Path(name)


def test_an_unknown_name_lists_the_known_ones(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(find, "_weight_folders", lambda: [tmp_path])
    (tmp_path / "fast.safetensors").touch()
    with pytest.raises(WeightsError, match="fast") as caught:
        find_weights("fsat")
    assert caught.value.exit_code == 5


def test_everything_that_ships_is_whole():
    for path in installed_models().values():
        weights = load_weights(path)
        assert weights.card.name == path.stem
