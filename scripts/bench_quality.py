"""What weights do to rain and to everything else, in one table: pairs, clean photographs, drawings, colours, real rain.

    python scripts/bench_quality.py --data DATA --models fast,RUN/last.safetensors [--worst DIR]

DATA is laid out as for scripts/train_release.sh: rain100/val/{light,heavy}/{rain,norain}/, clean/, real_rain/. Clean
photographs are every 15th of clean/, which that script keeps out of training, and the clean halves of the pairs; real
ones are every tenth of real_rain/ and chose nothing but, at most, averages of weights. Drawings are made here by other
code than that of the training patches. Everything is validation data: settings may be chosen by it, scores claimed not.

--worst DIR keeps pictures of what came out worst, before and after.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from derain_cli import Restorer
from derain_cli.cli import main as derain
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.pairs import list_photos
from derain_cli.evaluation.scores import evaluate
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.metrics.no_reference import Figures, figures

Picture = NDArray[np.uint8]
TILTS = (0, 12, 25, 45, 60)
"""Of the drawn lines from the vertical, degrees."""


@dataclass
class Column:
    """One model: its figures by row, and the worst pictures it made."""

    name: str
    rows: dict[str, str] = field(default_factory=dict)
    worst: list[tuple[str, Picture, Picture]] = field(default_factory=list)


def psnr(one: Picture, other: Picture) -> float:
    error = float(np.mean((one.astype(np.float64) - other) ** 2))
    return 100.0 if error == 0 else 10 * math.log10(255**2 / error)


# --- drawings ------------------------------------------------------------------------------------------------------

FINE = 4
SIDE = 192


def scene(seed: int) -> Picture:
    """A smooth dark ground, as foliage out of focus."""
    rng = np.random.default_rng(seed)
    ground = np.asarray(
        Image.fromarray(rng.integers(30, 130, (6, 6, 3), np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    )
    return np.clip(ground + rng.normal(0, 1.5, ground.shape), 0, 255).astype(np.uint8)


def lines(period: float, thick: float, tilt: float, bow: float = 0.0) -> Image.Image:
    """A mask of parallel lines, tilted, bowed (wires), four times too large."""
    mask = Image.new("L", (SIDE * FINE, SIDE * FINE))
    draw = ImageDraw.Draw(mask)
    theta, middle, reach = math.radians(tilt), SIDE / 2, SIDE
    for number in range(-math.ceil(reach / period), math.ceil(reach / period) + 1):
        points = []
        for step in np.linspace(-1, 1, 33):
            across, along = number * period + bow * step * step, step * reach
            x = middle + across * math.cos(theta) - along * math.sin(theta)
            y = middle + across * math.sin(theta) + along * math.cos(theta)
            points.append((x * FINE, y * FINE))
        draw.line(points, fill=255, width=round(thick * FINE), joint="curve")
    return mask


def panes(mask: Image.Image, pane: int, gap: int) -> Image.Image:
    """The mask inside panes in rows and columns only."""
    kept = Image.new("L", mask.size)
    draw = ImageDraw.Draw(kept)
    for top in range(gap, SIDE, pane + gap):
        for left in range(gap, SIDE, pane + gap):
            draw.rectangle([left * FINE, top * FINE, (left + pane) * FINE, (top + pane) * FINE], fill=255)
    return Image.composite(mask, Image.new("L", mask.size), kept)


def lettering(tilt: float) -> Image.Image:
    mask = Image.new("L", (SIDE * FINE, SIDE * FINE))
    draw, font = ImageDraw.Draw(mask), ImageFont.load_default(12 * FINE)
    for row, text in enumerate(
        ("ILLINOIS 1911 ||||", "till the hill is full", "Lilli | Willi | 11:17", "WIFI FILTER 111")
    ):
        for place in (0, 1, 2):
            draw.text((8 * FINE, (6 + 62 * place + 15 * row) * FINE), text, 255, font)
    return mask.rotate(-tilt, Image.Resampling.BICUBIC)


DRAWINGS: dict[str, Callable[[float], Image.Image]] = {
    "railing": lambda tilt: lines(9.0, 2.2, tilt),
    "blinds": lambda tilt: lines(6.0, 3.0, tilt),
    "window bars": lambda tilt: panes(lines(5.5, 1.6, tilt), 40, 8),
    "wires": lambda tilt: lines(21.0, 1.4, tilt, bow=7.0),
    "text": lettering,
}


def drawings() -> Iterator[tuple[str, Picture, NDArray[np.float64]]]:
    """Name, picture and mask of every drawing: soft and hard, upright and slanted, light and dark."""
    for kind, make in DRAWINGS.items():
        for tilt in TILTS if kind != "text" else (0, 12, 25):
            fine = make(tilt)
            for edges, blur in (("hard", 0.0), ("soft", 0.8)):
                mask = fine.resize((SIDE, SIDE), Image.Resampling.BOX)
                mask = mask.filter(ImageFilter.GaussianBlur(blur)) if blur else mask
                share = np.asarray(mask, np.float64) / 255
                for shade, level in (("light", 185.0), ("dark", 20.0)):
                    ground = scene(len(kind) + tilt).astype(np.float64)
                    picture = ground + share[..., None] * (level - ground)
                    yield f"{kind}, {edges}, {tilt} deg, {shade}", np.rint(picture).astype(np.uint8), share


def contrast_kept(before: Picture, after: Picture, mask: NDArray[np.float64]) -> float:
    """How much of the drawing is left, 1 is all: its size in the output over that in the input, by least squares."""
    weights = mask - mask.mean()
    return float((after.mean(2) * weights).sum() / (before.mean(2) * weights).sum())


# --- rows ----------------------------------------------------------------------------------------------------------


def pairs(column: Column, restore: Restorer, data: Path) -> None:
    evaluation = evaluate(restore, find_pairs(data / "rain100" / "val").groups)
    for group, scores in sorted(evaluation.after.items(), reverse=True):
        for protocol, score in scores.items():
            column.rows[f"pairs, {group}, `{protocol}`"] = f"{score.psnr:.2f} dB / {score.ssim:.4f}"


def clean(column: Column, restore: Restorer, data: Path) -> None:
    held = sorted(list_photos(data / "clean"))[::15]
    halves = [p for kind in ("light", "heavy") for p in list_photos(data / "rain100" / "val" / kind / "norain")]
    found = []
    for photo in [*held, *halves]:
        before = read_rgb(photo)
        after = restore(before)
        found.append((psnr(before, after), photo.name, before, after))
    found.sort(key=lambda row: row[0])
    column.rows[f"clean photographs ({len(found)}), mean"] = f"{np.mean([row[0] for row in found]):.2f} dB"
    column.rows["clean photographs, worst three"] = ", ".join(f"{row[0]:.1f}" for row in found[:3]) + " dB"
    column.worst += [(f"clean {row[1]}", row[2], row[3]) for row in found[:4]]


def drawn(column: Column, restore: Restorer) -> None:
    found: dict[str, list[tuple[float, float, str, Picture, Picture]]] = {}
    for name, before, mask in drawings():
        after = restore(before)
        row = (psnr(before, after), contrast_kept(before, after, mask), name, before, after)
        found.setdefault(name.partition(",")[0], []).append(row)
    for kind, rows in found.items():
        rows.sort(key=lambda row: row[0])
        least = min(row[1] for row in rows)
        mean = np.mean([row[0] for row in rows])
        column.rows[f"drawn {kind} ({len(rows)}), mean, worst, least contrast kept"] = (
            f"{mean:.1f}, {rows[0][0]:.1f} dB, {least:.0%}"
        )
        column.worst += [(row[2], row[3], row[4]) for row in rows[:2]]


def colours(column: Column, restore: Restorer) -> None:
    steps = (0, 64, 128, 192, 255)
    worst, where, means = 0, (0, 0, 0), 0.0
    for colour in [(r, g, b) for r in steps for g in steps for b in steps]:
        before = np.full((64, 64, 3), colour, np.uint8)
        change = np.abs(restore(before).astype(int) - before)
        means = max(means, float(change.mean((0, 1)).max()))
        if change.max() > worst:
            worst, where = int(change.max()), colour
    column.rows["flat colours (125), largest mean and single change"] = f"{means:.1f}, {worst} {where} levels"


def borders(column: Column, restore: Restorer, data: Path) -> None:
    photo = sorted(list_photos(data / "clean"))[0]
    for name, level in (("white", 255), ("black", 0)):
        picture = np.full((320, 400, 3), level, np.uint8)
        picture[40:280, 40:360] = read_rgb(photo)[:240, :320]
        change = np.abs(restore(picture).astype(int) - picture).max(2)
        far = np.ones_like(change, bool)
        far[32:288, 32:368] = False
        outer = np.ones_like(change, bool)
        outer[40:280, 40:360] = False
        column.rows[f"{name} border, largest change, at 8 px and more from the photo"] = (
            f"{change[outer].max()}, {change[far].max()} levels"
        )


def hidden(column: Column, model: str, data: Path) -> None:
    """Through the program: the network never sees transparency."""
    photo = read_rgb(sorted(list_photos(data / "clean"))[0])[:200, :200]
    alpha = np.full((200, 200), 255, np.uint8)
    alpha[40:160, 60:140] = 0
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for name, level in (("black", 0), ("white", 255)):
            rgba = np.dstack([np.where(alpha[..., None] > 0, photo, np.uint8(level)), alpha])
            Image.fromarray(rgba).save(Path(folder) / f"{name}.png")
            out = Path(folder) / f"{name}_out.png"
            with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(SystemExit):
                derain([str(Path(folder) / f"{name}.png"), "-o", str(out), "--model", model, "-q"])
            results.append(np.asarray(Image.open(out).convert("RGBA"), int))
    change = np.abs(results[0] - results[1])[..., :3][alpha > 0]
    column.rows["opaque pixels by what is hidden under alpha, largest change"] = f"{change.max()} levels"


def real(column: Column, restore: Restorer, data: Path) -> None:
    rows = []
    for photo in sorted(list_photos(data / "real_rain"))[::10]:
        before = read_rgb(photo)
        after = restore(before)
        both = (torch.from_numpy(p.copy()).permute(2, 0, 1)[None] for p in (before, after))
        rows.append(figures(*both))
        column.worst.append((f"real {photo.name}", before, after))
    mean = Figures.mean(rows)
    column.rows[f"real rain ({len(rows)}), streak energy removed, other energy kept"] = (
        f"{mean.streak_energy_removed:.1%}, {mean.other_energy_kept:.1%}"
    )
    column.rows["real rain, colour shift"] = f"{mean.colour_shift:.2f} levels"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", default="fast", help="names or files, by commas")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--skip", default="", help="parts left out, by commas: pairs, clean, drawn, colours, real")
    parser.add_argument("--worst", type=Path, help="a folder for pictures")
    asked = parser.parse_args()
    skip = set(asked.skip.split(","))
    columns = []
    for model in asked.models.split(","):
        restore = Restorer.from_pretrained(model, precision=asked.precision)
        column = Column(Path(model).parent.name + "/" + Path(model).name if "/" in model else model)
        if "pairs" not in skip:
            pairs(column, restore, asked.data)
        if "clean" not in skip:
            clean(column, restore, asked.data)
        if "drawn" not in skip:
            drawn(column, restore)
        if "colours" not in skip:
            colours(column, restore)
            borders(column, restore, asked.data)
            hidden(column, model, asked.data)
        if "real" not in skip:
            real(column, restore, asked.data)
        columns.append(column)
        if asked.worst:
            for name, before, after in column.worst:
                stem = "".join(c if c.isalnum() else "_" for c in f"{name}_{column.name}")
                asked.worst.mkdir(parents=True, exist_ok=True)
                write_rgb(asked.worst / f"{stem}.png", np.concatenate([before, after], axis=1), overwrite=True)
    print("| | " + " | ".join(f"`{c.name}`" for c in columns) + " |")
    print("|---|" + "---|" * len(columns))
    for row in columns[0].rows:
        print(f"| {row} | " + " | ".join(c.rows.get(row, "") for c in columns) + " |")


if __name__ == "__main__":
    main()
