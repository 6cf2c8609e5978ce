"""PReLU of channels-last maps by whole rows of pixels.

Torch's own is slow on a CPU where the channels don't fill its vectors (half of a convolution's time for 48 of them in
bf16, and more backwards), so a row of pixels is taken for the channels, with the slopes repeated along it.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["RowPReLU", "from_rows", "prelu", "prelu_", "prelu_backward", "rows", "wide"]

_CACHED = 2**19
"""Bytes of a map per thread that are worked on at a time where nothing but memory limits the speed."""


def rows(x: Tensor) -> Tensor:
    """(N, M, H, W), channels last, as a view (N, H, W*M)."""
    count, width, height, columns = x.shape
    return x.permute(0, 2, 3, 1).view(count, height, columns * width)


def from_rows(lines: Tensor, like: Tensor) -> Tensor:
    """Rows of pixels as a map of the shape of `like`; the inverse of `rows`."""
    count, width, height, columns = like.shape
    return lines.view(count, height, columns, width).permute(0, 3, 1, 2)


def wide(x: Tensor) -> torch.dtype:
    """What sums over maps of the dtype of `x` are kept in: fp32 at least."""
    return torch.promote_types(x.dtype, torch.float32)


def prelu_(x: Tensor, slope: Tensor) -> Tensor:
    """PReLU of (N, M, H, W), channels last; `x` itself is overwritten on a CPU, a few rows at a time."""
    if x.device.type != "cpu" or not x.is_contiguous(memory_format=torch.channels_last):
        return F.prelu(x, slope)
    lines = rows(x).flatten(0, 1)
    row = slope.repeat(x.shape[-1])
    step = max(1, _CACHED * torch.get_num_threads() // max(1, lines[0].nbytes))
    for part in torch.split(lines, step):
        part.copy_(F.prelu(part, row))
    return x


def prelu(x: Tensor, slope: Tensor) -> Tensor:
    """max(x, 0) + slope * min(x, 0) of (N, M, H, W), channels last, with slopes (M,): a new map."""
    if x.device.type != "cpu":
        return F.prelu(x, slope.to(x.dtype))
    return from_rows(F.prelu(rows(x).flatten(0, 1), slope.to(x.dtype).repeat(x.shape[-1])), x)


def prelu_backward(gradient: Tensor, x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """The gradients of `x` and of `slope`, from that of the result, which is overwritten; all maps channels last."""
    # Vectors with a condition per element are slow in torch, products are not.
    right = torch.ops.aten.threshold_backward(gradient, x, 0)
    left = gradient.sub_(right)  # what came in where x is not above zero
    pixels = [m.permute(0, 2, 3, 1).flatten(1, 2) for m in (left, x)]
    # The diagonal of a product of matrices: the sum of products over pixels, on the units made for it.
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
        # A copy, channels last: the engine may need what came in once more.
        (came,) = (g.clone(memory_format=torch.channels_last) for g in gradients)
        return prelu_backward(came, *ctx.saved_tensors)


class RowPReLU(nn.PReLU):
    """`torch.nn.PReLU`, by rows of pixels where a CPU trains it; the same parameter, the same function."""

    def forward(self, x: Tensor) -> Tensor:
        rowwise = x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if rowwise and x.is_contiguous(memory_format=torch.channels_last):
            out: Tensor = _ByRows.apply(x, self.weight)
            return out
        return F.prelu(x, self.weight.to(x.dtype))
