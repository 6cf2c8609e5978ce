"""Where the time goes until the first photo is done: whole processes, alternating in one run, on a generated photo.

    python scripts/bench_startup.py [--rounds 5] [--model NAME|FILE] [--side 256]

`import torch` alone is the lower bound; `derain --help` must not pay for it. The photo's process is then broken down
into the import time of each package (`-X importtime`, which adds a little overhead) and reading, network and writing
as reported by the program.
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from derain_cli.media.photo import write_rgb

PROGRAM = [sys.executable, "-m", "derain_cli"]
LINE = re.compile(r"import time:\s+(\d+) \|\s+\d+ \|\s+([\w.]+)")


def timed(command: list[str]) -> tuple[float, subprocess.CompletedProcess[str]]:
    """Wall-clock seconds of a process, and its output."""
    begin = time.perf_counter()
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return time.perf_counter() - begin, ended


def import_seconds(told: str) -> dict[str, float]:
    """Seconds spent in the modules of each top-level package, without their imports from others; largest first."""
    seconds: dict[str, float] = {}
    for microseconds, module in LINE.findall(told):
        package = module.split(".")[0]
        seconds[package] = seconds.get(package, 0.0) + int(microseconds) / 1e6
    return dict(sorted(seconds.items(), key=lambda pair: -pair[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--side", type=int, default=256, help="side of the photo, pixels")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        photo = Path(place) / "photo.jpg"
        levels = np.random.default_rng(0).normal(128, 30, (asked.side, asked.side, 3))
        write_rgb(photo, np.clip(levels, 0, 255).astype(np.uint8))
        out = str(Path(place) / "out.jpg")
        first_photo = [*PROGRAM, str(photo), "-o", out, "--overwrite", "--json", "-q", "-m", asked.model]
        commands = {
            "python": [sys.executable, "-c", ""],
            "derain --help": [*PROGRAM, "--help"],
            "import torch": [sys.executable, "-c", "import torch"],
            "first photo": first_photo,
        }
        taken: dict[str, list[float]] = {name: [] for name in commands}
        working = []
        for command in commands.values():  # warm up the disk cache
            timed(command)
        for _ in range(asked.rounds):
            for name, command in commands.items():
                seconds, ended = timed(command)
                taken[name].append(seconds)
            working.append(json.loads(ended.stdout.splitlines()[0])["seconds"])
        middle = {name: statistics.median(values) for name, values in taken.items()}
        for name, seconds in middle.items():
            print(f"{name:<16}{seconds:6.2f} s   ({min(taken[name]):.2f} to {max(taken[name]):.2f})")
        work = statistics.median(working)
        print(f"reading, network and writing of the first photo {work:.2f} s")
        above = middle["first photo"] - middle["import torch"]
        print(f"first photo minus import torch {above:.2f} s, also minus that work {above - work:.2f} s")
        _, ended = timed([sys.executable, "-X", "importtime", *first_photo[1:]])
        shares = import_seconds(ended.stderr)
        print(f"imports of the first photo, {sum(shares.values()):.2f} s in total, by package:")
        for package, seconds in list(shares.items())[:12]:
            print(f"  {package:<24}{seconds * 1000:7.0f} ms")


if __name__ == "__main__":
    main()
