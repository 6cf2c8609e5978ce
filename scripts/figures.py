"""Draw the paper's figures for our networks.

    python scripts/figures.py [OUT] [--only features detail clouds losses]
        [--model fast] [--pairs DIR] [--vgg FILE] [--real DIR] [--clean DIR] [--losses FILE.csv]

    features   Fig. 5: feature maps of the rain residual network with the largest and smallest gates
    detail     Fig. 6: rainy picture, X without and Y with the detail repair network, ground truth, and Y - X
    clouds     Fig. 8: VGG features of derained real photos and of clean photos, the latter before and after the style
               transform (eq. 7), with distances; needs the VGG-16 (`--vgg`, or torchvision's)
    losses     Fig. 13: ablation of the losses, from the table written by `ablate.py --table losses`

Without your own data, the pictures are free photographs from scikit-image and scikit-learn with generated rain, as in
docs/. `--pairs` is a folder of rainy and clean pictures, `--real` photos of real rain, `--clean` clean ones. Without
`--losses` that figure is omitted.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import numpy as np
import torch
from matplotlib import pyplot
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from derain_cli.checkpoints.find import find_weights
from derain_cli.checkpoints.vgg import load_features
from derain_cli.checkpoints.weight_file import load_weights, network
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.pairs import list_photos, read_pair
from derain_cli.errors import DerainError, NothingToDoError, UsageError
from derain_cli.losses.features import VGGFeatures
from derain_cli.losses.style import POSITIVE_TRANSFORMS
from derain_cli.media.photo import read_rgb
from derain_cli.metrics import score
from derain_cli.model import SemiDRDNet
from derain_cli.model.blocks import RainResidualBlock
from derain_cli.rain import add_rain

Picture = NDArray[np.uint8]
INK, FAINT, BLUE, RED = "#222222", "#888888", "#3b6fb6", "#c8553d"
STYLE: Any = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
}


# --- pictures -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Scene:
    """A rainy picture and its ground truth, uint8 HxWx3."""

    rainy: Picture
    clean: Picture


def free_photos() -> dict[str, Picture]:
    """Freely usable photographs shipped with scikit-image and scikit-learn, by name.

    Astronaut (NASA), rocket (SpaceX): public domain. Coffee (Rachel Michetti), chelsea the cat (Stefan van der Walt):
    CC0. China (danielbuechele), flower (dany13): CC BY 2.0.
    """
    from skimage import data
    from sklearn.datasets import load_sample_image

    photos = {name: getattr(data, name)() for name in ("astronaut", "rocket", "coffee", "chelsea")}
    photos |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    return {name: np.ascontiguousarray(photo[..., :3], np.uint8) for name, photo in photos.items()}


def rained(photo: Picture, profile: str, seed: int) -> Scene:
    """A photograph with generated rain."""
    sample = add_rain(photo.astype(np.float32) / np.float32(255), profile, np.random.default_rng(seed))
    rainy, clean = (np.rint(each * 255).astype(np.uint8) for each in (sample.rainy, sample.clean))
    return Scene(rainy, clean)


def scenes(folder: Path | None, count: int) -> list[Scene]:
    """Rainy pictures with ground truth, evenly spread over a folder of pairs; without one, the free photographs."""
    if folder is None:
        photos, wanted = free_photos(), (("china", "light", 3), ("rocket", "heavy", 57), ("chelsea", "light", 5))
        return [rained(photos[name], profile, seed) for name, profile, seed in wanted[:count]]
    pairs = find_pairs(folder).pairs
    if not pairs:
        raise NothingToDoError("no pairs found", path=folder)
    chosen = [pairs[len(pairs) * i // count] for i in range(min(count, len(pairs)))]
    return [Scene(*read_pair(pair)) for pair in chosen]


def as_tensor(pictures: Sequence[Picture]) -> Tensor:
    """uint8 HxWx3 pictures of one size -> (N, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def as_picture(tensor: Tensor) -> Picture:
    """(3, H, W) in [0, 1], clamped -> uint8 HxWx3."""
    levels = (tensor.clamp(0, 1) * 255).round().to(torch.uint8)
    picture: Picture = levels.permute(1, 2, 0).numpy()
    return picture


def crops(photos: Sequence[Picture], side: int, count: int, seed: int = 0) -> list[Picture]:
    """`count` square crops at random positions, cycling through the photos; photos that are too small are skipped."""
    rng, found = np.random.default_rng(seed), []
    usable = [photo for photo in photos if min(photo.shape[:2]) >= side]
    if not usable:
        raise NothingToDoError(f"no photo is at least {side}x{side}")
    for number in range(count):
        photo = usable[number % len(usable)]
        top, left = (int(rng.integers(0, size - side + 1)) for size in photo.shape[:2])
        found.append(photo[top : top + side, left : left + side])
    return found


def psnr(one: Picture, truth: Picture) -> float:
    """PSNR in dB, protocol rgb."""
    (found,) = score(*(torch.from_numpy(np.ascontiguousarray(p.transpose(2, 0, 1)))[None] for p in (one, truth)))
    return found["rgb"].psnr


def show(axis: Any, picture: NDArray[Any], title: str, **how: Any) -> None:
    """Show a picture without axes, with its title above."""
    axis.imshow(picture, interpolation="nearest", **how)
    axis.set_title(title)
    axis.set_axis_off()


def save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=90, bbox_inches="tight", pad_inches=0.08)
    pyplot.close(figure)
    # Photographs make large PNGs, and these are in git: a palette takes a third of the space.
    with Image.open(path) as drawn:
        drawn.convert("RGB").quantize(256).save(path, optimize=True)
    print(path)


