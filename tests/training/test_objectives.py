"""The supervised objective: eq. 10 to 12 without the contrastive term."""

from __future__ import annotations

import pytest
import torch

from derain_cli.config import ModelConfig, OptimConfig
from derain_cli.data.loaders import Batch
from derain_cli.training.objectives import Supervised, run_network

TINY = ModelConfig(width=4, blocks=1)


def batch(seed=0, real=0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return Batch(torch.rand(2, 2, 3, 16, 16, generator=generator), torch.rand(real, 3, 16, 16, generator=generator))


@pytest.mark.parametrize("weight", [0.0, 0.3, 0.5])
def test_the_sum_is_the_paper_s(network, weight):
    model, pairs = network(TINY), batch()
    losses = Supervised(OptimConfig(rain_weight=weight), autocast=False)(model, pairs, step=0)
    rainy, clean = pairs.pairs.unbind(1)
    layers = model(rainy)
    detail = (layers.derained - clean).abs().mean()
    rain = (layers.rain - (rainy - clean)).abs().mean()  # eq. 11 literally: f(O) against O - B
    assert float(losses.total.detach()) == pytest.approx(float((detail + weight * rain).detach()), abs=1e-6)
    assert float(losses.parts["detail"]) == pytest.approx(float(detail.detach()), abs=1e-6)
    assert float(losses.parts["rain"]) == pytest.approx(float(rain.detach()), abs=1e-6)


@pytest.mark.parametrize("loss", ["l1", "charbonnier", "log_l1"])
def test_the_gradient_reaches_every_parameter_and_the_parts_carry_none(network, loss):
    model = network(TINY).train()
    losses = Supervised(OptimConfig(loss=loss), autocast=False)(model, batch(), step=3)
    assert all(not part.requires_grad for part in losses.parts.values())
    losses.total.backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in model.parameters())


def test_nothing_to_repair_costs_nothing(network):
    model = network(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    clean = torch.rand(1, 3, 16, 16)
    dry = Batch(torch.stack([clean, clean], dim=1), torch.empty(0, 3, 16, 16))
    losses = Supervised(OptimConfig(), autocast=False)(model, dry, step=0)
    assert float(losses.total.detach()) == 0.0


def test_under_autocast_the_losses_are_still_float32_and_near(network):
    model, pairs = network(TINY), batch()
    half = Supervised(OptimConfig(), autocast=True)(model, pairs, step=0)
    full = Supervised(OptimConfig(), autocast=False)(model, pairs, step=0)
    assert half.total.dtype == torch.float32
    assert float(half.total.detach()) == pytest.approx(float(full.total.detach()), rel=0.02)
    assert float(half.total.detach()) != float(full.total.detach())


def test_there_is_no_state():
    objective = Supervised(OptimConfig(), autocast=False)
    assert objective.state_dict() == {}
    objective.load_state_dict({})
    with pytest.raises(ValueError, match="bank"):
        objective.load_state_dict({"bank": torch.zeros(1)})


def test_the_batch_statistics_see_real_patches_and_the_loss_does_not(network):
    without, beside = network(TINY).train(), network(TINY).train()
    together = batch(real=3)
    labelled = Batch(together.pairs, together.real[:0])
    run_network(without, labelled, autocast=False)
    outputs = run_network(beside, together, autocast=False)
    assert outputs.derained.shape == (2, 3, 16, 16) and outputs.real_derained.shape == (3, 3, 16, 16)
    same = [
        torch.equal(a, b) for a, b in zip(without.buffers(), beside.buffers(), strict=True) if a.is_floating_point()
    ]
    assert not any(same)
    slow = beside(torch.cat([together.pairs[:, 0], together.real]))
    assert torch.allclose(torch.cat([outputs.derained, outputs.real_derained]), slow.derained, atol=1e-4)
    assert torch.allclose(torch.cat([outputs.rain, outputs.real_rain]), slow.rain, atol=1e-4)
    model = network(TINY)  # in evaluation mode pictures are independent of each other
    objective = Supervised(OptimConfig(), autocast=False)
    with torch.no_grad():
        totals = [float(objective(model, each, 0).total) for each in (together, labelled)]
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
