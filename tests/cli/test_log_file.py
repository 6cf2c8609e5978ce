"""`--log-file`: every message and result with its time, appended line by line; the terminal's output is unchanged."""

from __future__ import annotations

import json
import os
import re
import signal
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from derain_cli.cli import COMMANDS
from tests.cli.conftest import Derain, photo
from tests.cli.test_process import many, start, wait_for_output


def lines(path: str | Path = "run.log") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines()]


def of_kind(kind: str, path: str = "run.log") -> list[dict[str, Any]]:
    return [line for line in lines(path) if line["kind"] == kind]


def test_messages_and_outcomes_are_in_the_log_with_their_times(derain: Derain) -> None:
    photo("in/a.png")
    Path("in/b.png").write_bytes(b"broken")
    shown = derain("in", "-o", "out", "--log-file", "run.log")
    times = [datetime.fromisoformat(line["time"]) for line in lines()]
    assert times == sorted(times)
    assert all(time.tzinfo for time in times)
    assert lines()[0]["command"] == ["derain", "in", "-o", "out", "--log-file", "run.log"]
    assert (lines()[-1]["kind"], lines()[-1]["code"]) == ("end", 3) == ("end", shown.code)
    assert {line["text"] for line in of_kind("message")} >= {
        line for line in shown.err.splitlines() if line not in shown.errors
    }
    assert [Path(line["path"]).name for line in of_kind("error")] == ["b.png"]
    records = [line["record"] for line in of_kind("record")]
    assert sorted(record["status"] for record in records if "status" in record) == ["failed", "ok"]
    assert records[-1]["summary"]


@pytest.mark.parametrize("flags", [(), ("-q",), ("-v",), ("--json",), ("--json", "-q")])
def test_the_terminal_output_is_the_same_and_the_log_complete(derain: Derain, flags: tuple[str, ...]) -> None:
    photo("a.png")

    def without_times(text: str) -> str:
        return re.sub(r'\d+\.\d+ s\b|"seconds": [\d.]+', "T", text)

    plain = derain("a.png", "-o", "b.png", "--overwrite", *flags)
    logged = derain("a.png", "-o", "b.png", "--overwrite", *flags, "--log-file=run.log")
    assert (logged.code, without_times(logged.out)) == (plain.code, without_times(plain.out))
    assert without_times(logged.err) == without_times(plain.err)
    assert len(of_kind("record")) == 2
    assert of_kind("message")


def test_a_second_run_appends(derain: Derain) -> None:
    photo("a.png")
    derain("a.png", "--log-file", "run.log")
    first = Path("run.log").read_bytes()
    derain("a.png", "--log-file", "run.log")
    assert Path("run.log").read_bytes().startswith(first)
    assert len(of_kind("start")) == len(of_kind("end")) == 2


def test_usage_errors_are_in_the_log(derain: Derain) -> None:
    assert derain("a.png", "--strength", "7", "--log-file", "run.log").code == 2
    assert "strength" in of_kind("error")[0]["error"]


@pytest.mark.parametrize("name", ["missing/run.log", "folder", "a.png"])
def test_a_log_that_cannot_be_written_or_is_another_file_is_refused_at_once(derain: Derain, name: str) -> None:
    before = photo("a.png").read_bytes()
    Path("folder").mkdir()
    ended = derain("a.png", "--log-file", name)
    assert ended.code == 7
    assert len(ended.errors) == 1
    assert name in ended.errors[0]
    assert Path("a.png").read_bytes() == before
    assert not Path("a_derained.png").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_work_goes_on_when_the_log_is_full(derain: Derain) -> None:
    photo("a.png")
    ended = derain("a.png", "--log-file", "/dev/full")
    assert ended.code == 0
    assert Path("a_derained.png").exists()
    assert ended.err.count("/dev/full") == 1


def test_a_kill_loses_no_line() -> None:
    many()
    process = start("in", "-o", "out", "--log-file", "run.log")
    wait_for_output(process, count=3)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    done = [line["record"]["output"] for line in of_kind("record")]
    assert len(done) >= 1
    assert all(Path(name).exists() for name in done)
    assert not of_kind("end")


def test_an_interrupted_run_ends_its_log(derain: Derain) -> None:
    many()
    process = start("in", "-o", "out", "--log-file", "run.log")
    wait_for_output(process)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert lines()[-1]["code"] == 130


def test_bugs_are_logged_with_their_traceback(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("odd")

    monkeypatch.setattr("derain_cli.cli.derain.plan_outputs", broken)
    ended = derain("a.png", "--log-file", "run.log")
    assert ended.code == 1
    assert "Traceback" not in ended.err
    assert "ZeroDivisionError: odd" in of_kind("error")[-1]["traceback"]


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"models", "info", "completion"}))
def test_every_command_that_works_has_the_option(derain: Derain, name: str) -> None:
    assert "--log-file FILE" in derain(name, "--help").out
