"""How steady restored clips are with each `--temporal`: flicker on real rain, PSNR on generated rain.

    python scripts/video_steadiness.py FOLDER [--frames 30] [--crop 400x300] [--pictures OUT]

FOLDER holds real_rain_*.mp4 (no ground truth) and clean clips named with --clean. Two figures per real clip, both in
levels of 255, lower is steadier: the warping error (root mean square of a frame minus the one before, moved onto it,
where motion can be followed) and the deviation over time of pixels that stand still. Motion is measured once, on the
frames of `off`. `detail` is what is left of the gradients where something moves: below 1 is blur or ghosting.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.engine.restorer import Restorer
from derain_cli.jobs.clips.temporal_filter import steadied
from derain_cli.media.clip.reader import open_clip
from derain_cli.media.photo import write_rgb
from derain_cli.motion.flow import consistent, fetched, flow_between
from derain_cli.rain import MovingRain, Shower

Frames = list[NDArray[np.uint8]]
MODES = ("off", "median", "flow")


def read(path: Path, count: int, crop: tuple[int, int]) -> Frames:
    """The first `count` frames, the middle of each."""
    frames: Frames = []
    with open_clip(path) as reader:
        for frame in itertools.islice(reader, count):
            height, width = frame.pixels.shape[:2]
            top, left = max(0, (height - crop[1]) // 2), max(0, (width - crop[0]) // 2)
            frames.append(np.ascontiguousarray(frame.pixels[top : top + crop[1], left : left + crop[0]]))
    return frames


def restored(frames: Frames, restorer: Restorer, cache: Path | None) -> Frames:
    """Every frame by itself; kept in `cache` for the next time."""
    digest = hashlib.sha256(restorer.fingerprint().encode())
    for frame in frames:
        digest.update(frame.tobytes())
    kept = cache / f"{digest.hexdigest()[:24]}.npz" if cache else None
    if kept and kept.exists():
        return list(np.load(kept)["frames"])
    out = [restorer(frame) for frame in frames]
    if kept:
        kept.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(kept, frames=np.stack(out))
    return out


def steady(frames: Frames, mode: Any) -> Frames:
    """The frames after `mode`."""
    return [pixels for _, pixels in steadied(((None, frame) for frame in frames), mode)]  # type: ignore[misc]


def flows(frames: Frames) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    """For each frame but the first: where its pixels were in the one before, and where that can be trusted."""
    greys = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
    found = []
    for before, after in itertools.pairwise(greys):
        back, forth = flow_between(after, before), flow_between(before, after)
        found.append((back, consistent(back, forth)))
    return found


def warping_error(frames: Frames, motion: list[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Root mean square, levels of 255."""
    squares = []
    for (before, after), (back, known) in zip(itertools.pairwise(frames), motion, strict=True):
        gap = fetched(before, back).astype(np.float32) - after
        squares.append(np.square(gap[known]).mean())
    return float(np.sqrt(np.mean(squares)))


def still_deviation(frames: Frames, motion: list[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[float, float]:
    """Mean standard deviation over time of pixels that stand still, levels of 255; and the share of such pixels."""
    still = np.mean([np.hypot(back[..., 0], back[..., 1]) < 0.5 for back, _ in motion], axis=0) > 0.9
    if still.mean() < 0.01:
        return float("nan"), float(still.mean())
    return float(np.std(np.stack(frames).astype(np.float32), axis=0)[still].mean()), float(still.mean())


def detail(frames: Frames, plain: Frames, motion: list[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Gradients where something moves, over those without steadying."""

    def gradients(picture: NDArray[np.uint8], where: NDArray[Any]) -> float:
        grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)
        return float(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))[where].mean())

    shares = []
    for frame, one, (back, _) in zip(frames[1:-1], plain[1:-1], motion, strict=False):
        moving = np.hypot(back[..., 0], back[..., 1]) > 1.5
        if moving.sum() > 200:
            shares.append(gradients(frame, moving) / gradients(one, moving))
    return float(np.mean(shares)) if shares else float("nan")


def psnr(frames: Frames, truth: Frames) -> float:
    """Mean over the frames, RGB."""
    return float(np.mean([cv2.PSNR(a, b) for a, b in zip(frames, truth, strict=True)]))


def with_rain(clean: Frames, seed: int) -> tuple[Frames, Frames]:
    """Rainy frames, and the same without streaks."""
    # Without noise: to take noise out, too, would count against a mode.
    shower = dataclasses.replace(Shower.drawn(np.random.default_rng(seed)), noise=0.0)
    rain = MovingRain(*clean[0].shape[:2], seed, shower)
    made = [rain.frame(frame.astype(np.float32) / np.float32(255), i) for i, frame in enumerate(clean)]

    def eight(picture: NDArray[np.float32]) -> NDArray[np.uint8]:
        return np.asarray(np.rint(picture * 255), np.uint8)

    return [eight(s.rainy) for s in made], [eight(s.clean) for s in made]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clean", nargs="*", default=["solidWhiteRight.mp4", "bikes.mp4"])
    parser.add_argument("--frames", type=int, default=30)
    parser.add_argument("--crop", default="400x300")
    parser.add_argument("--seeds", type=int, default=1, help="showers per clean clip")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--cache", type=Path, help="folder for restored frames")
    parser.add_argument("--pictures", type=Path, help="folder for one frame of each clip and mode")
    asked = parser.parse_args()
    width, height = map(int, asked.crop.split("x"))
    restorer = Restorer.from_pretrained(asked.model)

    def show(name: str, frames: dict[str, Frames]) -> None:
        if asked.pictures:
            asked.pictures.mkdir(parents=True, exist_ok=True)
            middle = asked.frames // 2
            write_rgb(asked.pictures / f"{name}.png", np.hstack([f[min(middle, len(f) - 1)] for f in frames.values()]))

    def line(name: str, mode: str, *values: tuple[str, float]) -> None:
        print(f"{name:24} {mode:7}", *(f"{label} {value:7.3f}" for label, value in values), flush=True)

    for path in sorted(asked.folder.glob("real_rain_*.mp4")):
        rainy = read(path, asked.frames, (width, height))
        plain = restored(rainy, restorer, asked.cache)
        motion = flows(plain)
        shown = {"input": rainy}
        for mode in ("input", *MODES):
            frames = rainy if mode == "input" else steady(plain, mode)
            shown[mode] = frames
            deviation, still = still_deviation(frames, motion)
            figures = [("warp", warping_error(frames, motion)), ("still", deviation), ("of", still)]
            line(path.stem, mode, *figures, ("detail", detail(frames, plain, motion)))
        show(path.stem, shown)
    for name in asked.clean:
        clean = read(asked.folder / name, asked.frames, (width, height))
        for seed in range(asked.seeds):
            rainy, truth = with_rain(clean, seed)
            plain = restored(rainy, restorer, asked.cache)
            motion = flows(truth)
            shown = {"truth": truth, "input": rainy}
            for mode in ("input", *MODES):
                frames = rainy if mode == "input" else steady(plain, mode)
                shown[mode] = frames
                figures = [("psnr", psnr(frames, truth)), ("warp", warping_error(frames, motion))]
                line(f"{Path(name).stem} {seed}", mode, *figures, ("detail", detail(frames, plain, motion)))
            show(f"{Path(name).stem}_{seed}", shown)


if __name__ == "__main__":
    main()
