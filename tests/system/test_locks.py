"""Folders in which only one process may work at a time."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from derain_cli.errors import DestinationError
from derain_cli.system.locks import locked

_HOLD = """
import sys
from pathlib import Path
from derain_cli.system.locks import locked

with locked(Path(sys.argv[1]), Path("clip.mp4")):
    print("held", flush=True)
    sys.stdin.read()
"""


def holding(folder: Path) -> subprocess.Popen[str]:
    """Another process that holds the lock until its input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


def take(folder: Path) -> None:
    with locked(folder, Path("clip.mp4")):
        pass


def test_a_second_process_is_refused_until_the_first_lets_go(tmp_path: Path) -> None:
    other = holding(tmp_path)
    with pytest.raises(DestinationError, match=r"clip\.mp4: another process") as caught:
        take(tmp_path)
    assert caught.value.exit_code == 7
    other.communicate("")
    take(tmp_path)
    take(tmp_path)


def test_a_killed_process_lets_go(tmp_path: Path) -> None:
    other = holding(tmp_path)
    other.kill()
    other.communicate()
    take(tmp_path)


def test_another_thread_of_this_process_is_refused_too(tmp_path: Path) -> None:
    seen: list[Exception] = []

    def second() -> None:
        try:
            take(tmp_path)
        except Exception as error:
            seen.append(error)

    with locked(tmp_path, Path("clip.mp4")):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert [type(error) for error in seen] == [DestinationError]


def test_what_an_exception_ends_is_let_go(tmp_path: Path) -> None:
    with pytest.raises(KeyError), locked(tmp_path, Path("clip.mp4")):
        raise KeyError
    take(tmp_path)


@pytest.mark.filterwarnings("ignore:flock not supported")
@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_is_worked_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    fcntl = pytest.importorskip("fcntl")

    def flock(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", flock)
    take(tmp_path)
    take(tmp_path)


@pytest.mark.fault(49)
def test_where_locks_do_nothing_work_is_done_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: None)
    with locked(tmp_path, tmp_path):
        take(tmp_path)


def test_a_lock_of_its_own_kind_that_a_killed_process_left_is_no_obstacle(tmp_path: Path) -> None:
    """On a disk without locks a file replaces the lock; the process named in it is gone."""
    script = """
import fcntl, os, sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
def flock(*arguments):
    raise OSError(38, "not implemented")
fcntl.flock = flock
from derain_cli.system.locks import locked
with locked(Path(sys.argv[1]), Path("clip.mp4")):
    os._exit(0) if sys.argv[2] == "die" else print("taken")
"""

    def run(how: str) -> str:
        return subprocess.run([sys.executable, "-c", script, str(tmp_path), how], capture_output=True, text=True).stdout

    pytest.importorskip("fcntl")
    run("die")
    assert list(tmp_path.iterdir())
    assert run("take") == "taken\n"
