"""The inference form of a network as plain arrays: all batch normalisations, biases and 1x1 convolutions are folded
into the 3x3 convolutions. Needs no torch.

In evaluation mode, everything from the input of a convolution (or DCCL) to its BN is linear, so it is folded in float64
and rounded once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.config import ModelConfig
from derain_cli.model.architecture import DILATIONS

__all__ = ["Block", "Folded", "Gate", "SubNetwork", "Sum", "folded"]

Floats = NDArray[np.float32]
Arrays = Mapping[str, NDArray[Any]]
_EPSILON = 1e-5
"""Of torch's batch normalisation."""


@dataclass(frozen=True, eq=False)
class Sum:
    """Sum of 3x3 convolutions, kernels (M, C, 3, 3), one per dilation, with one bias (M,)."""

    kernels: tuple[Floats, ...]
    bias: Floats
    dilations: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Gate:
    """Squeeze and excitation: (4, M) and (M, 4)."""

    squeeze: Floats
    excite: Floats


@dataclass(frozen=True, eq=False)
class Block:
    """first, PReLU with `slope` (M,), second; then optional gates and the skip."""

    first: Sum
    slope: Floats
    second: Sum
    se: Gate | None
    skip: bool


@dataclass(frozen=True, eq=False)
class SubNetwork:
    """head, PReLU, `depth` blocks (a single one is repeated), body, addition of the head's output, tail."""

    head: Sum
    slope: Floats
    blocks: tuple[Block, ...]
    depth: int
    body: Sum
    tail: Sum


@dataclass(frozen=True, eq=False)
class Folded:
    """A folded `SemiDRDNet`."""

    config: ModelConfig
    rrn: SubNetwork
    drn: SubNetwork | None

    def digest(self) -> str:
        """SHA-256 of everything that results depend on."""
        digest = hashlib.sha256(repr(self.config).encode())
        for part in (self.rrn, self.drn):
            for array in _arrays(part):
                digest.update(repr(array.shape).encode())
                digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()


def _arrays(part: SubNetwork | None) -> Iterator[Floats]:
    if part is None:
        return
    for layer in (
        part.head,
        part.body,
        part.tail,
        *(one for block in part.blocks for one in (block.first, block.second)),
    ):
        yield from layer.kernels
        yield layer.bias
    yield part.slope
    for block in part.blocks:
        yield block.slope
        if block.se is not None:
            yield from (block.se.squeeze, block.se.excite)


def folded(config: ModelConfig, tensors: Arrays) -> Folded:
    """The network of `config` with these tensors.

    Args:
        config: of the network.
        tensors: of `SemiDRDNet.state_dict`, with the shapes of `tensor_shapes`.
    """
    rrn = _folded(tensors, "rrn.", config.blocks, "gated" if config.se else "residual")
    drn = None if config.detail == "none" else _folded(tensors, "drn.", config.drn_blocks, config.detail)
    return Folded(config, rrn, drn)


def _folded(tensors: Arrays, name: str, depth: int, kind: str) -> SubNetwork:
    blocks = range(1 if kind == "msarr" else depth)
    return SubNetwork(
        head=_layer(tensors, f"{name}head"),
        slope=_floats(tensors[f"{name}act.weight"]),
        blocks=tuple(_block(tensors, f"{name}blocks.{index}.", kind) for index in blocks),
        depth=depth,
        body=_layer(tensors, f"{name}body", f"{name}norm"),
        tail=_layer(tensors, f"{name}tail"),
    )


def _block(tensors: Arrays, name: str, kind: str) -> Block:
    gate = None
    if kind == "gated":
        gate = Gate(_floats(tensors[f"{name}se.squeeze.weight"]), _floats(tensors[f"{name}se.excite.weight"]))
    return Block(
        first=_layer(tensors, f"{name}first", f"{name}norm1"),
        slope=_floats(tensors[f"{name}act.weight"]),
        second=_layer(tensors, f"{name}second", f"{name}norm2"),
        se=gate,
        skip=kind != "direct",
    )


def _layer(tensors: Arrays, name: str, norm: str | None = None) -> Sum:
    """A convolution, DCCL or multi-scale convolution, and the BN after it if any."""

    def exact(key: str) -> NDArray[np.float64]:
        return np.asarray(tensors[key], np.float64)

    dilations: tuple[int, ...] = (1,)
    if f"{name}.weight" in tensors:
        kernels, bias = [exact(f"{name}.weight")], exact(f"{name}.bias")
    else:
        dilations = DILATIONS
        branches = [f"{name}.branches.{index}" for index in range(len(DILATIONS))]
        kernels = [exact(f"{branch}.weight") for branch in branches]
        biases = [exact(f"{branch}.bias") for branch in branches]
        if f"{name}.mix.weight" in tensors:
            # DCCL: the 1x1 convolution of the concatenation is multiplied into each kernel.
            mixers = np.split(exact(f"{name}.mix.weight")[:, :, 0, 0], len(DILATIONS), axis=1)
            kernels = [np.tensordot(mixer, kernel, 1) for mixer, kernel in zip(mixers, kernels, strict=True)]
            mixed = [mixer @ bias for mixer, bias in zip(mixers, biases, strict=True)]
            bias = exact(f"{name}.mix.bias") + np.sum(mixed, axis=0)
        else:
            bias = np.sum(biases, axis=0)
    if norm is not None:
        scale = exact(f"{norm}.weight") / np.sqrt(exact(f"{norm}.running_var") + _EPSILON)
        kernels = [kernel * scale[:, None, None, None] for kernel in kernels]
        bias = (bias - exact(f"{norm}.running_mean")) * scale + exact(f"{norm}.bias")
    return Sum(tuple(_floats(kernel) for kernel in kernels), _floats(bias), dilations)


def _floats(array: NDArray[Any]) -> Floats:
    return np.array(array, np.float32, order="C")  # a copy: networks are trained on
