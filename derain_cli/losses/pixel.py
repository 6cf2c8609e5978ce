"""Pixel losses (eq. 11, 12). They take raw network outputs: nothing is clamped, so gradients reach every pixel."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["PIXEL_LOSSES", "charbonnier", "l1", "log_l1", "rmse"]

_EPS = 1e-3
"""Charbonnier is smooth below a quarter of a grey level."""

_LOG_EPS = 1e-2
"""Flattens the logarithm below two and a half grey levels; otherwise dry patches would dominate the gradient."""


def l1(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean absolute difference of two (N, 3, H, W) tensors in [0, 1] (eq. 11 and 12)."""
    return (restored - truth).abs().mean()


def charbonnier(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean of sqrt(d^2 + eps^2), eps 1e-3 (Charbonnier et al. 1994): L1 that is smooth at zero."""
    return ((restored - truth).square() + _EPS**2).sqrt().mean()


def log_l1(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean over the pictures of log(L1 + eps), scaled by 0.1.

    Like PSNR, it is a logarithm per picture: light rain counts as much as heavy rain, whereas plain L1 is
    dominated by heavy rain. The factor 0.1 brings the gradient of a typical picture (L1 about 0.03 to 0.1) to
    between one and a few times that of plain L1, so one learning rate serves both.
    """
    per_picture = (restored - truth).abs().flatten(1).mean(1)
    return 0.1 * torch.log(per_picture + _LOG_EPS).mean()


def rmse(restored: Tensor, truth: Tensor) -> Tensor:
    """Mean over the pictures of the root mean square difference.

    Every picture has a gradient of the same norm, as with L1, but within a picture large errors count most, as in
    PSNR (-20 log10 of this). Where dense rain leaves a colour undetermined, it favours the mean, L1 the median.
    """
    per_picture = (restored - truth).square().flatten(1).mean(1)
    return (per_picture + _EPS**2).sqrt().mean()


PIXEL_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": l1,
    "charbonnier": charbonnier,
    "log_l1": log_l1,
    "rmse": rmse,
}
"""Keyed by the name used in `optim.loss`."""
