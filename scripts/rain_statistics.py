"""Compare generated rain with true rain: a table, and sheets for visual comparison.

    python scripts/rain_statistics.py --pairs DIR --clean DIR --out DIR [--blind]

`--pairs` holds `light/` and `heavy/`, each with `rain/` and `norain/` pictures of the same names. The true
layer is rainy minus clean. `--clean` holds photographs to add rain to; use the `norain` folder itself for the
fairest comparison of numbers that depend on the background (clipping, input PSNR). `--photos`, a folder of
photographs taken in the rain, adds a sheet comparing them with the `real` profile.

Every layer is measured in the same way, on 8-bit pictures: per pixel, the largest difference of the three
channels (the one that clips last). KS is the two-sample Kolmogorov-Smirnov distance, from 0 (identical) to 1.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli.rain import add_rain

Array = NDArray[np.float32]
SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp"}
STATISTICS = (
    "mean", "peak", "p50", "p90", "p99", "over5", "over20", "clipped",
    "width", "length", "|tilt|", "spread", "coherence", "psnr",
)  # fmt: skip


def pictures(folder: Path) -> list[Path]:
    found = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise SystemExit(f"no pictures in {folder}")
    return found


def read(path: Path) -> Array:
    """RGB, float32 in [0, 255], integer values."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise SystemExit(f"cannot read {path}")
    return np.ascontiguousarray(image[:, :, ::-1]).astype(np.float32)


def grey_layer(rainy: Array, clean: Array) -> Array:
    """Best estimate of a grey additive layer from 8-bit pictures, HxW in [0, 255]."""
    difference = rainy - clean
    free = np.where(rainy < 254.5, difference, -256.0)
    best = free.max(axis=2)
    return np.asarray(np.where(best < -255.0, difference.max(axis=2), best), np.float32)


def half_width(profile: Array, step: float) -> float:
    """Distance at which an autocorrelation falls to one half, linearly interpolated."""
    below = int(np.argmax(profile < 0.5))
    if below == 0:
        return len(profile) * step
    before, after = float(profile[below - 1]), float(profile[below])
    return step * (below - 1 + (before - 0.5) / (before - after))


def measure(rainy: Array, clean: Array) -> dict[str, float]:
    """Statistics of one pair; intensities in 1/255, shares in percent, angles in degrees."""
    layer = grey_layer(rainy, clean)
    gx, gy = cv2.Scharr(layer, cv2.CV_32F, 1, 0), cv2.Scharr(layer, cv2.CV_32F, 0, 1)
    xx, yy, xy = float((gx * gx).mean()), float((gy * gy).mean()), float((gx * gy).mean())
    across = 0.5 * math.atan2(2 * xy, xx - yy)
    energy = xx + yy + 1e-9
    # Spread of the local direction, weighted by the local gradient energy.
    window = (9, 9)
    sx, sy, sc = cv2.blur(gx * gx, window), cv2.blur(gy * gy, window), cv2.blur(gx * gy, window)
    local = 0.5 * np.arctan2(2 * sc, sx - sy) - across
    local = (local + np.pi / 2) % np.pi - np.pi / 2
    weight = sx + sy
    spread = math.sqrt(float((weight * local**2).sum() / (weight.sum() + 1e-9)))
    spectrum = np.abs(np.fft.rfft2(layer - layer.mean())) ** 2
    correlation = np.fft.fftshift(np.fft.irfft2(spectrum, s=layer.shape)).astype(np.float32)
    correlation /= max(float(correlation.max()), 1e-9)
    cy, cx = layer.shape[0] // 2, layer.shape[1] // 2

    def along(dx: float, dy: float, reach: int, step: float) -> Array:
        t = np.arange(0, reach, step, dtype=np.float32)
        values = cv2.remap(correlation, (cx + dx * t)[None], (cy + dy * t)[None], cv2.INTER_CUBIC)
        return np.asarray(values[0], np.float32)

    cos, sin = math.cos(across), math.sin(across)
    error = float(((rainy - clean) ** 2).mean())
    p50, p90, p99 = np.percentile(layer, (50, 90, 99))
    return {
        "mean": float(layer.mean()),
        "peak": float(layer.max()),
        "p50": float(p50),
        "p90": float(p90),
        "p99": float(p99),
        "over5": 100 * float((layer > 5).mean()),
        "over20": 100 * float((layer > 20).mean()),
        "clipped": 100 * float((rainy >= 254.5).any(axis=2).mean()),
        "width": 2 * half_width(along(cos, sin, 15, 0.25), 0.25),
        "length": 2 * half_width(along(-sin, cos, 90, 0.5), 0.5),
        "|tilt|": abs(math.degrees(across)),
        "spread": math.degrees(spread),
        "coherence": math.hypot(xx - yy, 2 * xy) / energy,
        "psnr": 10 * math.log10(255.0**2 / max(error, 1e-9)),
    }


def rained(clean: Array, profile: str, seed: int) -> tuple[Array, Array]:
    """Generated (rainy, clean), 8-bit values."""
    sample = add_rain(clean / np.float32(255), profile, np.random.default_rng(seed))
    return np.rint(sample.rainy * 255), np.rint(sample.clean * 255)


