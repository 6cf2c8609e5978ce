"""Measures training speed: steps per second, share of the matrix rate, and time spent waiting for data.

    python scripts/bench_training.py [--recipes fast,paper] [--forms eager,compiled,frozen] [--seconds 30]

A form is the plain network, the network under torch.compile, or the form for frozen batch statistics. Networks,
batches, patches and optimisers are those of the recipes, on generated pairs; the real loop and data workers are used,
without validation and checkpoints. The FLOP of a step are three times those of the folded convolutions in the forward
pass (the backward pass is twice as expensive), so the overhead of the unfolded form, batch normalisation and the
optimiser counts as lost time. The matrix rate is measured in the same run, in the precision of the steps.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from pathlib import Path

import torch
from bench_evaluation import make_pairs
from bench_inference import matrix_rate

from derain_cli.config import TrainConfig, apply_overrides, from_mapping, load_recipe
from derain_cli.data.datasets import Sources, TrainingPatches, check_sources
from derain_cli.data.loaders import BatchStream
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.pairs import PairSet
from derain_cli.engine.device import pick_device
from derain_cli.model.architecture import macs_per_pixel
from derain_cli.system.memory import keep_freed_memory
from derain_cli.training.objectives import autocast_wanted
from derain_cli.training.trainer import Trainer

WARM_UP = 3
"""Steps before timing starts: workers start up, kernels are selected and compiled."""


def measure(recipe: str, form: str, sources: Sources, device: torch.device, asked: argparse.Namespace) -> None:
    """Measure one recipe and print a line."""
    changes = {"loop": {"compile": form == "compiled"}, "optim": {"freeze_norm": 0.0 if form == "frozen" else 1.0}}
    tables = apply_overrides(load_recipe(recipe), changes)
    config = from_mapping(TrainConfig, tables)
    keep_freed_memory()  # as in a run
    trainer = Trainer(config, device)
    batch, patch = config.data.batch, config.data.patch
    patches = TrainingPatches(sources, config.data, config.loop.seed, config.optim.steps * batch)
    stream = BatchStream(patches, batch, 0, config.data.workers, pin=device.type == "cuda")
    batches = iter(stream)
    begin = time.perf_counter()
    for _ in trainer.steps(itertools.islice(batches, WARM_UP)):
        pass
    warm_up, waited = time.perf_counter() - begin, stream.waited
    begin, steps = time.perf_counter(), 0
    for _ in trainer.steps(batches):  # each report reads numbers from the device, so no work is pending
        steps += 1
        if time.perf_counter() - begin > asked.seconds:
            break
    elapsed = time.perf_counter() - begin
    precision = torch.bfloat16 if autocast_wanted(config.optim, device) else torch.float32
    rate = matrix_rate(precision, device, 5)
    flop = 3 * 2 * macs_per_pixel(config.model) * batch * patch**2 * steps / elapsed
    print(
        f"{recipe:<6} {form:<9} {str(precision).removeprefix('torch.'):<9}"
        f"{steps / elapsed:7.3f} steps/s {steps * batch / elapsed:8.2f} patches/s of {patch} px, "
        f"{flop / 1e9:8.1f} GFLOP/s, {flop / rate:.1%} of {rate / 1e9:.0f}, "
        f"waiting for data {(stream.waited - waited) / elapsed:.1%}, first {WARM_UP} steps {warm_up:.1f} s",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipes", default="fast,paper")
    parser.add_argument("--forms", default="eager,compiled,frozen")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seconds", type=float, default=30.0, help="minimum time per line")
    parser.add_argument("--pairs", type=int, default=40)
    asked = parser.parse_args()
    device = pick_device(asked.device)
    with tempfile.TemporaryDirectory() as folder:
        make_pairs(Path(folder), asked.pairs, 321, 481)
        found = PairSet(find_pairs(Path(folder)).groups, ())
        photos = [pair.clean for group in found.groups for pair in group.pairs]
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
        print(f"{device}, {name}, torch {torch.__version__}")
        for recipe in asked.recipes.split(","):
            sources = check_sources([found], [found], photos, load_recipe(recipe)["data"]["patch"])
            for form in asked.forms.split(","):
                measure(recipe, form, sources, device, asked)


if __name__ == "__main__":
    main()
