"""Compares inference with what the machine can do, in one run: bare matrix products (fp32, and the precision of the
network), `fast` and `paper` through the `Restorer`, the plain eager unfolded network, and the agreement of their
results.

    python scripts/bench_inference.py [--parts rates,fast,paper,eager,agreement] [--megapixels 256x256,1,12]

Times are the minimum over the rounds; with one thread they are CPU time, which is less affected by other load. FLOP
counts cover the folded convolutions on the picture itself; halos and gates count as overhead. There are no trained
weights for `paper`: random ones are used, with batch normalisation statistics from a photo and layers as strong as
those of `fast`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from derain_cli.checkpoints.find import find_weights
from derain_cli.checkpoints.weight_file import load_weights, network
from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.engine.device import pick_device, pick_precision
from derain_cli.engine.restorer import Restorer
from derain_cli.model import SemiDRDNet, build
from derain_cli.model.architecture import macs_per_pixel
from derain_cli.rain import add_rain

PARTS = ("rates", "fast", "paper", "eager", "agreement")
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class Measured:
    """Minimum seconds over the rounds, and the ratio of CPU time to that (2 if two cores are used)."""

    seconds: float
    cores: float


def least(work: Callable[[], object], rounds: int, device: torch.device) -> Measured:
    """Time of `work`, run `rounds` + 1 times; with one thread (OMP_NUM_THREADS=1), its CPU time."""
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    best = Measured(float("inf"), 0.0)
    for number in range(rounds + 1):
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        begin, begin_cpu = clock(), time.process_time()
        work()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = clock() - begin
        if (number or not rounds) and seconds < best.seconds:
            best = Measured(seconds, (time.process_time() - begin_cpu) / seconds)
    return best


def matrix_rate(dtype: torch.dtype, device: torch.device, rounds: int) -> float:
    """FLOP/s of a large square matrix product."""
    side = 8192 if device.type == "cuda" else 2048
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    return 2 * side**3 / least(lambda: a @ b, max(rounds, 5), device).seconds


def photo(height: int = 384, width: int = 512) -> Picture:
    """A scikit-image photograph, extended by mirroring to the requested size."""
    from skimage import data

    seen: Picture = data.astronaut()
    rows, columns = max(0, height - seen.shape[0]), max(0, width - seen.shape[1])
    return np.pad(seen, ((0, rows), (0, columns), (0, 0)), mode="symmetric")[:height, :width]


def rained(clean: Picture, profile: str) -> Picture:
    sample = add_rain(clean.astype(np.float32) / np.float32(255), profile, np.random.default_rng(0))
    return np.rint(sample.rainy * 255).astype(np.uint8)


def as_tensor(picture: Picture, device: torch.device) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1)[None].to(device, torch.float32) / 255


@torch.no_grad()
def random_paper(like: SemiDRDNet, device: torch.device) -> SemiDRDNet:
    """The paper's network with random weights; its rain and detail layers are as strong as those of `like`."""
    torch.manual_seed(0)
    model = build(ModelConfig()).to(device)
    rainy = as_tensor(rained(photo(), "light")[:192, :192], device)
    for part in model.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # use the statistics of this picture
    model.train()(rainy)
    theirs, ours = like(rainy), model.eval()(rainy)
    for net, have, want in ((model.rrn, ours.rain, theirs.rain), (model.drn, ours.detail, theirs.detail)):
        if net is not None:
            for parameter in net.tail.parameters():
                parameter.mul_(float(want.std() / have.std()))
    return model


@torch.no_grad()
def agreement(name: str, model: SemiDRDNet, asked: argparse.Namespace, device: torch.device) -> None:
    """PSNR between the results of the plain network in fp32 and of the folded one."""
    for profile in ("light", "heavy"):
        rainy = as_tensor(rained(photo(), profile), device)
        plain = model(rainy).derained.clamp(0, 1)
        for precision in dict.fromkeys(("fp32", asked.precision)):
            restorer = Restorer(model, RestoreOptions(device=asked.device, precision=precision))
            computed = restorer.precision
            if precision != "fp32" and computed == "float32":
                continue
            error = float(((restorer.restore(rainy) - plain).double() ** 2).mean())
            change = float(((rainy - plain) ** 2).mean() ** 0.5) * 255
            decibels = -10 * np.log10(max(error, 1e-20))
            print(f"{name}, photo in {profile} rain (changed by {change:.1f} levels): "
                  f"folded {computed} agrees with plain fp32 to {decibels:.1f} dB", flush=True)  # fmt: skip


