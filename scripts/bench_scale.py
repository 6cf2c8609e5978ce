"""What `derain video --scale` costs in quality and gains in speed, side by side in one run.

    python scripts/bench_scale.py CLIP_OR_PHOTO... [--scales 0.71,0.5] [--streaks 1,2] [--showers 3] [--size 960x540]

Each input without rain gets generated rain. PSNR (RGB) is against the same frame without streaks; `streaks` is how many
times as large they are as in a photograph of BSD500's size, which is what happens when the camera has more pixels.
`small` is a frame that is restored at the reduced size and enlarged, as a smaller output would be.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.engine.restorer import Restorer
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.reduced import reduced
from derain_cli.media.clip.names import READABLE_CLIPS
from derain_cli.media.clip.reader import open_clip
from derain_cli.media.photo import read_rgb
from derain_cli.rain import MovingRain, Shower

Picture = NDArray[np.uint8]


def first_picture(path: Path, size: tuple[int, int]) -> Picture:
    """A clip's first frame, or a photo: its middle."""
    if path.suffix.lower() in READABLE_CLIPS:
        with open_clip(path) as reader:
            pixels: Any = next(iter(reader)).pixels
    else:
        pixels = read_rgb(path)
    top, left = (max(0, (have - want) // 2) for have, want in zip(pixels.shape[:2], size[::-1], strict=True))
    return np.ascontiguousarray(pixels[top : top + size[1], left : left + size[0]])


def with_rain(clean: Picture, seed: int, streaks: float) -> tuple[Picture, Picture]:
    """A rainy frame, and the same without streaks."""
    shower = replace(Shower.drawn(np.random.default_rng(seed)), noise=0.003, scale=streaks)
    height, width = clean.shape[:2]
    made = MovingRain(height, width, seed, shower).frame(clean.astype(np.float32) / np.float32(255), 1)
    return np.rint(made.rainy * 255).astype(np.uint8), np.rint(made.clean * 255).astype(np.uint8)


def timed(work: Callable[[], Picture]) -> tuple[Picture, float]:
    start = time.perf_counter()
    return work(), time.perf_counter() - start


def small(restorer: Restorer, rainy: Picture, scale: float) -> Picture:
    height, width = rainy.shape[:2]
    size = round(width * scale), round(height * scale)
    done = restorer(cv2.resize(rainy, size, interpolation=cv2.INTER_AREA))
    return np.asarray(cv2.resize(done, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="+", type=Path)
    parser.add_argument("--scales", default="0.71,0.5")
    parser.add_argument("--streaks", default="1,2")
    parser.add_argument("--showers", type=int, default=3)
    parser.add_argument("--size", default="960x540")
    parser.add_argument("--model", default="fast")
    asked = parser.parse_args()
    width, height = map(int, asked.size.split("x"))
    scales = [float(each) for each in asked.scales.split(",")]
    restorer = Restorer.from_pretrained(asked.model)
    engine = FrameRestorer.of(restorer)
    found: dict[tuple[float, str], list[float]] = defaultdict(list)
    for path in asked.paths:
        clean = first_picture(path, (width, height))
        for seed in range(1, asked.showers + 1):
            for streaks in map(float, asked.streaks.split(",")):
                rainy, truth = with_rain(clean, seed, streaks)
                whole, seconds = timed(lambda rainy=rainy: restorer(rainy))  # type: ignore[misc]
                line = {"rainy": cv2.PSNR(rainy, truth), "1": cv2.PSNR(whole, truth)}
                for scale in scales:
                    way = reduced(engine, scale).restore
                    made, took = timed(lambda way=way, rainy=rainy: way([rainy])[0])  # type: ignore[misc]
                    line[f"{scale:g}"] = cv2.PSNR(made, truth)
                    line[f"{scale:g} small"] = cv2.PSNR(small(restorer, rainy, scale), truth)
                    line[f"{scale:g} times as quick"] = seconds / took
                for name, value in line.items():
                    found[streaks, name].append(value)
                told = ", ".join(f"{name}: {value:.2f}" for name, value in line.items())
                print(f"{path.stem} shower {seed} streaks {streaks:g}: {told}", flush=True)
    for (streaks, name), values in found.items():
        print(f"mean, streaks {streaks:g}: {name}: {np.mean(values):.2f}")


if __name__ == "__main__":
    main()
