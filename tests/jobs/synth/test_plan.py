"""Refusals before any pair is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from derain_cli.errors import DestinationError, NothingToDoError
from derain_cli.jobs.synth.options import SynthOptions
from derain_cli.jobs.synth.plan import plan_synthesis
from derain_cli.media.photo import write_rgb
from tests.jobs.synth.making import content, make


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.jpg"),
        ("a.png", "A.png"),
        ("bow.png", "rainbow.png"),
        ("1.png", "norain-1.png"),
        ("4.png", "4x2.png"),
    ],
    ids="-".join,
)
def test_photos_whose_pairs_would_be_taken_for_one(tmp_path, picture, names):
    (tmp_path / "photos").mkdir()
    for name in names:
        write_rgb(tmp_path / "photos" / name, picture(20, 20))
    with pytest.raises(DestinationError, match="the same pair") as caught:
        make(tmp_path / "photos", tmp_path / "out")
    assert all(name in str(caught.value) for name in names)
    assert not (tmp_path / "out").exists()


def test_a_photo_that_would_be_taken_for_one_of_an_earlier_run(photos, tmp_path, picture):
    make(photos, tmp_path / "out")
    write_rgb(tmp_path / "bow.png", picture(20, 20))
    with pytest.raises(DestinationError, match="the same pair"):
        make(tmp_path / "bow.png", tmp_path / "out")


def test_a_folder_in_a_name_makes_no_pair_of_two_photos(photos, tmp_path, picture):
    write_rgb(photos / "sub__a.png", picture(20, 20))
    with pytest.raises(DestinationError, match="the same pair"):
        make(photos, tmp_path / "out", recursive=True)


def test_the_output_inside_the_input_is_no_input(photos):
    make(photos, photos / "out", recursive=True)
    before = content(photos)
    todo, _ = make(photos, photos / "out", recursive=True)
    assert todo.items == ()
    assert len(todo.done) == 4
    assert content(photos) == before


def test_a_photo_named_twice_is_done_once(photos, tmp_path):
    named = [str(photos), str(photos / "a.png"), f"{photos}/./b.png"]
    todo = plan_synthesis(named, tmp_path / "out", SynthOptions())
    assert [Path(task.source).name for task in todo.items] == ["a.png", "b.png", "rainbow.png"]
    assert [text for _, text in todo.notes] == ["was given twice"] * 2


def test_outputs_of_derain_beside_their_photos_get_no_rain(photos, tmp_path, picture):
    write_rgb(photos / "a_derained.png", picture(20, 20))
    todo = plan_synthesis([str(photos)], tmp_path / "out", SynthOptions())
    assert [task.relative for task in todo.items] == ["a.png", "b.png", "rainbow.png"]


@pytest.mark.parametrize("given", ["photos", "out/norain", "out/rain", "out/norain/a.png", "out/*.png", "link"])
def test_inputs_that_are_the_output(photos, tmp_path, monkeypatch, picture, given):
    monkeypatch.chdir(tmp_path)
    make("photos", "out")
    Path("link").symlink_to(photos)
    write_rgb("out/own.png", picture(20, 20))
    before = content(tmp_path)
    with pytest.raises(DestinationError):
        make(given, "photos" if given in ("photos", "link") else "out", overwrite=True)
    assert content(tmp_path) == before


def test_nothing_to_do(photos, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDoError, match="no photos"):
        make(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(NothingToDoError, match="no such"):
        make(tmp_path / "missing", tmp_path / "out")
    (tmp_path / "file").touch()
    with pytest.raises(DestinationError, match="file"):
        make(photos, tmp_path / "file")
    with pytest.raises(DestinationError, match="folder"):
        make(photos, tmp_path / "file" / "below")
    assert not (tmp_path / "out").exists()
