"""Averages of networks."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.config import ModelConfig
from derain_cli.errors import UsageError
from derain_cli.model.average import average
from derain_cli.model.deepen import deepen
from tests.conftest import make_network

SMALL = ModelConfig(width=6, blocks=1, unshuffle=2)


@settings(max_examples=15)
@given(st.floats(0, 1), st.integers(0, 9))
def test_every_value_is_the_mean_by_shares(share, seed):
    one, other = make_network(SMALL, seed=seed), make_network(SMALL, seed=seed + 1)
    made = average([one, other], [share, 1 - share]).state_dict()
    other_state = other.state_dict()
    for name, value in one.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(made[name], share * value + (1 - share) * other_state[name], atol=1e-6), name
        else:
            assert torch.equal(made[name], value), name


def test_a_network_is_its_own_average_and_stays_as_it_is():
    one, other = make_network(SMALL, seed=1), make_network(SMALL, seed=2)
    before = {name: value.clone() for name, value in one.state_dict().items()}
    for made in (average([one], [1.0]), average([one, other], [1.0, 0.0]), average([one, one, one], [0.2, 0.3, 0.5])):
        assert not made.training
        assert all(torch.allclose(value, before[name]) for name, value in made.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict().items())


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ([0.5], "1 shares for 2 networks"),
        ([0.7, 0.7], "sum to 1"),
        ([1.5, -0.5], "0 to 1"),
        ([float("nan"), 1], "0 to 1"),
    ],
)
def test_shares_that_are_none_are_refused(shares, told):
    with pytest.raises(UsageError, match=told):
        average([make_network(SMALL), make_network(SMALL, seed=1)], shares)


def test_networks_of_different_shapes_have_no_average():
    with pytest.raises(UsageError, match="same configuration"):
        average([make_network(SMALL), deepen(make_network(SMALL), 2)], [0.5, 0.5])
