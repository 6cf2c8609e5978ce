"""A Ray on this machine: the command with a worker that is killed, and with Ctrl-C."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.config import ModelConfig
from derain_cli.jobs.cluster.ray_cluster import _MainThreadOnly
from derain_cli.media.photo import read_rgb, write_rgb
from tests.conftest import make_network, make_picture

pytest.importorskip("ray")

COMMAND = ["in", "-o", "out", "--engine", "torch", "-d", "cpu", "-m", "net.safetensors", "--ray", "--ray-cpus", "1"]


def test_what_other_threads_print_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    import threading

    stream = _MainThreadOnly(sys.stdout)
    thread = threading.Thread(target=stream.write, args=("from Ray",))
    thread.start()
    thread.join()
    stream.write("ours")
    stream.flush()
    assert capsys.readouterr().out == "ours"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[int], subprocess.Popen[str]]]:
    """Starts the command on so many photos of about two seconds each."""
    running: list[subprocess.Popen[str]] = []
    save_weights(tmp_path / "net.safetensors", make_network(ModelConfig(width=16, blocks=2)), Card())

    def begin(count: int) -> subprocess.Popen[str]:
        (tmp_path / "in").mkdir()
        for number in range(count):
            write_rgb(tmp_path / f"in/{number}.png", make_picture(300, 400, number))
        code = (
            "import signal, sys\n"
            "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"
            "from derain_cli.cli import main\n"
            "sys.exit(main())\n"
        )
        home = {"HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "2"}
        package = str(Path(__file__).parents[3])
        running.append(
            subprocess.Popen(
                [sys.executable, "-c", code, *COMMAND],
                cwd=tmp_path,
                env=os.environ | home | {"PYTHONPATH": package},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )
        )
        return running[-1]

    yield begin
    for process in running:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def children(parent: int, name: str) -> list[int]:
    """Descendants of a process whose command line contains `name`."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().decode("utf-8", "replace")
            ancestor = int(place.name)
            while ancestor > 1 and ancestor != parent:
                ancestor = int(Path(f"/proc/{ancestor}/stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if name in words and ancestor == parent:
            found.append(int(place.name))
    return found


def wait_for(condition: Callable[[], object], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_killed_worker_costs_nothing_and_ctrl_c_leaves_nothing(
    start: Callable[[int], subprocess.Popen[str]], tmp_path: Path
) -> None:
    process = start(40)
    wait_for(lambda: list(tmp_path.glob("out/*.png")))
    victim = children(process.pid, "ray::PhotoWorker.restore")[0]
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: len(list(tmp_path.glob("out/*.png"))) >= 8 or process.poll() is not None)
    os.kill(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130 and not out
    assert "is gone" in err and "derain: error" not in err
    assert all(line.startswith(("[", "derain: note: ", "2 workers", "done:")) for line in err.splitlines()), err
    assert not list(tmp_path.glob("out/.derain-*")), "temporary files are left"
    assert not (tmp_path / "home").exists(), "Ray wrote into the home folder"
    for file in tmp_path.glob("out/*.png"):
        assert read_rgb(file).shape == (300, 400, 3)


@pytest.mark.slow
def test_results_are_those_of_this_machine(start: Callable[[int], subprocess.Popen[str]], tmp_path: Path) -> None:
    from derain_cli.engine.restorer import Restorer

    process = start(3)
    out, err = process.communicate(timeout=200)
    assert (process.returncode, out) == (0, ""), err
    assert err.splitlines()[-1] == "done: 3 ok, 0 skipped, 0 failed"
    restorer = Restorer.from_pretrained(tmp_path / "net.safetensors", device="cpu")
    for number in range(3):
        assert np.array_equal(read_rgb(tmp_path / f"out/{number}.png"), restorer(make_picture(300, 400, number)))
