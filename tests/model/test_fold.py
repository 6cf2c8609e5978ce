"""The folded inference form compared with the trained one."""

from __future__ import annotations

import copy
import importlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from derain_cli.config import ModelConfig
from derain_cli.model import convolution as convolutions
from derain_cli.model import prelu
from derain_cli.model.fold import fold
from tests.conftest import make_network
from tests.model.test_semi_drdnet import FORMS, name

fold_module = importlib.import_module("derain_cli.model.fold")  # the package has a function of this name


@pytest.mark.parametrize("config", FORMS, ids=name)
@pytest.mark.parametrize("seed", [0, 1])
def test_folded_equals_unfolded(config, seed, network):
    model = network(config, seed)
    rainy = torch.rand(2, 3 * config.frames, 19, 22, generator=torch.Generator().manual_seed(seed))
    folded = fold(model)
    with torch.no_grad():
        plain = model(rainy)
    for ours, theirs in zip(folded(rainy), plain, strict=True):
        assert ours.shape == theirs.shape
        scale = max(1.0, float(theirs.abs().max()))
        assert float((ours - theirs).abs().max()) <= 1e-5 * scale


@pytest.mark.cuda
@pytest.mark.parametrize("config", FORMS, ids=name)
def test_folding_on_a_gpu_gives_the_same_weights_there(config, network):
    model = network(config, 0)
    here, there = fold(model).state_dict(), fold(copy.deepcopy(model).cuda()).state_dict()
    assert {tensor.device.type for tensor in there.values()} == {"cuda"}
    assert all(torch.equal(there[key].cpu(), here[key]) for key in here)


@settings(max_examples=40, deadline=None)
@given(
    st.sampled_from([ModelConfig(width=w, blocks=2, unshuffle=s) for w in (1, 3, 16, 20) for s in (1, 2)]),
    st.integers(1, 3),
    st.integers(1, 24),
    st.integers(1, 24),
)
def test_folded_equals_unfolded_for_any_size_and_batch(config, count, height, width):
    """With one row, column or picture, memory formats are ambiguous."""
    model = make_network(config)
    rainy = torch.rand(count, 3 * config.frames, height, width, generator=torch.Generator().manual_seed(height))
    with torch.no_grad():
        plain = model(rainy).derained
    assert float((fold(model)(rainy).derained - plain).abs().max()) <= 1e-5 * max(1.0, float(plain.abs().max()))


