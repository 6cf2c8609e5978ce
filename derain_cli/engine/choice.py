"""Which engine runs one of our networks: PyTorch, or for long work on a CPU OpenVINO; without PyTorch ONNX Runtime."""

from __future__ import annotations

import importlib.util
import itertools
import platform
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.config.restore import EngineName
from derain_cli.engine.graph_engine import GraphEngine
from derain_cli.engine.processor import cpu_precision, thread_count
from derain_cli.engine.protocol import Engine
from derain_cli.engine.runtimes import OnnxRuntime, OpenVino, Runtime, is_installed
from derain_cli.errors import ResourceError, UsageError
from derain_cli.model.architecture import macs_per_pixel
from derain_cli.model.folding import Folded
from derain_cli.remedies import Remedy

if TYPE_CHECKING:
    from derain_cli.model import FoldedSemiDRDNet, SemiDRDNet

__all__ = ["EARNED", "Work", "has_torch", "make_engine", "make_graph_engine", "on_cpu", "with_engine"]

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


def has_torch() -> bool:
    """Whether PyTorch is installed; looks without importing it."""
    try:
        return importlib.util.find_spec("torch") is not None
    except (ImportError, ValueError):
        return False


def on_cpu(device: str) -> bool:
    """Whether this choice of device comes to the processor.

    Raises:
        ResourceError: the device is not there, or needs PyTorch, which is not installed.
    """
    if not has_torch():
        if device in ("auto", "cpu"):
            return True
        raise ResourceError(f"no device {device}: only the processor without PyTorch", remedy=Remedy.INSTALL_FULL)
    from derain_cli.engine.device import pick_device

    return pick_device(device).type == "cpu"


def with_engine(options: RestoreOptions, work: Work) -> RestoreOptions:
    """`options` with the engine for a job: as asked for, or what `auto` comes to.

    `auto` is torch unless the job computes on a CPU and is long; then it is OpenVINO, if that is installed and computes
    in the precision that torch would. A job that goes on keeps its engine, or what is there of it could not be used.
    Where torch is not installed, ONNX Runtime stands for it.

    Args:
        options: as asked for.
        work: what is to be done.

    Raises:
        ResourceError: the device is not there.
    """
    if options.engine != "auto":
        return options
    # Looking for engines imports them, which a short job should not wait for.
    if not on_cpu(options.device) or (work.begun_with is None and not _is_long(work)):
        return replace(options, engine=_usual())
    able = _engines(options)
    for name in able:
        if name == work.begun_with:
            return replace(options, engine=name)
    return replace(options, engine=able[0] if work.begun_with is None or _is_long(work) else _usual())


def _usual() -> EngineName:
    """The engine of short jobs."""
    return "torch" if has_torch() else "onnx"


def _is_long(work: Work) -> bool:
    enough = EARNED * thread_count() / macs_per_pixel(work.config)
    return any(total >= enough for total in itertools.accumulate(work.pixels))


def _engines(options: RestoreOptions) -> tuple[EngineName, ...]:
    """What a job may run on or continue with on this CPU, the best for long work first."""
    precision, able = cpu_precision(options.precision), list[EngineName]()
    measured = platform.machine().lower() in _X86
    if measured and is_installed("openvino") and precision in OpenVino.dtypes():
        able.append("openvino")
    if has_torch():
        able.append("torch")
    # Measured, ONNX Runtime takes as long as torch or longer: it is kept only by a job that has begun with it.
    if (measured or not able) and precision == "float32" and is_installed("onnx"):
        able.append("onnx")
    return tuple(able) or (_usual(),)


def make_engine(model: SemiDRDNet | FoldedSemiDRDNet, options: RestoreOptions) -> Engine:
    """The engine that `options` ask for; `auto`, where nothing is known of the amount of work, is torch.

    Raises:
        ResourceError: the device is not there.
        UsageError: the engine is not installed, or does not compute on this device or in this precision.
    """
    from derain_cli.engine.device import pick_device, pick_precision
    from derain_cli.engine.torch_engine import TorchEngine
    from derain_cli.model.fold import FoldedSemiDRDNet, fold

    if options.engine in ("auto", "torch"):
        device = pick_device(options.device)
        return TorchEngine(model, device, pick_precision(options.precision, device))
    return make_graph_engine((model if isinstance(model, FoldedSemiDRDNet) else fold(model)).folded, options)


def make_graph_engine(net: Folded, options: RestoreOptions) -> GraphEngine:
    """The engine without torch that `options` ask for; `auto` is ONNX Runtime.

    Raises:
        UsageError: it is not installed, or does not compute on this device or in this precision.
    """
    name = "onnx" if options.engine == "auto" else options.engine
    if name == "torch":
        raise UsageError("the engine torch needs PyTorch, which is not installed", remedy=Remedy.INSTALL_FULL)
    if options.device not in ("auto", "cpu"):
        reason = f"the engine {name} computes on the CPU, not on {options.device}"
        raise UsageError(reason, remedy=Remedy.OTHER_ENGINE)
    return GraphEngine(net, _runtime(name, options.precision))


def _runtime(name: str, precision: str) -> Runtime:
    dtypes = OpenVino.dtypes() if name == "openvino" else frozenset({"float32"})
    best = "bfloat16" if "bfloat16" in dtypes else "float32"
    dtype = best if precision == "auto" else cpu_precision(precision)
    if dtype not in dtypes:
        reason = f"the engine {name} does not compute in {precision} on this processor"
        raise UsageError(reason, remedy=Remedy.OTHER_PRECISION)
    return OpenVino(dtype) if name == "openvino" else OnnxRuntime()
