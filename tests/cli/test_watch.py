"""`derain watch`: files are processed once complete, failures are reported, Ctrl-C stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from derain_cli.system.signals import Interrupted
from tests.cli.conftest import Derain, listed, photo, snapshot
from tests.sample_clips import write_clip

Between = Callable[[], object]


@pytest.fixture
def rounds(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """`rounds(first, second, ...)`: actions between successive scans of the folders, followed by Ctrl-C."""

    def plan(*between: Between) -> None:
        left = list(between)
        clock = [0.0]

        def sleep(seconds: float) -> None:
            clock[0] += max(seconds, 0.1)
            if not left:
                raise Interrupted(2)
            left.pop(0)()

        # The clock of the command alone: others, such as processes that are waited for, need the real one.
        monkeypatch.setattr("derain_cli.cli.watch.time", SimpleNamespace(sleep=sleep, monotonic=lambda: clock[0]))

    return plan


def nothing() -> None:
    """Called between two scans."""


SETTLED = (nothing, nothing, nothing)


def test_what_is_there_and_what_arrives(derain: Derain, rounds: Callable[..., None]) -> None:
    photo("in/a.png")
    rounds(*SETTLED, lambda: photo("in/sub/b.png"), *SETTLED, lambda: write_clip("in/c.mp4", frames=3), *SETTLED)
    ended = derain("watch", "in", "-o", "out", "-r")
    assert ended.code == 130
    assert sorted(snapshot("out")) == ["out/a.png", "out/c.mp4", "out/sub/b.png"]
    assert ended.errors == []


def test_a_file_that_is_still_written_waits(derain: Derain, rounds: Callable[..., None]) -> None:
    data = photo("a.png").read_bytes()
    Path("in").mkdir()

    def grow(length: int) -> Between:
        return lambda: Path("in/a.png").write_bytes(data[:length])

    rounds(*(grow(length) for length in range(10, 60, 10)), grow(len(data)), *SETTLED)
    ended = derain("watch", "in", "-o", "out")
    assert listed("out") == ["a.png"] and ended.errors == []


def test_a_broken_file_is_told_once_and_done_when_it_is_whole(derain: Derain, rounds: Callable[..., None]) -> None:
    data = photo("a.png").read_bytes()
    Path("in").mkdir()
    Path("in/a.png").write_bytes(data[:300])
    rounds(*SETTLED, *SETTLED, lambda: Path("in/a.png").write_bytes(data), *SETTLED)
    ended = derain("watch", "in", "-o", "out")
    assert len(ended.errors) == 1 and "in/a.png: " in ended.errors[0]
    assert listed("out") == ["a.png"]


def test_what_was_done_before_a_restart_is_not_done_again(derain: Derain, rounds: Callable[..., None]) -> None:
    photo("in/a.png")
    rounds(*SETTLED)
    derain("watch", "in", "-o", "out")
    before = Path("out/a.png").stat().st_mtime_ns
    rounds(*SETTLED)
    ended = derain("watch", "in", "-o", "out")
    assert Path("out/a.png").stat().st_mtime_ns == before and "skipped" in ended.err


def test_an_output_folder_inside_the_watched_one_is_not_watched(derain: Derain, rounds: Callable[..., None]) -> None:
    photo("in/a.png")
    rounds(*SETTLED, *SETTLED)
    derain("watch", "in", "-o", "in/out", "-r")
    assert sorted(snapshot("in")) == ["in/a.png", "in/out/a.png"]


@pytest.mark.parametrize(
    ("argv", "code", "told"),
    [
        (["gone", "-o", "out"], 4, "no such folder"),
        (["a.png", "-o", "out"], 2, "not a folder"),
        (["in", "-o", "in"], 2, "the output folder is one of the watched folders"),
        (["in", "-o", "a.png/out"], 7, "not a folder"),
        (["in"], 2, "--output"),
    ],
)
def test_mistakes_end_it_before_it_begins(derain: Derain, argv: list[str], code: int, told: str) -> None:
    photo("a.png")
    Path("in").mkdir()
    ended = derain("watch", *argv)
    assert ended.code == code and told in ended.err and len(ended.errors) == 1


def test_without_weights_it_ends(derain: Derain, rounds: Callable[..., None]) -> None:
    photo("in/a.png")
    rounds(*SETTLED)
    assert derain("watch", "in", "-o", "out", "-m", "nosuch").code == 5
