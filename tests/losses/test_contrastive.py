"""Equations 5, 6 and 8 against a slow implementation."""

from __future__ import annotations

import torch
from torch import Tensor

from derain_cli.losses.contrastive import augmented_negatives, contrastive_ratio, layer_ratio


def random(seed: int, *size: int) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def stacks(seed: int) -> list[Tensor]:
    return [random(seed * 10 + i, 3, 4 * (i + 1), 4, 5 - i) for i in range(3)]


def test_negatives_are_the_derained_picture_with_other_rain_and_the_original() -> None:
    anchor = random(0, 2, 3, 4, 4).requires_grad_()
    layers, rainy = random(1, 4, 3, 4, 4), random(2, 2, 3, 4, 4)
    negatives = augmented_negatives(anchor, layers, rainy)
    assert negatives.shape == (5, 2, 3, 4, 4) and not negatives.requires_grad
    for k in range(4):
        for n in range(2):
            torch.testing.assert_close(negatives[k, n], (anchor[n].detach() + layers[k]).clamp(0, 1))
    torch.testing.assert_close(negatives[4], rainy)


def test_without_layers_the_original_is_the_only_negative() -> None:
    assert augmented_negatives(random(0, 2, 3, 4, 4), random(1, 0, 3, 4, 4), random(2, 2, 3, 4, 4)).shape[0] == 1


def test_the_ratio_is_the_sum_of_the_equation() -> None:
    anchor, positive, negatives = stacks(1), stacks(2), [stacks(3), stacks(4)]
    expected = 0.0
    for n in range(3):
        for negative in negatives:
            for weight, a, p, g in zip((0.2, 0.5, 1.0), anchor, positive, negative, strict=True):
                near = sum(float(v) ** 2 for v in (p[n] - a[n]).flatten()) / a[n].numel()
                far = sum(float(v) ** 2 for v in (g[n] - a[n]).flatten()) / a[n].numel()
                expected += weight * near / (far + 1e-6) / 3
    term = contrastive_ratio(anchor, positive, negatives, cap=1e9)
    assert abs(float(term.loss) - expected) < 1e-9
    assert float(term.capped) == 0
    doubled = contrastive_ratio(anchor, positive, negatives, cap=1e9, wanted=4)
    torch.testing.assert_close(doubled.loss, 2 * term.loss)


def test_a_capped_ratio_gives_no_gradient() -> None:
    anchor = [a.requires_grad_() for a in stacks(1)]
    positive = [a.detach() + 1 for a in anchor]
    close = [a.detach() + 1e-4 for a in anchor]
    term = contrastive_ratio(anchor, positive, [close], cap=10.0)
    term.loss.backward()
    assert float(term.capped) == 1 and float(term.ratio) > 1e3
    assert all(float(a.grad.abs().max()) == 0 for a in anchor if a.grad is not None)
    assert abs(float(term.loss.detach()) - 10 * 1.7) < 1e-9


def test_an_anchor_on_the_positive_scores_zero_and_on_the_negative_the_cap() -> None:
    picture, other = random(0, 2, 3, 4, 4), random(1, 2, 3, 4, 4)
    assert float(layer_ratio(picture, picture, other).max()) == 0
    assert float(layer_ratio(other, picture, other).min()) > 1e4


def test_the_gradient_pulls_to_the_positive_and_away_from_the_negative() -> None:
    anchor = [torch.zeros(1, 1, 1, 1, dtype=torch.float64, requires_grad=True)]
    positive, negative = [torch.ones(1, 1, 1, 1)], [-torch.ones(1, 1, 1, 1)]
    contrastive_ratio(anchor, positive, [negative], cap=100.0, weights=(1.0,)).loss.backward()
    assert anchor[0].grad is not None and float(anchor[0].grad) < 0
