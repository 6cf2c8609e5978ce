"""The trials of reliability in small: damaged files, kills, and the program under limits of disk and memory."""

from __future__ import annotations

import itertools
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from derain_cli.media.photo import read_rgb, write_rgb
from scripts.fuzz import TARGETS, damaged, fuzz
from scripts.soak import Watch
from scripts.trial import tiny_weights

ROOT = Path(__file__).parents[1]
PROGRAM = [sys.executable, "-m", "derain_cli"]


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tiny weights on a CPU for the processes started here."""
    monkeypatch.setenv("DERAIN_MODEL", str(tiny_weights(tmp_path)))
    monkeypatch.setenv("DERAIN_DEVICE", "cpu")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))


def noise_photos(folder: Path, count: int, side: int) -> Path:
    folder.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)
        write_rgb(folder / f"{number}.png", pixels)
    return folder


@pytest.mark.fault(2, 6, 7, 53, 55, 67, 70)
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files_give_named_errors_in_bounded_time(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "fuzz"
    folder.mkdir()
    found = fuzz(name, 330, 1, folder)
    assert found.unnamed == ()
    assert found.refused > 0
    assert found.longest < 10


def test_damage_is_repeatable_and_begins_with_every_cut() -> None:
    seeds = [bytes(range(64)), b"x" * 320]
    first, second = (list(damaged(seeds, 200, random.Random(3))) for _ in range(2))
    assert first == second and len(first) == 200
    assert first[:64] == [seed[: len(seed) * part // 32] for seed, part in itertools.product(seeds, range(32))]
    assert len(set(first)) > 150


def test_growth_is_noticed() -> None:
    steady, growing = Watch(1000), Watch(1000)
    for done in range(0, 1001, 25):
        steady.samples.append((done, 100 + done % 2, 8))
        growing.samples.append((done, 100 + done / 500, 8 + done // 900))
    assert abs(steady.growth()) < 0.1 and steady.files() == (8, 8)
    assert abs(growing.growth() - 2) < 1e-6 and growing.files() == (8, 9)


@pytest.mark.fault(48, 61)
@pytest.mark.parametrize(
    ("script", "kills"), [("kill_checkpoint", 5), pytest.param("kill_batch", 5, marks=pytest.mark.slow)]
)
def test_what_is_killed_leaves_whole_files(script: str, kills: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", f"scripts.{script}", "--kills", str(kills)], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines()[-1].startswith(f"| {kills} |")


def _may_mount() -> bool:
    command = ["unshare", "-Urm", "true"]
    return shutil.which("unshare") is not None and subprocess.run(command, capture_output=True).returncode == 0


@pytest.mark.fault(39)
@pytest.mark.skipif(not _may_mount(), reason="needs a file system of its own in a user namespace (Linux)")
def test_a_real_disk_that_fills_up_ends_the_run_with_6_and_whole_files(tmp_path: Path) -> None:
    noise_photos(tmp_path / "in", 8, 160)  # 77 kB each; three fit
    (tmp_path / "out").mkdir()
    script = (
        'mount -t tmpfs -o size=300k tmpfs "$1/out" || exit 99; "$0" -m derain_cli "$1/in" -o "$1/out" -j 0; code=$?; '
        'mkdir "$1/kept"; cp -a "$1/out/." "$1/kept"; exit $code'
    )
    command = ["unshare", "-Urm", "sh", "-c", script, sys.executable, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if ended.returncode == 99:
        pytest.skip("mounting is not allowed")
    assert ended.returncode == 6, ended.stderr
    assert len([line for line in ended.stderr.splitlines() if "no space left" in line]) == 1
    assert "Traceback" not in ended.stderr
    kept = sorted(p.name for p in (tmp_path / "kept").iterdir() if not p.name.endswith(".jsonl"))
    assert kept == ["0.png", "1.png", "2.png"]
    assert all(read_rgb(tmp_path / "kept" / name).shape == (160, 160, 3) for name in kept)


@pytest.mark.fault(39, 41)
@pytest.mark.skipif(os.name != "posix", reason="limits of processes")
def test_a_limit_on_the_size_of_files_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    noise_photos(tmp_path / "in", 1, 160)
    command = ["sh", "-c", 'ulimit -f 64; exec "$0" -m derain_cli "$1/in" -o "$1/out"', sys.executable, str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 6, ended.stderr
    assert "too large for this file system or its limit" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not [p for p in (tmp_path / "out").iterdir() if not p.name.endswith(".jsonl")]


@pytest.mark.fault(43)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is not enforced everywhere")
def test_too_little_memory_is_told_not_a_crash(tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    write_rgb(source, np.zeros((3000, 3000, 3), np.uint8))
    code = (
        "import os, resource, sys; from pathlib import Path\n"
        "import torch, derain_cli.engine.restorer; from derain_cli.cli import main\n"
        "mapped = int(Path('/proc/self/statm').read_text().split()[0]) * os.sysconf('SC_PAGE_SIZE')\n"
        "resource.setrlimit(resource.RLIMIT_AS, (mapped + 90_000_000,) * 2)\n"
        "sys.exit(main([sys.argv[1], '-o', sys.argv[2], '-d', 'cpu', '-j', '0']))"
    )
    command = [sys.executable, "-c", code, str(source), str(tmp_path / "b.png")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode in (0, 3, 6), ended.stderr
    assert "Traceback" not in ended.stderr
    assert (tmp_path / "b.png").exists() == (ended.returncode == 0)


@pytest.mark.fault(51, 52)
def test_locale_time_zone_and_no_terminal_change_nothing(tmp_path: Path) -> None:
    noise_photos(tmp_path / "in", 2, 24)
    written = []
    for number, changes in enumerate(({}, {"LANG": "C", "LC_ALL": "C", "TERM": "dumb"},
                                      {"LC_ALL": "de_DE.UTF-8", "TZ": "Pacific/Apia"})):  # fmt: skip
        out = tmp_path / f"out{number}"
        ended = subprocess.run(
            [*PROGRAM, str(tmp_path / "in"), "-o", str(out)], stdin=subprocess.DEVNULL, capture_output=True,
            env=os.environ | changes, timeout=120, start_new_session=True,
        )  # fmt: skip
        assert ended.returncode == 0
        assert b"\x1b" not in ended.stderr and b"done: 2 ok" in ended.stderr
        written.append([(p.name, p.read_bytes()) for p in sorted(out.glob("*.png"))])
    assert written[0] == written[1] == written[2] and len(written[0]) == 2
