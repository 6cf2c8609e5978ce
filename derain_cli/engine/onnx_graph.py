"""The folded network as an ONNX graph with dynamic batch, height and width; made by hand, in a tenth of a second."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.engine.onnx_file import Attribute, Graph, Node, Value, model_bytes
from derain_cli.model.architecture import COLOURS
from derain_cli.model.folding import Folded, Gate
from derain_cli.model.portable import describe, describe_gates, layer_names

__all__ = ["PICTURES", "GraphKind", "onnx_graph"]

Floats = NDArray[np.float32]

PICTURES = "rainy"
"""Name of the input that takes pictures, (N, 3*F, H, W) float32 in [0, 1]."""

_OPSET = 17
"""Old enough for runtimes of the last years; what the network needs has not changed since."""


class GraphKind(enum.Enum):
    """What a graph computes.

    WHOLE: layers of pictures, gates pooled from each.
    TILE: layers of parts of one picture, with its gates as further inputs `gate_0`, `gate_1`, ..., each (1, M, 1, 1).
    GATES: those gates, of equal-sized crops of one picture.
    """

    WHOLE = enum.auto()
    TILE = enum.auto()
    GATES = enum.auto()


def onnx_graph(net: Folded, kind: GraphKind = GraphKind.WHOLE, about: str = "") -> bytes:
    """A serialised ONNX model of `net`, fp32.

    Args:
        net: the network.
        kind: what it computes.
        about: goes into the file as its description.
    """
    ops = _OnnxOperations()
    gate_names = [f"gate_{index}" for index in range(net.rrn.depth if net.config.se else 0)]
    if kind is GraphKind.GATES:
        found, names = describe_gates(ops, net, PICTURES), tuple(gate_names)
    else:
        given = gate_names if kind is GraphKind.TILE and gate_names else None
        found, names = describe(ops, net, PICTURES, given), layer_names(net)
    for result, name in zip(found, names, strict=True):
        ops.rename(result, name)

    gates = [Value(name, (1, net.config.width, 1, 1)) for name in gate_names]
    inputs = [Value(PICTURES, ("n", COLOURS * net.config.frames, "height", "width"))]
    outputs = gates if kind is GraphKind.GATES else [Value(name, ("n", COLOURS, "height", "width")) for name in names]
    if kind is GraphKind.TILE:
        inputs += gates
    return model_bytes(Graph(ops.nodes, inputs, outputs, ops.constants, about), _OPSET)


class _OnnxOperations:
    """Collects nodes and constants; maps go by the names of their values."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray[Any]] = {}
        self._numbers = itertools.count()
        self._known: dict[tuple[str, int], str] = {}

    def rename(self, old: str, new: str) -> None:
        """Give a value the name that it has outside."""
        for node in self.nodes:
            for names in (node.inputs, node.outputs):
                names[:] = [new if name == old else name for name in names]

    def convolution(self, x: str, kernel: Floats, bias: Floats | None, dilation: int) -> str:
        weights = [self._tensor("kernel", kernel)] + ([] if bias is None else [self._tensor("bias", bias)])
        around = {"pads": [dilation] * 4, "dilations": [dilation] * 2, "kernel_shape": [3, 3]}
        return self._node("Conv", [x, *weights], **around)

    def prelu(self, x: str, slope: Floats) -> str:
        return self._node("PRelu", [x, self._tensor("slope", slope.reshape(-1, 1, 1))])

    def add(self, one: str, other: str) -> str:
        return self._node("Add", [one, other])

    def subtract(self, one: str, other: str) -> str:
        return self._node("Sub", [one, other])

    def multiply(self, one: str, other: str) -> str:
        return self._node("Mul", [one, other])

    def pooled(self, x: str, together: bool) -> str:
        mean = self._node("GlobalAveragePool", [x])
        return self._node("ReduceMean", [mean], axes=[0], keepdims=1) if together else mean

    def excited(self, pooled: str, gate: Gate) -> str:
        for linear, activation in ((gate.squeeze, "Relu"), (gate.excite, "Sigmoid")):
            kernel = self._tensor("linear", linear[:, :, None, None])
            pooled = self._node(activation, [self._node("Conv", [pooled, kernel], kernel_shape=[1, 1])])
        return pooled

    def to_blocks(self, picture: str, unshuffle: int) -> str:
        if unshuffle == 1:
            return picture
        size = self._node("Shape", [picture], start=2)
        missing = self._node("Mod", [self._node("Neg", [size]), self._whole(unshuffle)])
        pads = self._node("Concat", [self._whole(0, 0, 0, 0, 0, 0), missing], axis=0)
        padded = self._node("Pad", [picture, pads], mode="edge")
        return self._node("SpaceToDepth", [padded], blocksize=unshuffle)

    def for_blocks(self, kernel: Floats, unshuffle: int) -> Floats:
        # SpaceToDepth counts places within a block first, then colours; PyTorch the other way round.
        count, channels, *taps = kernel.shape
        places = kernel.reshape(count, channels // unshuffle**2, unshuffle**2, *taps)
        return places.swapaxes(1, 2).reshape(kernel.shape)

    def from_blocks(self, features: str, unshuffle: int, like: str) -> str:
        if unshuffle == 1:
            return features
        shuffled = self._node("DepthToSpace", [features], blocksize=unshuffle, mode="CRD")
        size = self._node("Shape", [like], start=2)
        return self._node("Slice", [shuffled, self._whole(0, 0), size, self._whole(2, 3)])

    def middle(self, frames: str, count: int) -> str:
        if count == 1:
            return frames
        first = count // 2 * COLOURS
        return self._node("Slice", [frames, self._whole(first), self._whole(first + COLOURS), self._whole(1)])

    def _node(self, kind: str, inputs: Sequence[str], **attributes: Attribute) -> str:
        name = f"{kind}_{next(self._numbers)}"
        self.nodes.append(Node(kind, list(inputs), [name], attributes))
        return name

    def _tensor(self, what: str, array: Floats) -> str:
        return self._constant(what, np.ascontiguousarray(array))

    def _whole(self, *numbers: int) -> str:
        return self._constant("numbers", np.array(numbers, np.int64))

    def _constant(self, what: str, values: NDArray[Any]) -> str:
        key = (what, hash((values.shape, values.tobytes())))
        if key not in self._known:
            self._known[key] = f"{what}_{next(self._numbers)}"
            self.constants[self._known[key]] = values
        return self._known[key]
