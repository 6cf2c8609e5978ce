"""Undocumented folders: pairs found by name or by content; side-by-side pictures; swapped sides."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.layouts import LAYOUTS, Layout
from derain_cli.datasets.opening import open_dataset
from derain_cli.datasets.pairs import Pair, PairGroup, PairSet, list_photos
from derain_cli.errors import NothingToDoError
from derain_cli.media.photo import write_rgb
from tests.standins import clean_picture, make_layout, touch

SIDE_BY_SIDE = [Layout("{n}", halves="clean|rainy"), Layout("{n}", halves="rainy|clean")]
TOLD_BY_NAMES = [
    Layout("rain-{n}", "norain-{n}"),
    Layout("rainy/rain-{n}", "norain-{n}"),
    Layout("rainy/norain-{n}", "norain-{n}"),
    Layout("rain/{n}", "{n}"),
    Layout("{n}_rain", "{n}_clean"),
    Layout("{n}_in", "{n}_GT"),
    Layout("{n}x2", "{n}"),
    Layout("input/{n}_in", "groundtruth/{n}_GT"),
    Layout("rain/{n}", "gt/{n}gt"),
    Layout("rain/x2/norain-{n}x2", "norain/norain-{n}"),
    Layout("real_world/{n}", "real_world_gt/{n}"),
]


def photo(height: int, width: int, seed: int) -> np.ndarray:
    """Two unrelated scenes in one picture."""
    return np.concatenate([clean_picture(height, width // 2, 2 * seed + side) for side in (0, 1)], axis=1)


def as_made(found) -> set:
    return {(pair.rainy, pair.clean) for pair in found.pairs}


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
    assert all("has the same partner as" in reason for reason in reasons)


def test_groups_of_nested_folders_and_their_order(tmp_path):
    touch(tmp_path, "light/rain/1.png", "light/norain/1.png", "deep/er/heavy/input/1.png", "deep/er/heavy/target/1.png")
    touch(tmp_path, "other/rain/1.png", ".hidden/rain/1.png", ".hidden/norain/1.png")
    found = find_pairs(tmp_path)
    assert [group.name for group in found.groups] == ["heavy", "light"]
    with pytest.raises(NothingToDoError):
        find_pairs(tmp_path / "deep", depth=1)


def test_splits_of_two_sets_have_names_of_their_own(tmp_path, monkeypatch):
    """Scores are grouped by name, and every set has a folder named `train`."""
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


# --- by names ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", TOLD_BY_NAMES, ids=str)
def test_folders_told_by_names(tmp_path, layout):
    made = make_layout(layout, tmp_path, count=4)
    found = find_pairs(tmp_path)
    assert as_made(found) == set(made)
    assert found.rejected == found.notes == ()
    assert all(not pair.halves for pair in found.pairs)


@pytest.mark.parametrize("names", [("rainy_image", "ground_truth"), ("input", "target"), ("rain", "norain")])
def test_one_clean_picture_for_several_rainy_ones(tmp_path, names):
    made = make_layout(Layout(f"{names[0]}/{{n}}_{{k}}", f"{names[1]}/{{n}}"), tmp_path, count=6)
    assert len({clean for _, clean in made}) == 2
    assert as_made(find_pairs(tmp_path)) == set(made)


def test_a_name_of_its_own_comes_before_a_shared_clean_picture(tmp_path):
    """10_1 and 10 are two pictures if both sides have them."""
    for name in ("10_1", "10"):
        make_layout(Layout("rain/{n}", "norain/{n}"), tmp_path, count=1)
        for side in ("rain", "norain"):
            (tmp_path / side / "1.png").rename(tmp_path / side / f"{name}.png")
    assert [(p.rainy.stem, p.clean.stem) for p in find_pairs(tmp_path).pairs] == [("10", "10"), ("10_1", "10_1")]


def test_the_same_names_in_several_folders_stay_apart(tmp_path):
    for scene in "ab":
        make_layout(Layout(f"rain/{scene}/{{n}}", f"norain/{scene}/{{n}}"), tmp_path, count=2)
    found = find_pairs(tmp_path)
    assert len(found.pairs) == 4
    assert found.rejected == ()
    assert all(pair.rainy.parent.name == pair.clean.parent.name for pair in found.pairs)


def test_photos_beside_a_few_pairs_are_no_set_of_pairs(tmp_path):
    for number in range(6):
        write_rgb(tmp_path / f"holiday{number}.png", clean_picture(32, 40, number))
    write_rgb(tmp_path / "rain-1.png", clean_picture(32, 40, 7))
    write_rgb(tmp_path / "norain-1.png", clean_picture(32, 40, 8))
    with pytest.raises(NothingToDoError, match="no pairs found"):
        find_pairs(tmp_path)


# --- by content -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["light", "heavy", "real"])
@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")], ids="".join)
def test_two_folders_of_any_names(tmp_path, names, profile):
    rainy, clean = names
    made = make_layout(Layout(f"{rainy}/{{n}}", f"{clean}/{{n}}"), tmp_path, 8, (96, 120), profile)
    found = find_pairs(tmp_path)
    assert as_made(found) == set(made)
    assert len(found.notes) == 1
    assert f"{rainy} appears to hold the rainy pictures" in found.notes[0]


def test_two_sets_of_one_scene_are_never_taken_for_the_two_sides(tmp_path):
    """Different rain on the same pictures, same size: together they look like a rainy and a less rainy side."""
    made = []
    for name in ("heavy", "light"):
        made += make_layout(Layout(f"{name}/rain/{{n}}", f"{name}/norain/{{n}}"), tmp_path, 8, (96, 120), name)
    found = find_pairs(tmp_path)
    assert as_made(found) == set(made)
    assert [group.name for group in found.groups] == ["heavy", "light"]
    assert found.notes == ()


def test_two_folders_of_different_pictures_are_no_pairs(tmp_path):
    for number in range(4):
        for side, seed in (("monday", number), ("tuesday", 50 + number)):
            (tmp_path / side).mkdir(exist_ok=True)
            write_rgb(tmp_path / side / f"{number}.png", clean_picture(64, 80, seed))
    with pytest.raises(NothingToDoError):
        find_pairs(tmp_path)


def test_folders_of_splits_are_never_taken_for_the_two_sides(tmp_path):
    make_layout(Layout("train/{n}", "test/{n}"), tmp_path, 4, (64, 80))
    with pytest.raises(NothingToDoError):
        find_pairs(tmp_path)


@pytest.mark.parametrize("layout", SIDE_BY_SIDE, ids=str)
@pytest.mark.parametrize("profile", ["light", "heavy", "real"])
def test_side_by_side_pictures_are_noticed_and_their_sides_seen(tmp_path, layout, profile):
    make_layout(layout, tmp_path, 8, (96, 120), profile)
    found = find_pairs(tmp_path)
    assert {pair.halves for pair in found.pairs} == {layout.halves}
    assert len(found.pairs) == 8
    assert "side-by-side" in found.notes[0]


def test_photos_are_not_taken_for_side_by_side_pictures(tmp_path):
    for number in range(9):
        write_rgb(tmp_path / f"{number}.png", photo(96, 160, number))
    with pytest.raises(NothingToDoError):
        find_pairs(tmp_path)
    view = open_dataset(tmp_path)
    assert list(view.photos) == list_photos(tmp_path)
    assert view.groups == ()
    assert "without ground truth" in view.warnings[0]
