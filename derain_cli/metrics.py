"""PSNR and SSIM in the two protocols of the field, batched, on any device.

`rgb`: PSNR over the three colours; SSIM per channel with a uniform 7x7 window and sample covariance
    (scikit-image's defaults, the code of the authors of DRD-Net).
`y`: MATLAB's luma (`rgb2ycbcr`, 16 to 235) of the uint8 picture, rounded; SSIM with a gaussian 11x11
    window, sigma 1.5, over the valid region (Wang et al. 2004): the tables of the field.

Both read pictures of 8 bits: values in [0, 1] are clamped and rounded to 0..255 first, as they are when
a picture is written. Nothing is resized and no border is cut.

Scoring runs beside the network, so it must not cost much. With a = x + y and b = x - y

    SSIM = (1 - mean(b)^2 / ((mean(a)^2 + mean(b)^2) / 2 + C1)) (1 - var(b) / ((var(a) + var(b)) / 2 + C2)),

which is the formula of Wang et al. with its terms gathered: four windowed means instead of five, and errors of
rounding enter in proportion to what is missing to 1, so that float32 is enough (1e-7 against float64). On a CPU
OpenCV and numpy do the work, several times faster than torch's own convolution of one channel, and on the calling
thread alone: torch would wake further threads, which stall those of the network.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from derain_cli.errors import InputError

__all__ = [
    "DEFINITIONS",
    "IDENTICAL_PSNR",
    "PROTOCOLS",
    "Protocol",
    "Score",
    "luma",
    "psnr",
    "quantise",
    "score",
    "ssim",
]

Protocol = Literal["rgb", "y"]
PROTOCOLS: tuple[Protocol, ...] = ("rgb", "y")

IDENTICAL_PSNR = 100.0
"""What identical pictures count as, in dB: their PSNR is infinite and would spoil every mean."""

DEFINITIONS: dict[Protocol, str] = {
    "rgb": "PSNR over R, G and B; SSIM per channel, uniform 7x7 window, sample covariance, range 255 (scikit-image)",
    "y": "MATLAB luma (16 to 235) of the uint8 picture, rounded; PSNR of range 255; SSIM gaussian 11x11, valid region",
}
"""The protocols in words, for outputs that name them."""

_K1, _K2, _RANGE = 0.01, 0.03, 255.0
_C1, _C2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2

# torch hands work to further threads from 32,768 elements on. Blocks of OpenCV's are as large as the cache likes.
_SMALL, _LARGE = 30_000, 60_000
_BLOCK_COLUMNS = 2048


class Score(NamedTuple):
    """PSNR in dB and SSIM in [-1, 1] of one picture (or means of many)."""

    psnr: float
    ssim: float


def quantise(picture: Tensor) -> Tensor:
    """[0, 1] floats to the 256 levels of a written picture: float32 in 0..255, clamped and rounded, not truncated.

    uint8 pictures have their levels already and come back as they are.
    """
    if picture.dtype == torch.uint8:
        return picture
    return (picture.float().clamp(0, 1) * 255).round()


def luma(picture: Tensor) -> Tensor:
    """(N, 3, H, W) levels 0..255 -> (N, 1, H, W) float32 in 16..235: Y of MATLAB's `rgb2ycbcr` for uint8 (BT.601).

    Rounded exactly: the sum is formed in whole numbers.
    """
    out = torch.empty((picture.shape[0], 1, *picture.shape[2:]), dtype=torch.float32, device=picture.device)
    for rows, columns in _blocks(picture, reach=0):
        red, green, blue = picture[..., rows, columns].to(torch.int32).unbind(1)
        thousandths = 65_481 * red + 128_553 * green + 24_966 * blue + (16 * 255_000 + 127_500)
        out[:, 0, rows, columns] = torch.div(thousandths, 255_000, rounding_mode="floor")
    return out


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """(N, C, H, W) twice, in 0..255 -> (N,) dB; identical pictures count as `IDENTICAL_PSNR`."""
    total = torch.zeros(one.shape[0], dtype=_wide(one), device=one.device)
    for rows, columns in _blocks(one, reach=0):
        difference = one[..., rows, columns].to(total.dtype) - other[..., rows, columns].to(total.dtype)
        total += difference.square().flatten(1).sum(1)
    mse = total / math.prod(one.shape[1:])
    return torch.where(mse == 0, IDENTICAL_PSNR, 10 * torch.log10(_RANGE**2 / mse.clamp_min(1e-30)))


def ssim(one: Tensor, other: Tensor, *, window: Literal["uniform", "gaussian"]) -> Tensor:
    """(N, C, H, W) twice, in 0..255 -> (N,) mean structural similarity over channels and the valid region.

    Args:
        one: pictures.
        other: pictures of the same size.
        window: `uniform` is 7x7 with sample covariance (divides by 48), `gaussian` 11x11, sigma 1.5, population.

    Raises:
        InputError: the pictures are smaller than the window.
    """
    kernel = [1.0] * 7 if window == "uniform" else _GAUSSIAN
    unbias = 49 / 48 if window == "uniform" else 1.0
    if min(one.shape[-2:]) < len(kernel):
        raise InputError(f"SSIM needs pictures of at least {len(kernel)}x{len(kernel)} pixels")
    reach = len(kernel) - 1
    total = torch.zeros(one.shape[0], dtype=_wide(one), device=one.device)
    for rows, columns in _blocks(one, reach):
        x, y = one[..., rows, columns], other[..., rows, columns]
        if one.device.type == "cpu":
            total += _plane_by_plane(x, y, kernel, unbias)
        else:
            found = _similarity(x.float(), y.float(), lambda z: _window(z, kernel), unbias)
            total += found.flatten(1).sum(1)
    height, width = one.shape[-2:]
    return total / (one.shape[1] * (height - reach) * (width - reach))


def score(restored: Tensor, truth: Tensor) -> list[dict[Protocol, Score]]:
    """Both protocols for each picture of a batch; (N, 3, H, W) twice, floats in [0, 1] or uint8.

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


