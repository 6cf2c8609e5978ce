"""The training form with frozen statistics compared with the network itself."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from derain_cli.config import ModelConfig
from derain_cli.model import build
from derain_cli.model.attach import attach_drn
from derain_cli.model.frozen import FrozenForm, has_frozen_form
from tests.model.test_semi_drdnet import FORMS, name

TAKEN = [form for form in FORMS if form.detail != "msarr"]


def freed(model):
    """In evaluation mode, with gradients, every parameter away from its initial value."""
    model = model.eval().to(memory_format=torch.channels_last).requires_grad_(True)
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return model


def layers_and_gradients(form, model, rainy):
    """All layers, and the gradient of a loss that involves all of them."""
    model.zero_grad(set_to_none=True)
    layers = form(rainy)
    weights = [torch.linspace(-1, 1, layer.numel(), dtype=layer.dtype).view_as(layer) for layer in layers]
    sum((layer * weight).sum() + layer.square().sum() for layer, weight in zip(layers, weights, strict=True)).backward()
    return layers, {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("config", TAKEN, ids=name)
def test_layers_and_gradients_are_those_of_the_network(config, network):
    """Equal up to rounding in fp64: the same function of the same parameters, including gates and batch statistics."""
    model = freed(network(config).double())
    rainy = torch.rand(2, 3 * config.frames, 13, 18, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    plain, exact = layers_and_gradients(model, model, rainy)
    ours, found = layers_and_gradients(FrozenForm(model, torch.float64), model, rainy)
    for one, other in zip(ours, plain, strict=True):
        assert torch.allclose(one, other, rtol=1e-10, atol=1e-12)
    assert found.keys() == exact.keys()
    for key, value in exact.items():
        assert torch.allclose(found[key], value, rtol=1e-8, atol=1e-10 * float(value.abs().max())), key


def test_in_bf16_the_gradient_points_where_it_does_in_fp32(network):
    model = freed(network(ModelConfig(width=16, blocks=3, unshuffle=2)))
    rainy = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    plain, exact = layers_and_gradients(model, model, rainy)
    ours, found = layers_and_gradients(FrozenForm(model, torch.bfloat16), model, rainy)
    assert {layer.dtype for layer in ours} == {torch.float32}
    assert float((ours.derained - plain.derained).detach().abs().max()) < 0.03 * float(
        plain.derained.detach().abs().max()
    )
    one, other = (torch.cat([g.flatten() for g in grads.values()]) for grads in (found, exact))
    assert float(nn.functional.cosine_similarity(one, other, dim=0)) > 0.995
    assert float(one.norm() / other.norm()) == pytest.approx(1, abs=0.03)


def test_it_sees_what_the_optimiser_has_changed(network):
    model = freed(network(ModelConfig(width=4, blocks=1)))
    form, rainy = FrozenForm(model, torch.float32), torch.rand(1, 3, 9, 9)
    before = form(rainy).derained
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
        model.get_buffer("rrn.norm.running_mean").add_(0.3)
    after = form(rainy).derained
    assert not torch.allclose(before, after)
    assert torch.allclose(after, model(rainy).derained, atol=1e-5)


def test_gradients_reach_the_picture_when_they_are_wanted(network):
    model = freed(network(ModelConfig(width=4, blocks=2, unshuffle=2)).double())
    rainy = torch.rand(1, 3, 9, 9, dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(model(rainy).derained.square().sum(), rainy)
    (ours,) = torch.autograd.grad(FrozenForm(model, torch.float64)(rainy).derained.square().sum(), rainy)
    assert torch.allclose(ours, exact, rtol=1e-9, atol=1e-12)


def test_what_has_no_frozen_form_is_told_apart():
    assert has_frozen_form(build(ModelConfig(width=4, blocks=1)))
    assert not has_frozen_form(build(ModelConfig(width=4, blocks=1, detail="msarr")))
    assert not has_frozen_form(attach_drn(nn.Identity(), ModelConfig(width=4, blocks=1), gives="clean"))
