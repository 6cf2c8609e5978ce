"""Data sets by name, and the folder layouts found in the wild."""

from __future__ import annotations

from pathlib import Path

import pytest

from derain_cli.datasets.catalogue import DATASETS
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.layouts import LAYOUTS
from derain_cli.datasets.opening import open_dataset
from derain_cli.datasets.pairs import Pair, PairGroup, PairSet
from derain_cli.errors import NothingToDoError, UsageError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def names(found: PairSet) -> list[tuple[str, str]]:
    return [(pair.rainy.name, pair.clean.name) for pair in found.pairs]


@pytest.mark.parametrize("layout", LAYOUTS, ids="-".join)
@pytest.mark.parametrize("spell", [str, str.upper, str.title])
def test_every_layout_is_found_whatever_its_case(tmp_path, layout, spell):
    rainy, clean = (spell(part) for part in layout)
    touch(tmp_path, f"{rainy}/a.png", f"{clean}/a.png")
    found = find_pairs(tmp_path)
    assert found.groups == (PairGroup(tmp_path.name, (Pair(tmp_path / rainy / "a.png", tmp_path / clean / "a.png"),)),)
    assert found.rejected == ()
    assert found.pairs[0].name == "a"


@pytest.mark.parametrize(
    ("rainy", "clean"),
    [
        ("1.png", "1.png"),
        ("1.jpg", "1.png"),
        ("A.PNG", "a.jpeg"),
        ("rain-001.png", "norain-001.png"),
        ("norain-1x2.png", "norain-1.png"),
        ("1x2.png", "1.png"),
        ("rain-12x2.png", "norain-12.png"),
        ("rainy_7.png", "clean_7.png"),
        ("im_0001.png", "im_0001.png"),
        ("rain-1.png", "gt-1.png"),
        ("norain.png", "norain.png"),
        ("rain.png", "rain.png"),
    ],
)
def test_names_that_pair_up(tmp_path, rainy, clean):
    found = find_pairs(touch(tmp_path, f"rain/{rainy}", f"norain/{clean}"))
    assert names(found) == [(rainy, clean)]
    assert found.rejected == ()


def test_names_that_do_not_pair_up(tmp_path):
    touch(tmp_path, "rain/1.png", "norain/1.png", "rain/2.png", "norain/3.png", "rain/001.png")
    found = find_pairs(tmp_path)
    assert names(found) == [("1.png", "1.png")]
    assert sorted(str(error.path.relative_to(tmp_path)) for error in found.rejected) == [
        "norain/3.png",
        "rain/001.png",
        "rain/2.png",
    ]
    assert all("no partner" in str(error) for error in found.rejected)


def test_duplicates_are_listed_and_the_first_is_used(tmp_path):
    touch(tmp_path, "rain/1.png", "rain/1.jpg", "rain/rain-1.png", "norain/1.png", "norain/norain-1.png")
    found = find_pairs(tmp_path)
    assert names(found) == [("1.jpg", "1.png")]
    reasons = [str(error) for error in found.rejected]
    assert len(reasons) == 3
    assert all("pairs with the same picture as" in reason for reason in reasons)


def test_groups_of_nested_folders_and_their_order(tmp_path):
    touch(tmp_path, "light/rain/1.png", "light/norain/1.png", "deep/er/heavy/input/1.png", "deep/er/heavy/target/1.png")
    touch(tmp_path, "other/rain/1.png", ".hidden/rain/1.png", ".hidden/norain/1.png")
    found = find_pairs(tmp_path)
    assert [group.name for group in found.groups] == ["heavy", "light"]
    with pytest.raises(NothingToDoError):
        find_pairs(tmp_path / "deep", depth=1)


def test_splits_of_two_sets_have_names_of_their_own(tmp_path, monkeypatch):
    """Scores are kept apart by the group's name, and every set has a folder called `train`."""
    for data in ("Rain200L", "Rain200H"):
        touch(tmp_path, f"{data}/train/rain/1.png", f"{data}/train/norain/1.png")
    found = [find_pairs(tmp_path / data / "train").groups[0].name for data in ("Rain200L", "Rain200H")]
    assert found == ["Rain200L/train", "Rain200H/train"]
    monkeypatch.chdir(tmp_path / "Rain200L")
    assert find_pairs(Path("train")).groups[0].name == "Rain200L/train"
    monkeypatch.chdir("train")
    assert find_pairs(Path()).groups[0].name == "Rain200L/train"


def test_pairs_are_sorted_whatever_the_order_on_disk(tmp_path):
    for number in (3, 10, 1, 2):
        touch(tmp_path, f"rain/{number}.png", f"norain/{number}.png")
    assert names(find_pairs(tmp_path)) == sorted(names(find_pairs(tmp_path)))
    assert len(find_pairs(tmp_path).pairs) == 4


def test_files_that_are_no_pictures_are_not_looked_at(tmp_path):
    touch(tmp_path, "rain/1.png", "norain/1.png", "rain/notes.txt", "rain/.1.png", "norain/Thumbs.db", "rain/.x/2.png")
    found = find_pairs(tmp_path)
    assert names(found) == [("1.png", "1.png")]
    assert found.rejected == ()


@pytest.mark.parametrize("made", [[], ["rain/1.png"], ["rain/1.png", "norain/2.png"], ["1.png"]])
def test_no_pairs_at_all(tmp_path, made):
    with pytest.raises(NothingToDoError, match="no pairs found") as caught:
        find_pairs(touch(tmp_path, *made))
    assert "rain/norain" in str(caught.value)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(NothingToDoError, match="no such folder"):
        find_pairs(tmp_path / "missing")
    touch(tmp_path, "file")
    with pytest.raises(NothingToDoError, match="no such folder"):
        find_pairs(tmp_path / "file")


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
