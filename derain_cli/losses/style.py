"""The positive transform of eq. 7, applied in the feature space in which eq. 8 compares.

The paper transfers the style of the derained real photo I_r to an unpaired clean picture B_r with a trained
AdaAttN in pixel space, whose weights are not available. Here the features of B_r are matched to the statistics of
the features of I_r directly, layer by layer, so no decoder is needed.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["POSITIVE_TRANSFORMS", "attention_statistics", "channel_statistics", "normalised", "unchanged"]

_EPS = 1e-5


def normalised(features: Tensor) -> Tensor:
    """(N, C, h, w) -> the same shape with mean 0 and variance 1 over h and w, per picture and channel."""
    variance, mean = torch.var_mean(features, dim=(2, 3), keepdim=True, unbiased=False)
    return (features - mean) * torch.rsqrt(variance + _EPS)


def channel_statistics(content: Tensor, style: Tensor) -> Tensor:
    """AdaIN (Huang and Belongie 2017): `content` with the channel means and standard deviations of `style`.

    Args:
        content: (N, C, h, w) features of the clean picture B_r.
        style: (N, C, h', w') features of the derained real photo I_r.
    """
    variance, mean = torch.var_mean(style, dim=(2, 3), keepdim=True, unbiased=False)
    return normalised(content) * torch.sqrt(variance + _EPS) + mean


def attention_statistics(content: Tensor, style: Tensor) -> Tensor:
    """Attention-weighted statistics in the manner of AdaAttN (Liu et al. 2021), without its learned projections.

    Each position of `content` attends to the positions of `style` that are similar after normalisation; the
    attention-weighted mean and standard deviation of the style features replace its own:
    S * normalised(content) + M with M = A V and S = sqrt(A V^2 - M^2). Scores are divided by sqrt(C), since there is
    no learned projection to keep the softmax soft.

    Args:
        content: (N, C, h, w) features of the clean picture B_r.
        style: (N, C, h', w') features of the derained real photo I_r.
    """
    channels = content.shape[1]
    query = normalised(content).flatten(2).transpose(1, 2)
    key = normalised(style).flatten(2)
    value = style.flatten(2).transpose(1, 2)
    attention = torch.softmax(query @ key / channels**0.5, dim=-1)
    # Centred first, to avoid cancellation in the difference of two large squares.
    centre = value.mean(1, keepdim=True)
    value = value - centre
    mean = attention @ value
    deviation = (attention @ value.square() - mean.square()).clamp_min(0).sqrt()
    moved = deviation * query + mean + centre
    return moved.transpose(1, 2).reshape(content.shape)


def unchanged(content: Tensor, style: Tensor) -> Tensor:
    """`content` unchanged: contrast against unpaired clean pictures without a transform."""
    return content


POSITIVE_TRANSFORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "adaattn": attention_statistics,
    "statistics": channel_statistics,
    "none": unchanged,
}
"""Keyed by the name used in `contrast.positive`."""
