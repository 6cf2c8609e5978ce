"""`derain info`: installed versions, machine, missing packages."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from derain_cli import __version__
from tests.cli.conftest import Derain


def test_info_in_words(derain: Derain) -> None:
    ended = derain("info")
    assert ended.code == 0
    assert ended.err == ""
    for words in (__version__, "torch", "numpy", "auto picks device", "auto picks precision", "reason", "DERAIN_DATA"):
        assert words in ended.out


def test_info_as_json(derain: Derain, monkeypatch: pytest.MonkeyPatch, installed: Path) -> None:
    monkeypatch.setenv("DERAIN_DATA", "/data")
    monkeypatch.delenv("DERAIN_MODEL")
    report = json.loads(derain("info", "--json").out)
    assert report["versions"]["derain"] == __version__
    assert report["data"]["DERAIN_DATA"] == "/data"
    assert report["models"]["default"] == "fast"
    assert report["models"]["installed"] == {n: f"{installed}/{n}.safetensors" for n in ("one", "two")}
    assert report["devices"]["auto picks device"] in {"cpu", "cuda", "mps"}


def test_info_survives_what_is_missing(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.metadata

    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setitem(sys.modules, "derain_cli.engine.device", None)
    ended = derain("info", "--json")
    assert ended.code == 0
    report = json.loads(ended.out)
    assert report["versions"]["torch"] is None
    assert "cannot be imported" in report["devices"]["torch"]
