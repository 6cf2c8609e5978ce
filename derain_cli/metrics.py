"""PSNR and SSIM in the two protocols of the field, batched, on any device.

`rgb`: PSNR over the three colours; SSIM per channel with a uniform 7x7 window and sample covariance
    (scikit-image's defaults, the code of the authors of DRD-Net).
`y`: MATLAB's luma (`rgb2ycbcr`, 16 to 235) of the uint8 picture, rounded; SSIM with a gaussian 11x11
    window, sigma 1.5, over the valid region (Wang et al. 2004): the tables of the field.

Both read pictures of 8 bits: values in [0, 1] are clamped and rounded to 0..255 first, as they are when
a picture is written. Nothing is resized and no border is cut.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from derain_cli.errors import InputError

__all__ = ["IDENTICAL_PSNR", "PROTOCOLS", "Protocol", "Score", "luma", "psnr", "quantise", "score", "ssim"]

Protocol = Literal["rgb", "y"]
PROTOCOLS: tuple[Protocol, ...] = ("rgb", "y")

IDENTICAL_PSNR = 100.0
"""What identical pictures count as, in dB: their PSNR is infinite and would spoil every mean."""

_K1, _K2, _RANGE = 0.01, 0.03, 255.0


class Score(NamedTuple):
    """PSNR in dB and SSIM in [-1, 1] of one picture (or means of many)."""

    psnr: float
    ssim: float


def quantise(picture: Tensor) -> Tensor:
    """[0, 1] floats to the 256 levels of a written picture: float64 in 0..255, clamped and rounded, not truncated."""
    return (picture.double().clamp(0, 1) * 255).round()


def luma(picture: Tensor) -> Tensor:
    """(N, 3, H, W) in 0..255 -> (N, 1, H, W) in 16..235, rounded: Y of MATLAB's `rgb2ycbcr` for uint8 (BT.601)."""
    weights = picture.new_tensor([65.481, 128.553, 24.966]).view(1, 3, 1, 1)
    return ((picture * weights).sum(1, keepdim=True) / 255 + 16).round()


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """(N, C, H, W) twice, in 0..255 -> (N,) dB; identical pictures count as `IDENTICAL_PSNR`."""
    mse = (one.double() - other.double()).square().flatten(1).mean(1)
    return torch.where(mse == 0, IDENTICAL_PSNR, 10 * torch.log10(_RANGE**2 / mse.clamp_min(1e-300)))


def _window(x: Tensor, kernel: Tensor) -> Tensor:
    """Separable weighted mean over the valid region, each channel by itself."""
    n, c, h, w = x.shape
    flat = x.reshape(n * c, 1, h, w)
    flat = F.conv2d(F.conv2d(flat, kernel.view(1, 1, 1, -1)), kernel.view(1, 1, -1, 1))
    return flat.view(n, c, *flat.shape[-2:])


def ssim(one: Tensor, other: Tensor, *, window: Literal["uniform", "gaussian"]) -> Tensor:
    """(N, C, H, W) twice, in 0..255 -> (N,) mean structural similarity over channels and the valid region.

    Args:
        one: pictures.
        other: pictures of the same size.
        window: `uniform` is 7x7 with sample covariance (divides by 48), `gaussian` 11x11, sigma 1.5, population.

    Raises:
        InputError: the pictures are smaller than the window.
    """
    one, other = one.double(), other.double()
    if window == "uniform":
        kernel, unbias = one.new_full((7,), 1 / 7), 49 / 48
    else:
        offset = torch.arange(11, dtype=one.dtype, device=one.device) - 5
        kernel, unbias = torch.exp(-offset.square() / (2 * 1.5**2)), 1.0
        kernel = kernel / kernel.sum()
    if min(one.shape[-2:]) < kernel.numel():
        raise InputError(f"SSIM needs pictures of at least {kernel.numel()}x{kernel.numel()} pixels")
    stack = torch.cat([one, other, one * one, other * other, one * other])
    mu1, mu2, e11, e22, e12 = _window(stack, kernel).chunk(5)
    v1, v2, cov = unbias * (e11 - mu1 * mu1), unbias * (e22 - mu2 * mu2), unbias * (e12 - mu1 * mu2)
    c1, c2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2
    value = (2 * mu1 * mu2 + c1) * (2 * cov + c2) / ((mu1 * mu1 + mu2 * mu2 + c1) * (v1 + v2 + c2))
    return value.flatten(1).mean(1)


def score(restored: Tensor, truth: Tensor) -> list[dict[Protocol, Score]]:
    """Both protocols for each picture of a batch; (N, 3, H, W) in [0, 1] twice.

    Raises:
        InputError: the sizes differ (nothing is ever resized), or a picture is smaller than 11x11.
    """
    if restored.shape != truth.shape:
        raise InputError(f"sizes differ: {tuple(restored.shape[-2:])} and {tuple(truth.shape[-2:])}")
    a, b = quantise(restored), quantise(truth)
    rgb = zip(psnr(a, b).tolist(), ssim(a, b, window="uniform").tolist(), strict=True)
    ya, yb = luma(a), luma(b)
    y = zip(psnr(ya, yb).tolist(), ssim(ya, yb, window="gaussian").tolist(), strict=True)
    return [{"rgb": Score(*r), "y": Score(*s)} for r, s in zip(rgb, y, strict=True)]