@pytest.mark.parametrize("config", FORMS, ids=name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_what_onednn_adds_in_one_pass_equals_what_torch_adds_in_two(config, dtype, network, monkeypatch):
    rainy = torch.rand(2, 3 * config.frames, 21, 30, generator=torch.Generator().manual_seed(1))
    exact = fold(network(config))(rainy).derained
    folded = fold(network(config)).to(dtype)
    one = folded(rainy).derained
    asked: list[torch.Size] = []
    for module in (convolutions, fold_module):
        monkeypatch.setattr(module, "in_one_pass", lambda x: asked.append(x.shape))
    two = folded(rainy).derained
    assert asked
    room = 1e-5 if dtype == torch.float32 else 0.03
    for result in (one, two):
        assert float((result - exact).abs().max()) <= room * max(1.0, float(exact.abs().max()))


@pytest.mark.parametrize("config", FORMS, ids=name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_large_maps_that_share_their_memory_give_the_same(config, dtype, network, monkeypatch):
    """Large maps are written into one reused buffer."""
    rainy = torch.rand(2, 3 * config.frames, 17, 26, generator=torch.Generator().manual_seed(2))
    folded = fold(network(config)).to(dtype)
    small = folded(rainy).derained
    monkeypatch.setattr(fold_module, "_LARGE_MAP", 0)
    monkeypatch.setattr(prelu, "_CACHED", 100)  # and the PReLU works row by row
    scale = max(1.0, float(small.abs().max()))
    assert float((folded(rainy).derained - small).abs().max()) <= (1e-5 if dtype == torch.float32 else 0.03) * scale


@pytest.mark.parametrize("config", FORMS, ids=name)
def test_the_input_is_left_as_it_was(config, network):
    rainy = torch.rand(1, 3 * config.frames, 12, 14).contiguous(memory_format=torch.channels_last)
    kept = rainy.clone()
    folded = fold(network(config))
    folded(rainy)
    folded.measure_gates(rainy)
    assert torch.equal(rainy, kept)


def test_half_floats_on_a_cpu(network):
    """No oneDNN operator is used for them, and a sum over many pixels must not overflow."""
    model = network(ModelConfig(width=4, blocks=1))
    rainy = torch.rand(1, 3, 300, 300)
    found = fold(model).half()(rainy).derained
    assert bool(torch.isfinite(found).all())
    assert float((found - fold(model)(rainy).derained).abs().max()) < 0.02


def test_a_picture_alone_has_the_gates_it_has_among_others(network):
    """Bit-identical on a CPU, which sums over several pictures at once would not be."""
    block = fold(network(ModelConfig(width=48, blocks=1))).rrn.blocks[0]
    hidden = torch.rand(5, 48, 19, 33, generator=torch.Generator().manual_seed(1))
    hidden = hidden.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        together = block.gates(hidden, together=False)
        alone = [block.gates(hidden[index : index + 1], together=False) for index in range(5)]
    assert torch.equal(together, torch.cat(alone))


@pytest.mark.parametrize("config", FORMS, ids=name)
def test_folding_leaves_the_network_as_it_was(config, network):
    model = network(config).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    folded = fold(model)
    assert model.training
    assert all(p.requires_grad for p in model.parameters())
    for parameter in folded.parameters():
        parameter.data.add_(1.0)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_folded_form_has_no_norms_no_mixers_and_no_gradients(network):
    folded = fold(network(ModelConfig(width=4, blocks=2)))
    assert not any(isinstance(m, nn.BatchNorm2d | nn.Conv2d) for m in folded.modules())
    assert not any(p.requires_grad for p in folded.parameters())
    assert {p.dtype for p in folded.parameters()} == {torch.float32}
    assert not folded(torch.rand(1, 3, 8, 8)).derained.requires_grad


def test_27_taps_for_a_dccl(network):
    folded = fold(network(ModelConfig(width=4, blocks=1)))
    assert folded.drn is not None
    assert [tuple(k.shape) for k in folded.drn.blocks[0].first.kernels] == [(4, 4, 3, 3)] * 3


@pytest.mark.parametrize("unshuffle", [1, 2])
def test_gates_measured_on_a_picture_are_those_it_uses_itself(unshuffle, network):
    model = network(ModelConfig(width=8, blocks=3, unshuffle=unshuffle))
    folded, rainy = fold(model), torch.rand(1, 3, 16, 18)
    gates = folded.measure_gates(rainy)
    assert gates is not None
    assert [tuple(g.shape) for g in gates] == [(1, 8, 1, 1)] * 3
    assert all(float(g.min()) > 0 and float(g.max()) < 1 for g in gates)
    for ours, theirs in zip(folded(rainy, gates), folded(rainy), strict=True):
        assert torch.allclose(ours, theirs, rtol=0, atol=1e-6)


def test_gates_of_several_crops_are_pooled_over_all(network):
    """The same crop twice has the gates of the crop; two different ones have other gates, in any order."""
    folded = fold(network(ModelConfig(width=8, blocks=2)))
    one, other = torch.rand(1, 3, 12, 12), torch.rand(1, 3, 12, 12) * 0.2
    single = folded.measure_gates(one)
    twice = folded.measure_gates(torch.cat([one, one]))
    mixed, turned = folded.measure_gates(torch.cat([one, other])), folded.measure_gates(torch.cat([other, one]))
    assert single is not None
    assert twice is not None
    assert mixed is not None
    assert turned is not None
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(single, twice, strict=True))
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(mixed, turned, strict=True))
    assert any(not torch.allclose(a, b, atol=1e-4) for a, b in zip(single, mixed, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_means_of_a_large_map_keep_the_precision_of_its_values(dtype, network):
    """Sums over all pixels are far larger than single values: rounded as a whole they would be off by 2**-8 in bf16."""
    second = fold(network(ModelConfig(width=16, blocks=1))).to(dtype).rrn.blocks[0].second
    with torch.no_grad():  # an identity kernel: the means are those of the map
        nn.init.dirac_(second.kernels[0])
        second.bias.zero_()
    hidden = torch.rand(1, 16, 192, 160, generator=torch.Generator().manual_seed(2)).to(dtype) + 1
    exact = hidden.double().mean((2, 3))
    means = second.pooled(hidden.contiguous(memory_format=torch.channels_last))
    assert float(((means - exact) / exact).abs().max()) <= 8e-4


def test_gates_change_the_picture_and_each_block_uses_its_own(network):
    folded, rainy = fold(network(ModelConfig(width=8, blocks=2))), torch.rand(1, 3, 12, 12)
    gates = folded.measure_gates(rainy)
    assert gates is not None
    results = [folded(rainy, changed).rain for changed in (gates, [0 * gates[0], gates[1]], [gates[0], 0 * gates[1]])]
    for a in range(3):
        for b in range(a):
            assert not torch.allclose(results[a], results[b], atol=1e-4)


def test_no_gates_without_se(network):
    assert fold(network(ModelConfig(width=4, blocks=1, se=False))).measure_gates(torch.rand(1, 3, 8, 8)) is None


def test_folding_a_float64_network_gives_float32(network):
    model = network(ModelConfig(width=4, blocks=1))
    rainy = torch.rand(1, 3, 9, 9)
    folded = fold(model.double())
    assert {p.dtype for p in folded.parameters()} == {torch.float32}
    theirs = model(rainy.double()).derained.detach().float()
    assert float((folded(rainy).derained - theirs).abs().max()) < 1e-5


@pytest.mark.parametrize("operator", ["_add_by_onednn", "_by_onednn"])
@pytest.mark.parametrize("failure", [RuntimeError("no such operator"), AttributeError("gone"), None])
def test_without_onednns_own_operators_the_result_is_the_same(monkeypatch, network, failure, operator):
    """Private operators: if one is missing or returns something else, plain convolutions are used."""

    def other(first, *_):
        if failure is not None:
            raise failure
        return first.zero_()

    folded, rainy = fold(network(ModelConfig(width=8, blocks=2))), torch.rand(1, 3, 21, 17)
    before = folded(rainy).derained
    convolutions._adds_in_one_pass.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(convolutions, operator, other)
        after = folded(rainy).derained
    convolutions._adds_in_one_pass.cache_clear()
    assert torch.allclose(before, after, atol=1e-5)
