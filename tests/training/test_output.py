"""Whether a folder can be used for a run."""

from __future__ import annotations

import os

import pytest

from derain_cli.errors import DestinationError, NothingToDoError
from derain_cli.training.output import refuse_output


def test_a_new_or_an_empty_folder_is_fine(tmp_path):
    refuse_output(tmp_path / "a" / "b" / "run", resume=False)
    refuse_output(tmp_path, resume=False)
    (tmp_path / "validation").mkdir()
    refuse_output(tmp_path, resume=False)


def test_a_run_is_resumed_or_left_alone(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    refuse_output(tmp_path, resume=True)
    with pytest.raises(DestinationError, match="the folder already contains a run"):
        refuse_output(tmp_path, resume=False)
    with pytest.raises(NothingToDoError, match="no run to resume"):
        refuse_output(tmp_path / "other", resume=True)


@pytest.mark.parametrize("below", ["", "run", "deep/run"])
def test_a_file_in_the_way_is_refused(tmp_path, below):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DestinationError, match="not a folder"):
        refuse_output(tmp_path / "file" / below if below else tmp_path / "file", resume=False)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_folder_of_other_things_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(DestinationError, match="not empty"):
        refuse_output(tmp_path, resume=False)


def test_a_dangling_link_is_refused(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DestinationError, match="not a folder"):
        refuse_output(tmp_path / "link", resume=False)


@pytest.mark.parametrize("resume", [False, True])
def test_a_place_that_cannot_be_written_to_is_refused(tmp_path, monkeypatch, resume):
    """Simulated, since root is never refused."""
    if resume:
        (tmp_path / "run.json").write_text("{}")
    monkeypatch.setattr(os, "access", lambda place, mode: False)
    with pytest.raises(DestinationError, match="not writable"):
        refuse_output(tmp_path if resume else tmp_path / "run", resume=resume)
