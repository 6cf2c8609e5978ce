"""PReLU of channels-last maps, one row of pixels at a time.

Torch's PReLU is slow on a CPU unless the channels fill its vectors (half a convolution's time for 48 channels in bf16,
and more in the backward pass), so a whole row of pixels is treated as channels, with the slopes repeated along it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["RowPReLU", "from_rows", "prelu", "prelu_", "prelu_backward", "rows", "wide"]

_CACHED = 2**19
"""Bytes of a map processed at a time per thread in memory-bound operations."""


def rows(x: Tensor) -> Tensor:
    """A channels-last (N, M, H, W) as a view (N, H, W*M)."""
    count, width, height, columns = x.shape
    return x.permute(0, 2, 3, 1).view(count, height, columns * width)


def from_rows(lines: Tensor, like: Tensor) -> Tensor:
    """Rows of pixels as a map shaped like `like`; the inverse of `rows`."""
    count, width, height, columns = like.shape
    return lines.view(count, height, columns, width).permute(0, 3, 1, 2)


def wide(x: Tensor) -> torch.dtype:
    """Accumulator dtype for sums over maps like `x`: at least fp32."""
    return torch.promote_types(x.dtype, torch.float32)


def prelu_(x: Tensor, slope: Tensor) -> Tensor:
    """PReLU of a channels-last (N, M, H, W); on a CPU it overwrites `x`, a few rows at a time."""
    if x.device.type != "cpu" or not x.is_contiguous(memory_format=torch.channels_last):
        return F.prelu(x, slope)
    lines = rows(x).flatten(0, 1)
    row = slope.repeat(x.shape[-1])
    step = max(1, _CACHED * torch.get_num_threads() // max(1, lines[0].nbytes))
    for part in torch.split(lines, step):
        part.copy_(F.prelu(part, row))
    return x


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """max(x, 0) + slope * min(x, 0) of a channels-last (N, M, H, W) with slopes (M,), in a new map."""
    if x.device.type != "cpu":
        return F.prelu(x, slope.to(x.dtype))
    return from_rows(F.prelu(rows(x).flatten(0, 1), slope.to(x.dtype).repeat(x.shape[-1])), x)


def prelu_backward(gradient: Tensor, x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of `x` and `slope` from the output gradient, which is overwritten; all maps are channels last."""
    # Element-wise conditions are slow in torch, products are not.
    right = torch.ops.aten.threshold_backward(gradient, x, 0)
    left = gradient.sub_(right)  # the output gradient where x <= 0
    pixels = [m.permute(0, 2, 3, 1).flatten(1, 2) for m in (left, x)]
    # The sum of products over pixels as the diagonal of a matrix product, for which CPUs have fast units.
    grad_slope = (pixels[0].mT @ pixels[1]).diagonal(dim1=1, dim2=2).to(wide(x)).sum(0)
    row = slope.to(x.dtype).repeat(x.shape[-1])
    return from_rows(rows(right).addcmul_(rows(left), row), x), grad_slope.to(slope.dtype)


class _ByRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return prelu(x, slope)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        # Copied, channels last: autograd may still need the original gradient.
        (came,) = (g.clone(memory_format=torch.channels_last) for g in gradients)
        return prelu_backward(came, *ctx.saved_tensors)


class RowPReLU(nn.PReLU):
    """`torch.nn.PReLU`, computed by rows of pixels when trained on a CPU; same parameter, same function."""

    def forward(self, x: Tensor) -> Tensor:
        rowwise = x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if rowwise and x.is_contiguous(memory_format=torch.channels_last):
            out: Tensor = _ByRows.apply(x, self.weight)
            return out
        return F.prelu(x, self.weight.to(x.dtype))
