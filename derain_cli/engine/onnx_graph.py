"""The folded network as an ONNX graph with dynamic batch, height and width; made by hand, in a tenth of a second."""

from __future__ import annotations

import enum
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from derain_cli.errors import UsageError
from derain_cli.model.blocks import SqueezeExcitation
from derain_cli.model.fold import FoldedSemiDRDNet
from derain_cli.model.portable import describe, describe_gates, layer_names
from derain_cli.model.semi_drdnet import COLOURS

__all__ = ["PICTURES", "GraphKind", "onnx_graph"]

PICTURES = "rainy"
"""Name of the input that takes pictures, (N, 3*F, H, W) float32 in [0, 1]."""

_OPSET, _IR_VERSION = 17, 8
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


def onnx_graph(net: FoldedSemiDRDNet, kind: GraphKind = GraphKind.WHOLE, about: str = "") -> bytes:
    """A serialised ONNX model of `net`, fp32.

    Args:
        net: the network.
        kind: what it computes.
        about: goes into the file as its description.

    Raises:
        UsageError: the onnx package is not installed.
    """
    try:
        import onnx
        from onnx import TensorProto, helper
    except ImportError as error:
        raise UsageError(
            "ONNX graphs need the onnx package, which is not installed", hint="pip install onnx"
        ) from error
    ops = _OnnxOperations(helper)
    gate_names = [f"gate_{index}" for index in range(net.rrn.depth if net.config.se else 0)]
    if kind is GraphKind.GATES:
        found, names = describe_gates(ops, net, PICTURES), tuple(gate_names)
    else:
        given = gate_names if kind is GraphKind.TILE and gate_names else None
        found, names = describe(ops, net, PICTURES, given), layer_names(net)
    for result, name in zip(found, names, strict=True):
        ops.rename(result, name)

    def value(name: str, *shape: int | str) -> Any:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    gates = [value(name, 1, net.config.width, 1, 1) for name in gate_names]
    inputs = [value(PICTURES, "n", COLOURS * net.config.frames, "height", "width")]
    outputs = gates if kind is GraphKind.GATES else [value(name, "n", COLOURS, "height", "width") for name in names]
    if kind is GraphKind.TILE:
        inputs += gates
    graph = helper.make_graph(ops.nodes, "derain", inputs, outputs, ops.constants, doc_string=about)
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="derain",
        doc_string=about,
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


class _OnnxOperations:
    """Collects nodes and constants; maps go by the names of their values."""

    def __init__(self, helper: Any):
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._helper = helper
        self._numbers = itertools.count()
        self._known: dict[tuple[str, int], str] = {}

    def rename(self, old: str, new: str) -> None:
        """Give a value the name that it has outside."""
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [new if name == old else name for name in names]

    def convolution(self, x: str, kernel: Tensor, bias: Tensor | None, dilation: int) -> str:
        weights = [self._tensor("kernel", kernel)] + ([] if bias is None else [self._tensor("bias", bias)])
        around = {"pads": [dilation] * 4, "dilations": [dilation] * 2, "kernel_shape": [3, 3]}
        return self._node("Conv", [x, *weights], **around)

    def prelu(self, x: str, slope: Tensor) -> str:
        return self._node("PRelu", [x, self._tensor("slope", slope.view(-1, 1, 1))])

    def add(self, one: str, other: str) -> str:
        return self._node("Add", [one, other])

    def subtract(self, one: str, other: str) -> str:
        return self._node("Sub", [one, other])

    def multiply(self, one: str, other: str) -> str:
        return self._node("Mul", [one, other])

    def pooled(self, x: str, together: bool) -> str:
        mean = self._node("GlobalAveragePool", [x])
        return self._node("ReduceMean", [mean], axes=[0], keepdims=1) if together else mean

    def excited(self, pooled: str, gate: SqueezeExcitation) -> str:
        for linear, activation in ((gate.squeeze, "Relu"), (gate.excite, "Sigmoid")):
            kernel = self._tensor("linear", linear.weight[:, :, None, None])
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

    def for_blocks(self, kernel: Tensor, unshuffle: int) -> Tensor:
        # SpaceToDepth counts places within a block first, then colours; PyTorch the other way round.
        count, channels, *taps = kernel.shape
        places = kernel.reshape(count, channels // unshuffle**2, unshuffle**2, *taps)
        return places.transpose(1, 2).reshape(kernel.shape)

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

    def _node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        name = f"{kind}_{next(self._numbers)}"
        self.nodes.append(self._helper.make_node(kind, list(inputs), [name], name=name, **attributes))
        return name

    def _tensor(self, what: str, tensor: Tensor) -> str:
        return self._constant(what, tensor.detach().float().cpu().contiguous().numpy())

    def _whole(self, *numbers: int) -> str:
        return self._constant("numbers", np.array(numbers, np.int64))

    def _constant(self, what: str, values: NDArray[Any]) -> str:
        from onnx import numpy_helper

        key = (what, hash((values.shape, values.tobytes())))
        if key not in self._known:
            self._known[key] = f"{what}_{next(self._numbers)}"
            self.constants.append(numpy_helper.from_array(values, self._known[key]))
        return self._known[key]
