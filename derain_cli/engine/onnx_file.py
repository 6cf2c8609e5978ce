"""The ONNX file format, as far as graphs of our networks need it: protocol buffers, written directly.

The onnx package would do the same, but takes two seconds to import and 40 MB; tests check the files with it. Numbers
of fields are those of onnx.proto (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto), IR version 8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Attribute", "Graph", "Node", "Value", "model_bytes"]

Attribute = int | str | Sequence[int]

_IR_VERSION, _PRODUCER = 8, "derain"
_FLOAT, _INT64 = 1, 7
"""TensorProto.DataType."""
_VARINT, _BYTES = 0, 2
"""Wire types."""


@dataclass
class Node:
    """An operation.

    Attributes:
        kind: ONNX operator.
        inputs, outputs: names of values.
        attributes: whole numbers, lists of them, or words.
    """

    kind: str
    inputs: list[str]
    outputs: list[str]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """An input or output: float32, of a shape in which words stand for any size."""

    name: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Graph:
    """A graph.

    Attributes:
        nodes: in an order in which they can be computed.
        inputs, outputs: of the graph.
        constants: float32 or int64 arrays by name.
        about: description.
    """

    nodes: Sequence[Node]
    inputs: Sequence[Value]
    outputs: Sequence[Value]
    constants: Mapping[str, NDArray[np.float32] | NDArray[np.int64]]
    about: str = ""


def model_bytes(graph: Graph, opset: int) -> bytes:
    """The graph as the content of an ONNX file that uses this version of the standard operators."""
    inside = b"".join(
        (
            *(_bytes(1, _node(node)) for node in graph.nodes),
            _text(2, _PRODUCER),
            *(_bytes(5, _tensor(name, values)) for name, values in graph.constants.items()),
            _text(10, graph.about),
            *(_bytes(11, _value(value)) for value in graph.inputs),
            *(_bytes(12, _value(value)) for value in graph.outputs),
        )
    )
    operators = _text(1, "") + _number(2, opset)
    return b"".join(
        (
            _number(1, _IR_VERSION),
            _text(2, _PRODUCER),
            _text(6, graph.about),
            _bytes(7, inside),
            _bytes(8, operators),
        )
    )


def _node(node: Node) -> bytes:
    return b"".join(
        (
            *(_text(1, name) for name in node.inputs),
            *(_text(2, name) for name in node.outputs),
            _text(3, node.outputs[0]),
            _text(4, node.kind),
            *(_bytes(5, _attribute(name, value)) for name, value in node.attributes.items()),
        )
    )


def _attribute(name: str, value: Attribute) -> bytes:
    if isinstance(value, int):
        return _text(1, name) + _number(3, value) + _number(20, 2)
    if isinstance(value, str):
        return _text(1, name) + _text(4, value) + _number(20, 3)
    return _text(1, name) + b"".join(_number(8, each) for each in value) + _number(20, 7)


def _tensor(name: str, values: NDArray[np.float32] | NDArray[np.int64]) -> bytes:
    kind, stored = (_FLOAT, "<f4") if values.dtype == np.float32 else (_INT64, "<i8")
    data = np.ascontiguousarray(values, stored).tobytes()
    shape = b"".join(_number(1, side) for side in values.shape)
    return shape + _number(2, kind) + _text(8, name) + _bytes(9, data)


def _value(value: Value) -> bytes:
    sides = (_number(1, side) if isinstance(side, int) else _text(2, side) for side in value.shape)
    shape = b"".join(_bytes(1, side) for side in sides)
    tensor = _number(1, _FLOAT) + _bytes(2, shape)
    return _text(1, value.name) + _bytes(2, _bytes(1, tensor))


def _number(number: int, value: int) -> bytes:
    return _varint(number << 3 | _VARINT) + _varint(value & (2**64 - 1))


def _bytes(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | _BYTES) + _varint(len(content)) + content


def _text(number: int, text: str) -> bytes:
    return _bytes(number, text.encode())


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the highest bit says that more follow."""
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    found.append(value)
    return bytes(found)
