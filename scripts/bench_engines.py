"""Engines side by side in one run: PyTorch, OpenVINO and ONNX Runtime take turns on the same pictures, on the CPU.

    python scripts/bench_engines.py [--networks fast,clip] [--sizes 640x480,1920x1080] [--rounds 5] [--precision auto]
    python scripts/bench_engines.py --int8      how near an 8-bit network comes to fp32, instead

`fast` is the trained network of the package; `clip` has the shape of the recipe and random weights, which take as long
as trained ones. Seconds are those of `Restorer`, uint8 array to uint8 array.
"""

from __future__ import annotations

import os

os.environ.setdefault("GOMP_SPINCOUNT", "1000")

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from derain_cli.checkpoints.find import find_weights
from derain_cli.checkpoints.weight_file import load_weights, network
from derain_cli.config import ModelConfig, RestoreOptions, from_mapping, load_recipe
from derain_cli.engine.onnx_graph import PICTURES, onnx_graph
from derain_cli.engine.restorer import Restorer
from derain_cli.engine.runtimes import OnnxRuntime, OpenVino, is_installed
from derain_cli.model import SemiDRDNet, build
from derain_cli.model.fold import fold
from derain_cli.rain import add_rain
from derain_cli.system.provenance import machine

Picture = NDArray[np.uint8]
ENGINES = ("torch", "openvino", "onnx")


def networks(name: str) -> SemiDRDNet:
    if name != "clip":
        return network(load_weights(find_weights(name)))
    torch.manual_seed(0)
    return build(from_mapping(ModelConfig, load_recipe("clip")["model"])).eval()


def photo(height: int, width: int, seed: int = 0) -> Picture:
    """Part of a photograph of scikit-image in generated rain, mirrored on as far as the size asks for."""
    from skimage import data

    seen = (data.astronaut(), data.coffee(), data.chelsea(), data.rocket())[seed % 4]
    rows, columns = max(0, height - seen.shape[0]), max(0, width - seen.shape[1])
    clean = np.pad(seen, ((0, rows), (0, columns), (0, 0)), mode="symmetric")[:height, :width]
    sample = add_rain(clean.astype(np.float32) / np.float32(255), "light", np.random.default_rng(seed))
    rainy: Picture = np.rint(sample.rainy * 255).astype(np.uint8)
    return rainy


@dataclass
class Turns:
    """What one engine took for each picture.

    Attributes:
        start: seconds for loading the engine, and for what the first pass took longer than later ones.
    """

    restorer: Restorer
    start: float
    result: Picture
    seconds: list[float] = field(default_factory=list)
    processor: list[float] = field(default_factory=list)

    def take(self, picture: Picture) -> None:
        begin, begin_processor = time.perf_counter(), time.process_time()
        self.result = self.restorer(picture)
        self.seconds.append(time.perf_counter() - begin)
        self.processor.append(time.process_time() - begin_processor)


def started(model: SemiDRDNet, engine: str, precision: str, picture: Picture) -> Turns:
    begin = time.perf_counter()
    options = RestoreOptions(device="cpu", precision=precision, engine=engine)  # type: ignore[arg-type]
    restorer = Restorer(model, options)
    result = restorer(picture)
    return Turns(restorer, time.perf_counter() - begin, result)


def compare(name: str, size: str, asked: argparse.Namespace) -> None:
    width, height = map(int, size.split("x"))
    model = networks(name)
    frames = model.config.frames
    picture = np.concatenate([photo(height, width, seed) for seed in range(frames)], axis=2)
    turns = {engine: started(model, engine, asked.precision, picture) for engine in asked.engines}
    for _ in range(asked.rounds):
        for one in turns.values():
            one.take(picture)
    ours = turns.get("torch")
    for engine, one in turns.items():
        middle = statistics.median(one.seconds)
        ratios = [a / b for a, b in zip(one.seconds, ours.seconds, strict=True)] if ours else [float("nan")]
        off = np.abs(one.result.astype(int) - ours.result).max() if ours else -1
        processor = statistics.median(one.processor) / statistics.median(ours.processor) if ours else float("nan")
        print(
            f"| `{name}` | {size} | {engine}, {one.restorer.precision} "
            f"| {middle:.3f} ({min(one.seconds):.3f}) | {1 / middle:.2f} ({1 / min(one.seconds):.2f}) "
            f"| {statistics.median(ratios):.2f} "
            f"| {statistics.median(one.processor):.3f} | {processor:.2f} | {off} | {one.start - middle:.2f} |",
            flush=True,
        )


def int8(name: str) -> None:
    """PSNR of an int8 network to the one in fp32; ONNX Runtime quantizes it, calibrated on photos in rain."""
    from onnxruntime import quantization

    model = networks(name)
    frames = model.config.frames

    def batch(seed: int) -> NDArray[np.float32]:
        seen = [photo(256, 320, seed + number) for number in range(frames)]
        return np.concatenate(seen, axis=2).transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)

    class Calibration(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.left = iter(range(8))

        def get_next(self) -> dict[str, NDArray[np.float32]] | None:
            seed = next(self.left, None)
            return None if seed is None else {PICTURES: batch(seed)}

    graph = onnx_graph(fold(model).folded)
    exact = OnnxRuntime().compile(graph)
    with tempfile.TemporaryDirectory() as folder:
        plain, small = Path(folder) / "plain.onnx", Path(folder) / "small.onnx"
        plain.write_bytes(graph)
        for method in (quantization.CalibrationMethod.MinMax, quantization.CalibrationMethod.Percentile):
            quantization.quantize_static(
                plain,
                small,
                Calibration(),
                quant_format=quantization.QuantFormat.QDQ,
                op_types_to_quantize=["Conv"],
                per_channel=True,
                weight_type=quantization.QuantType.QInt8,
                activation_type=quantization.QuantType.QUInt8,
                calibrate_method=method,
            )
            runs = {"onnx": OnnxRuntime().compile(small.read_bytes())}
            if is_installed("openvino"):
                runs["openvino"] = OpenVino().compile(small.read_bytes())
            for engine, run in runs.items():
                found = []
                for seed in range(100, 104):
                    inputs = {PICTURES: batch(seed)}
                    right, rounded = (np.clip(each(inputs)[0], 0, 1) for each in (exact, run))
                    found.append(-10 * np.log10(float(np.mean((right.astype(np.float64) - rounded) ** 2))))
                print(
                    f"{name}, int8 ({method.name}) on {engine}: {min(found):.1f} to {max(found):.1f} dB to fp32",
                    flush=True,
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="fast,clip", type=lambda text: text.split(","))
    parser.add_argument("--sizes", default="640x480,1920x1080", type=lambda text: text.split(","))
    parser.add_argument("--engines", default=",".join(ENGINES), type=lambda text: text.split(","))
    parser.add_argument("--rounds", default=5, type=int)
    parser.add_argument("--precision", default="auto", choices=["auto", "fp32", "bf16"])
    parser.add_argument("--threads", default=torch.get_num_threads(), type=int)
    parser.add_argument("--int8", action="store_true")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    print(f"{machine()['processor']}, {asked.threads} threads, torch {torch.__version__}")
    if asked.int8:
        for name in asked.networks:
            int8(name)
        return
    columns = ("network", "picture", "engine", "seconds, median (least)", "frames/s, median (best)", "ratio to torch",
               "processor seconds, median", "ratio to torch", "largest difference, levels", "start, s")  # fmt: skip
    print(f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|")
    for name in asked.networks:
        for size in asked.sizes:
            compare(name, size, asked)


if __name__ == "__main__":
    main()
