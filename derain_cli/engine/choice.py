"""Which engine runs one of our networks: PyTorch, or for long work on a CPU OpenVINO."""

from __future__ import annotations

import itertools
import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch

from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.config.restore import EngineName
from derain_cli.engine.device import pick_device, pick_precision
from derain_cli.engine.graph_engine import GraphEngine
from derain_cli.engine.protocol import Engine
from derain_cli.engine.runtimes import OnnxRuntime, OpenVino, Runtime, is_installed
from derain_cli.engine.torch_engine import TorchEngine
from derain_cli.errors import UsageError
from derain_cli.model import FoldedSemiDRDNet, SemiDRDNet
from derain_cli.model.semi_drdnet import macs_per_pixel
from derain_cli.remedies import Remedy

__all__ = ["EARNED", "Work", "make_engine", "with_engine"]

EARNED = 250e9
"""Multiply-accumulates for each thread from which `auto` takes another engine than torch: on two cores, 2.4 megapixels
of `fast` or 47 frames of 640x480 of `clip`. Several times what makes up for loading it (docs/performance.md)."""

_X86 = {"x86_64", "amd64"}
"""Elsewhere nothing was measured, so `auto` stays with torch."""


@dataclass(frozen=True)
class Work:
    """What a job amounts to.

    Attributes:
        config: of the network.
        pixels: of each photo, or of all frames of each clip; looked at no further than needed.
        begun_with: name of the engine that made what is there of the job already.
    """

    config: ModelConfig
    pixels: Iterable[int]
    begun_with: str | None = None


def with_engine(options: RestoreOptions, work: Work) -> RestoreOptions:
    """`options` with the engine for a job: as asked for, or what `auto` comes to.

    `auto` is torch unless the job computes on a CPU and is long; then it is OpenVINO, if that is installed and computes
    in the precision that torch would. A job that goes on keeps its engine, or what is
    there of it could not be used.

    Args:
        options: as asked for.
        work: what is to be done.

    Raises:
        ResourceError: the device is not there.
    """
    if options.engine != "auto":
        return options
    on_cpu = pick_device(options.device).type == "cpu"
    # Looking for engines imports them, which a short job should not wait for.
    if not on_cpu or (work.begun_with is None and not _is_long(work)):
        return replace(options, engine="torch")
    able = _engines(options)
    for name in able:
        if name == work.begun_with:
            return replace(options, engine=name)
    return replace(options, engine=able[0] if work.begun_with is None or _is_long(work) else "torch")


def _is_long(work: Work) -> bool:
    enough = EARNED * torch.get_num_threads() / macs_per_pixel(work.config)
    return any(total >= enough for total in itertools.accumulate(work.pixels))


def _engines(options: RestoreOptions) -> tuple[EngineName, ...]:
    """What a job may run on or continue with on this CPU, the best for long work first."""
    dtype, able = pick_precision(options.precision, torch.device("cpu")), list[EngineName]()
    if platform.machine().lower() in _X86:
        if is_installed("openvino") and dtype in OpenVino.dtypes():
            able.append("openvino")
        able.append("torch")
        # Measured, ONNX Runtime takes as long as torch or longer: it is kept only by a job that has begun with it.
        if dtype == torch.float32 and is_installed("onnx"):
            able.append("onnx")
    return tuple(able) or ("torch",)


def make_engine(model: SemiDRDNet | FoldedSemiDRDNet, options: RestoreOptions) -> Engine:
    """The engine that `options` ask for; `auto`, where nothing is known of the amount of work, is torch.

    Raises:
        ResourceError: the device is not there.
        UsageError: the engine is not installed, or does not compute on this device or in this precision.
    """
    if options.engine in ("auto", "torch"):
        device = pick_device(options.device)
        return TorchEngine(model, device, pick_precision(options.precision, device))
    if options.device not in ("auto", "cpu"):
        reason = f"the engine {options.engine} computes on the CPU, not on {options.device}"
        raise UsageError(reason, remedy=Remedy.OTHER_ENGINE)
    return GraphEngine(model, _runtime(options))


def _runtime(options: RestoreOptions) -> Runtime:
    dtypes = OpenVino.dtypes() if options.engine == "openvino" else frozenset({torch.float32})
    best = torch.bfloat16 if torch.bfloat16 in dtypes else torch.float32
    dtype = best if options.precision == "auto" else pick_precision(options.precision, torch.device("cpu"))
    if dtype not in dtypes:
        reason = f"the engine {options.engine} does not compute in {options.precision} on this processor"
        raise UsageError(reason, remedy=Remedy.OTHER_PRECISION)
    return OpenVino(dtype) if options.engine == "openvino" else OnnxRuntime()
