"""PSNR and SSIM in the two protocols used in the literature, batched, on any device.

`rgb`: PSNR over the three channels; SSIM per channel with a uniform 7x7 window and sample covariance
    (scikit-image's defaults, the code of the authors of DRD-Net).
`y`: MATLAB's luma (`rgb2ycbcr`, 16 to 235) of the uint8 picture, rounded; SSIM with a gaussian 11x11
    window, sigma 1.5, over the valid region (Wang et al. 2004), as in most published tables.

Both work on 8-bit pictures: values in [0, 1] are clamped and rounded to 0..255 first, as when a picture is
written. Nothing is resized and no border is cropped.

Scoring must be cheap compared with the network being measured. On a CPU, OpenCV and numpy work on uint8 levels, several
times faster than torch's single-channel convolution and on the calling thread only: torch would wake more threads,
which stall those of the network. Sums over the uniform window are integers there and exact; only the final divisions
(float32) round.

The gaussian window, and both windows on other devices, are computed in float32 on a = x + y and b = x - y:

    SSIM = (1 - mean(b)^2 / ((mean(a)^2 + mean(b)^2) / 2 + C1)) (1 - var(b) / ((var(a) + var(b)) / 2 + C2)),

which is the formula of Wang et al. rearranged: four windowed means instead of five, and rounding errors scale with
1 - SSIM, so float32 is enough (within 1e-7 of float64).
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
    "score_levels",
    "ssim",
]

Levels = NDArray[np.uint8]
Array = NDArray[Any]
Protocol = Literal["rgb", "y"]
PROTOCOLS: tuple[Protocol, ...] = ("rgb", "y")

IDENTICAL_PSNR = 100.0
"""PSNR assigned to identical pictures, in dB: the true value is infinite and would make every mean infinite."""

DEFINITIONS: dict[Protocol, str] = {
    "rgb": "PSNR over R, G and B; SSIM per channel, uniform 7x7 window, sample covariance, range 255 (scikit-image)",
    "y": "MATLAB luma (16 to 235) of the uint8 picture, rounded; PSNR of range 255; SSIM gaussian 11x11, valid region",
}
"""Description of each protocol, for reports."""

_K1, _K2, _RANGE = 0.01, 0.03, 255.0
_C1, _C2 = (_K1 * _RANGE) ** 2, (_K2 * _RANGE) ** 2

_GPU_BLOCK = 4_000_000
"""Values of a picture processed at a time on a GPU, so that memory stays bounded for any picture size."""
_CPU_STRIP = 150_000
"""Values of a picture processed at a time on a CPU: intermediate arrays of this size stay in cache (measured)."""


class Score(NamedTuple):
    """PSNR in dB and SSIM in [-1, 1] of one picture (or means of many)."""

    psnr: float
    ssim: float


def quantise(picture: Tensor) -> Tensor:
    """Floats in [0, 1] to 8-bit levels: float32 in 0..255, clamped and rounded, not truncated.

    uint8 pictures are returned unchanged.
    """
    if picture.dtype == torch.uint8:
        return picture
    return (picture.float().clamp(0, 1) * 255).round()


def luma(picture: Tensor) -> Tensor:
    """(N, 3, H, W) levels 0..255 -> (N, 1, H, W) float32 in 16..235: Y of MATLAB's `rgb2ycbcr` for uint8 (BT.601).

    Exactly rounded: the sum is computed in integers.
    """
    red, green, blue = picture.to(torch.int32).unbind(1)
    weighted = _LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue
    return (torch.div(weighted * 73 + 42_500, 85_000, rounding_mode="floor") + 16)[:, None].float()


def psnr(one: Tensor, other: Tensor) -> Tensor:
    """(N, C, H, W) twice, in 0..255 -> (N,) dB; `IDENTICAL_PSNR` for identical pictures."""
    total = torch.zeros(one.shape[0], dtype=_wide(one), device=one.device)
    for rows in _strips(one.shape[-2], one[..., 0, :].numel(), _GPU_BLOCK):
        difference = one[..., rows, :].to(total.dtype) - other[..., rows, :].to(total.dtype)
        total += difference.square().flatten(1).sum(1)
    mse = total / math.prod(one.shape[1:])
    return torch.where(mse == 0, IDENTICAL_PSNR, 10 * torch.log10(_RANGE**2 / mse.clamp_min(1e-30)))


def ssim(one: Tensor, other: Tensor, *, window: Window) -> Tensor:
    """(N, C, H, W) twice, in 0..255 -> (N,) mean structural similarity over channels and the valid region.

    Args:
        one: pictures.
        other: pictures of the same size.
        window: `uniform` is 7x7 with sample covariance (divides by 48), `gaussian` 11x11, sigma 1.5, population.

    Raises:
        InputError: the pictures are smaller than the window.
    """
    kernel, unbias = _KERNELS[window]
    height, width = one.shape[-2:]
    _refuse_small(height, width, len(kernel))
    reach = len(kernel) - 1
    total = torch.zeros(one.shape[0], dtype=_wide(one), device=one.device)
    for rows in _strips(height, one[..., 0, :].numel(), _GPU_BLOCK, reach):
        x, y = one[..., rows, :].float(), other[..., rows, :].float()
        total += _similarity(x, y, lambda z: _window(z, kernel), unbias).flatten(1).sum(1)
    return total / (one.shape[1] * (height - reach) * (width - reach))


def score(restored: Tensor, truth: Tensor) -> list[dict[Protocol, Score]]:
    """Both protocols for each picture of a batch; (N, 3, H, W) twice, floats in [0, 1] or uint8.

    Raises:
        InputError: the sizes differ (nothing is ever resized), or a picture is smaller than 11x11.
    """
    if restored.shape != truth.shape:
        raise InputError(f"sizes differ: {tuple(restored.shape[-2:])} and {tuple(truth.shape[-2:])}")
    a, b = quantise(restored), quantise(truth)
    if a.device.type == "cpu":
        return [score_levels(*both) for both in zip(_levels(a), _levels(b), strict=True)]
    rgb = zip(psnr(a, b).tolist(), ssim(a, b, window="uniform").tolist(), strict=True)
    ya, yb = luma(a), luma(b)
    y = zip(psnr(ya, yb).tolist(), ssim(ya, yb, window="gaussian").tolist(), strict=True)
    return [{"rgb": Score(*r), "y": Score(*s)} for r, s in zip(rgb, y, strict=True)]


def _gaussian(reach: int, sigma: float) -> list[float]:
    weights = [math.exp(-((i - reach) ** 2) / (2 * sigma**2)) for i in range(2 * reach + 1)]
    return [w / sum(weights) for w in weights]


Window = Literal["uniform", "gaussian"]
_KERNELS: dict[Window, tuple[list[float], float]] = {
    "uniform": ([1.0] * 7, 49 / 48),
    "gaussian": (_gaussian(5, 1.5), 1.0),
}
"""Separable kernel, and the factor that turns its variances into those of the protocol (sample or population)."""

_LUMA = (299, 587, 114)
"""Thousandths of BT.601's luma. MATLAB's weights are 219/255 times these, and 219/255000 is 73/85000."""


def _wide(picture: Tensor) -> torch.dtype:
    """Accumulator dtype: float64, except on Apple GPUs, which lack it."""
    return torch.float32 if picture.device.type == "mps" else torch.float64


def _refuse_small(height: int, width: int, side: int) -> None:
    if min(height, width) < side:
        raise InputError(f"SSIM needs pictures of at least {side}x{side} pixels")


def _strips(height: int, row: int, most: int, reach: int = 0) -> Iterator[slice]:
    """Row slices of about `most` values each, whose valid regions (`reach` rows fewer) tile that of the picture.

    Args:
        height: of the picture, in rows.
        row: values per row.
        most: values per strip; exceeded where a strip would be mostly overlap.
        reach: rows lost to the window.
    """
    step = max(most // row, 4 * reach, 1)
    for top in range(0, height - reach, step):
        yield slice(top, min(top + step + reach, height))


def _similarity(x: Any, y: Any, window: Callable[[Any], Any], unbias: float) -> Any:
    """SSIM at every pixel of the valid region; levels 0..255, float32. Takes numpy arrays or torch tensors."""
    difference, total = x - y, x + y
    # Centred at zero, squares are small, and the subtractions below cancel fewer digits.
    shift, centre = difference.mean().round(), total.mean().round()
    difference -= shift
    total -= centre
    mean_b, mean_bb = window(difference), window(difference * difference)
    mean_a, mean_aa = window(total), window(total * total)
    mean_bb -= mean_b * mean_b
    mean_bb *= unbias
    mean_aa -= mean_a * mean_a
    mean_aa *= unbias
    mean_aa += mean_bb
    mean_aa *= 0.5
    mean_aa += _C2
    mean_bb /= mean_aa
    mean_b += shift
    mean_b *= mean_b
    mean_a += centre
    mean_a *= mean_a
    mean_a += mean_b
    mean_a *= 0.5
    mean_a += _C1
    mean_b /= mean_a
    return (1 - mean_b) * (1 - mean_bb)


def _window(x: Tensor, kernel: list[float]) -> Tensor:
    """Separable weighted mean over the valid region, with a symmetric kernel."""
    out = _along(_along(x, kernel, -1), kernel, -2)
    # Up to here, sums over the uniform window are integers and exact.
    return out.mul_(1 / sum(kernel) ** 2)


def _along(x: Tensor, kernel: list[float], axis: int) -> Tensor:
    length, reach = x.shape[axis] - len(kernel) + 1, len(kernel) // 2
    out = x.narrow(axis, reach, length) * kernel[reach]
    for i in range(reach):
        out.add_(x.narrow(axis, i, length) + x.narrow(axis, 2 * reach - i, length), alpha=kernel[i])
    return out


# --- uint8 levels on a CPU --------------------------------------------------------------------------------------------


def _levels(pictures: Tensor) -> Iterator[Levels]:
    """(N, 3, H, W) levels as N arrays (H, W, 3) uint8."""
    for picture in pictures.to(torch.uint8).numpy():
        yield picture.transpose(1, 2, 0)


def score_levels(restored: Levels, truth: Levels) -> dict[Protocol, Score]:
    """`score` for one picture: (H, W, 3) uint8 twice, on the calling thread only.

    Raises:
        InputError: the sizes differ (nothing is ever resized), or a side is below 11 pixels.
    """
    if restored.shape != truth.shape:
        raise InputError(f"sizes differ: {restored.shape[:2]} and {truth.shape[:2]}")
    _refuse_small(truth.shape[0], truth.shape[1], len(_KERNELS["gaussian"][0]))
    restored, truth = np.ascontiguousarray(restored), np.ascontiguousarray(truth)
    y, y_truth = _luma_levels(restored), _luma_levels(truth)
    return {
        "rgb": Score(_psnr_levels(restored, truth), _ssim_levels(restored, truth, _uniform_sum, 6)),
        "y": Score(_psnr_levels(y, y_truth), _ssim_levels(y, y_truth, _gaussian_sum, 10)),
    }


def _luma_levels(picture: Levels) -> Levels:
    """`luma` of (H, W, 3) uint8 as (H, W) uint8."""
    import cv2

    out = np.empty(picture.shape[:2], np.uint8)
    for rows in _strips(picture.shape[0], picture[0].size, _CPU_STRIP):
        # Integers below 2^24, which float32 represents exactly.
        weighted = cv2.transform(picture[rows].astype(np.float32), np.array([_LUMA], np.float32)).astype(np.int32)
        weighted *= 73
        weighted += 42_500
        weighted //= 85_000
        weighted += 16
        out[rows] = weighted
    return out


def _psnr_levels(one: Levels, other: Levels) -> float:
    import cv2

    mse = float(cv2.norm(one, other, cv2.NORM_L2SQR)) / one.size
    return IDENTICAL_PSNR if mse == 0 else 10 * math.log10(_RANGE**2 / mse)


def _ssim_levels(one: Levels, other: Levels, similarity: Callable[[Levels, Levels], float], reach: int) -> float:
    height, width = one.shape[:2]
    strips = _strips(height, one[0].size, _CPU_STRIP, reach)
    total = math.fsum(similarity(one[rows], other[rows]) for rows in strips)
    places: int = (height - reach) * (width - reach) * (one[0].size // width)
    return total / places


def _uniform_sum(x: Levels, y: Levels) -> float:
    """Sum of SSIM over the valid region and the channels of (H, W, C) uint8, uniform 7x7, sample covariance.

    With sums S over the window of n = 49 pixels and d = x - y, numerators and denominators times n^2,

        SSIM = (1 - D / (M + n^2 C1)) (1 - E / (V + n^2 C2 48/49))
        D = (Sx - Sy)^2,  M = Sx^2 + Sy^2,  E = n Sdd - D,  V = E + 2 (n Sxy - Sx Sy)

    where D, M, E and V are all integers below 2^31.
    """
    import cv2

    def window(values: Array) -> Array:
        return np.asarray(cv2.boxFilter(values, cv2.CV_32S, (7, 7), normalize=False), np.int32)[3:-3]

    x_sum, y_sum = window(x), window(y)
    difference = cv2.absdiff(x, y).astype(np.uint16)
    error = window(difference * difference)
    covariance = window(x.astype(np.uint16) * y)
    error *= 49
    covariance *= 49
    product = x_sum * y_sum
    covariance -= product
    x_sum -= y_sum
    x_sum *= x_sum
    error -= x_sum
    # From here on D, M, E and V are halved.
    lost_structure, lost_mean = error.astype(np.float32), x_sum.astype(np.float32)
    lost_structure *= 0.5
    lost_mean *= 0.5
    below = covariance.astype(np.float32)
    below += lost_structure
    below += np.float32(_C2 * 49 * 48 / 2)
    lost_structure /= below
    below = product.astype(np.float32)
    below += lost_mean
    below += np.float32(_C1 * 49 * 49 / 2)
    lost_mean /= below
    lost_structure -= 1
    lost_mean -= 1
    lost_structure *= lost_mean
    return float(sum(cv2.sumElems(lost_structure[:, 3:-3])))


def _gaussian_sum(x: Levels, y: Levels) -> float:
    """Sum of SSIM over the valid region of (H, W) uint8, gaussian 11x11."""
    import cv2

    kernel = np.array(_KERNELS["gaussian"][0], np.float32)

    def window(values: Array) -> Array:
        return np.asarray(cv2.sepFilter2D(values, cv2.CV_32F, kernel, kernel), np.float32)[5:-5]

    similarity = _similarity(x.astype(np.float32), y.astype(np.float32), window, 1.0)
    return float(cv2.sumElems(similarity[:, 5:-5])[0])
