"""Kills a process with SIGKILL while it writes one checkpoint after another, and loads the newest.

    python -m scripts.kill_checkpoint [--kills 50] [--values 200000] [--seed 0]

After each kill the newest complete checkpoint must load without another being passed over, hold the values of its step,
and be at least the last one that the process reported as written. The first violation ends the script with 1.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from derain_cli.checkpoints.run_state import latest_checkpoint, save_checkpoint
from scripts.trial import forked, kill, table


@dataclass
class Tally:
    """What was found after the kills."""

    kills: int = 0
    in_the_middle: int = 0
    newest: int = 0


def write_on(folder: Path, start: int, values: int, report: int) -> None:
    """Write checkpoints from step `start` on, and report each to a pipe once it is written."""
    for step in itertools.count(start):
        save_checkpoint(folder, step, {"weight": torch.full((values,), float(step))}, {"step": step})
        os.write(report, b"%d\n" % step)


def reported(pipe: int) -> int:
    """The last step that came through the pipe; 0 if none did."""
    with os.fdopen(pipe, "rb") as file:
        return max((int(line) for line in file.read().split()), default=0)


def try_kills(kills: int, values: int, seed: int) -> Tally:
    """Raises AssertionError or WeightsError at the first checkpoint that is not as it should be."""
    chance, tally = random.Random(seed), Tally()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        for _ in range(kills):
            ours, theirs = os.pipe()
            start = tally.newest + 1
            child = forked(lambda start=start, theirs=theirs: write_on(folder, start, values, theirs))  # type: ignore[misc]
            os.close(theirs)
            time.sleep(chance.uniform(0.0, 0.4))
            assert kill(child), "the writing ended by itself"
            tally.kills += 1
            found, told = latest_checkpoint(folder), max(reported(ours), tally.newest)
            if found is None:
                assert told == 0
                continue
            tensors, state, skipped = found
            assert not skipped, skipped
            assert state["step"] >= told
            assert bool((tensors["weight"] == float(state["step"])).all())
            tally.newest = state["step"]
            left = {p.name for p in folder.glob("step-*")}
            tally.in_the_middle += f"step-{tally.newest + 1:09d}" in left or any(folder.glob("step-*/.derain-*"))
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--values", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    tally = try_kills(asked.kills, asked.values, asked.seed)
    heads = (
        "kills",
        "in the middle of a checkpoint",
        "checkpoints written",
        "newest did not load",
        "partial in a manifest",
    )
    print(table(heads, [(tally.kills, tally.in_the_middle, tally.newest, 0, 0)]))


if __name__ == "__main__":
    main()
