"""Measures the overhead of evaluation over bare inference, side by side in one run, on generated pictures.

    python scripts/bench_evaluation.py [--model NAME|FILE] [--pictures 100] [--threads N]

Bare inference is the restorer alone on decoded pictures. Evaluation reads the files, restores, and scores in both
protocols. The two alternate, part by part, so that other load on the machine affects both equally.

If the network needs all cores, reading and scoring cannot overlap with it: the minimum ratio is 1 plus their CPU time
relative to the network's. Measured on two cores with the weights `fast` and PNG files of 481x321: 15 ms per picture
(7 ms for decoding two files, 4 ms per score) against 304 ms, ratio 1.07. A network four times as fast would have a
ratio of 1.2, half of the overhead for decoding.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.pairs import PairGroup
from derain_cli.engine.restorer import Restorer
from derain_cli.evaluation.scores import evaluate
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.rain import add_rain


def make_pairs(folder: Path, count: int, height: int, width: int) -> None:
    """Pairs with photo-like detail, so that PNG files are as large as those of the benchmarks."""
    for number in range(count):
        rng = np.random.default_rng(number)
        coarse = rng.normal(0, 1, (height // 16 + 2, width // 16 + 2, 3)).repeat(16, 0).repeat(16, 1)[:height, :width]
        levels = np.clip(128 + 45 * coarse + rng.normal(0, 7, (height, width, 3)), 0, 255)
        clean = (levels / 255).astype(np.float32)
        rainy = add_rain(clean, "light", rng).rainy
        for name, picture in (("rain", rainy), ("norain", clean)):
            (folder / name).mkdir(exist_ok=True)
            write_rgb(folder / name / f"{number:03d}.png", np.rint(picture * 255).astype(np.uint8))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fast")
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--parts", type=int, default=4)
    parser.add_argument("--height", type=int, default=321)
    parser.add_argument("--width", type=int, default=481)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--device", default="auto")
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    restorer = Restorer.from_pretrained(asked.model, device=asked.device)
    with tempfile.TemporaryDirectory() as place:
        make_pairs(Path(place), asked.pictures, asked.height, asked.width)
        (group,) = find_pairs(Path(place)).groups
        step = -(-len(group.pairs) // asked.parts)
        parts = [group.pairs[start : start + step] for start in range(0, len(group.pairs), step)]
        evaluate(restorer, [PairGroup("warm-up", parts[0][:2])])
        bare_total = whole_total = 0.0
        ratios = []
        work = {"bare": 0.0, "whole": 0.0}
        for number, pairs in enumerate(parts):
            pictures = [read_rgb(pair.rainy) for pair in pairs]
            taken = {}
            for kind in ("bare", "whole") if number % 2 else ("whole", "bare"):
                begin, begin_cpu = time.perf_counter(), time.process_time()
                if kind == "bare":
                    for picture in pictures:
                        restorer(picture)
                else:
                    evaluate(restorer, [PairGroup("part", pairs)])
                taken[kind] = time.perf_counter() - begin
                work[kind] += time.process_time() - begin_cpu
            bare_total += taken["bare"]
            whole_total += taken["whole"]
            ratios.append(taken["whole"] / taken["bare"])
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            print(f"part {number + 1}: bare {taken['bare']:.2f} s, evaluation {taken['whole']:.2f} s, "
                  f"ratio {ratios[-1]:.3f}, peak memory {memory:.0f} MB")  # fmt: skip
    count = asked.pictures
    print(f"{count} pictures of {asked.width}x{asked.height}, {restorer.device}, {restorer.precision}, "
          f"{torch.get_num_threads()} threads")  # fmt: skip
    print(
        f"bare inference {bare_total / count * 1000:.1f} ms, evaluation {whole_total / count * 1000:.1f} ms per picture"
    )
    beside = (work["whole"] - work["bare"]) / count * 1000
    print(f"CPU time: bare {work['bare'] / count * 1000:.1f} ms, reading and scoring {beside:.1f} ms per picture")
    print(f"ratio {whole_total / bare_total:.3f} (median of the parts {statistics.median(ratios):.3f})")


if __name__ == "__main__":
    main()