def _gaussian(reach: int, sigma: float) -> list[float]:
    weights = [math.exp(-((i - reach) ** 2) / (2 * sigma**2)) for i in range(2 * reach + 1)]
    return [w / sum(weights) for w in weights]


_GAUSSIAN = _gaussian(5, 1.5)


def _wide(picture: Tensor) -> torch.dtype:
    """What sums are kept in: float64, which Apple's GPUs have not."""
    return torch.float32 if picture.device.type == "mps" else torch.float64


def _blocks(picture: Tensor, reach: int) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of blocks whose valid regions, `reach` smaller than the blocks, tile that of the picture."""
    height, width = picture.shape[-2:]
    across = min(width, _BLOCK_COLUMNS)
    down = max(2 * reach + 1, (_LARGE if reach else _SMALL // max(1, picture.shape[0] * picture.shape[1])) // across)
    if picture.device.type != "cpu":  # few and large: what counts there is how often it is called
        across, down = width, max(2 * reach + 1, 64 * _LARGE // (width * picture.shape[0] * picture.shape[1]))
    for top in range(0, height - reach, down - reach):
        for left in range(0, width - reach, across - reach):
            yield slice(top, min(top + down, height)), slice(left, min(left + across, width))


def _similarity(x: Any, y: Any, window: Callable[[Any], Any], unbias: float) -> Any:
    """SSIM at every place of the valid region; levels 0..255, float32. Arrays of numpy and tensors of torch alike."""
    difference, total = x - y, x + y
    # Around zero squares are small, and what is subtracted from them below costs fewer digits.
    centre = total.mean().round()
    total -= centre
    mean_b, mean_bb = window(difference), window(difference * difference)
    mean_a, mean_aa = window(total), window(total * total)
    mean_b *= mean_b
    mean_bb -= mean_b
    mean_bb *= unbias
    mean_aa -= mean_a * mean_a
    mean_aa *= unbias
    mean_aa += mean_bb
    mean_aa *= 0.5
    mean_aa += _C2
    mean_bb /= mean_aa
    mean_a += centre
    mean_a *= mean_a
    mean_a += mean_b
    mean_a *= 0.5
    mean_a += _C1
    mean_b /= mean_a
    return (1 - mean_b) * (1 - mean_bb)


def _plane_by_plane(x: Tensor, y: Tensor, kernel: list[float], unbias: float) -> Tensor:
    """Sums of `_similarity` for each picture."""

    def total(one: NDArray[Any], other: NDArray[Any]) -> float:
        one, other = one.astype(np.float32), other.astype(np.float32)
        return float(_similarity(one, other, lambda z: _plane_window(z, kernel), unbias).sum(dtype=np.float64))

    pictures = zip(x.numpy(), y.numpy(), strict=True)
    sums = [sum(total(*planes) for planes in zip(*picture, strict=True)) for picture in pictures]
    return torch.tensor(sums, dtype=torch.float64)


def _plane_window(x: NDArray[np.float32], kernel: list[float]) -> NDArray[np.float32]:
    """`_window` of one plane (H, W), by OpenCV."""
    import cv2

    weights, reach = np.array(kernel, np.float32), len(kernel) // 2
    filtered = np.asarray(cv2.sepFilter2D(x, cv2.CV_32F, weights, weights), np.float32)
    valid = filtered[reach : x.shape[0] - reach, reach : x.shape[1] - reach]
    # A new array, rows back to back: what follows is twice as fast as on the cut-out.
    return np.multiply(valid, np.float32(1 / sum(kernel) ** 2))


def _window(x: Tensor, kernel: list[float]) -> Tensor:
    """Separable weighted mean over the valid region, by a symmetric kernel."""
    out = _along(_along(x, kernel, -1), kernel, -2)
    # Sums over the uniform window are whole numbers and exact until here.
    return out.mul_(1 / sum(kernel) ** 2)


def _along(x: Tensor, kernel: list[float], axis: int) -> Tensor:
    length, reach = x.shape[axis] - len(kernel) + 1, len(kernel) // 2
    out = x.narrow(axis, reach, length) * kernel[reach]
    for i in range(reach):
        out.add_(x.narrow(axis, i, length) + x.narrow(axis, 2 * reach - i, length), alpha=kernel[i])
    return out
