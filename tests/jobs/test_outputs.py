"""Output paths, and refusals before any work."""

# ruff: noqa: PTH118, PTH211
from __future__ import annotations

import os
from pathlib import Path

import pytest

from derain_cli.errors import DestinationError, UsageError
from derain_cli.jobs import outputs
from derain_cli.jobs.items import COMPARE, LAYERS, Naming, WorkList
from derain_cli.jobs.outputs import plan_in_parts
from derain_cli.system.finder import Selection
from tests.listing import READABLE, WRITABLE, pairs, planned, touch

pytestmark = pytest.mark.usefixtures("inside")


def test_results_lie_beside_the_inputs() -> None:
    touch("a.jpg", "d/b.png", "folder/c.jpg")
    assert pairs(planned(["a.jpg", "./d/b.png", "folder"])) == {
        "a.jpg": "a_derained.jpg",
        "./d/b.png": "./d/b_derained.png",
        "folder/c.jpg": "folder_derained/c.jpg",
    }


def test_the_current_folder_has_a_name(tmp_path: Path) -> None:
    touch("here/a.jpg")
    os.chdir("here")
    assert pairs(planned(["."])) == {"./a.jpg": f"{tmp_path}/here_derained/a.jpg"}


@pytest.mark.parametrize("out", ["out", "out/", "new/out"])
def test_a_tree_is_mirrored(out: str) -> None:
    touch("in/a.jpg", "in/x/y/b.jpg", "in/x/c.png")
    assert pairs(planned(["in"], output=out, recursive=True)) == {
        "in/a.jpg": os.path.join(out, "a.jpg"),
        "in/x/c.png": os.path.join(out, "x/c.png"),
        "in/x/y/b.jpg": os.path.join(out, "x/y/b.jpg"),
    }


def test_an_output_name_that_would_be_too_long_fails_alone() -> None:
    long = "n" * 251 + ".png"
    touch(long, "a.png")
    work = planned([long, "a.png"])
    assert list(pairs(work)) == ["a.png"]
    assert "too long" in str(work.failed[0])


def test_formats_that_cannot_be_written_become_another_with_a_note() -> None:
    touch("a.gif")
    (item,) = planned(["a.gif"]).items
    assert item.target == "a_derained.png"
    assert ".gif" in item.note


def test_format_and_suffix() -> None:
    touch("in/a.jpg")
    assert pairs(planned(["in"], format="webp", suffix="_x")) == {"in/a.jpg": "in_x/a.webp"}
    assert pairs(planned(["in"], format="webp", suffix="_x", output="out")) == {"in/a.jpg": "out/a_x.webp"}
    assert pairs(planned(["in/a.jpg"], suffix="-dry")) == {"in/a.jpg": "in/a-dry.jpg"}
    with pytest.raises(UsageError):
        planned([], format="xyz")
    with pytest.raises(UsageError):
        planned([], suffix="/x")


def test_output_file_or_folder() -> None:
    touch("a.jpg", "b.jpg", "there.txt")
    Path("dir.png").mkdir()
    assert pairs(planned(["a.jpg"], output="new/b.png")) == {"a.jpg": "new/b.png"}
    assert pairs(planned(["a.jpg"], output="dir.png")) == {"a.jpg": "dir.png/a.jpg"}
    assert pairs(planned(["a.jpg"], output="x.png/")) == {"a.jpg": "x.png/a.jpg"}
    assert pairs(planned(["a.jpg"], output="plain")) == {"a.jpg": "plain/a.jpg"}
    with pytest.raises(UsageError, match="xyz"):
        planned(["a.jpg"], output="b.xyz")
    with pytest.raises(UsageError):
        planned(["a.jpg"], output="b.png", format="jpg")
    with pytest.raises(UsageError):
        planned(["a.jpg", "b.jpg"], output="c.png")
    with pytest.raises(DestinationError):
        planned(["a.jpg", "b.jpg"], output="there.txt")


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("spelling", ["a.jpg", "./a.jpg", "x/../a.jpg", "hard.jpg", "soft.jpg", "{tmp}/a.jpg", "."])
@pytest.mark.fault(28)
def test_an_output_that_is_the_input_is_refused(spelling: str, overwrite: bool, tmp_path: Path) -> None:
    touch("a.jpg", "x/b.jpg")
    os.link("a.jpg", "hard.jpg")
    os.symlink("a.jpg", "soft.jpg")
    with pytest.raises(DestinationError, match="is the input"):
        planned(["a.jpg"], output=spelling.format(tmp=tmp_path), overwrite=overwrite)