# --- Fig. 5 -------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def gated_maps(model: SemiDRDNet, rainy: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Gates (M,) and the feature maps (M, h, w) they scale, of every rain residual block, for (1, 3, H, W)."""
    found: list[tuple[Tensor, Tensor]] = []

    def note(block: Any, inputs: tuple[Tensor, ...], _: Tensor) -> None:
        branch = block.branch(inputs[0])
        found.append((block.se.gates(branch)[0, :, 0, 0], branch[0]))

    hooks = [m.register_forward_hook(note) for m in model.rrn.modules() if isinstance(m, RainResidualBlock)]
    try:
        model(rainy)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def draw_features(model: SemiDRDNet, scene: Scene, path: Path, block: int | None = None, most: int = 5) -> None:
    """Fig. 5: the `most` maps of a block with the largest gates above, with the smallest below.

    Args:
        model: a network with SE.
        scene: only its rainy picture is used.
        path: of the PNG.
        block: index of the rain residual block, from 0; None for the one whose gates differ most.
        most: maximum number of maps per row.

    Raises:
        UsageError: the network has no SE, or no such block.
    """
    maps = gated_maps(model, as_tensor([scene.rainy]))
    if not maps:
        raise UsageError("the network has no squeeze-and-excitation, so there are no gated maps to show")
    if block is not None and not 0 <= block < len(maps):
        raise UsageError(f"there is no block {block}: the network has {len(maps)}")
    spread = [float(gates.max() - gates.min()) for gates, _ in maps]
    number = spread.index(max(spread)) if block is None else block
    gates, features = maps[number]
    order = gates.argsort(descending=True).tolist()
    count = min(most, len(order) // 2)
    figure, axes = pyplot.subplots(2, count + 1, figsize=(2.6 * (count + 1), 5), squeeze=False)
    show(axes[0, 0], scene.rainy, "rainy picture")
    axes[1, 0].hist(gates.numpy(), bins=12, color=BLUE)
    axes[1, 0].set_title(f"gates, block {number + 1} of {len(maps)}")
    axes[1, 0].set_xlabel("gate")
    axes[1, 0].set_ylabel("maps")
    for row, (chosen, word) in enumerate(((order[:count], "top"), (order[-count:], "low"))):
        for column, channel in enumerate(chosen):
            strength = features[channel].abs()
            limit = max(float(strength.quantile(0.995)), 1e-9)
            title = f"{word}: map {channel}, gate {float(gates[channel]):.3f}"
            show(axes[row, column + 1], strength.numpy(), title, cmap="gray", vmin=0, vmax=limit)
    figure.suptitle("Feature maps with the largest (above) and smallest (below) gates; |value|, individually scaled")
    figure.tight_layout(h_pad=2)
    save(figure, path)


# --- Fig. 6 -------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def draw_detail(model: SemiDRDNet, chosen: Sequence[Scene], path: Path) -> None:
    """Fig. 6: the contribution of the detail repair network. Y - X is shown around mid-grey, amplified by the factor in
    its title: the power of two that brings its 99.9th percentile closest to full range."""
    figure, axes = pyplot.subplots(len(chosen), 5, figsize=(16, 2.75 * len(chosen)), squeeze=False)
    for row, scene in zip(axes, chosen, strict=True):
        layers = model(as_tensor([scene.rainy]))
        without, whole = as_picture((layers.derained - layers.detail)[0]), as_picture(layers.derained[0])
        strongest = float(np.quantile(layers.detail.abs().numpy(), 0.999))
        factor = 2 ** round(np.log2(0.5 / max(strongest, 0.5 / 1024)))
        show(row[0], scene.rainy, f"rainy, {psnr(scene.rainy, scene.clean):.2f} dB")
        show(row[1], without, f"X: RRN alone, {psnr(without, scene.clean):.2f} dB")
        show(row[2], whole, f"Y: RRN + DRN, {psnr(whole, scene.clean):.2f} dB")
        show(row[3], scene.clean, "truth")
        strength = 255 * float(layers.detail.abs().mean())
        title = f"Y - X, x{factor:g} (mean |Y - X| {strength:.2f} of 255)"
        show(row[4], as_picture(layers.detail[0] * factor + 0.5), title)
    figure.tight_layout()
    save(figure, path)


# --- Fig. 8 -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Clouds:
    """Features of n crops each, (n, F): derained real ones, clean ones, and clean ones in the style of the real."""

    real: NDArray[np.float64]
    clean: NDArray[np.float64]
    moved: NDArray[np.float64]


@torch.inference_mode()
def clouds(
    model: SemiDRDNet,
    features: VGGFeatures,
    rainy: Sequence[Picture],
    clean: Sequence[Picture],
    transform: str,
    layer: int = -1,
) -> Clouds:
    """Features as compared in eq. 8: every position and channel of a VGG layer, by default the deepest.

    Args:
        model: derains the real crops.
        features: the VGG-16.
        rainy: crops of real photos, all of the same size.
        clean: as many crops of clean photos, of the same size; the i-th takes the style of the i-th real one.
        transform: of eq. 7, a name in `POSITIVE_TRANSFORMS`.
        layer: index into `FEATURE_LAYERS`.
    """
    move = POSITIVE_TRANSFORMS[transform]
    rows: list[list[NDArray[np.float64]]] = [[], [], []]
    for one, other in zip(rainy, clean, strict=True):
        derained = model(as_tensor([one])).derained.clamp(0, 1)
        style, content = features(derained)[layer], features(as_tensor([other]))[layer]
        for row, found in zip(rows, (style, content, move(content, style)), strict=True):
            row.append(found.flatten().double().numpy())
    return Clouds(*(np.stack(row) for row in rows))


def energy_distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Energy distance 2 E|a - b| - E|a - a'| - E|b - b'| of two samples (n, F) (Szekely and Rizzo 2013), relative to
    2 E|a - b|: 0 for identical distributions, 1 for two distinct points."""

    def mean(a: NDArray[np.float64], b: NDArray[np.float64], pairs: float) -> float:
        squares = (a * a).sum(1)[:, None] + (b * b).sum(1)[None] - 2 * a @ b.T
        return float(np.sqrt(np.clip(squares, 0, None)).sum() / pairs)

    # Within a sample, points are not compared with themselves.
    n, m = len(one), len(other)
    across = 2 * mean(one, other, n * m)
    within = mean(one, one, n * (n - 1)) + mean(other, other, m * (m - 1))
    return (across - within) / max(across, 1e-12)


def draw_clouds(found: Clouds, transform: str, path: Path, seed: int = 0) -> tuple[float, float]:
    """Fig. 8; returns the energy distance to the real features, before and after the transform, in the full space."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    count = len(found.real)
    everything = np.concatenate([found.real, found.clean, found.moved])
    short = PCA(min(50, len(everything) - 1), random_state=seed).fit_transform(everything)
    perplexity = min(30.0, (len(everything) - 1) / 4)
    flat = TSNE(2, perplexity=perplexity, init="pca", random_state=seed).fit_transform(short)
    real, clean, moved = flat[:count], flat[count : 2 * count], flat[2 * count :]
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5), sharex=True, sharey=True)
    distances = []
    for axis, cloud, points, title in (
        (axes[0], found.clean, clean, "clean backgrounds, unchanged"),
        (axes[1], found.moved, moved, f"in the style of the real ones ({transform})"),
    ):
        distances.append(energy_distance(found.real, cloud))
        centres = float(np.linalg.norm(real.mean(0) - points.mean(0)))
        axis.scatter(*real.T, s=16, color=RED, alpha=0.75, linewidths=0, label="derained real photos")
        axis.scatter(*points.T, s=16, color=BLUE, alpha=0.75, linewidths=0, label="clean photos")
        # Eq. 8 compares a real crop with the clean one in its style, not with the whole cloud.
        partners = float(np.linalg.norm(found.real - cloud, axis=1).mean() / np.linalg.norm(found.real, axis=1).mean())
        axis.set_title(
            f"{title}\nenergy distance {distances[-1]:.3f}; partners {partners:.2f} of their length apart\n"
            f"centres here {centres:.1f}"
        )
        axis.set_xticks([])
        axis.set_yticks([])
    axes[0].legend(frameon=False, loc="best")
    figure.suptitle(f"t-SNE of VGG-16 features, {count} crops each")
    figure.tight_layout()
    save(figure, path)
    return distances[0], distances[1]


