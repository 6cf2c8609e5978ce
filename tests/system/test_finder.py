"""Finding inputs: folders, patterns, links, filters, order."""

# ruff: noqa: PTH119, PTH208, PTH211
from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derain_cli.remedies import Remedy
from derain_cli.system.finder import Finder, Selection
from tests.listing import READABLE, touch

pytestmark = pytest.mark.usefixtures("inside")

DEEP: dict[str, Any] = {"depth": None}


def finder(paths: Sequence[str], **selection: Any) -> tuple[list[str], Finder]:
    """The files found, and the finder."""
    search = Finder(paths, Selection(READABLE, **selection))
    return [found.source for found in search.find()], search


def found(*paths: str, **selection: Any) -> list[str]:
    return finder(paths, **selection)[0]


def test_sub_folders_are_looked_into_as_deep_as_wanted() -> None:
    touch("in/a.jpg", "in/x/b.jpg", "in/x/y/c.jpg")
    assert found("in") == ["in/a.jpg"]
    assert found("in", depth=1) == ["in/a.jpg", "in/x/b.jpg"]
    assert found("in", **DEEP) == ["in/a.jpg", "in/x/b.jpg", "in/x/y/c.jpg"]


def test_where_an_input_lies_is_told_from_the_named_folder_on() -> None:
    touch("in/x/b.jpg")
    (one,) = Finder(["./in/"], Selection(READABLE, depth=None)).find()
    assert (one.below, one.folder) == ("x", "./in")
    (one,) = Finder(["in/*/b.jpg"], Selection(READABLE)).find()
    assert (one.below, one.folder) == ("x", None)
    (one,) = Finder(["in/x/b.jpg"], Selection(READABLE)).find()
    assert (one.below, one.folder) == ("", None)


def test_one_file_is_one_whatever_it_is_called() -> None:
    touch("in/a.jpg", "in/b.jpg")
    os.link("in/a.jpg", "in/c.jpg")
    a, b, c = Finder(["in"], Selection(READABLE)).find()
    assert a.identity == c.identity != b.identity


def test_what_is_hidden_or_no_picture_is_left_out() -> None:
    touch("in/.a.jpg", "in/.cache/b.jpg", "in/c.txt", "in/d.JPG")
    assert found("in", **DEEP) == ["in/d.JPG"]


def test_a_file_named_outright_is_taken_whatever_its_name() -> None:
    touch("scan", ".hidden.jpg", "a.dat")
    assert found("scan", ".hidden.jpg", "a.dat") == ["scan", ".hidden.jpg", "a.dat"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.jpg", {"in/a.jpg": ""}),
        ("in/**/*.jpg", {"in/a.jpg": "", "in/x/b.jpg": "x", "in/x/y/c.jpg": "x/y"}),
        ("in/*/*.jpg", {"in/x/b.jpg": "x"}),
        ("in/[ab].*", {"in/a.jpg": ""}),
        ("*/?.jpg", {"in/a.jpg": "in"}),
        ("in/**", {"in/a.jpg": "", "in/x/b.jpg": "x", "in/x/y/c.jpg": "x/y"}),
    ],
)
def test_patterns_that_no_shell_expanded(pattern: str, expected: dict[str, str]) -> None:
    touch("in/a.jpg", "in/a.txt", "in/x/b.jpg", "in/x/y/c.jpg")
    assert {one.source: one.below for one in Finder([pattern], Selection(READABLE)).find()} == expected


def test_an_absolute_pattern(tmp_path: Path) -> None:
    touch("in/a.jpg")
    assert found(f"{tmp_path}/in/*.jpg") == [f"{tmp_path}/in/a.jpg"]


def test_a_file_with_the_name_of_a_pattern_is_that_file() -> None:
    touch("a[1].jpg", "a1.jpg")
    assert found("a[1].jpg") == ["a[1].jpg"]


def test_a_pattern_that_matches_nothing_is_told() -> None:
    touch("a.jpg")
    sources, search = finder(["a.jpg", "*.webp"])
    assert sources == ["a.jpg"]
    assert [str(error) for error in search.failed] == ["*.webp: no files match"]


def test_include_and_exclude() -> None:
    touch("in/a1.jpg", "in/a2.jpg", "in/b.jpg", "in/thumbs/a3.jpg", "in/x/a4.jpg")
    assert found("in", **DEEP, include=("a*",), exclude=("*2*", "thumbs", "x/*")) == ["in/a1.jpg"]
    sources, search = finder(["in"], **DEEP, include=("zz*",))
    assert sources == []
    assert search.skipped.filtered == 5


@pytest.mark.fault(26)
def test_names_of_any_bytes_keep_them() -> None:
    names = ["-rf.png", "a\nb.png", "\x1b[31m.png", os.fsdecode(b"\xff\xfe.png"), "🌧.png", "a .png", "n" * 251 + ".png"]
    touch(*(f"in/{name}" for name in names))
    assert {os.path.basename(source) for source in found("in")} == set(names) == set(os.listdir("in"))


