"""Lists of photos, and a rainy picture beside the same picture without rain."""

from __future__ import annotations

from pathlib import Path

import pytest

from derain_cli.datasets.pairs import folder_name, list_photos
from tests.listing import touch

pytestmark = pytest.mark.usefixtures("inside")


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