def test_an_output_that_is_another_input_is_refused() -> None:
    touch("a.jpg", "b.jpg", "out/c.jpg")
    os.link("b.jpg", "out/a.jpg")
    with pytest.raises(DestinationError, match=r"another input, b\.jpg"):
        planned(["a.jpg", "b.jpg"], output="out", overwrite=True)
    os.link("b.jpg", "out/d_compare.jpg")
    touch("d.jpg")
    with pytest.raises(DestinationError, match=r"another input, b\.jpg"):
        planned(["d.jpg", "b.jpg"], output="out", overwrite=True, companions=(COMPARE,))


@pytest.mark.fault(27)
def test_two_inputs_for_one_output_are_refused_and_named() -> None:
    touch("in/a.jpg", "in/a.png", "in/b.jpg", "in/b.png")
    with pytest.raises(DestinationError) as caught:
        planned(["in"], output="out", format="png")
    assert "in/a.jpg" in str(caught.value)
    assert "in/a.png" in str(caught.value)
    assert "1 more" in str(caught.value)
    os.symlink("out", "alias")  # dangling: both names still mean the same folder
    with pytest.raises(DestinationError):
        touch("x/c.jpg", "y/c.jpg")
        planned(["x/c.jpg", "y/c.jpg"], output="out")


def test_companions_collide_too() -> None:
    touch("in/a.jpg", "in/a_rain.png")
    assert len(planned(["in"], output="out").items) == 2
    with pytest.raises(DestinationError, match="two inputs"):
        planned(["in"], output="out", companions=LAYERS)


def test_an_input_named_twice_is_done_once() -> None:
    touch("in/a.jpg")
    work = planned(["in/a.jpg", "./in/a.jpg", "in//a.jpg"])
    assert len(work.items) == 1
    assert len(work.notes) == 2


@pytest.mark.fault(29)
def test_own_outputs_are_no_inputs() -> None:
    touch("in/a.jpg", "in/a_derained.jpg", "in/a_derained_compare.jpg", "in/a_derained_rain.png")
    touch(
        "in/x/b.jpg",
        "in/x_derained/b.jpg",
        "in/out/a.jpg",
        "in/lone_derained.jpg",
        "in/n.6/c.jpg",
        "in/n.6_derained/c.jpg",
    )
    work = planned(["in"], recursive=True, output="in/out")
    assert list(pairs(work)) == ["in/lone_derained.jpg", "in/n.6/c.jpg", "in/x/b.jpg"]
    assert [item.source for item in work.done] == ["in/a.jpg"]


def test_own_outputs_that_the_shell_brings_in_again_are_no_inputs() -> None:
    touch("a.jpg", "a_derained.jpg", "b.jpg")
    work = planned(["a.jpg", "a_derained.jpg", "b.jpg"])
    assert pairs(work) == {"b.jpg": "b_derained.jpg"}
    assert [item.source for item in work.done] == ["a.jpg"]
    assert pairs(planned(["a_derained.jpg"])) == {"a_derained.jpg": "a_derained_derained.jpg"}


def test_outputs_that_exist_are_done_unless_overwritten() -> None:
    touch("in/a.jpg", "in/b.jpg", "out/a.jpg")
    work = planned(["in"], output="out")
    assert list(pairs(work)) == ["in/b.jpg"]
    assert [item.source for item in work.done] == ["in/a.jpg"]
    assert len(planned(["in"], output="out", overwrite=True).items) == 2
    assert [item.source for item in planned(["in/b.jpg"], output="out/a.jpg").done] == ["in/b.jpg"]


