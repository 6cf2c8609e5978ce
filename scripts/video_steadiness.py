"""Measures quality, temporal stability and speed of combinations of model and temporal filter, in one run.

    python scripts/video_steadiness.py [--ways fast:off fast:flow clip:off] [--real FOLDER] [--clean FILE...]
        [--photos FOLDER] [--frames 30] [--crop 400x300] [--pictures OUT]

A way is MODEL:TEMPORAL. There are three kinds of clips:

- `--real`: real_rain_*.mp4, no ground truth. Lower is more stable: `warp` is the warping error (RMS difference between
  a frame and the motion-compensated previous one, where motion can be tracked), `still` the standard deviation over
  time of static pixels; both in levels of 255. `detail` is the ratio of gradients, where something moves, to those of
  the first way: below 1 means blur or ghosting.
- `--clean`: clips without rain plus generated rain; PSNR (RGB) against the clean frames, without noise or compression.
- `--photos`: synthetic scenes from held-out photos (every 15th of the folder, as held out by `bench_quality.py`):
  moving, rainy, noisy and compressed as in training; `--scenes` of them.

`fps` covers everything between decoded and encoded frames: motion, network, temporal filter. Means come last.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.data.clips import coded
from derain_cli.engine.restorer import Restorer
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.temporal_filter import temporal_filter
from derain_cli.media.clip.reader import open_clip
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.motion.flow import consistent, fetched, flow_between
from derain_cli.motion.window import windows
from derain_cli.rain import MovingRain, MovingScene, Shower

Frames = list[NDArray[np.uint8]]
Motion = list[tuple[NDArray[Any], NDArray[Any]]]


@dataclass(frozen=True)
class Way:
    """One model with one temporal filter."""

    name: str
    engine: FrameRestorer
    temporal: Any

    @classmethod
    def named(cls, name: str) -> Way:
        model, _, temporal = name.rpartition(":")
        return cls(name, FrameRestorer.of(Restorer.from_pretrained(model)), temporal)

    def __call__(self, frames: Frames) -> tuple[Frames, float]:
        """The restored frames, and frames per second."""
        began = time.perf_counter()
        seen = windows(((None, frame) for frame in frames), self.engine.frames)
        restored = ((None, self.engine.restore([window])[0]) for _, window in seen)
        out = [np.asarray(pixels, np.uint8) for _, pixels in temporal_filter(restored, self.temporal)]
        return out, len(frames) / (time.perf_counter() - began)


def read(path: Path, count: int, crop: tuple[int, int]) -> Frames:
    """The first `count` frames, the middle of each."""
    frames: Frames = []
    with open_clip(path) as reader:
        for frame in itertools.islice(reader, count):
            height, width = frame.pixels.shape[:2]
            top, left = max(0, (height - crop[1]) // 2), max(0, (width - crop[0]) // 2)
            frames.append(np.ascontiguousarray(frame.pixels[top : top + crop[1], left : left + crop[0]]))
    return frames


def flows(frames: Frames) -> Motion:
    """For each frame but the first: the position of its pixels in the previous one, and where that is reliable."""
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    found = []
    for before, after in itertools.pairwise(greys):
        back, forth = flow_between(after, before), flow_between(before, after)
        found.append((back, consistent(back, forth)))
    return found


def warping_error(frames: Frames, motion: Motion) -> float:
    """Root mean square, levels of 255."""
    squares = []
    for (before, after), (back, known) in zip(itertools.pairwise(frames), motion, strict=True):
        gap = fetched(before, back).astype(np.float32) - after
        squares.append(np.square(gap[known]).mean())
    return float(np.sqrt(np.mean(squares)))


def still_deviation(frames: Frames, motion: Motion) -> float:
    """Mean standard deviation over time of static pixels, levels of 255; NaN if less than 1 % are static."""
    still = np.mean([np.hypot(back[..., 0], back[..., 1]) < 0.5 for back, _ in motion], axis=0) > 0.9
    if still.mean() < 0.01:
        return float("nan")
    return float(np.std(np.stack(frames).astype(np.float32), axis=0)[still].mean())


def detail(frames: Frames, sharp: Frames, motion: Motion) -> float:
    """Gradients where something moves, relative to those of `sharp`."""

    def gradients(picture: NDArray[np.uint8], where: NDArray[Any]) -> float:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return float(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))[where].mean())

    shares = []
    for frame, one, (back, _) in zip(frames[1:-1], sharp[1:-1], motion, strict=False):
        moving = np.hypot(back[..., 0], back[..., 1]) > 1.5
        if moving.sum() > 200:
            shares.append(gradients(frame, moving) / gradients(one, moving))
    return float(np.mean(shares)) if shares else float("nan")


def psnr(frames: Frames, truth: Frames) -> float:
    """Mean over the frames, RGB."""
    return float(np.mean([cv2.PSNR(a, b) for a, b in zip(frames, truth, strict=True)]))


def with_rain(clean: Frames, seed: int) -> tuple[Frames, Frames]:
    """Rainy frames, and the same without streaks."""
    # Without noise, since removing noise too would count against a way.
    shower = replace(Shower.drawn(np.random.default_rng(seed)), noise=0.0)
    rain = MovingRain(*clean[0].shape[:2], seed, shower)
    made = [rain.frame(frame.astype(np.float32) / np.float32(255), i) for i, frame in enumerate(clean)]
    return [coded(s.rainy, None) for s in made], [coded(s.clean, None) for s in made]


def scene(photos: Sequence[Path], number: int, frames: int, size: tuple[int, int]) -> tuple[Frames, Frames]:
    """Rainy and clean frames of a moving photograph, compressed equally."""
    rng = np.random.default_rng((15, number))
    pictures = [read_rgb(photos[(number + step) % len(photos)]) for step in (0, 7)]
    moving = MovingScene(pictures[0], pictures[1], size[1], size[0], frames, rng)
    rain = MovingRain(size[1], size[0], int(rng.integers(2**31)))
    quality = int(rng.integers(60, 96))
    made = [rain.frame(moving.frame(i), i) for i in range(frames)]
    return [coded(s.rainy, quality) for s in made], [coded(s.clean, quality) for s in made]


@dataclass
class Table:
    """Prints each row as it is measured and collects the figures for the means."""

    pictures: Path | None
    sums: dict[tuple[str, str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def row(self, kind: str, clip: str, way: str, figures: dict[str, float]) -> None:
        for label, value in figures.items():
            self.sums[kind, way, label].append(value)
        self._print(clip, way, figures)

    def means(self) -> None:
        """One row per kind of clip and way."""
        for kind, way in dict.fromkeys((kind, way) for kind, way, _ in self.sums):
            figures = {label: float(np.nanmean(v)) for (k, w, label), v in self.sums.items() if (k, w) == (kind, way)}
            self._print(f"mean of {kind}", way, figures)

    def show(self, clip: str, frames: dict[str, Frames]) -> None:
        """Write the middle frame of every way side by side."""
        if self.pictures:
            self.pictures.mkdir(parents=True, exist_ok=True)
            write_rgb(self.pictures / f"{clip}.png", np.hstack([some[len(some) // 2] for some in frames.values()]))

    @staticmethod
    def _print(clip: str, way: str, figures: dict[str, float]) -> None:
        print(f"{clip:24} {way:14}", *(f"{label} {value:7.3f}" for label, value in figures.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", default=["fast:off", "fast:median", "fast:flow"])
    parser.add_argument("--real", type=Path)
    parser.add_argument("--clean", nargs="*", type=Path, default=[])
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--scenes", type=int, default=8)
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--crop", default="400x300")
    parser.add_argument("--seeds", type=int, default=1, help="showers per clean clip")
    parser.add_argument("--pictures", type=Path, help="folder for one frame of each clip, all ways side by side")
    asked = parser.parse_args()
    width, height = map(int, asked.crop.split("x"))
    ways = [Way.named(name) for name in asked.ways]
    table = Table(asked.pictures)

    def measure(kind: str, clip: str, rainy: Frames, truth: Frames | None) -> None:
        restored = {way.name: way(rainy) for way in ways}
        first = restored[ways[0].name][0]
        motion = flows(truth or first)
        shown = (
            ({"truth": truth} if truth else {}) | {"input": rainy} | {name: out for name, (out, _) in restored.items()}
        )
        for name in ("input", *restored):
            frames = shown[name]
            figures = {"psnr": psnr(frames, truth)} if truth else {}
            figures["warp"] = warping_error(frames, motion)
            if not truth:
                figures["still"] = still_deviation(frames, motion)
            figures["detail"] = detail(frames, truth or first, motion)
            if name in restored:
                figures["fps"] = restored[name][1]
            table.row(kind, clip, name, figures)
        table.show(clip, shown)

    for path in sorted(asked.real.glob("real_rain_*.mp4")) if asked.real else ():
        measure("real", path.stem, read(path, asked.frames, (width, height)), None)
    for path in asked.clean:
        clean = read(path, asked.frames, (width, height))
        for seed in range(asked.seeds):
            measure("clean", f"{path.stem}_{seed}", *with_rain(clean, seed))
    if asked.photos:
        photos = sorted(asked.photos.glob("*.jpg"))[::15]
        for number in range(asked.scenes):
            measure("scenes", f"scene_{number}", *scene(photos, number, asked.frames, (width, height)))
    table.means()


if __name__ == "__main__":
    main()