def distance(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    at = np.sort(np.concatenate([a, b]))
    below = np.searchsorted(np.sort(a), at, "right") / len(a) - np.searchsorted(np.sort(b), at, "right") / len(b)
    return float(np.abs(below).max())


def show(values: NDArray[np.float64]) -> str:
    low, high = np.percentile(values, (10, 90))
    return f"{values.mean():8.2f} {low:8.2f} {high:8.2f}"


def save(path: Path, image: Array) -> None:
    if not cv2.imwrite(str(path), np.clip(image, 0, 255).astype(np.uint8)[:, :, ::-1]):
        raise SystemExit(f"cannot write {path}")
    print(f"wrote {path}")


def crop(image: Array, size: int, rng: np.random.Generator) -> Array:
    y, x = (int(rng.integers(0, max(1, n - size + 1))) for n in image.shape[:2])
    part = image[y : y + size, x : x + size]
    pad = [(0, size - part.shape[0]), (0, size - part.shape[1]), (0, 0)]
    return np.pad(part, pad)


def sheet(left: list[Array], right: list[Array], columns: int = 3) -> Array:
    """True tiles on the left, generated ones on the right, separated by a red line."""

    def block(tiles: list[Array]) -> Array:
        rows = [np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles) // columns * columns, columns)]
        return np.vstack(rows)

    a, b = block(left), block(right)
    bar = np.zeros((a.shape[0], 6, 3), np.float32)
    bar[:, :, 0] = 255
    return np.hstack([a, bar, b])


def as_picture(layer: Array) -> Array:
    return np.repeat(np.clip(layer, 0, 255)[:, :, None], 3, axis=2)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=Path, required=True, help="folder with light/ and heavy/, each rain/, norain/")
    parser.add_argument("--clean", type=Path, help="photographs to add rain to (default: the norain pictures)")
    parser.add_argument("--photos", type=Path, help="photographs taken in the rain, for the sheet of `real`")
    parser.add_argument("--out", type=Path, required=True, help="folder for the sheets")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=3, help="generated layers per true one")
    parser.add_argument("--tile", type=int, default=200, help="side of the tiles on the sheets, px")
    parser.add_argument("--blind", action="store_true", help="also write shuffled sheets, each with a key file")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    for profile in ("light", "heavy"):
        folder = options.pairs / profile
        pairs = [(read(p), read(folder / "norain" / p.name)) for p in pictures(folder / "rain")]
        backgrounds = [b for _, b in pairs] if options.clean is None else [read(p) for p in pictures(options.clean)]
        order = np.random.default_rng(options.seed).permutation(len(backgrounds))
        made = [
            rained(backgrounds[order[i % len(order)]], profile, options.seed * 100_003 + i)
            for i in range(options.repeats * len(pairs))
        ]
        true, generated = [measure(*p) for p in pairs], [measure(*p) for p in made]
        print(f"\n{profile}: {len(true)} true, {len(generated)} generated (mean, p10, p90)")
        print(f"{'':10} {'true':>26} | {'generated':>26} |   KS")
        for name in STATISTICS:
            a, b = (np.array([s[name] for s in each]) for each in (true, generated))
            print(f"{name:10} {show(a)} | {show(b)} | {distance(a, b):4.2f}")
        rng = np.random.default_rng((options.seed, *profile.encode()))
        pick = rng.permutation(len(pairs))[:12]
        for kind in ("layers", "rainy"):
            tiles: list[list[Array]] = []
            for each in (pairs, made):
                whole = [as_picture(grey_layer(*each[i])) if kind == "layers" else each[i][0] for i in pick]
                tiles.append([crop(w, options.tile, rng) for w in whole])
            save(options.out / f"{profile}_{kind}.png", sheet(tiles[0], tiles[1]))
            if options.blind:
                shuffled = rng.permutation(2 * len(pick))
                mixed = [(tiles[0] + tiles[1])[i] for i in shuffled]
                rows = [np.hstack(mixed[i : i + 6]) for i in range(0, len(mixed), 6)]
                save(options.out / f"{profile}_{kind}_blind.png", np.vstack(rows))
                key = [
                    " ".join("TG"[int(j >= len(pick))] for j in shuffled[i : i + 6]) for i in range(0, len(mixed), 6)
                ]
                (options.out / f"{profile}_{kind}_blind.key").write_text("\n".join(key) + "\n")
    if options.photos is not None:
        rng = np.random.default_rng(options.seed + 2)
        paths = pictures(options.clean or options.pairs / "light" / "norain")
        left = [crop(read(p), 300, rng) for p in rng.permutation(np.array(pictures(options.photos)))[:12]]
        right = []
        for i, p in enumerate(rng.permutation(np.array(paths))[:12]):
            right.append(crop(rained(read(p), "real", options.seed + i)[0], 300, rng))
        save(options.out / "real.png", sheet(left, right))


if __name__ == "__main__":
    main()
