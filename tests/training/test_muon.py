"""Muon compared with the exact polar factor, and the parameters it ignores."""

from __future__ import annotations

import pytest
import torch

from derain_cli.training.muon import Muon, orthogonalise


def spread(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    """Matrices with singular values between 0.1 and 1, like gradients, at several scales."""
    generator = torch.Generator().manual_seed(seed)
    rank = min(rows, columns)
    made = []
    for scale in (1e-6, 1.0, 1e4):
        u = torch.linalg.qr(torch.randn(rows, rank, generator=generator)).Q
        v = torch.linalg.qr(torch.randn(columns, rank, generator=generator)).Q
        made.append(scale * u @ torch.diag(torch.logspace(-1, 0, rank)) @ v.mT)
    return torch.stack(made)


@pytest.mark.parametrize(("rows", "columns"), [(8, 72), (72, 8), (16, 16), (1, 9)])
def test_singular_values_come_out_near_one_and_the_directions_stay(rows, columns):
    matrices = spread(rows, columns)
    result = orthogonalise(matrices)
    values = torch.linalg.svdvals(result)
    assert values.min() > 0.6
    assert values.max() < 1.25
    u, _, vh = torch.linalg.svd(matrices.double(), full_matrices=False)
    exact = (u @ vh).float()
    for got, wanted in zip(result, exact, strict=True):
        cosine = (got * wanted).sum() / got.norm() / wanted.norm()
        assert cosine > 0.97


def test_zero_stays_zero():
    assert torch.equal(orthogonalise(torch.zeros(2, 3, 5)), torch.zeros(2, 3, 5))


@pytest.mark.parametrize("shape", [(8, 8, 3, 3), (4, 16, 1, 1), (16, 4, 3, 3)])
def test_the_step_has_the_size_that_the_rate_promises(shape):
    """A usual Adam step has a root mean square of 0.2 lr; this one too, whatever the scale of the gradient."""
    for scale in (1e-8, 1.0, 1e5):
        kernel = torch.zeros(shape, requires_grad=True)
        kernel.grad = scale * torch.randn(shape, generator=torch.Generator().manual_seed(1))
        Muon([kernel], lr=0.01).step()
        assert kernel.square().mean().sqrt().item() == pytest.approx(0.2 * 0.01, rel=0.25)
        assert (kernel * kernel.grad).sum() < 0


def test_a_loud_direction_does_not_drown_a_quiet_one():
    """The case it is made for: a rank-one gradient 100 times stronger than the rest."""
    quiet = torch.zeros(4, 36)
    quiet[1, 5] = 0.01
    loud = torch.zeros(4, 36)
    loud[0, :] = 1 / 6
    kernel = torch.zeros(4, 4, 3, 3, requires_grad=True)
    kernel.grad = (quiet + loud).view(4, 4, 3, 3)
    Muon([kernel], lr=1.0).step()
    moved = kernel.detach().flatten(1)
    assert moved[1, 5].abs() > 0.5 * moved[0].norm()


def test_momentum_carries_on_and_kernels_of_one_shape_do_not_mix():
    first, second = (torch.zeros(3, 3, 1, 1, requires_grad=True) for _ in range(2))
    optimizer = Muon([first, second], lr=0.1)
    first.grad, second.grad = torch.eye(3).view(3, 3, 1, 1), None
    optimizer.step()
    assert torch.equal(second, torch.zeros_like(second))
    first.grad = torch.zeros_like(first)
    before = first.detach().clone()
    optimizer.step()
    assert not torch.equal(first, before)


def test_it_solves_least_squares_that_badly_scaled_inputs_make_hard():
    """Inputs whose scales differ by a factor of 30: the loss ends far below its start."""
    generator = torch.Generator().manual_seed(3)
    inputs = torch.randn(256, 6, generator=generator) * torch.logspace(0, 1.5, 6)
    target = torch.randn(4, 6, generator=generator)
    kernel = torch.zeros(4, 6, 1, 1, requires_grad=True)
    losses = []
    optimizer = Muon([kernel], lr=0.5)
    for step in range(300):
        for group in optimizer.param_groups:
            group["lr"] = 0.5 * (1 - step / 300)
        optimizer.zero_grad()
        loss = (inputs @ (kernel.flatten(1) - target).mT).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]
