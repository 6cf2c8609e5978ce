"""Kills `derain FOLDER` with SIGKILL at random moments, looks at what is there, and lets a second run finish.

    python -m scripts.kill_batch [--kills 100] [--photos 24] [--side 96] [--seed 0]

After each kill every output must decode whole; a second run of the same command must end with 0, leave no temporary
file, and give the bytes of an unbroken run. The first violation ends the script with 1.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from derain_cli.cli import main as derain
from derain_cli.jobs.made import RECORD_NAME
from derain_cli.media.photo import read_rgb
from scripts.trial import ended, forked, kill, photos, table, tiny_weights


@dataclass
class Tally:
    """What was found after the kills."""

    killed: int = 0
    finished_before: int = 0
    whole: list[int] = field(default_factory=list)
    with_temporary: int = 0


def contents(folder: Path) -> dict[str, bytes]:
    """Content by name of everything in a folder except the record of how it was made."""
    return (
        {p.name: p.read_bytes() for p in sorted(folder.iterdir()) if p.name != RECORD_NAME} if folder.is_dir() else {}
    )


def run(source: Path, out: Path, weights: Path) -> int:
    """Start the program in a process of its own; its process id."""
    return forked(lambda: derain([str(source), "-o", str(out), "-m", str(weights), "-d", "cpu", "-q"]))


def try_kills(kills: int, count: int, side: int, seed: int) -> Tally:
    """Raises AssertionError at the first output that is not whole or differs from that of an unbroken run."""
    chance, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        weights, source = tiny_weights(folder), folder / "in"
        photos(source, count, side)
        begin = time.monotonic()
        assert ended(run(source, folder / "unbroken", weights)) == 0
        length = time.monotonic() - begin
        unbroken = contents(folder / "unbroken")
        assert len(unbroken) == count
        for number in range(kills):
            out = folder / f"out{number}"
            child = run(source, out, weights)
            time.sleep(chance.uniform(0, length))
            died = kill(child)
            tally.killed += died
            tally.finished_before += not died
            found = contents(out)
            final = [name for name in found if not name.startswith(".")]
            for name in final:
                assert read_rgb(out / name).shape == (side, side, 3), name
                assert found[name] == unbroken[name], name
            tally.whole.append(len(final))
            tally.with_temporary += len(final) < len(found)
            assert ended(run(source, out, weights)) == 0
            assert contents(out) == unbroken, f"kill {number}"
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--side", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    tally = try_kills(asked.kills, asked.photos, asked.side, asked.seed)
    partial = sum(0 < n < asked.photos for n in tally.whole)
    heads = ("kills", "ended before the kill", "part of the outputs there", "temporary file left", "outputs not whole",
             "second run differs")  # fmt: skip
    print(table(heads, [(tally.killed, tally.finished_before, partial, tally.with_temporary, 0, 0)]))


if __name__ == "__main__":
    main()