def sides(text: str) -> tuple[int, int]:
    """`256x256` (width x height), or a number of megapixels in the shape of a photo, 4:3."""
    if "x" in text:
        width, height = map(int, text.split("x"))
        return height, width
    pixels = float(text) * 1e6
    return round((pixels * 3 / 4) ** 0.5), round((pixels * 4 / 3) ** 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", default=",".join(PARTS), help="of rates, fast, paper, eager, agreement")
    parser.add_argument("--megapixels", default="256x256,1,12", help="picture sizes in megapixels or WxH")
    parser.add_argument("--eager", default="256x256", help="sizes for the plain network (84 s per megapixel)")
    parser.add_argument("--model", default="fast", help="weights to use as `fast`")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16", "fp16"])
    parser.add_argument("--tile", default="auto")
    parser.add_argument("--rounds", type=int, default=2, help="after a warm-up round; 0 measures only the first")
    asked = parser.parse_args()
    parts = asked.parts.split(",")
    if unknown := set(parts) - set(PARTS):
        parser.error(f"unknown parts: {', '.join(sorted(unknown))}")
    device = pick_device(asked.device)
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    what = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} threads"
    print(f"{device}, {what}, torch {torch.__version__}{load}")

    # Shares refer to a rate measured in the same run, whatever the parts; emulated formats would take minutes.
    dtypes = dict.fromkeys((torch.float32, pick_precision(asked.precision, device)))
    rates = {dtype: matrix_rate(dtype, device, asked.rounds) for dtype in dtypes}
    for dtype, rate in rates.items():
        print(f"matrix product {str(dtype).removeprefix('torch.')}: {rate / 1e9:.0f} GFLOP/s", flush=True)
    fast = network(load_weights(find_weights(asked.model))).to(device).eval()
    models = {"fast": fast}
    if {"paper", "eager", "agreement"} & set(parts):
        models["paper"] = random_paper(fast, device)

    plain: dict[tuple[int, int], float] = {}
    if "eager" in parts:
        flop = 2 * macs_per_pixel(ModelConfig())
        for text in asked.eager.split(","):
            height, width = sides(text)
            rainy = as_tensor(photo(height, width), device)
            with torch.no_grad():
                took = least(partial(models["paper"], rainy), min(asked.rounds, 1), device)
            plain[height, width] = took.seconds / (height * width)
            print(f"paper plain eager fp32, {width}x{height}: {took.seconds:.2f} s, {plain[height, width] * 1e6:.1f} "
                  f"s/MP, {flop / plain[height, width] / 1e9:.0f} GFLOP/s of the folded network's, "
                  f"{took.cores:.1f} cores", flush=True)  # fmt: skip
    tile = asked.tile if asked.tile == "auto" else int(asked.tile)
    for name in ("fast", "paper"):
        if name not in parts:
            continue
        options = RestoreOptions(device=asked.device, precision=asked.precision, tile=tile)
        restorer = Restorer(models[name], options)
        flop = 2 * macs_per_pixel(models[name].config)
        for text in asked.megapixels.split(","):
            height, width = sides(text)
            picture = photo(height, width)
            took = least(partial(restorer, picture), asked.rounds, device)
            per_pixel = took.seconds / (height * width)
            rate = flop / per_pixel
            ratios = ", ".join(f"{p / per_pixel:.1f} x paper plain at {w}x{h}" for (h, w), p in plain.items())
            dtype = restorer.engine.dtype
            print(f"{name} {restorer.precision}, {width}x{height}: {took.seconds:.3f} s, "
                  f"{per_pixel * 1e6:.2f} s/MP, {rate / 1e9:.0f} GFLOP/s, {rate / rates[dtype]:.0%} of the "
                  f"matrix rate, {took.cores:.1f} cores{', ' + ratios if ratios else ''}", flush=True)  # fmt: skip
    if "agreement" in parts:
        for name, model in models.items():
            agreement(name, model, asked, device)
    if "rates" in parts:  # again, since the machine may have slowed down
        for dtype in rates:
            again = matrix_rate(dtype, device, asked.rounds)
            print(f"matrix product {str(dtype).removeprefix('torch.')}, at the end: {again / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
