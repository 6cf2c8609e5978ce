"""Measures the cost of another busy program: the network with all cores to itself, and with one core shared.

    python scripts/bench_busy.py [--sizes 256x256,64x64] [--turns default,10000,1000,100] [--rounds 3]

`turns` is GNU OpenMP's GOMP_SPINCOUNT: how often a waiting thread spins before it sleeps. The command line sets 1000
(`derain_cli/cli/__init__.py`); `default` is OpenMP's own value. Each figure is from a separate process, since the
variable is read once; settings alternate. The other program only counts, on core 0. Linux only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

OPENMP = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def measure(height: int, width: int, seconds: float) -> None:
    """Print the median milliseconds per picture and the number of cores used."""
    import numpy as np

    from derain_cli import Restorer

    restorer = Restorer.from_pretrained("fast")
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    for _ in range(3):
        restorer(picture)
    taken: list[float] = []
    begin, begin_cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - begin < seconds:
        start = time.perf_counter()
        restorer(picture)
        taken.append(time.perf_counter() - start)
    cores = (time.process_time() - begin_cpu) / (time.perf_counter() - begin)
    print(statistics.median(taken) * 1000, cores)


def child(turns: str, size: str, seconds: float) -> tuple[float, float]:
    """The output of `measure` in a process with this setting."""
    environment = {k: v for k, v in os.environ.items() if k not in OPENMP}
    if turns != "default":
        environment["GOMP_SPINCOUNT"] = turns
    command = [sys.executable, __file__, "--child", size, "--seconds", str(seconds)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.split()
    return float(told[-2]), float(told[-1])


def count_on_core_0() -> None:
    os.sched_setaffinity(0, {0})
    while True:
        pass


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="256x256,64x64")
    parser.add_argument("--turns", default="default,10000,1000,100")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="per figure")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--count", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.count:
        count_on_core_0()
    if asked.child:
        width, height = map(int, asked.child.split("x"))
        measure(height, width, asked.seconds)
        return
    for size in asked.sizes.split(","):
        for busy in (False, True):
            # In its own session, like another program of the user: the scheduler distributes cores by session.
            command = [sys.executable, __file__, "--count"]
            other = subprocess.Popen(command, start_new_session=True) if busy else None
            try:
                found: dict[str, list[tuple[float, float]]] = {turns: [] for turns in asked.turns.split(",")}
                for _ in range(asked.rounds):
                    for turns, figures in found.items():
                        figures.append(child(turns, size, asked.seconds))
            finally:
                if other is not None:
                    other.kill()
                    other.wait()
            for turns, figures in found.items():
                times, cores = zip(*figures, strict=True)
                print(f"{size}, {'one core shared' if busy else 'no other load  '}, turns {turns:>8}: "
                      f"{statistics.median(times):8.1f} ms (min {min(times):.1f}), "
                      f"{statistics.median(cores):.2f} cores", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
