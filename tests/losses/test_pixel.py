"""Pixel losses compared with their formulas, element by element."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.config import OptimConfig
from derain_cli.losses.pixel import PIXEL_LOSSES, charbonnier, l1, log_l1, rmse


def slow_l1(a, b):
    return float(np.mean([abs(x - y) for x, y in zip(a.flatten(), b.flatten(), strict=True)]))


def slow_charbonnier(a, b):
    return float(np.mean([math.sqrt((x - y) ** 2 + 1e-6) for x, y in zip(a.flatten(), b.flatten(), strict=True)]))


def slow_log_l1(a, b):
    return 0.1 * float(np.mean([math.log(slow_l1(x, y) + 0.01) for x, y in zip(a, b, strict=True)]))


def slow_rmse(a, b):
    per_picture = [
        np.mean([(x - y) ** 2 for x, y in zip(p.flatten(), q.flatten(), strict=True)])
        for p, q in zip(a, b, strict=True)
    ]
    return float(np.mean([math.sqrt(mean + 1e-6) for mean in per_picture]))


SLOW = {"l1": slow_l1, "charbonnier": slow_charbonnier, "log_l1": slow_log_l1, "rmse": slow_rmse}


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(sorted(SLOW)), st.integers(0, 10_000), st.integers(1, 3), st.integers(1, 6))
def test_losses_are_their_formulas(name, seed, number, side):
    rng = np.random.default_rng(seed)
    a, b = rng.normal(0.5, 1, (2, number, 3, side, side))  # raw outputs may exceed [0, 1]
    found = PIXEL_LOSSES[name](torch.from_numpy(a), torch.from_numpy(b))
    assert float(found) == pytest.approx(SLOW[name](a, b), rel=1e-12, abs=1e-12)


def test_every_loss_an_option_names_is_there():
    assert set(PIXEL_LOSSES) == {"l1", "charbonnier", "log_l1", "rmse"} == set(SLOW)
    for name in PIXEL_LOSSES:
        assert OptimConfig(loss=name).loss == name


@pytest.mark.parametrize("name", sorted(SLOW))
def test_gradients_are_finite_where_there_is_no_difference(name):
    truth = torch.rand(2, 3, 4, 4)
    restored = truth.clone().requires_grad_(True)
    PIXEL_LOSSES[name](restored, truth).backward()
    assert restored.grad is not None
    assert bool(torch.isfinite(restored.grad).all())
    assert float(restored.grad.abs().max()) == 0.0


@pytest.mark.parametrize("name", sorted(SLOW))
def test_gradients_are_those_of_finite_differences(name):
    torch.manual_seed(0)
    truth = torch.rand(2, 3, 3, 3, dtype=torch.float64)
    sign = torch.where(torch.rand_like(truth) < 0.5, -1.0, 1.0)
    restored = (truth + sign * (0.1 + torch.rand_like(truth))).requires_grad_(True)  # away from the kink
    assert torch.autograd.gradcheck(lambda x: PIXEL_LOSSES[name](x, truth), [restored])


@pytest.mark.parametrize("name", sorted(SLOW))
def test_nothing_is_clamped_so_gradients_reach_every_pixel(name):
    restored = torch.tensor([-3.0, 4.0, 0.5]).view(1, 3, 1, 1).requires_grad_(True)
    PIXEL_LOSSES[name](restored, torch.full((1, 3, 1, 1), 0.4)).backward()
    assert restored.grad is not None
    assert restored.grad.sign().flatten().tolist() == [-1, 1, 1]


def test_charbonnier_is_l1_but_at_zero():
    a, b = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8)
    assert float(charbonnier(a, b)) == pytest.approx(float(l1(a, b)), rel=1e-2)
    assert float(charbonnier(a, a)) == pytest.approx(1e-3, rel=1e-6)
    assert float(charbonnier(a, b)) >= float(l1(a, b))


def test_logarithm_weighs_light_and_heavy_pictures_alike():
    """Halving the error of a lightly rained picture counts nearly as much as halving that of a heavy one."""
    truth = torch.full((2, 3, 8, 8), 0.5)
    error = torch.tensor([0.1, 0.4]).view(2, 1, 1, 1)
    start = float(log_l1(truth + error, truth))
    gains = []
    for which in range(2):
        halved = error.clone()
        halved[which] *= 0.5
        gains.append(start - float(log_l1(truth + halved, truth)))
    assert gains[0] == pytest.approx(gains[1], rel=0.15)
    assert gains[0] > 0


def test_root_mean_square_weighs_pictures_alike_and_pixels_by_their_error():
    """Like PSNR: equal gradient norms for a light and a heavy picture; within a picture, large errors count most."""
    truth = torch.full((2, 3, 8, 8), 0.5)
    error = torch.full((2, 3, 8, 8), 0.1)
    error[1] *= 4
    error[:, :, 0, 0] *= 3
    restored = (truth + error).requires_grad_(True)
    rmse(restored, truth).backward()
    assert restored.grad is not None
    light, heavy = restored.grad.flatten(1).norm(dim=1).tolist()
    assert light == pytest.approx(heavy, rel=1e-3)
    assert float(restored.grad[0, 0, 0, 0] / restored.grad[0, 0, 4, 4]) == pytest.approx(3, rel=1e-4)


@pytest.mark.parametrize("name", sorted(SLOW))
def test_smaller_errors_cost_less(name):
    truth = torch.rand(1, 3, 8, 8)
    costs = [float(PIXEL_LOSSES[name](truth + error, truth)) for error in (0.0, 0.01, 0.1, 1.0)]
    assert costs == sorted(costs)
    assert len(set(costs)) == 4
