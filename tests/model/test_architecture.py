"""What follows from a configuration alone, without a network."""

from __future__ import annotations

import pytest

from derain_cli.config import ModelConfig
from derain_cli.model import build
from derain_cli.model.architecture import count_parameters, tensor_shapes
from tests.model.test_semi_drdnet import FORMS, name


@pytest.mark.parametrize("config", FORMS, ids=name)
def test_names_and_shapes_are_those_of_the_network(config: ModelConfig) -> None:
    state = build(config).state_dict()
    assert list(tensor_shapes(config).items()) == [(key, tuple(value.shape)) for key, value in state.items()]


@pytest.mark.parametrize("config", FORMS, ids=name)
def test_parameters_are_counted_as_they_are_trained(config: ModelConfig) -> None:
    assert count_parameters(config) == sum(each.numel() for each in build(config).parameters())
