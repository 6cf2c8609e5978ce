"""ONNX files through ONNX Runtime, on the CPU."""

from __future__ import annotations

import functools
import importlib
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from derain_cli.engine.foreign import COUNT_SIDE, checked, failures, pad_to_multiple
from derain_cli.engine.runtimes import OnnxRuntime, onnx_session
from derain_cli.errors import InputError, WeightsError
from derain_cli.model.architecture import COLOURS
from derain_cli.model.fold import Gates
from derain_cli.model.semi_drdnet import Layers, middle_frame
from derain_cli.system.files import sha256_of

__all__ = ["OnnxEngine"]


class OnnxEngine:
    """A network from an ONNX file with one float input (N, 3*F, H, W) and one output, the derained middle frame.

    The file reveals neither the receptive field of the network nor its memory use, so pictures are processed whole
    unless `halo` is given. The rain layer is the difference to the input; there is no repaired detail.

    Args:
        path: the file.
        pad_multiple: sides are padded to multiples of this (reflected at the right and the bottom), then cropped.
        halo: pixels around a tile that influence it; None if unknown.

    Attributes:
        path: as given.
        version: version of ONNX Runtime.

    Raises:
        UsageError: ONNX Runtime is not installed.
        WeightsError: the file is missing, damaged, or takes something other than pictures.
    """

    name, device, dtype = "onnx", torch.device("cpu"), torch.float32
    gated, batches, same_together = False, None, True

    def __init__(self, path: Path, pad_multiple: int = 1, halo: int | None = None):
        self.path, self.grid, self.halo = path, pad_multiple, halo
        self.notes: list[str] = []
        if not path.is_file():
            raise WeightsError("no such file", path=path)
        self.version = OnnxRuntime().version
        try:
            self._session = onnx_session(path)
            inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        except Exception as error:  # onnxruntime has dozens of exception classes
            first = (str(error).strip().splitlines() or [""])[0]
            raise WeightsError(f"not a usable ONNX file: {first}", path=path) from error
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type != "tensor(float)":
            wanted = ", ".join(f"{i.name}: {i.type} {i.shape}" for i in inputs)
            raise WeightsError(f"needs one float input (N, 3, H, W), not {wanted}", path=path)
        self._input, self._output = inputs[0].name, outputs[0].name
        channels, *self._takes = inputs[0].shape[1:]  # a number, or a name if dynamic
        self.frames = channels // COLOURS if isinstance(channels, int) and channels % (2 * COLOURS) == COLOURS else 1

    def run(self, batch: Tensor, gates: Gates | None = None) -> Layers:
        """Layers of a batch, computed picture by picture: some files accept only one at a time.

        Raises:
            InputError: the network cannot process this size, or returns something other than a finite picture.
            ResourceError: out of memory.
        """
        height, width = batch.shape[-2:]
        sides = [math.ceil(side / self.grid) * self.grid for side in (height, width)]
        if any(isinstance(want, int) and want != side for want, side in zip(self._takes, sides, strict=True)):
            size = "x".join(str(side) for side in reversed(self._takes))
            raise InputError(f"the network accepts {size} only", hint="export it with dynamic height and width")
        found = []
        for rainy in pad_to_multiple(batch, self.grid).unbind():
            with failures():
                (restored,) = self._session.run([self._output], {self._input: rainy[None].contiguous().numpy()})
                restored = torch.tensor(restored)
            found.append(checked(restored, height, width))
        derained = torch.cat(found)
        return Layers(derained, middle_frame(batch) - derained, torch.zeros_like(derained))

    def measure_gates(self, batch: Tensor) -> None:
        """None: gates, if any, are computed inside the file."""

    def pixels_at_once(self, held: int = 0) -> int:
        """No known limit."""
        return 2**31 - 1

    def fingerprint(self) -> str:
        """SHA-256 of the file, padding, and the version of ONNX Runtime."""
        return f"{self.sha256} {self.grid} onnxruntime {self.version}"

    def empty_cache(self) -> None:
        """ONNX Runtime manages its own memory."""

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of the file."""
        return sha256_of(self.path)

    @property
    def parameters(self) -> int | None:
        """Number of weights; None without the onnx package."""
        return None if self._graph is None else sum(math.prod(tensor.dims) for tensor in self._graph.initializer)

    @property
    def macs_per_pixel(self) -> float | None:
        """Multiply-accumulates of convolutions and matrix products; None if a shape cannot be inferred."""
        return None if self._graph is None else _macs_per_pixel(self._graph)

    @functools.cached_property
    def _graph(self) -> Any:
        """The graph with inferred shapes for a small picture; None without the onnx package.

        ONNX Runtime does not expose the graph.
        """
        side = math.ceil(COUNT_SIDE / self.grid) * self.grid
        try:
            onnx = importlib.import_module("onnx")
            model = onnx.load(str(self.path))
            shape = (1, COLOURS * self.frames, side, side)
            for place, length in zip(model.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
                if not place.dim_value:
                    place.dim_value = length
            return onnx.shape_inference.infer_shapes(model, data_prop=True).graph
        except Exception:  # the counts are optional
            return None


def _macs_per_pixel(graph: Any) -> float | None:
    """Multiply-accumulates per pixel of convolutions and matrix products; None if a shape is unknown."""
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = [place.dim_value for place in value.type.tensor_type.shape.dim]
    total = 0
    for node in graph.node:
        if node.op_type not in {"Conv", "ConvTranspose", "MatMul", "Gemm"}:
            continue
        first, second, out = (shapes.get(name) for name in (*node.input[:2], node.output[0]))
        if not (first and second and out and all((*first, *second, *out))):
            return None
        if node.op_type == "ConvTranspose":  # per input value one kernel of (in, out / groups, h, w)
            total += math.prod(first) * math.prod(second[1:])
        elif node.op_type == "Conv":  # per output value one kernel of (out, in / groups, h, w)
            total += math.prod(out) * math.prod(second[1:])
        else:
            across = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            total += math.prod(out) * first[-2 if across else -1]
    _, _, height, width = shapes[graph.input[0].name]
    return total / (height * width) if total else None
