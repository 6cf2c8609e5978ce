"""Data sets by name, and the folder layouts found in the wild."""

from __future__ import annotations

from pathlib import Path

import pytest

from derain_cli.datasets.catalogue import DATASETS
from derain_cli.datasets.layouts import Layout
from derain_cli.datasets.opening import open_dataset
from derain_cli.errors import NothingToDoError, UsageError
from tests.standins import make_layout, touch


def test_a_folder_is_itself_and_a_name_lies_below_the_root(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DERAIN_DATA", raising=False)
    for place in ("mine", "datasets/Rain200L/train", "else/RainTrainH"):
        touch(tmp_path, f"{place}/rain/1.png", f"{place}/norain/1.png")

    def folder(name, root=None):
        (pair,) = open_dataset(name, "train", root).pairs
        return pair.rainy.parent.parent

    assert folder("mine") == Path("mine")
    assert folder("rain200l") == Path("datasets/Rain200L/train")
    monkeypatch.setenv("DERAIN_DATA", str(tmp_path / "else"))
    assert folder("Rain100H") == tmp_path / "else" / "RainTrainH"
    assert folder("Rain200L", tmp_path / "datasets") == tmp_path / "datasets" / "Rain200L" / "train"
    with pytest.raises(NothingToDoError, match="DERAIN_DATA"):
        folder("Rain200L")


def test_an_unknown_name_lists_the_known_ones(tmp_path):
    with pytest.raises(UsageError) as caught:
        open_dataset("Rain300", "train", tmp_path)
    assert all(name in str(caught.value) for name in DATASETS)


def test_a_folder_is_narrowed_to_the_split(tmp_path):
    for split, count in (("train", 4), ("Testing", 2)):
        make_layout(Layout("rain/{n}", "norain/{n}"), tmp_path / split, count)
    assert len(open_dataset(tmp_path, "train").pairs) == 4
    assert len(open_dataset(str(tmp_path), "test").pairs) == 2
    assert len(open_dataset(tmp_path, "val").pairs) == 6, "there is none: all of it"