@pytest.mark.fault(25)
def test_symbolic_links() -> None:
    touch("far/a.jpg", "far/d/b.jpg")
    Path("in").mkdir()
    os.symlink("../far/a.jpg", "in/link.jpg")
    os.symlink("../far/d", "in/dir")
    os.symlink("..", "in/loop")
    sources, search = finder(["in"], **DEEP)
    assert sources == []
    assert search.skipped.links == 3
    assert found("in/link.jpg") == found("in/*.jpg") == found("in", **DEEP, file_links=True) == ["in/link.jpg"]
    followed = found("in", **DEEP, file_links=True, folder_links=True)
    assert {"in/link.jpg", "in/dir/b.jpg"} <= set(followed)
    assert len(followed) <= 5


def test_a_dangling_link_is_left_to_the_reader() -> None:
    os.symlink("nowhere", "a.jpg")
    (one,) = Finder(["a.jpg"], Selection(READABLE)).find()
    assert one.source == "a.jpg" and one.identity is None


def test_missing_inputs_concern_themselves_only() -> None:
    touch("a.jpg")
    sources, search = finder(["gone.jpg", "a.jpg", ""])
    assert sources == ["a.jpg"]
    assert [error.exit_code for error in search.failed] == [3, 3]


@pytest.mark.fault(22)
def test_a_folder_named_like_a_picture_is_passed_over_with_a_note() -> None:
    touch("in/x.png/a.jpg", "in/b.jpg")
    sources, search = finder(["in"])
    assert sources == ["in/b.jpg"]
    assert search.notes == [("in/x.png", "is a folder: skipped")]
    assert search.skipped.folders == 1


def test_earlier_outputs_are_no_inputs_where_their_own_input_lies_beside_them() -> None:
    touch("in/a.jpg", "in/a_clean.jpg", "in/b_clean.jpg", "in/x/c.jpg", "in/x_clean/c.jpg", "in/out/a.jpg")
    search = Finder(["in"], Selection(READABLE, depth=None), ["_clean"], "in/out")
    assert [one.source for one in search.find()] == ["in/a.jpg", "in/b_clean.jpg", "in/x/c.jpg"]
    assert search.skipped.outputs == 3


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_folder_that_cannot_be_read_fails_alone() -> None:
    touch("in/a.jpg", "in/x/b.jpg")
    Path("in/x").chmod(0)
    sources, search = finder(["in"], **DEEP)
    Path("in/x").chmod(0o700)
    assert sources == ["in/a.jpg"]
    assert [str(error) for error in search.failed] == ["in/x: cannot read the folder: Permission denied"]


def test_where_nothing_is_found_it_is_known_how_more_could_be() -> None:
    touch("deep/x/a.jpg", "old/a.jpg", "old/a_clean.jpg", "none/a.txt")
    Path("linked").mkdir()
    os.symlink("../old/a.jpg", "linked/a.jpg")

    def remedy(path: str, *tails: str, **selection: Any) -> Remedy | None:
        search = Finder([path], Selection(READABLE, **selection), tails)
        list(search.find())
        return search.skipped.remedy()

    assert remedy("deep") is Remedy.SUB_FOLDERS
    assert remedy("linked") is Remedy.FOLLOW_LINKS
    assert remedy("old", exclude=("*",)) is Remedy.OTHER_PATTERNS
    assert remedy("old", "_clean", exclude=()) is Remedy.ONLY_OUTPUTS
    assert remedy("none") is None


@pytest.mark.fault(35)
def test_deep_trees_need_no_recursion() -> None:
    place = Path(*["d"] * 400)
    place.mkdir(parents=True)
    (place / "a.jpg").write_bytes(b"x")
    assert len(found("d", **DEEP)) == 1


def test_order_is_that_of_the_names_bytes() -> None:
    touch(*(f"in/{n}.jpg" for n in ("b", "a", "Z", "é", "10", "9")))
    sources = found("in")
    assert sources == sorted(sources, key=os.fsencode)


@given(st.lists(st.sampled_from(["a.jpg", "b.png", "x/a.jpg", "x/y/c.gif", "n.txt", ".h.jpg", "z/.d/e.jpg"])))
def test_what_is_found_is_what_lies_there(tmp_path_factory: pytest.TempPathFactory, names: list[str]) -> None:
    folder = tmp_path_factory.mktemp("found")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    wanted = {n for n in names if not n.endswith(".txt") and not any(p.startswith(".") for p in n.split("/"))}
    sources = found(str(folder), **DEEP)
    assert len(sources) == len(set(sources))
    assert {Path(source).relative_to(folder).as_posix() for source in sources} == wanted
