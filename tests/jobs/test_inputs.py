"""Which inputs there are: folders, patterns, links, filters, their order."""

# ruff: noqa: PTH119, PTH208, PTH211
from __future__ import annotations

import os
from pathlib import Path

import pytest

from derain_cli.jobs.outputs import plan
from tests.jobs.listing import pairs, rules, touch

pytestmark = pytest.mark.usefixtures("inside")


def test_without_recursive_only_the_folders_own_files() -> None:
    touch("in/a.jpg", "in/x/b.jpg")
    assert list(pairs(plan(["in"], rules(output="out")))) == ["in/a.jpg"]


def test_what_is_hidden_or_no_picture_is_left_out() -> None:
    touch("in/.a.jpg", "in/.cache/b.jpg", "in/c.txt", "in/d.JPG")
    assert list(pairs(plan(["in"], rules(recursive=True)))) == ["in/d.JPG"]


def test_a_file_named_outright_is_taken_whatever_its_name() -> None:
    touch("scan", ".hidden.jpg", "a.dat")
    assert pairs(plan(["scan", ".hidden.jpg", "a.dat"], rules(output="out"))) == {
        "scan": "out/scan.png",
        ".hidden.jpg": "out/.hidden.jpg",
        "a.dat": "out/a.png",
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("in/*.jpg", {"in/a.jpg": "out/a.jpg"}),
        ("in/**/*.jpg", {"in/a.jpg": "out/a.jpg", "in/x/b.jpg": "out/x/b.jpg", "in/x/y/c.jpg": "out/x/y/c.jpg"}),
        ("in/*/*.jpg", {"in/x/b.jpg": "out/x/b.jpg"}),
        ("in/[ab].*", {"in/a.jpg": "out/a.jpg"}),
        ("*/?.jpg", {"in/a.jpg": "out/in/a.jpg"}),
        ("in/**", {"in/a.jpg": "out/a.jpg", "in/x/b.jpg": "out/x/b.jpg", "in/x/y/c.jpg": "out/x/y/c.jpg"}),
    ],
)
def test_patterns_that_no_shell_expanded(pattern: str, expected: dict[str, str]) -> None:
    touch("in/a.jpg", "in/a.txt", "in/x/b.jpg", "in/x/y/c.jpg")
    assert pairs(plan([pattern], rules(output="out"))) == expected


def test_an_absolute_pattern(tmp_path: Path) -> None:
    touch("in/a.jpg")
    assert pairs(plan([f"{tmp_path}/in/*.jpg"], rules())) == {f"{tmp_path}/in/a.jpg": f"{tmp_path}/in/a_derained.jpg"}


def test_a_file_with_the_name_of_a_pattern_is_that_file() -> None:
    touch("a[1].jpg", "a1.jpg")
    assert list(pairs(plan(["a[1].jpg"], rules()))) == ["a[1].jpg"]


def test_a_pattern_that_matches_nothing_is_told() -> None:
    touch("a.jpg")
    work = plan(["a.jpg", "*.webp"], rules())
    assert len(work.items) == 1
    assert [str(e) for e in work.failed] == ["*.webp: no image matches"]


def test_include_and_exclude() -> None:
    touch("in/a1.jpg", "in/a2.jpg", "in/b.jpg", "in/thumbs/a3.jpg", "in/x/a4.jpg")
    work = plan(["in"], rules(recursive=True, include=("a*",), exclude=("*2*", "thumbs", "x/*")))
    assert list(pairs(work)) == ["in/a1.jpg"]
    work = plan(["in"], rules(recursive=True, include=("zz*",)))
    assert "--include" in str(work.nothing_found())


def test_names_of_any_bytes_keep_them() -> None:
    names = ["-rf.png", "a\nb.png", "\x1b[31m.png", os.fsdecode(b"\xff\xfe.png"), "🌧.png", "a .png", "n" * 251 + ".png"]
    touch(*(f"in/{name}" for name in names))
    work = plan(["in"], rules(output="out"))
    assert {os.path.basename(i.target) for i in work.items} == set(names) == set(os.listdir("in"))


def test_symbolic_links() -> None:
    touch("far/a.jpg", "far/d/b.jpg")
    Path("in").mkdir()
    os.symlink("../far/a.jpg", "in/link.jpg")
    os.symlink("../far/d", "in/dir")
    os.symlink("..", "in/loop")
    work = plan(["in"], rules(recursive=True, output="out"))
    assert work.items == ()
    assert "--follow-symlinks" in str(work.nothing_found())
    assert pairs(plan(["in/link.jpg"], rules())) == {"in/link.jpg": "in/link_derained.jpg"}
    followed = pairs(plan(["in"], rules(recursive=True, follow_symlinks=True, output="out")))
    assert "in/link.jpg" in followed
    assert "in/dir/b.jpg" in followed
    assert len(followed) <= 5


def test_a_dangling_link_is_left_to_the_reader() -> None:
    os.symlink("nowhere", "a.jpg")
    assert list(pairs(plan(["a.jpg"], rules()))) == ["a.jpg"]


def test_missing_inputs_concern_themselves_only() -> None:
    touch("a.jpg")
    work = plan(["gone.jpg", "a.jpg", ""], rules())
    assert list(pairs(work)) == ["a.jpg"]
    assert [e.exit_code for e in work.failed] == [3, 3]


def test_a_folder_named_like_a_picture_is_passed_over_with_a_note() -> None:
    touch("in/x.png/a.jpg", "in/b.jpg")
    work = plan(["in"], rules())
    assert list(pairs(work)) == ["in/b.jpg"]
    assert work.notes == (("in/x.png", "is a folder: passed over"),)
    assert "-r" in str(plan(["in"], rules(include=("zz",))).nothing_found())


def test_deep_trees_need_no_recursion() -> None:
    place = Path(*["d"] * 400)
    place.mkdir(parents=True)
    (place / "a.jpg").write_bytes(b"x")
    assert len(plan(["d"], rules(recursive=True, output="out")).items) == 1


def test_order_is_that_of_the_names_bytes() -> None:
    touch(*(f"in/{n}.jpg" for n in ("b", "a", "Z", "é", "10", "9")))
    sources = [item.source for item in plan(["in"], rules()).items]
    assert sources == sorted(sources, key=os.fsencode)


@pytest.mark.slow
def test_a_hundred_thousand_files() -> None:
    import tracemalloc

    Path("in").mkdir()
    for number in range(100_000):
        os.close(os.open(f"in/{number:06d}.jpg", os.O_CREAT | os.O_WRONLY))
    tracemalloc.start()
    assert len(plan(["in"], rules(output="out")).items) == 100_000
    assert tracemalloc.get_traced_memory()[1] < 250 << 20
