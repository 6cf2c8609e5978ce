"""Sources of a frame set, and refusals before any work."""

from __future__ import annotations

from pathlib import Path

import pytest

from derain_cli.errors import DestinationError, NothingToDoError, UsageError
from derain_cli.jobs.frame_set.layout import WORK
from derain_cli.jobs.frame_set.plan import Source, plan_frame_set
from tests.listing import touch

pytestmark = pytest.mark.usefixtures("inside")


def test_clips_and_photos_of_one_name_are_all_taken_and_what_is_named_twice_once() -> None:
    touch("a/x.mp4", "b/x.mp4", "b/deep/y.mkv", "p/x.jpg", "p/x.mp4", "note.txt")
    todo = plan_frame_set(["a", "b", "./a/x.mp4"], "out", photos=["p"])
    assert todo.sources == (Source("a/x.mp4"), Source("b/x.mp4"), Source("p/x.jpg", is_clip=False))
    assert todo.failed == todo.notes == ()
    deep = plan_frame_set(["b"], "out", recursive=True, exclude=["x*"])
    assert deep.sources == (Source("b/deep/y.mkv"),)


def test_derained_clips_beside_their_sources_are_left_out() -> None:
    touch("a/x.mp4", "a/x_derained.mp4")
    assert plan_frame_set(["a"], "out").sources == (Source("a/x.mp4"),)


def test_what_is_missing_concerns_itself_unless_there_is_nothing_else() -> None:
    touch("x.mp4")
    todo = plan_frame_set(["x.mp4", "gone.mp4"], "out")
    assert todo.sources == (Source("x.mp4"),)
    assert [error.path for error in todo.failed] == [Path("gone.mp4")]
    with pytest.raises(NothingToDoError, match="no such file"):
        plan_frame_set(["gone.mp4"], "out")
    with pytest.raises(NothingToDoError, match="no clips"):
        plan_frame_set([], "out")


def test_outputs_that_are_refused() -> None:
    touch("x.mp4", "file", "full/notes.txt")
    with pytest.raises(UsageError):
        plan_frame_set(["x.mp4"], "")
    for out in ("file", "full", "file/below"):
        with pytest.raises(DestinationError):
            plan_frame_set(["x.mp4"], out)


def test_pictures_of_the_set_are_no_sources_of_it() -> None:
    touch("clips/x.mp4", "set/train/a.png")
    Path("set", WORK).mkdir()
    with pytest.raises(DestinationError, match="is in the output folder"):
        plan_frame_set(["clips"], "set", photos=["set/train"])
    assert plan_frame_set(["clips"], "set", photos=["."], recursive=True).sources == (Source("clips/x.mp4"),)
