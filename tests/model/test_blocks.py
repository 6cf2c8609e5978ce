"""Building blocks: the DCCL compared with its literal form, gates, shapes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from derain_cli.model.architecture import DILATIONS, SQUEEZE
from derain_cli.model.blocks import (
    SDCAB,
    DilatedConcat,
    DirectBlock,
    MultiScaleConv,
    RainResidualBlock,
    ResidualBlock,
    SqueezeExcitation,
)

BLOCKS = [DirectBlock, ResidualBlock, RainResidualBlock, SDCAB, DilatedConcat, SqueezeExcitation]


def literal_dccl(layer: DilatedConcat, x: torch.Tensor) -> torch.Tensor:
    """Eq. 2 literally: three convolutions, concatenated, then a 1x1."""
    branches = [
        F.conv2d(x, branch.weight, branch.bias, padding=d, dilation=d)
        for branch, d in zip(layer.branches, (1, 3, 5), strict=True)
    ]
    return F.conv2d(torch.cat(branches, dim=1), layer.mix.weight, layer.mix.bias)


@pytest.mark.parametrize("width", [1, 4, 7])
@pytest.mark.parametrize("size", [(1, 1), (3, 8), (13, 12)])
def test_dccl_equals_its_literal_form_values_and_gradients(width, size):
    torch.manual_seed(width)
    layer = DilatedConcat(width).double()
    x = torch.randn(2, width, *size, dtype=torch.float64, requires_grad=True)
    ours, literal = layer(x), literal_dccl(layer, x)
    assert torch.allclose(ours, literal, rtol=0, atol=1e-12)
    towards = torch.randn_like(ours)
    leaves = [x, *layer.parameters()]
    for a, b in zip(
        torch.autograd.grad(ours, leaves, towards), torch.autograd.grad(literal, leaves, towards), strict=True
    ):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)
        assert a.abs().max() > 0


def test_dccl_has_the_parameters_of_the_paper():
    shapes = {k: tuple(v.shape) for k, v in DilatedConcat(64).state_dict().items()}
    expected = {f"branches.{i}.weight": (64, 64, 3, 3) for i in range(3)}
    expected |= {f"branches.{i}.bias": (64,) for i in range(3)}
    assert shapes == expected | {"mix.weight": (64, 192, 1, 1), "mix.bias": (64,)}
    assert DILATIONS == (1, 3, 5)
    assert [branch.dilation for branch in DilatedConcat(2).branches] == [(1, 1), (3, 3), (5, 5)]


def test_multi_scale_conv_is_the_sum_of_its_branches():
    layer = MultiScaleConv(3, 5).double()
    x = torch.randn(1, 3, 9, 8, dtype=torch.float64)
    slow = sum(
        F.conv2d(x, b.weight, b.bias, padding=d, dilation=d) for b, d in zip(layer.branches, DILATIONS, strict=True)
    )
    assert torch.allclose(layer(x), slow, rtol=0, atol=1e-12)


def test_gates_lie_between_0_and_1_and_squeeze_to_4():
    assert SQUEEZE == 4
    for width in (2, 8, 64):
        se = SqueezeExcitation(width)
        assert {k: tuple(v.shape) for k, v in se.state_dict().items()} == {
            "squeeze.weight": (4, width),
            "excite.weight": (width, 4),
        }
        gates = se.gates(torch.randn(3, width, 5, 6) * 3)
        assert gates.shape == (3, width, 1, 1)
        assert bool((gates > 0).all())
        assert bool((gates < 1).all())


def test_gates_are_the_formula():
    """Pooling, 4 rectified units, sigmoid, one channel at a time."""
    torch.manual_seed(0)
    se, x = SqueezeExcitation(6).double(), torch.randn(2, 6, 4, 5, dtype=torch.float64)
    down, up = se.squeeze.weight.detach(), se.excite.weight.detach()
    gates = se.gates(x).detach()
    for n in range(2):
        pooled = [float(x[n, c].sum()) / 20 for c in range(6)]
        hidden = [max(0.0, sum(float(down[k, c]) * pooled[c] for c in range(6))) for k in range(4)]
        for c in range(6):
            raw = torch.tensor(sum(float(up[c, k]) * hidden[k] for k in range(4)), dtype=torch.float64)
            assert float(gates[n, c]) == pytest.approx(float(1 / (1 + torch.exp(-raw))), abs=1e-12)
    assert torch.equal(se(x), x * gates)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("size", [(1, 1), (2, 9), (16, 11)])
def test_blocks_keep_shape_and_memory_format(block, size):
    layer = block(8).eval().to(memory_format=torch.channels_last)
    x = torch.randn(2, 8, *size).contiguous(memory_format=torch.channels_last)
    out = layer(x)
    assert out.shape == x.shape
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_blocks_work_in_any_floating_dtype(block, dtype):
    layer = block(4).eval().to(dtype)
    assert layer(torch.randn(1, 4, 5, 5, dtype=dtype)).dtype == dtype


def literal_branch(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return block.norm2(block.second(block.act(block.norm1(block.first(x)))))


@pytest.mark.parametrize("block", [DirectBlock, ResidualBlock, RainResidualBlock, SDCAB])
def test_blocks_are_the_figures(block):
    """Fig. 4: layer, BN, PReLU, layer, BN; gates on the branch; then the input is added, and nothing follows."""
    torch.manual_seed(1)
    layer = block(5).double().eval()
    x = torch.randn(2, 5, 7, 6, dtype=torch.float64)
    expected = literal_branch(layer, x)
    if block is RainResidualBlock:
        expected = expected * layer.se.gates(expected)
    if block is not DirectBlock:
        expected = expected + x
    assert torch.allclose(layer(x), expected, rtol=0, atol=1e-12)
    assert layer.act.weight.tolist() == [0.25] * 5
