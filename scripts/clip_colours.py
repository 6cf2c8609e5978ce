"""What multi-frame networks do to scenes in unusual colours: aquariums, stages, streets at night, flat areas.

Usage: python -m scripts.clip_colours NETWORK... --photos FOLDER [--scenes 40]

Networks extrapolate where one or two channels are nearly black, unless they were trained there. Every photo is shown
once in such colours and once as it is, with and without generated rain. Photos must not have been trained on. A table
goes to stdout: the rise of PSNR (rgb) over the input in rain, the PSNR of dry scenes against the input, mean and worst,
and how far raw values leave the range from 0 to 1.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from derain_cli import Restorer
from derain_cli.data.augment import recoloured
from derain_cli.data.clips import make_clip
from derain_cli.media.photo import read_rgb
from derain_cli.motion.stacking import middle

SIDE = 256


def scenes(photos: list[Path], count: int, frames: int) -> dict[str, list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]]:
    """(window, clean middle frame) of each kind."""
    made: dict[str, list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]] = {}
    for number in range(count):
        photo, other = (read_rgb(photos[(number + step) % len(photos)]) for step in (0, 1))
        for colours in ("unusual", "own"):
            rng = np.random.default_rng((number, 7))
            shown = [recoloured(each, rng) for each in (photo, other)] if colours == "unusual" else [photo, other]
            for dry in (0.0, 1.0):
                clip = make_clip(shown[0], shown[1], SIDE, frames, 1, np.random.default_rng(number), dry)
                kind = f"{colours} colours, {'dry' if dry else 'rain'}"
                made.setdefault(kind, []).append((clip.seen[0], clip.clean[0]))
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="+")
    parser.add_argument("--photos", required=True, type=Path)
    parser.add_argument("--scenes", type=int, default=40)
    asked = parser.parse_args()
    photos = sorted(each for each in asked.photos.iterdir() if each.suffix.lower() in (".jpg", ".png"))
    restorers = {name: Restorer.from_pretrained(name, device="cpu", precision="fp32") for name in asked.networks}
    made = scenes(photos, asked.scenes, max(each.frames for each in restorers.values()))
    print("| network | scenes | mean, dB | worst, dB | furthest raw value outside 0 to 1 | scenes beyond 0.5 |")
    print("|---|---|---|---|---|---|")
    for name, restorer in restorers.items():
        for kind, pairs in made.items():
            scores, outside = [], []
            for window, clean in pairs:
                seen = middle(window) if restorer.frames == 1 else window
                restored = restorer(np.ascontiguousarray(seen))
                before, after = (_psnr(each, clean) for each in (middle(window), restored))
                scores.append(after if kind.endswith("dry") else after - before)
                batch = np.ascontiguousarray(seen.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
                raw = _raw(restorer, batch)
                outside.append(float(max(-raw.min(), raw.max() - 1)))
            print(
                f"| {name} | {kind} | {np.mean(scores):.2f} | {np.min(scores):.2f} | {max(outside):.2f} | "
                f"{sum(each > 0.5 for each in outside)} of {len(outside)} |",
                flush=True,
            )


def _psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    # Scenes can have next to no rain: above 60 dB differences mean nothing.
    return float(min(60.0, 10 * np.log10(255**2 / max(1e-6, np.mean((one.astype(np.float64) - other) ** 2)))))


def _raw(restorer: Restorer, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    import torch

    with torch.inference_mode():
        return np.asarray(restorer.engine.run(torch.from_numpy(batch)).derained)


if __name__ == "__main__":
    main()
