"""Row-wise PReLU compared with torch's own."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from derain_cli.model.prelu import RowPReLU, from_rows, prelu, prelu_, prelu_backward, rows

SHAPES = [(1, 3, 1, 1), (2, 5, 7, 6), (3, 48, 4, 9)]


def a_map(shape, dtype=torch.float32, seed=0):
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    made.flatten()[::5] = 0  # PReLU has no derivative at 0; torch uses that of the left side
    return made.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_rows_and_back(shape):
    x = a_map(shape)
    lines = rows(x)
    assert lines.data_ptr() == x.data_ptr()
    assert lines.shape == (shape[0], shape[2], shape[3] * shape[1])
    assert torch.equal(from_rows(lines, x), x)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)
def test_values_and_gradients_are_those_of_torch(shape, dtype):
    x, gradient = a_map(shape, dtype), a_map(shape, dtype, seed=1)
    slope = torch.linspace(-0.3, 0.6, shape[1], dtype=torch.promote_types(dtype, torch.float32))
    exact_x, exact_slope = x.double().requires_grad_(), slope.double().requires_grad_()
    exact = F.prelu(exact_x, exact_slope)
    exact.backward(gradient.double())
    out = prelu(x, slope)
    grad_x, grad_slope = prelu_backward(gradient.clone(memory_format=torch.preserve_format), x, slope)
    assert (out.dtype, grad_x.dtype, grad_slope.dtype) == (dtype, dtype, slope.dtype)
    assert out.shape == grad_x.shape == x.shape
    room = {torch.float64: 1e-12, torch.float32: 1e-5, torch.bfloat16: 0.02}[dtype]
    for ours, theirs in ((out, exact), (grad_x, exact_x.grad), (grad_slope, exact_slope.grad)):
        assert torch.allclose(ours.double(), theirs.detach(), rtol=room, atol=room * float(theirs.detach().abs().max()))


def test_in_place_is_in_place():
    x = a_map((2, 5, 7, 6))
    exact = F.prelu(x, torch.full((5,), 0.25))
    out = prelu_(x, torch.full((5,), 0.25))
    assert out.data_ptr() == x.data_ptr()
    assert torch.equal(out, exact)


@pytest.mark.parametrize("channels_last", [True, False])
def test_the_module_is_torchs_own_with_the_same_parameter(channels_last):
    own, theirs = RowPReLU(5), torch.nn.PReLU(5)
    theirs.load_state_dict(own.state_dict())
    x = a_map((2, 5, 7, 6))
    x = x if channels_last else x.contiguous()
    gradient = a_map((2, 5, 7, 6), seed=1)
    found = []
    for module in (own, theirs):
        given = x.clone(memory_format=torch.preserve_format).requires_grad_()
        out = module(given)
        (out * 2).backward(gradient)
        found.append((out.detach(), given.grad, module.weight.grad))
    for ours, other in zip(*found, strict=True):
        assert torch.allclose(ours, other, rtol=1e-5, atol=1e-5)
