"""What changed between a rainy photo and its restored version, without ground truth.

Most figures are descriptions, not quality scores: a network that blurs everything removes a lot of streak energy too,
which is why what was kept is reported beside what was removed. NIQE, of the input and of the output, measures how
natural a picture's statistics are; it is blind to rain as such (fine streaks can pass for texture), and only its mean
over many pictures is meaningful.

Streaks are found with the structure tensor: the luma (BT.601, full range, 0..255) is high-pass filtered (gaussian,
sigma 4 px), Sobel gradients gx, gy are taken, and their products are averaged (gaussian, sigma 2 px). With

    energy e = sqrt((Jxx - Jyy)^2 + 4 Jxy^2)        difference of the tensor's eigenvalues: lines and edges, not grain
    tilt   t = |atan2(2 Jxy, Jxx - Jyy)| / 2        of the line from the vertical, 0 to 90 degrees

energy with t <= 30 degrees counts as streak-like: one third of it, if no direction is preferred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from derain_cli.errors import InputError
from derain_cli.metrics.niqe import niqe

__all__ = ["FIGURES", "Figures", "figures"]

FIGURES: dict[str, str] = {
    "streak_energy_removed": "share of the near-vertical line energy of the input that the output lacks",
    "other_energy_kept": "line energy in all other directions, output over input",
    "gradient_energy_kept": "squared gradients of the luma, output over input",
    "streak_share_of_removed": "near-vertical share of the line energy of what was removed; 1/3: no preference",
    "mean_change": "mean absolute difference of output and input, levels of 255",
    "colour_shift": "largest difference between channel means, levels of 255",
    "niqe_input": "NIQE (Mittal et al. 2013, with its authors' model) of the input; lower is more natural",
    "niqe_output": "NIQE of the output; omitted for pictures smaller than two blocks of 96x96 pixels",
}
"""Description of each figure, for reports."""

_COARSE, _AVERAGE, _BAND_DEGREES = 4.0, 2.0, 30.0
_LEAST = 16


@dataclass(frozen=True)
class Figures:
    """See `FIGURES`; shares are in [0, 1] if the output has no more energy than the input."""

    streak_energy_removed: float
    other_energy_kept: float
    gradient_energy_kept: float
    streak_share_of_removed: float
    mean_change: float
    colour_shift: float
    niqe_input: float | None = None
    niqe_output: float | None = None

    @staticmethod
    def mean(rows: Sequence[Figures]) -> Figures:
        """Mean of each figure over the pictures that have it."""

        def mean(name: str) -> Any:
            values = [value for row in rows if (value := getattr(row, name)) is not None]
            return fmean(values) if values else None

        return Figures(**{name: mean(name) for name in FIGURES})

    def as_dict(self) -> dict[str, float]:
        """By name, without the figures that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def figures(rainy: Tensor, restored: Tensor) -> Figures:
    """Figures of one photo, (1, 3, H, W) uint8, before and after.

    Raises:
        InputError: the sizes differ, or a side is below 16 pixels.
    """
    if rainy.shape != restored.shape:
        raise InputError(f"sizes differ: {tuple(rainy.shape[-2:])} and {tuple(restored.shape[-2:])}")
    if min(rainy.shape[-2:]) < _LEAST:
        raise InputError(f"figures without ground truth need pictures of at least {_LEAST}x{_LEAST} pixels")
    before, after = rainy.float(), restored.float()
    streaks_before, others_before = _oriented_energy(_luma(before))
    streaks_after, others_after = _oriented_energy(_luma(after))
    streaks_removed, others_removed = _oriented_energy(_luma(before - after))
    difference = after - before
    return Figures(
        streak_energy_removed=1 - _ratio(streaks_after, streaks_before),
        other_energy_kept=_ratio(others_after, others_before),
        gradient_energy_kept=_ratio(_gradient_energy(after), _gradient_energy(before)),
        streak_share_of_removed=_ratio(streaks_removed, streaks_removed + others_removed, empty=0.0),
        mean_change=float(difference.abs().mean()),
        colour_shift=float(difference.mean(dim=(0, 2, 3)).abs().max()),
        niqe_input=niqe(_levels(rainy)),
        niqe_output=niqe(_levels(restored)),
    )


def _levels(picture: Tensor) -> NDArray[np.uint8]:
    return picture[0].permute(1, 2, 0).cpu().numpy()


def _ratio(part: float, whole: float, empty: float = 1.0) -> float:
    return part / whole if whole > 1e-6 else empty


def _luma(picture: Tensor) -> Tensor:
    weights = picture.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (picture * weights).sum(1, keepdim=True)


def _blur(x: Tensor, sigma: float) -> Tensor:
    reach = min(math.ceil(3 * sigma), min(x.shape[-2:]) - 1)
    offset = torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-offset.square() / (2 * sigma**2))
    kernel = kernel / kernel.sum()
    x = F.conv2d(F.pad(x, (reach, reach, 0, 0), mode="reflect"), kernel.view(1, 1, 1, -1))
    return F.conv2d(F.pad(x, (0, 0, reach, reach), mode="reflect"), kernel.view(1, 1, -1, 1))


def _gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    sobel = x.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8
    both = F.conv2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), torch.stack([sobel, sobel.T])[:, None])
    return both[:, :1], both[:, 1:]


def _gradient_energy(picture: Tensor) -> float:
    gx, gy = _gradients(_luma(picture))
    return float((gx.square() + gy.square()).mean())


def _oriented_energy(luma: Tensor) -> tuple[float, float]:
    """Mean line energy over the picture: near the vertical, and in all other directions."""
    gx, gy = _gradients(luma - _blur(luma, _COARSE))
    jxx, jyy, jxy = (_blur(product, _AVERAGE) for product in (gx * gx, gy * gy, gx * gy))
    energy = torch.sqrt((jxx - jyy).square() + 4 * jxy.square())
    tilt = torch.atan2(2 * jxy, jxx - jyy).abs() / 2
    near = tilt <= math.radians(_BAND_DEGREES)
    return float((energy * near).mean()), float((energy * ~near).mean())
