"""The network in plain operations."""

from __future__ import annotations

import pytest
import torch

from derain_cli.config import ModelConfig
from derain_cli.model.fold import fold
from derain_cli.model.portable import describe, describe_gates, layer_names
from derain_cli.model.traceable import PortableNetwork, TorchOperations
from tests.conftest import make_network

CONFIGS = [
    ModelConfig(width=8, blocks=2),
    ModelConfig(width=8, blocks=2, unshuffle=2, detail_blocks=1, detail_width=12, detail_unshuffle=4),
    ModelConfig(width=8, blocks=2, unshuffle=4, frames=3, detail="none"),
    ModelConfig(width=8, blocks=2, se=False, detail="msarr"),
    ModelConfig(width=8, blocks=1, se=False, detail="direct"),
]


@pytest.mark.parametrize("config", CONFIGS)
@torch.inference_mode()
def test_the_description_is_the_folded_network(config):
    net = fold(make_network(config))
    rainy = torch.rand(2, 3 * config.frames, 37, 22)
    layers, right = describe(TorchOperations(), net.folded, rainy), net(rainy)
    assert len(layers) == len(layer_names(net.folded)) == (2 if config.detail == "none" else 3)
    for layer, expected in zip(layers, right, strict=False):
        assert torch.allclose(layer, expected, atol=1e-5 * max(1.0, float(right.rain.abs().max())))
    assert torch.equal(PortableNetwork(net.folded)(rainy), layers[0])


@pytest.mark.parametrize("config", CONFIGS)
@torch.inference_mode()
def test_gates_are_described_too(config):
    net = fold(make_network(config))
    crops = torch.rand(3, 3 * config.frames, 24, 40)
    described, measured = describe_gates(TorchOperations(), net.folded, crops), net.measure_gates(crops)
    assert len(described) == len(measured or ())
    for one, other in zip(described, measured or (), strict=True):
        assert torch.allclose(one, other, atol=1e-5)
    if measured:
        halved = [gate / 2 for gate in measured]
        given = describe(TorchOperations(), net.folded, crops, halved)
        assert torch.allclose(given[0], net(crops, halved).derained, atol=1e-4)
        assert not torch.allclose(given[0], net(crops).derained, atol=1e-4)