# --- Fig. 13 ------------------------------------------------------------------------------------------------------


def draw_losses(table: Path, path: Path) -> None:
    """Fig. 13: PSNR (rgb) of every row of a table by `ablate.py`, one panel per validation set, mean and deviation.

    Raises:
        UsageError: not such a table.
    """
    try:
        with table.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        groups = [n.removesuffix("/psnr_rgb mean") for n in rows[0] if n.endswith("/psnr_rgb mean")]
        bars = {
            group: [(float(r[f"{group}/psnr_rgb mean"]), float(r[f"{group}/psnr_rgb deviation"] or 0)) for r in rows]
            for group in groups
        }
        names, seeds = [row["row"] for row in rows], max(int(row["seeds"]) for row in rows)
    except (OSError, LookupError, ValueError) as error:
        raise UsageError("not a table of scripts/ablate.py", path=table) from error
    width = max(4.5, 0.9 * len(names) + 1)
    figure, axes = pyplot.subplots(1, max(1, len(groups)), figsize=(width * max(1, len(groups)), 4), squeeze=False)
    for axis, (group, values) in zip(axes[0], bars.items(), strict=True):
        means, deviations = zip(*values, strict=True)
        axis.errorbar(names, means, yerr=deviations, fmt="o", color=BLUE, ecolor=FAINT, capsize=4, markersize=7)
        low = min(m - d for m, d in values)
        high = max(m + d for m, d in values)
        room = max(high - low, 0.05)
        axis.set_ylim(low - 0.15 * room, high + 0.2 * room)
        for place, (mean, deviation) in enumerate(values):
            axis.annotate(f"{mean:.2f}", (place, mean + deviation), (0, 3), textcoords="offset points", ha="center")
        axis.set_xlim(-0.5, len(names) - 0.5)
        axis.grid(axis="y", color=FAINT, alpha=0.25)
        axis.set_title(f"{group}: PSNR rgb, dB; {seeds} seeds, mean and one deviation")
        axis.tick_params(axis="x", rotation=30)
        for label in axis.get_xticklabels():
            label.set_horizontalalignment("right")
    figure.tight_layout()
    save(figure, path)


