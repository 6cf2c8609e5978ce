"""The folded network in operations that every runtime has: one description, for PyTorch and for graphs in files.

`fold.FoldedSemiDRDNet` overwrites its maps and calls oneDNN directly, which no exporter understands. Here the same
layers are described to whatever implements `Operations`: `traceable.TorchOperations` computes them for TorchScript,
`derain_cli.engine.onnx_graph` writes the nodes of a graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from derain_cli.model.folding import Folded, Gate, SubNetwork, Sum

__all__ = ["Operations", "describe", "describe_gates", "layer_names"]

T = TypeVar("T")
Floats = NDArray[np.float32]


class Operations(Protocol[T]):
    """What a network is described in; `T` stands for a feature map (N, C, H, W) of whatever kind."""

    def convolution(self, x: T, kernel: Floats, bias: Floats | None, dilation: int) -> T:
        """3x3, zero-padded to the same size."""
        ...

    def prelu(self, x: T, slope: Floats) -> T: ...
    def add(self, one: T, other: T) -> T: ...
    def subtract(self, one: T, other: T) -> T: ...
    def multiply(self, one: T, other: T) -> T: ...

    def pooled(self, x: T, together: bool) -> T:
        """Mean over height and width, (N, C, 1, 1); with `together` over the batch too, (1, C, 1, 1)."""
        ...

    def excited(self, pooled: T, gate: Gate) -> T:
        """Gates of a pooled map, of its shape."""
        ...

    def to_blocks(self, picture: T, unshuffle: int) -> T:
        """As `semi_drdnet.to_blocks`, with the channels in any order that `for_blocks` puts kernels into."""
        ...

    def for_blocks(self, kernel: Floats, unshuffle: int) -> Floats:
        """A kernel that expects the channel order of `semi_drdnet.to_blocks`, for the maps that `to_blocks` makes."""
        ...

    def from_blocks(self, features: T, unshuffle: int, like: T) -> T:
        """As `semi_drdnet.from_blocks`, cropped to the height and width of `like`."""
        ...

    def middle(self, frames: T, count: int) -> T:
        """The middle one of `count` frames, (N, 3*count, H, W) -> (N, 3, H, W)."""
        ...


def layer_names(net: Folded) -> tuple[str, ...]:
    """Names of what `describe` returns, in order."""
    return ("derained", "rain") if net.drn is None else ("derained", "rain", "detail")


def describe(ops: Operations[T], net: Folded, rainy: T, gates: Sequence[T] | None = None) -> tuple[T, ...]:
    """The forward pass of `net`: derained picture, rain layer, and repaired detail where it has a DRN.

    Args:
        ops: what it is described in.
        net: the network, in fp32.
        rainy: pictures (N, 3*F, H, W) in [0, 1].
        gates: of the rain residual blocks in order, each (1, M, 1, 1); None: pooled from each picture.
    """
    fine, coarse = net.config.unshuffle, net.config.drn_unshuffle
    x = ops.to_blocks(rainy, fine)
    features, _ = _described(ops, net.rrn, x, fine, gates)
    rain = ops.from_blocks(features, fine, rainy)
    derained = ops.subtract(ops.middle(rainy, net.config.frames), rain)
    if net.drn is None:
        return derained, rain
    features, _ = _described(ops, net.drn, x if coarse == fine else ops.to_blocks(rainy, coarse), coarse, None)
    detail = ops.from_blocks(features, coarse, rainy)
    return ops.add(derained, detail), rain, detail


def describe_gates(ops: Operations[T], net: Folded, crops: T) -> tuple[T, ...]:
    """What `FoldedSemiDRDNet.measure_gates` computes; nothing for a network without gates."""
    fine = net.config.unshuffle
    return _described(ops, net.rrn, ops.to_blocks(crops, fine), fine, None, together=True)[1]


def _described(
    ops: Operations[T],
    net: SubNetwork,
    x: T,
    unshuffle: int,
    gates: Sequence[T] | None,
    together: bool = False,
) -> tuple[T, tuple[T, ...]]:
    """The output of a sub-network for blocks `x`, and the gates used."""
    start = ops.prelu(_sum(ops, net.head, x, unshuffle), net.slope)
    features, used = start, list[T]()
    for index in range(net.depth):
        block = net.blocks[index % len(net.blocks)]
        branch = _sum(ops, block.second, ops.prelu(_sum(ops, block.first, features), block.slope))
        if block.se is not None:
            gate = ops.excited(ops.pooled(branch, together), block.se) if gates is None else gates[index]
            used.append(gate)
            branch = ops.multiply(branch, gate)
        features = ops.add(features, branch) if block.skip else branch
    return _sum(ops, net.tail, ops.add(_sum(ops, net.body, features), start)), tuple(used)


def _sum(ops: Operations[T], layer: Sum, x: T, unshuffle: int = 1) -> T:
    """Parallel convolutions added up; `unshuffle` where `x` are the blocks of a picture."""
    first, *rest = [
        ops.convolution(x, ops.for_blocks(kernel, unshuffle), None if index else layer.bias, dilation)
        for index, (kernel, dilation) in enumerate(zip(layer.kernels, layer.dilations, strict=True))
    ]
    for other in rest:
        first = ops.add(first, other)
    return first
