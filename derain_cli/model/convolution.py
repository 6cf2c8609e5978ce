"""3x3 convolutions of channels-last maps, with or without a fused addition to another map.

On a CPU oneDNN can fuse the addition, through private operators of torch.compile. They are tested once; if they are
missing or wrong, plain convolutions are used instead.
"""

from __future__ import annotations

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["add_convolution", "convolution", "in_one_pass"]


def in_one_pass(x: Tensor) -> bool:
    """Whether oneDNN's convolution, with its fused addition, can be used for `x`."""
    return x.device.type == "cpu" and _adds_in_one_pass(x.dtype)


@functools.cache
def _adds_in_one_pass(dtype: torch.dtype) -> bool:
    """Whether the private oneDNN operators exist and compute correctly."""
    if dtype not in (torch.float32, torch.bfloat16) or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    x = torch.linspace(-1, 1, 2 * 16 * 64, dtype=dtype).view(1, 16, 8, 16).to(memory_format=torch.channels_last)
    kernel = torch.linspace(-1, 1, 16 * 16 * 9, dtype=dtype).view(16, 16, 3, 3)
    kernel = kernel.to(memory_format=torch.channels_last)
    total = x.clone()
    try:
        _add_by_onednn(total, x, kernel, None, 3)
        alone = _by_onednn(x, kernel, None, 3)
    except (RuntimeError, AttributeError, TypeError):
        return False
    slow = F.conv2d(x.float(), kernel.float(), padding=3, dilation=3)
    wrong = [total.float() - x.float() - slow, alone.float() - slow]
    return all(bool(each.abs().max() <= 0.02 * slow.abs().max()) for each in wrong)


def _add_by_onednn(total: Tensor, x: Tensor, kernel: Tensor, bias: Tensor | None, dilation: int) -> None:
    around = [dilation, dilation]
    torch.ops.mkldnn._convolution_pointwise_.binary(
        total, x, kernel, bias, around, [1, 1], around, 1, "add", 1.0, None, [], None
    )


def _by_onednn(x: Tensor, kernel: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    around = [dilation, dilation]
    out: Tensor = torch.ops.mkldnn._convolution_pointwise(x, kernel, bias, around, [1, 1], around, 1, "none", [], None)
    return out


def convolution(x: Tensor, kernel: Tensor, bias: Tensor | None, dilation: int) -> Tensor:
    """3x3 convolution of a channels-last `x`."""
    if in_one_pass(x):
        # F.conv2d picks a slower kernel for a single tiny picture.
        return _by_onednn(x, kernel, bias, dilation)
    return F.conv2d(x, kernel, bias, padding=dilation, dilation=dilation)


def add_convolution(total: Tensor, x: Tensor, kernel: Tensor, bias: Tensor | None, dilation: int) -> None:
    """`total` += 3x3 convolution of a channels-last `x`."""
    if in_one_pass(x):
        _add_by_onednn(total, x, kernel, bias, dilation)
    else:
        total += convolution(x, kernel, bias, dilation)
