"""Folders that nobody has described: pairs told by names, then by looks; side-by-side pictures; swapped sides."""

from __future__ import annotations

import numpy as np
import pytest

from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.layouts import Layout
from derain_cli.datasets.opening import open_dataset
from derain_cli.datasets.pairs import Pair, list_photos
from derain_cli.datasets.sides import looks_swapped
from derain_cli.errors import NothingToDoError
from derain_cli.media.photo import write_rgb
from tests.standins import clean_picture, make_layout

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
    """Two scenes in one picture: its halves have nothing to do with each other."""
    return np.concatenate([clean_picture(height, width // 2, 2 * seed + side) for side in (0, 1)], axis=1)


def as_made(found) -> set:
    return {(pair.rainy, pair.clean) for pair in found.pairs}


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
    """10_1 and 10 are two pictures where both sides have them."""
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


# --- by looks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["light", "heavy", "real"])
@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")], ids="".join)
def test_two_folders_of_any_names(tmp_path, names, profile):
    rainy, clean = names
    made = make_layout(Layout(f"{rainy}/{{n}}", f"{clean}/{{n}}"), tmp_path, 8, (96, 120), profile)
    found = find_pairs(tmp_path)
    assert as_made(found) == set(made)
    assert len(found.notes) == 1
    assert f"{rainy} taken for the rainy pictures" in found.notes[0]


def test_two_sets_of_one_scene_are_never_taken_for_the_two_sides(tmp_path):
    """Another rain on the same pictures, of one size: together they look like a rainy and a less rainy side."""
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


def test_a_folder_is_narrowed_to_the_split(tmp_path):
    for split, count in (("train", 4), ("Testing", 2)):
        make_layout(Layout("rain/{n}", "norain/{n}"), tmp_path / split, count)
    assert len(open_dataset(tmp_path, "train").pairs) == 4
    assert len(open_dataset(str(tmp_path), "test").pairs) == 2
    assert len(open_dataset(tmp_path, "val").pairs) == 6, "there is none: all of it"


# --- swapped ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["light", "heavy", "real"])
def test_swapped_sides_are_noticed_and_right_ones_are_not(tmp_path, profile):
    made = make_layout(Layout("a/{n}", "b/{n}"), tmp_path, 10, (96, 120), profile)
    right = [Pair(rainy, clean) for rainy, clean in made]
    assert not looks_swapped(right)
    assert looks_swapped([Pair(clean, rainy) for rainy, clean in made])


@pytest.mark.parametrize("layout", SIDE_BY_SIDE, ids=str)
def test_swapped_halves_are_noticed(tmp_path, layout):
    made = make_layout(layout, tmp_path, 6, (64, 80))
    other = "rainy|clean" if layout.halves == "clean|rainy" else "clean|rainy"
    assert not looks_swapped([Pair(path, path, layout.halves) for path, _ in made])
    assert looks_swapped([Pair(path, path, other) for path, _ in made])


def test_nothing_is_swapped_where_nothing_can_be_seen(tmp_path):
    write_rgb(tmp_path / "1.png", clean_picture(32, 40, 0))
    (tmp_path / "2.png").write_bytes(b"no picture")
    same, broken = (Pair(tmp_path / f"{n}.png", tmp_path / f"{n}.png") for n in (1, 2))
    assert not looks_swapped([])
    assert not looks_swapped([same, same])
    assert not looks_swapped([broken])


def test_a_few_odd_pairs_do_not_decide(tmp_path):
    made = make_layout(Layout("a/{n}", "b/{n}"), tmp_path, 10, (64, 80))
    pairs = [Pair(*reversed(each)) if number < 3 else Pair(*each) for number, each in enumerate(made)]
    assert not looks_swapped(pairs)


# --- templates --------------------------------------------------------------------------------------------------------


def test_layouts_say_what_they_are():
    assert str(Layout("rain/{n}", "norain/{n}")) == "rain/{n}.* and norain/{n}.*"
    assert str(SIDE_BY_SIDE[0]) == "{n}.* (clean half left, rainy half right)"
    assert str(Layout("{n}")) == "{n}.*"


def test_a_layout_tells_what_lacks_its_partner(tmp_path):
    layout = Layout("rain/norain-{n}x2", "norain/norain-{n}")
    made = make_layout(layout, tmp_path, 4)
    made[0][0].unlink()
    made[1][1].unlink()
    (tmp_path / "rain" / "else.png").write_bytes(b"")
    found = layout.find(tmp_path, list_photos(tmp_path))
    assert {(p.rainy, p.clean) for p in found.pairs} == set(made[2:])
    assert set(found.alone) == {made[0][1], made[1][0]}
    assert len(found) == 2


def test_case_and_endings_do_not_count(tmp_path):
    for name in ("Rain/NoRain-1X2.PNG", "NORAIN/norain-1.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    found = Layout("rain/norain-{n}x2", "norain/norain-{n}").find(tmp_path, list_photos(tmp_path))
    assert [(p.rainy.name, p.clean.name) for p in found.pairs] == [("NoRain-1X2.PNG", "norain-1.jpg")]
