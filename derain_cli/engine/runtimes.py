"""Programs that run ONNX graphs on a CPU: OpenVINO and ONNX Runtime. Both are extras."""

from __future__ import annotations

import functools
import importlib
import os
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from derain_cli.engine.processor import thread_count
from derain_cli.errors import UsageError

__all__ = ["Compiled", "OnnxRuntime", "OpenVino", "Runtime", "is_installed", "onnx_session"]

Floats = NDArray[np.float32]
Compiled = Callable[[Mapping[str, Floats]], list[Floats]]
"""Runs a graph: inputs by name, contiguous; outputs in the graph's order, arrays of their own."""

_TELEMETRY = "openvino_telemetry"


class Runtime(Protocol):
    """Runs graphs.

    Attributes:
        name: as the option `engine` has it.
        version: of the program.
        dtype: what it computes in, `float32` or `bfloat16`.
    """

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def dtype(self) -> str: ...

    def compile(self, graph: bytes, *, exact: bool = False) -> Compiled:
        """The graph ready to run, on `thread_count` threads; `exact`: in fp32, whatever `dtype` says."""
        ...


def is_installed(name: str) -> bool:
    """Whether graphs can be run by `openvino` or `onnx` (ONNX Runtime); looks by importing them."""
    try:
        _openvino() if name == "openvino" else _imported("onnxruntime")
    except Exception:  # a broken installation raises anything
        return False
    return True


def _imported(package: str) -> Any:
    if package == "onnxruntime":
        # Since 1.29 it sends what it ran to its makers, from when it is loaded on. This program sends nothing.
        os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise UsageError(f"{package} is needed, which is not installed", hint=f"pip install {package}") from error


def _openvino() -> Any:
    # It would load its telemetry package with it. This program sends nothing.
    blocked = _TELEMETRY not in sys.modules
    if blocked:
        sys.modules[_TELEMETRY] = None  # type: ignore[assignment]
    try:
        return _imported("openvino")
    finally:
        if blocked:
            del sys.modules[_TELEMETRY]


@functools.cache
def _core() -> Any:
    """OpenVINO's core, one for the whole process.

    Its CPU plugin replaces the signal stack of the thread that loads it (`sigaltstack`), for the processors' AMX state,
    and frees it with the core. Freed by another thread, or with signals after that, the next signal (Ctrl-C) would end
    the process with a segmentation fault. So a thread that ends at once loads it, and the core is never freed.

    Raises:
        UsageError: OpenVINO is not installed.
    """
    openvino = _openvino()
    with ThreadPoolExecutor(1) as loading:
        core = loading.submit(openvino.Core).result()
        loading.submit(core.get_property, "CPU", "OPTIMIZATION_CAPABILITIES").result()
    return core


class OpenVino:
    """OpenVINO on the CPU.

    Args:
        dtype: one of `dtypes`.

    Raises:
        UsageError: OpenVINO is not installed.
    """

    name = "openvino"

    def __init__(self, dtype: str = "float32"):
        openvino = _openvino()
        self.version: str = openvino.__version__
        self.dtype = dtype
        self._core = _core()

    @staticmethod
    def dtypes() -> frozenset[str]:
        """What this processor computes in by itself: float32, and bfloat16 where it has it.

        Raises:
            UsageError: OpenVINO is not installed.
        """
        able = _core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return frozenset({"float32"} | ({"bfloat16"} if "BF16" in able else set()))

    def save(self, graph: bytes, path: Path, about: str = "") -> None:
        """Write the graph, in fp32, in OpenVINO's own form: an .xml, and a .bin beside it."""
        model = self._core.read_model(graph)
        model.set_rt_info(about, ["about"])
        _openvino().save_model(model, str(path), compress_to_fp16=False)

    def compile(self, graph: bytes | Path, *, exact: bool = False) -> Compiled:
        """See `Runtime`; also of a file that `save` wrote."""
        precision = "f32" if exact or self.dtype == "float32" else "bf16"
        source = graph if isinstance(graph, bytes) else str(graph)
        settings = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": thread_count(),
            # Threads that are tied to cores wait where another program has the core.
            "ENABLE_CPU_PINNING": False,
        }
        request = self._core.compile_model(self._core.read_model(source), "CPU", settings).create_infer_request()

        def run(inputs: Mapping[str, Floats]) -> list[Floats]:
            # Outputs are copied: the request's own memory is overwritten by the next run.
            return list(request.infer(dict(inputs), share_inputs=True).values())

        return run


class OnnxRuntime:
    """ONNX Runtime on the CPU, in fp32.

    Raises:
        UsageError: it is not installed.
    """

    name, dtype = "onnx", "float32"

    def __init__(self) -> None:
        self.version: str = _imported("onnxruntime").__version__

    def compile(self, graph: bytes, *, exact: bool = False) -> Compiled:
        session = onnx_session(graph)

        def run(inputs: Mapping[str, Floats]) -> list[Floats]:
            return list(session.run(None, dict(inputs)))

        return run


def onnx_session(model: bytes | Path) -> Any:
    """An inference session of ONNX Runtime on the CPU, with `thread_count` threads.

    Raises:
        UsageError: ONNX Runtime is not installed.
        Exception: of ONNX Runtime's own kinds: it cannot read the model.
    """
    runtime = _imported("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = thread_count()
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    return runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
