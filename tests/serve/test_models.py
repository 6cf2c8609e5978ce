"""Which weights are offered."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from derain_cli.checkpoints import find
from derain_cli.errors import UsageError, WeightsError
from derain_cli.serve.entry import Settings
from derain_cli.serve.models import Models
from tests.serve.conftest import CPU


def test_installed_ones_and_the_one_asked_for(weights_folder: Path, tmp_path: Path) -> None:
    assert Models.found("two", CPU).first == "two"
    mine = tmp_path / "mine.safetensors"
    shutil.copy(weights_folder / "one.safetensors", mine)
    models = Models.found(str(mine), CPU)
    assert list(models.offers) == ["one (mine)", "one", "three", "two"]
    assert models.offers[models.first].path == mine


def test_damaged_weights_are_not_offered_unless_asked_for(weights_folder: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="not a usable"):
        Models.found(str(bad), CPU)
    with pytest.raises(WeightsError, match="no model"):
        Models.found("four", CPU)


def test_networks_for_clips_are_refused_for_photos() -> None:
    models = Models.found("one", CPU)
    assert models.checked(Settings("three"), "clip") == Settings("three")
    with pytest.raises(UsageError, match="3 frames"):
        models.checked(Settings("three"), "photo")
    with pytest.raises(UsageError, match="unknown model"):
        models.checked(Settings("../one"), "clip")


def test_clips_have_a_default_of_their_own_unless_another_model_was_asked_for(
    weights_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "_weight_folders", lambda: [tmp_path])
    for name in ("fast", "other"):
        shutil.copy(weights_folder / "one.safetensors", tmp_path / f"{name}.safetensors")
    assert Models.found("fast", CPU).first_for_clips == "fast"
    shutil.copy(weights_folder / "three.safetensors", tmp_path / "clip.safetensors")
    assert Models.found("fast", CPU).first_for_clips == "clip"
    assert Models.found("other", CPU).first_for_clips == "other"


def test_one_network_is_loaded_and_serves_every_strength() -> None:
    models = Models.found("one", CPU)
    half, whole = (models.restorer(Settings("one", strength), "photo") for strength in (0.5, 1.0))
    assert half.engine is whole.engine
    assert (half.options.strength, whole.options.strength) == (0.5, 1.0)
    other = models.restorer(Settings("two"), "photo")
    assert other.fingerprint() != whole.fingerprint()


def test_the_engine_asked_for_runs_the_network() -> None:
    pytest.importorskip("onnxruntime", reason="an extra")
    pytest.importorskip("onnx", reason="an extra")
    models = Models.found("one", replace(CPU, engine="onnx"))
    assert models.restorer(Settings("one"), "photo").engine.name == "onnx"
