"""Arriving files: complete ones once, growing ones never, changed ones again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from derain_cli.jobs.arrivals import Arrivals


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"abc")
    return path


def test_a_file_is_taken_once_it_has_not_changed_for_a_while(file: Path) -> None:
    arrivals = Arrivals(settle=2)
    assert arrivals.take([str(file)], 0) == []
    assert arrivals.take([str(file)], 1.9) == []
    assert arrivals.take([str(file)], 2.0) == [str(file)]
    assert arrivals.take([str(file)], 100) == []


def test_one_that_grows_is_not_taken(file: Path) -> None:
    arrivals = Arrivals(settle=2)
    for now in range(10):
        with file.open("ab") as there:
            there.write(b"x")
        assert arrivals.take([str(file)], now) == []
    assert arrivals.take([str(file)], 10.9) == []
    assert arrivals.take([str(file)], 11) == [str(file)]


def test_a_change_of_time_alone_is_a_change(file: Path) -> None:
    arrivals = Arrivals(settle=2)
    arrivals.take([str(file)], 0)
    os.utime(file, ns=(5, 5))
    assert arrivals.take([str(file)], 2) == []
    assert arrivals.take([str(file)], 4) == [str(file)]


def test_one_that_was_replaced_is_taken_again(file: Path) -> None:
    arrivals = Arrivals(settle=0)
    assert arrivals.take([str(file)], 0) == [str(file)]
    file.write_bytes(b"other content")
    assert arrivals.take([str(file)], 1) == [str(file)]


def test_one_that_was_deleted_and_came_back_is_taken_again(file: Path) -> None:
    arrivals = Arrivals(settle=0)
    state = file.stat()
    arrivals.take([str(file)], 0)
    file.unlink()
    assert arrivals.take([], 1) == []
    file.write_bytes(b"abc")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert arrivals.take([str(file)], 2) == [str(file)]


def test_an_empty_file_is_not_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    arrivals = Arrivals(settle=1)
    assert [arrivals.take([str(path)], now) for now in (0, 1, 50)] == [[], [], []]
