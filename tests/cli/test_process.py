"""The program as a process: signals, closed and broken streams, terminals, kills."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from derain_cli.media.photo import read_rgb
from tests.cli.conftest import heed_signals, listed, photo, snapshot

PROGRAM = [sys.executable, "-m", "derain_cli"]


def start(*argv: str, **options: Any) -> subprocess.Popen[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
    command = [*PROGRAM, *argv]
    return subprocess.Popen(command, text=True, errors="backslashreplace", preexec_fn=heed_signals, **streams)


def many(count: int = 60) -> None:
    for number in range(count):
        photo(f"in/{number:03d}.png", seed=number, height=160, width=160)


def wait_for_output(process: subprocess.Popen[str], folder: str = "out", count: int = 1) -> None:
    """Wait until `count` outputs are complete."""
    deadline = time.monotonic() + 60
    while len(list(Path(folder).glob("*.png"))) < count:
        assert process.poll() is None, "ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=["INT", "TERM", "HUP"]
)
@pytest.mark.fault(46, 47)
def test_a_signal_ends_the_run_with_a_summary_and_whole_files(number: int, code: int) -> None:
    many()
    process = start("in", "-o", "out")
    wait_for_output(process)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    outputs = [Path("out", name) for name in listed("out")]
    assert 0 < len(outputs) < 60
    assert all(read_rgb(path).shape == (160, 160, 3) for path in outputs)  # no temporary files
    assert f"done: {len(outputs)} ok, 0 skipped, 0 failed, {60 - len(outputs)} not tried" in err


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
@pytest.mark.fault(48)
def test_killed_at_once_then_finished_by_a_second_run(kills: int) -> None:
    many(20)
    for count in range(kills):
        process = start("in", "-o", "out")
        try:
            wait_for_output(process, count=min(1 + count, 18))
        finally:
            process.kill()
            process.communicate()
        assert all(read_rgb(path).shape == (160, 160, 3) for path in Path("out").glob("*.png"))
    subprocess.run([*PROGRAM, "in", "-o", "out", "-q"], check=True)
    subprocess.run([*PROGRAM, "in", "-o", "unbroken", "-q"], check=True)
    assert list(snapshot("out").values()) == list(snapshot("unbroken").values())
    assert len(snapshot("out")) == 20


@pytest.mark.fault(49)
def test_two_processes_into_one_folder() -> None:
    many(12)
    processes = [start("in", "-o", "out", "--overwrite") for _ in range(2)]
    for process in processes:
        process.communicate(timeout=100)
    assert [p.returncode for p in processes] == [0, 0]
    assert len(snapshot("out")) == 12
    assert all(read_rgb(path).shape == (160, 160, 3) for path in Path("out").glob("*.png"))


@pytest.mark.fault(47)
def test_nobody_reads_stdout_any_more() -> None:
    many(20)
    process = start("in", "-o", "out", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("{")
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(60) == 128 + signal.SIGPIPE
    assert "Traceback" not in err
    assert "BrokenPipe" not in err
    assert not list(Path("out").glob(".derain-*"))


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
@pytest.mark.fault(51)
def test_closed_streams_do_not_harm(closed: str) -> None:
    photo("a.png")
    Path("empty.png").write_bytes(b"")
    command = f'exec "$0" -m derain_cli a.png empty.png --json {closed}'
    ended = subprocess.run(["/bin/sh", "-c", command, sys.executable], timeout=60)
    assert ended.returncode == 3
    assert read_rgb("a_derained.png").shape == (24, 32, 3)


@pytest.mark.fault(51)
def test_names_that_the_streams_cannot_show() -> None:
    photo("in/🌧.png")
    photo(f"in/{os.fsdecode(bytes([255]))}.png")
    environment = os.environ | {
        "LC_ALL": "C",
        "PYTHONIOENCODING": "ascii",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    ended = subprocess.run([*PROGRAM, "in", "--dry-run"], capture_output=True, env=environment, timeout=60)
    assert ended.returncode == 0
    assert len(ended.stdout.splitlines()) == 2
    assert ended.stdout.isascii()


@pytest.mark.parametrize(("term", "bar"), [("xterm", True), ("dumb", False)])
@pytest.mark.fault(51)
def test_a_terminal_gets_a_bar_unless_it_is_dumb(term: str, bar: bool) -> None:
    many(3)
    ours, theirs = pty.openpty()
    environment = os.environ | {"TERM": term, "COLUMNS": "100", "NO_COLOR": "1"}
    process = start("in", "-o", "out", "--json", stderr=theirs, env=environment)
    os.close(theirs)
    assert process.stdout is not None
    shown = b""
    try:
        while data := os.read(ours, 4096):
            shown += data
    except OSError:  # Linux reports EIO when the other end is closed
        pass
    finally:
        os.close(ours)
    records = process.stdout.read().splitlines()
    process.stdout.close()
    assert process.wait(60) == 0
    assert len(records) == 4
    assert b"done: 3 ok, 0 skipped, 0 failed" in shown
    assert (b"\x1b[" in shown) == bar
    assert b"\x1b[3" not in shown  # no colours


@pytest.mark.parametrize(
    ("given", "expected"),
    [({}, "1000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "active"}, None)],
    ids=["nothing", "turns", "policy"],
)
def test_how_threads_wait_is_settled_before_torch_unless_the_user_did(given, expected):
    """OpenMP reads the setting once, when torch is loaded."""
    photo("a.png")
    watch = (
        "import os, sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'import' and arguments[0] == 'torch':\n"
        "        print('at torch', os.environ.get('GOMP_SPINCOUNT'))\n"
        "sys.addaudithook(hook)\n"
        "from derain_cli.cli import main\n"
        "sys.argv = ['derain', 'a.png']\n"
        "sys.exit(main())\n"
    )
    clean = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    told = subprocess.run([sys.executable, "-c", watch], env=clean | given, capture_output=True, text=True, check=True)
    assert [line for line in told.stdout.splitlines() if line.startswith("at torch")] == [f"at torch {expected}"]
