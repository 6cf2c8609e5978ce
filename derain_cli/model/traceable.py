"""A folded network in plain PyTorch operations, which TorchScript can trace."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar, cast

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from derain_cli.model.folding import Folded, Gate
from derain_cli.model.portable import describe
from derain_cli.model.semi_drdnet import from_blocks, middle_frame, to_blocks

__all__ = ["PortableNetwork", "TorchOperations"]

Code = TypeVar("Code", bound=Callable[..., Tensor])
Floats = NDArray[np.float32]


def _from_blocks_like(features: Tensor, unshuffle: int, like: Tensor) -> Tensor:
    return from_blocks(features, unshuffle, like.shape[-2], like.shape[-1])


# A trace follows one path through the code and takes sizes for constants; these two remain code in it.
_remaining = cast(Callable[[Code], Code], torch.jit.script_if_tracing)
_to_blocks, _from_blocks = _remaining(to_blocks), _remaining(_from_blocks_like)


class TorchOperations:
    """Plain PyTorch, nothing in place: what its exporters understand."""

    def convolution(self, x: Tensor, kernel: Floats, bias: Floats | None, dilation: int) -> Tensor:
        added = None if bias is None else torch.from_numpy(bias)
        return F.conv2d(x, torch.from_numpy(kernel), added, padding=dilation, dilation=dilation)

    def prelu(self, x: Tensor, slope: Floats) -> Tensor:
        return F.prelu(x, torch.from_numpy(slope))

    def add(self, one: Tensor, other: Tensor) -> Tensor:
        return one + other

    def subtract(self, one: Tensor, other: Tensor) -> Tensor:
        return one - other

    def multiply(self, one: Tensor, other: Tensor) -> Tensor:
        return one * other

    def pooled(self, x: Tensor, together: bool) -> Tensor:
        return x.mean((0, 2, 3) if together else (2, 3), keepdim=True)

    def excited(self, pooled: Tensor, gate: Gate) -> Tensor:
        squeezed = F.relu(F.linear(pooled[:, :, 0, 0], torch.from_numpy(gate.squeeze)))
        return torch.sigmoid(F.linear(squeezed, torch.from_numpy(gate.excite)))[:, :, None, None]

    def to_blocks(self, picture: Tensor, unshuffle: int) -> Tensor:
        return _to_blocks(picture, unshuffle)

    def for_blocks(self, kernel: Floats, unshuffle: int) -> Floats:
        return kernel

    def from_blocks(self, features: Tensor, unshuffle: int, like: Tensor) -> Tensor:
        return _from_blocks(features, unshuffle, like)

    def middle(self, frames: Tensor, count: int) -> Tensor:
        return middle_frame(frames)


class PortableNetwork(nn.Module):
    """A folded network in plain PyTorch operations: (N, 3*F, H, W) -> the derained middle frame (N, 3, H, W)."""

    def __init__(self, net: Folded):
        super().__init__()
        self.net = net
        self.eval()

    def forward(self, rainy: Tensor) -> Tensor:
        return describe(TorchOperations(), self.net, rainy)[0]
