"""PReLU of channels-last maps by whole rows of pixels.

Torch's own is slow on a CPU where the channels don't fill its vectors (half of a convolution's time for 48 of them in
bf16, and more backwards), so a row of pixels is taken for the channels, with the slopes repeated along it.
"""

from __future__ import annotations

from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["CompiledPReLU", "EagerPReLU", "PReLU", "RowPReLU", "from_rows", "prelu_", "rows", "wide"]

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


class PReLU(Protocol):
    """PReLU and its gradient for maps (N, M, H, W), channels last, with slopes (M,) in fp32 or the map's dtype."""

    def forward(self, x: Tensor, slope: Tensor) -> Tensor:
        """max(x, 0) + slope * min(x, 0), a new map."""
        ...

    def backward(self, gradient: Tensor, x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of `x` and of `slope`, from that of the result (which may be overwritten)."""
        ...


class EagerPReLU:
    """By torch's own operators, in three passes backwards."""

    def forward(self, x: Tensor, slope: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return F.prelu(x, slope.to(x.dtype))
        lines = F.prelu(rows(x).flatten(0, 1), slope.to(x.dtype).repeat(x.shape[-1]))
        return from_rows(lines, x)

    def backward(self, gradient: Tensor, x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        # Vectors with a condition per element are slow in torch, products are not.
        right = torch.ops.aten.threshold_backward(gradient, x, 0)
        left = gradient.sub_(right)  # what came in where x is not above zero
        pixels = [m.permute(0, 2, 3, 1).flatten(1, 2) for m in (left, x)]
        # The diagonal of a product of matrices: the sum of products over pixels, on the units made for it.
        grad_slope = (pixels[0].mT @ pixels[1]).diagonal(dim1=1, dim2=2).to(wide(x)).sum(0)
        row = slope.to(x.dtype).repeat(x.shape[-1])
        return from_rows(rows(right).addcmul_(rows(left), row), x), grad_slope.to(slope.dtype)


def _forward(pixels: Tensor, slope: Tensor) -> Tensor:
    x = pixels.to(slope.dtype)
    return torch.where(x > 0, x, x * slope).to(pixels.dtype)


def _backward(gradient: Tensor, pixels: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    came, x = gradient.to(slope.dtype), pixels.to(slope.dtype)
    above = x > 0
    grad = torch.where(above, came, came * slope).to(pixels.dtype)
    return grad, torch.where(above, 0.0, came * x).sum(0)


class CompiledPReLU:
    """By torch.compile, in one pass each; needs a C++ compiler, and a few seconds for each new shape."""

    def __init__(self) -> None:
        self._forward = torch.compile(_forward, dynamic=False)
        self._backward = torch.compile(_backward, dynamic=False)

    def forward(self, x: Tensor, slope: Tensor) -> Tensor:
        return from_rows(self._forward(_pixels(x), slope.to(wide(x))), x)

    def backward(self, gradient: Tensor, x: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
        grad, grad_slope = self._backward(_pixels(gradient), _pixels(x), slope.to(wide(x)))
        return from_rows(grad, x), grad_slope.to(slope.dtype)


def _pixels(x: Tensor) -> Tensor:
    """(N, M, H, W), channels last, as a view (N*H*W, M)."""
    return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])


class _ByRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return EagerPReLU().forward(x, slope)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        # A copy, channels last: the engine may need what came in once more.
        (came,) = (g.clone(memory_format=torch.channels_last) for g in gradients)
        return EagerPReLU().backward(came, *ctx.saved_tensors)


class RowPReLU(nn.PReLU):
    """`torch.nn.PReLU`, by rows of pixels where a CPU trains it; the same parameter, the same function."""

    def forward(self, x: Tensor) -> Tensor:
        rowwise = x.device.type == "cpu" and torch.is_grad_enabled() and not torch.compiler.is_compiling()
        if rowwise and x.is_contiguous(memory_format=torch.channels_last):
            out: Tensor = _ByRows.apply(x, self.weight)
            return out
        return F.prelu(x, self.weight.to(x.dtype))
