"""Lists of photos, and pairs of rainy and clean pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from derain_cli.datasets.layouts import Layout
from derain_cli.datasets.pairs import Pair, folder_name, list_photos, read_clean, read_pair
from derain_cli.errors import InputError
from derain_cli.media.photo import read_rgb, write_rgb
from tests.listing import touch
from tests.standins import clean_picture, make_layout, rainy_picture

pytestmark = pytest.mark.usefixtures("inside")

SIDE_BY_SIDE = [Layout("{n}", halves="clean|rainy"), Layout("{n}", halves="rainy|clean")]


def test_photos_are_listed_with_those_in_sub_folders_by_their_paths_in_order() -> None:
    touch("d/b.png", "d/a/z.JPG", "d/a.png", "d/.h.png", "d/.hidden/c.png", "d/notes.txt", "d/a/b/c.webp")
    listed = list_photos(Path("d"))
    assert listed == [Path("d/a/b/c.webp"), Path("d/a/z.JPG"), Path("d/a.png"), Path("d/b.png")]
    assert listed == sorted(listed)
    assert list_photos(Path("d"), depth=0) == [Path("d/a.png"), Path("d/b.png")]
    assert list_photos(Path("d"), depth=1) == [Path("d/a/z.JPG"), Path("d/a.png"), Path("d/b.png")]
    assert list_photos(Path("gone")) == []


def test_links_to_photos_are_photos_and_links_to_folders_are_not_entered() -> None:
    touch("far/a.png", "d/b.png")
    Path("d/link.png").symlink_to("../far/a.png")
    Path("d/folder").symlink_to("../far")
    Path("d/loop").symlink_to("..")
    assert list_photos(Path("d")) == [Path("d/b.png"), Path("d/link.png")]


def test_outputs_of_derain_are_photos_like_others() -> None:
    touch("d/a.png", "d/a_derained.png")
    assert len(list_photos(Path("d"))) == 2


@pytest.mark.parametrize(
    ("place", "name"), [("Rain100L", "Rain100L"), ("Rain100L/train", "Rain100L/train"), ("set/Test", "set/Test")]
)
def test_a_folder_of_a_split_goes_by_its_parents_name_too(place: str, name: str) -> None:
    Path(place).mkdir(parents=True)
    assert folder_name(Path(place)) == name


@pytest.mark.parametrize("layout", SIDE_BY_SIDE, ids=str)
def test_halves_are_read_as_two_pictures(tmp_path, layout):
    make_layout(layout, tmp_path, 2)
    for number in range(2):
        pair = Pair(tmp_path / f"{number + 1}.png", tmp_path / f"{number + 1}.png", layout.halves)
        rainy, clean = read_pair(pair)
        assert np.array_equal(clean, clean_picture(32, 40, number))
        assert np.array_equal(rainy, rainy_picture(32, 40, number, "light", number))
        assert np.array_equal(read_clean(pair), clean)


def test_a_side_by_side_picture_is_read_once(tmp_path):
    make_layout(SIDE_BY_SIDE[0], tmp_path, 1)
    read = []

    def reader(path):
        read.append(path)
        return read_rgb(path)

    read_pair(Pair(tmp_path / "1.png", tmp_path / "1.png", "clean|rainy"), reader)
    assert len(read) == 1


def test_an_odd_width_has_no_halves(tmp_path):
    write_rgb(tmp_path / "1.png", clean_picture(20, 41, 0))
    pair = Pair(tmp_path / "1.png", tmp_path / "1.png", "clean|rainy")
    for read in (read_pair, read_clean):
        with pytest.raises(InputError, match="must have an even width, not 41"):
            read(pair)


def test_sizes_that_differ_make_no_pair(tmp_path):
    write_rgb("a.png", clean_picture(20, 40, 0))
    write_rgb("b.png", clean_picture(20, 42, 0))
    with pytest.raises(InputError, match="sizes differ: 40x20, its clean partner 42x20"):
        read_pair(Pair(Path("a.png"), Path("b.png")))