# --- the command --------------------------------------------------------------------------------------------------


def _cloud_photos(real: Path | None, clean: Path | None) -> tuple[list[Picture], list[Picture]]:
    """Rainy photos, and clean ones of other scenes."""
    if (real is None) != (clean is None):
        raise UsageError("clouds needs both --real and --clean, or neither")
    if real is None or clean is None:
        free = free_photos()
        rainy = [
            rained(free[name], "real", seed).rainy for name, seed in (("china", 49), ("rocket", 3), ("chelsea", 8))
        ]
        return rainy, [free[name] for name in ("astronaut", "coffee", "flower")]
    found = []
    for folder in (real, clean):
        paths = list_photos(folder)
        if not paths:
            raise NothingToDoError("no photos found", path=folder)
        found.append([read_rgb(paths[len(paths) * i // 60]) for i in range(min(60, len(paths)))])
    return found[0], found[1]


def _parser() -> argparse.ArgumentParser:
    names = ["features", "detail", "clouds", "losses"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/figures"))
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--model", default="fast", metavar="NAME|FILE")
    parser.add_argument("--pairs", type=Path, metavar="DIR", help="rainy and clean pictures for features and detail")
    parser.add_argument("--pictures", type=int, default=3, help="rows of the figure `detail`")
    parser.add_argument("--block", type=int, help="rain residual block of the figure `features`, from 1")
    parser.add_argument("--vgg", type=Path, metavar="FILE")
    parser.add_argument("--real", type=Path, metavar="DIR")
    parser.add_argument("--clean", type=Path, metavar="DIR")
    parser.add_argument("--transform", choices=sorted(POSITIVE_TRANSFORMS), default="adaattn")
    parser.add_argument("--crops", type=int, default=120, help="crops of each kind in the figure `clouds`")
    parser.add_argument("--side", type=int, default=96, help="side of these crops, pixels")
    parser.add_argument("--losses", type=Path, metavar="FILE.csv", help="table of ablate.py")
    return parser


def _draw(asked: argparse.Namespace) -> None:
    model = network(load_weights(find_weights(asked.model)))
    asked.out.mkdir(parents=True, exist_ok=True)
    if "features" in asked.only:
        block = None if asked.block is None else asked.block - 1
        draw_features(model, scenes(asked.pairs, 1)[0], asked.out / "features.png", block)
    if "detail" in asked.only:
        draw_detail(model, scenes(asked.pairs, asked.pictures), asked.out / "detail.png")
    if "clouds" in asked.only:
        features, _ = load_features(asked.vgg, print)
        photos = _cloud_photos(asked.real, asked.clean)
        rainy, clean = (crops(each, asked.side, asked.crops, seed) for seed, each in enumerate(photos))
        found = clouds(model, features, rainy, clean, asked.transform)
        before, after = draw_clouds(found, asked.transform, asked.out / "clouds.png")
        print(f"energy distance to the real features: {before:.3f} before, {after:.3f} after the transform")
    if "losses" in asked.only and asked.losses is not None:
        draw_losses(asked.losses, asked.out / "losses.png")


def main(argv: Sequence[str] | None = None) -> int:
    """Draw the requested figures; exit codes as for `derain`."""
    asked = _parser().parse_args(argv)
    try:
        with matplotlib.rc_context(STYLE):
            _draw(asked)
    except DerainError as error:
        print(f"figures: error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
