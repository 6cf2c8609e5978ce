"""A deepened copy computes the same as the original, and can be trained."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.config import ModelConfig
from derain_cli.errors import UsageError
from derain_cli.model.deepen import deepen
from derain_cli.model.fold import fold
from tests.conftest import make_network

SMALL = ModelConfig(width=6, blocks=1, unshuffle=2)


@settings(max_examples=12)
@given(st.integers(1, 4), st.integers(1, 3), st.booleans(), st.sampled_from(["sdcab", "residual"]))
def test_a_deeper_copy_gives_the_same_bits(blocks, detail_blocks, se, detail):
    model = make_network(replace(SMALL, se=se, detail=detail))
    made = deepen(model, blocks, detail_blocks).eval()
    assert (made.config.blocks, made.config.detail_blocks) == (blocks, detail_blocks)
    assert made.drn is not None
    assert (len(made.rrn.blocks), len(made.drn.blocks)) == (blocks, detail_blocks)
    rainy = torch.rand(2, 3, 13, 18)
    with torch.no_grad():
        for ours, theirs in zip(made(rainy), model(rainy), strict=True):
            assert torch.equal(ours, theirs)
    assert torch.allclose(fold(made)(rainy).derained, fold(model)(rainy).derained, atol=1e-6)


def test_the_kernels_of_every_block_that_was_added_learn():
    torch.manual_seed(0)
    made = deepen(make_network(SMALL), 3, 2).train()
    optimizer = torch.optim.SGD(made.parameters(), lr=0.1)
    for _ in range(2):  # the first step opens the blocks, the second reaches their kernels
        optimizer.zero_grad()
        made(torch.rand(2, 3, 16, 16)).derained.square().mean().backward()
        optimizer.step()
    assert made.drn is not None
    for block in (*made.rrn.blocks[1:], *made.drn.blocks[1:]):
        # Except for gates: a squeeze layer whose four ReLUs are all zero has no gradient, in any network.
        kernels = {name: p for name, p in block.named_parameters() if p.ndim == 4}
        assert kernels
        for name, kernel in kernels.items():
            assert kernel.grad is not None and float(kernel.grad.abs().max()) > 0, name


def test_the_original_stays_as_it_was():
    model = make_network(SMALL)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    for parameter in deepen(model, 2).parameters():
        parameter.data.add_(1)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert deepen(model, 2).config.detail_blocks == 1, "0 keeps the number of detail blocks"


@pytest.mark.parametrize(
    ("config", "blocks", "detail_blocks"),
    [
        (replace(SMALL, blocks=2), 1, 0),
        (replace(SMALL, detail_blocks=3), 1, 2),
        (replace(SMALL, detail="direct"), 1, 2),
        (replace(SMALL, detail="msarr"), 1, 2),
        (replace(SMALL, detail="none"), 1, 2),
    ],
)
def test_what_cannot_be_added_is_refused(config, blocks, detail_blocks):
    with pytest.raises(UsageError):
        deepen(make_network(config), blocks, detail_blocks)