def test_folders_that_cannot_hold_outputs() -> None:
    touch("a.jpg", "file")
    Path("out/a.jpg").mkdir(parents=True)
    assert "folder" in str(planned(["a.jpg"], output="out", overwrite=True).failed[0])
    for output in ("file/below", "file/below.jpg"):
        with pytest.raises(DestinationError, match="not a folder"):
            planned(["a.jpg"], output=output)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_write_permission() -> None:
    touch("a.jpg")
    Path("out").mkdir(mode=0o500)
    with pytest.raises(DestinationError, match="not writable"):
        planned(["a.jpg"], output="out")


@pytest.mark.slow
@pytest.mark.fault(35)
def test_a_hundred_thousand_files() -> None:
    import tracemalloc

    Path("in").mkdir()
    for number in range(100_000):
        os.close(os.open(f"in/{number:06d}.jpg", os.O_CREAT | os.O_WRONLY))
    tracemalloc.start()
    assert len(planned(["in"], output="out").items) == 100_000
    assert tracemalloc.get_traced_memory()[1] < 250 << 20


# --- in parts -------------------------------------------------------------------------------------------------------


def parts(path: str, *, links: bool = False, **naming: object) -> list[WorkList]:
    selection = Selection(READABLE, depth=None, folder_links=links)
    return list(plan_in_parts([path], selection, Naming(WRITABLE, **naming)))  # type: ignore[arg-type]


@pytest.mark.parametrize("out", ["out", "in/x/out", None])
def test_parts_are_the_same_plan_folder_by_folder(out: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_PART", 2)
    touch("in/a.jpg", "in/b.gif", "in/c.png", "in/x/a.jpg", "in/x/y/b.jpg", "in/x/notes.txt", "out/a.jpg")
    whole, found = planned(["in"], output=out, recursive=True), parts("in", output=out)
    assert [item for part in found for item in part.items] == list(whole.items)
    assert [item for part in found for item in part.done] == list(whole.done)
    assert [len(part.items) + len(part.done) for part in found] == [2, 1, 1, 1, 0]
    assert found[-1].unread == whole.unread == {".txt": 1}


def test_parts_are_found_as_they_are_asked_for_and_the_output_is_never_entered() -> None:
    touch("in/a.jpg", "in/x/b.jpg", "in/x/y/c.jpg")
    found = plan_in_parts(["in"], Selection(READABLE, depth=None), Naming(WRITABLE, output="in/x/y/out"))
    assert list(pairs(next(found))) == ["in/a.jpg"]
    touch("in/x/y/late.jpg", "in/x/y/out/a.jpg")  # the run has begun to write
    assert [list(pairs(part)) for part in found] == [["in/x/b.jpg"], ["in/x/y/c.jpg", "in/x/y/late.jpg"], []]


def test_one_output_for_two_inputs_in_different_parts_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outputs, "_PART", 1)
    touch("in/a.gif", "in/a.png", "in/b.png")
    found = parts("in", output="out")
    assert [item.target for part in found for item in part.items] == ["out/a.png", "out/b.png"]
    (error,) = [error for part in found for error in part.failed]
    assert isinstance(error, DestinationError) and "in/a.png" in str(error)


def test_outputs_that_would_be_inputs_of_other_parts_are_refused() -> None:
    touch("in/a.jpg", "in/x/b.jpg", "in/y/b.jpg")
    Path("out").mkdir()
    Path("out/x").symlink_to(Path("in/y").absolute())
    found = parts("in", output="out", overwrite=True)
    assert [item.source for part in found for item in part.items] == ["in/a.jpg", "in/y/b.jpg"]
    assert [str(error.path) for part in found for error in part.failed] == ["out/x/b.jpg"]


@pytest.mark.parametrize("out", ["in", "."])
def test_plans_whose_parts_depend_on_each_other_are_made_as_a_whole(out: str) -> None:
    touch("in/a.jpg", "in/in/a.jpg")
    with pytest.raises(DestinationError, match="input"):
        parts("in", output=out, overwrite=True)
    assert len(parts("in", output="out", links=True)) == 1
