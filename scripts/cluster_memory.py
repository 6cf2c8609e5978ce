"""Memory of `derain FOLDER --ray` while it works through many tiny photos: it must not grow with their number.

    python -m scripts.cluster_memory --photos 20000

The photos have 16x16 pixels. The command runs as a user would start it, with a Ray on this machine;
meanwhile the resident memory of its process is read (Linux only). Exits with 1 if it has grown by more than a tenth
between the first quarter of the photos and the end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from derain_cli.media.photo import write_rgb

_GROWTH = 1.1


def make_photos(root: Path, count: int, per_folder: int) -> None:
    """Write `count` photos into folders of `per_folder`; all show the same noise."""
    one = root / "one.png"
    write_rgb(one, np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8))
    data = one.read_bytes()
    for number in range(count):
        folder = root / "in" / f"{number // per_folder:04}"
        if number % per_folder == 0:
            folder.mkdir(parents=True)
        (folder / f"{number:07}.png").write_bytes(data)


def resident(pid: int) -> float:
    """Resident memory of a process in MB."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def results(log: Path) -> int:
    """Number of records so far, each a line."""
    return log.read_bytes().count(b"\n")


def run(root: Path, words: list[str]) -> list[tuple[int, float]]:
    """Run the command; number of photos done and memory in MB, every second."""
    command = [sys.executable, "-m", "derain_cli", str(root / "in"), "-r", "-o", str(root / "out"), "--json", "-q"]
    log = root / "records.jsonl"
    seen = []
    with log.open("wb") as file, subprocess.Popen([*command, *words], stdout=file) as process:
        while process.poll() is None:
            time.sleep(1)
            try:
                seen.append((results(log), resident(process.pid)))
            except (OSError, StopIteration):  # it has just ended
                break
        if process.wait():
            sys.exit(f"the command ended with {process.returncode}")
    return seen


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=2000)
    parser.add_argument("--per-folder", type=int, default=500)
    parser.add_argument("--words", default="--ray --ray-cpus 1 --engine torch", help="further words of the command")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="derain-memory-") as name:
        root = Path(name)
        make_photos(root, wanted.photos, wanted.per_folder)
        start = time.monotonic()
        seen = run(root, wanted.words.split())
        seconds = time.monotonic() - start
    print(f"{wanted.photos} photos in {seconds:.0f} s, the start of Ray included")
    marks = [next((each for each in seen if each[0] >= wanted.photos * share / 8), seen[-1]) for share in range(1, 9)]
    for done, memory in marks:
        print(f"{done:>8} done: {memory:.0f} MB")
    first, last = marks[1][1], max(memory for _, memory in seen)
    print(f"largest {last:.0f} MB, {last / first - 1:+.1%} since the first quarter")
    return int(last > first * _GROWTH)


if __name__ == "__main__":
    sys.exit(main())
