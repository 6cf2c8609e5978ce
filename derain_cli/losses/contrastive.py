"""The dual sample-augmented contrastive terms (eq. 5 to 8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from derain_cli.losses.features import FEATURE_WEIGHTS

__all__ = ["Contrast", "augmented_negatives", "contrastive_ratio", "layer_ratio"]

_EPS = 1e-6


class Contrast(NamedTuple):
    """A contrastive term.

    Attributes:
        loss: scalar, carries the gradient.
        ratio: mean uncapped ratio over pictures, negatives and layers, detached; for monitoring.
        capped: fraction of the ratios at the cap, which give no gradient, detached.
    """

    loss: Tensor
    ratio: Tensor
    capped: Tensor


def augmented_negatives(anchor: Tensor, layers: Tensor, rainy: Tensor) -> Tensor:
    """The negatives of eq. 5 and the original: (m, N, 3, P, P), detached, in [0, 1].

    Args:
        anchor: (N, 3, P, P), the derained pictures I.
        layers: (m - 1, 3, P, P) rain layers R^k from the memory bank; each is added to every picture.
        rainy: (N, 3, P, P), the original rainy pictures O, the last negative.
    """
    generated = anchor.detach()[None] + layers[:, None]
    return torch.cat([generated, rainy.detach()[None]]).clamp(0, 1)


def layer_ratio(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """d(positive, anchor) / d(negative, anchor) of one feature layer, per picture: (N, C, h, w) three times -> (N,).

    d is the mean squared difference; the inner fraction of eq. 6 and 8.
    """
    near = (positive - anchor).square().flatten(1).mean(1)
    far = (negative - anchor).square().flatten(1).mean(1)
    return near / (far + _EPS)


def contrastive_ratio(
    anchor: Sequence[Tensor],
    positive: Sequence[Tensor],
    negatives: Sequence[Sequence[Tensor]],
    *,
    cap: float,
    wanted: int | None = None,
    weights: Sequence[float] = FEATURE_WEIGHTS,
) -> Contrast:
    """Eq. 6 and 8: the sum over negatives k and layers i of omega_i times `layer_ratio`, then the batch mean.

    Only `anchor` should carry a gradient: pass the others detached.

    Args:
        anchor: features of the derained pictures, one (N, C_i, h_i, w_i) per layer.
        positive: of the clean pictures (or their transform, eq. 7), same shapes.
        negatives: per negative, per layer.
        cap: larger ratios are clamped to it and give no gradient; while I is close to O they reach 10^4.
        wanted: m; with fewer negatives (the bank is still filling up) the sum is scaled by m over their number.
        weights: omega_i.
    """
    total = anchor[0].new_zeros(anchor[0].shape[0])
    seen: list[Tensor] = []
    for negative in negatives:
        for weight, a, p, n in zip(weights, anchor, positive, negative, strict=True):
            ratio = layer_ratio(a, p, n)
            total = total + weight * ratio.clamp_max(cap)
            seen.append(ratio.detach())
    if wanted is not None:
        total = total * (wanted / len(negatives))
    ratios = torch.stack(seen)
    return Contrast(total.mean(), ratios.mean(), (ratios >= cap).float().mean())
