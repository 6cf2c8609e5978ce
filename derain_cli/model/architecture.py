"""What follows from a `ModelConfig` alone: names and shapes of the tensors, cost, reach. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, TypeVar

from derain_cli.config import ModelConfig

__all__ = [
    "COLOURS",
    "DILATIONS",
    "SQUEEZE",
    "count_parameters",
    "macs_per_pixel",
    "middle_frame",
    "receptive_radius",
    "tensor_shapes",
]

COLOURS = 3

DILATIONS = (1, 3, 5)
"""Dilations of the three parallel convolutions of the DCCL (eq. 2)."""

SQUEEZE = 4
"""Width of the squeeze layer, the same for every M (the authors' layer list)."""

Batch = TypeVar("Batch")
Shape = tuple[int, ...]
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""Tensors of a batch normalisation that are not trained."""


def tensor_shapes(config: ModelConfig) -> dict[str, Shape]:
    """Names and shapes of the tensors of the network, in the order of `SemiDRDNet.state_dict`."""
    kind = "gated" if config.se else "residual"
    channels = COLOURS * config.unshuffle**2
    shapes = {f"rrn.{k}": v for k, v in _ends(channels, config.width, config.blocks, kind, config.frames)}
    if config.detail != "none":
        channels = COLOURS * config.drn_unshuffle**2
        drn = _ends(channels, config.drn_width, config.drn_blocks, config.detail, config.frames)
        shapes |= {f"drn.{k}": v for k, v in drn}
    return shapes


def count_parameters(config: ModelConfig) -> int:
    """Trained values of the network, before folding; those of a block that is applied several times count once."""
    total = 0
    for name, shape in tensor_shapes(config).items():
        repeated = config.detail == "msarr" and name.startswith("drn.blocks.") and not name.startswith("drn.blocks.0.")
        if not name.endswith(_STATISTICS) and not repeated:
            total += math.prod(shape)
    return total


def _ends(channels: int, width: int, blocks: int, kind: str, frames: int) -> Iterator[tuple[str, Shape]]:
    """A sub-network; `kind` of its blocks is a `DetailBlock`, or `gated`."""
    if kind == "msarr":
        for index in range(len(DILATIONS)):
            yield from _convolution(f"head.branches.{index}", frames * channels, width)
    else:
        yield from _convolution("head", frames * channels, width)
    yield "act.weight", (width,)
    for index in range(blocks):
        yield from ((f"blocks.{index}.{name}", shape) for name, shape in _block(width, kind))
    yield from _convolution("body", width, width)
    yield from _normalisation("norm", width)
    yield from _convolution("tail", width, channels)


def _block(width: int, kind: str) -> Iterator[tuple[str, Shape]]:
    for layer, norm in (("first", "norm1"), ("second", "norm2")):
        if kind == "sdcab":
            for index in range(len(DILATIONS)):
                yield from _convolution(f"{layer}.branches.{index}", width, width)
            yield from _convolution(f"{layer}.mix", len(DILATIONS) * width, width, 1)
        else:
            yield from _convolution(layer, width, width)
        yield from _normalisation(norm, width)
        if layer == "first":
            yield "act.weight", (width,)
    if kind == "gated":
        yield "se.squeeze.weight", (SQUEEZE, width)
        yield "se.excite.weight", (width, SQUEEZE)


def _convolution(name: str, into: int, out: int, side: int = 3) -> Iterator[tuple[str, Shape]]:
    yield f"{name}.weight", (out, into, side, side)
    yield f"{name}.bias", (out,)


def _normalisation(name: str, width: int) -> Iterator[tuple[str, Shape]]:
    for each in ("weight", "bias", *_STATISTICS[:2]):
        yield f"{name}.{each}", (width,)
    yield f"{name}.{_STATISTICS[2]}", ()


def macs_per_pixel(config: ModelConfig) -> float:
    """Multiply-accumulates of the folded network per pixel; convolutions only (SE and additions are below 0.1 %)."""

    def ends(width: int, unshuffle: int) -> int:
        return (config.frames + 1) * 9 * COLOURS * unshuffle**2 * width + 9 * width**2

    rrn = ends(config.width, config.unshuffle) + config.blocks * 2 * 9 * config.width**2
    total = rrn / config.unshuffle**2
    if config.detail != "none":
        m, unshuffle = config.drn_width, config.drn_unshuffle
        per_block = 2 * 27 * m * m if config.detail == "sdcab" else 2 * 9 * m * m
        # The head of MSARR is three convolutions.
        more = 2 * 9 * config.frames * COLOURS * unshuffle**2 * m if config.detail == "msarr" else 0
        total += (ends(m, unshuffle) + config.drn_blocks * per_block + more) / unshuffle**2
    return total


def middle_frame(frames: Batch) -> Batch:
    """(N, 3*F, H, W), F successive frames, a tensor or an array -> the middle frame, (N, 3, H, W), a view."""
    batch: Any = frames
    start = (batch.shape[1] - COLOURS) // 2
    middle: Batch = batch[:, start : start + COLOURS]
    return middle


def receptive_radius(config: ModelConfig) -> int:
    """Receptive radius of the convolutions in pixels (163 for the paper's DRN); SE gates are not counted."""
    ends = 3

    def pixels(steps: int, unshuffle: int) -> int:
        # A block of S x S pixels is one feature, and the pixel may lie anywhere in it.
        return steps * unshuffle + unshuffle - 1

    rrn = pixels(ends + 2 * config.blocks, config.unshuffle)
    if config.detail == "none":
        return rrn
    per_block = 2 * max(DILATIONS) if config.detail == "sdcab" else 2
    drn = ends + per_block * config.drn_blocks + (max(DILATIONS) - 1 if config.detail == "msarr" else 0)
    return max(rrn, pixels(drn, config.drn_unshuffle))
