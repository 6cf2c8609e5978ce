"""Option objects from mappings: unknown keys and wrong types are named."""

from __future__ import annotations

import math

import pytest
from hypothesis import given

from derain_cli.config import TrainConfig, apply_overrides, differing_keys, from_mapping, to_mapping
from derain_cli.errors import UsageError
from tests.config.tables import TABLES


@pytest.mark.parametrize(
    ("tables", "key", "near"),
    [
        ({"optim": {"learning_rat": 1}}, "optim.learning_rat", None),
        ({"optim": {"milestone": [0.5]}}, "optim.milestone", "optim.milestones"),
        ({"model": {"widht": 8}}, "model.widht", "model.width"),
        ({"modle": {}}, "modle", "model"),
        ({"steps": 20}, "steps", "optim.steps"),
        ({"loop": {"qqqqq": 1}}, "loop.qqqqq", None),
    ],
)
def test_unknown_keys_are_named_with_the_nearest(tables, key, near):
    with pytest.raises(UsageError) as caught:
        from_mapping(TrainConfig, tables)
    assert f"unknown option {key}" in str(caught.value)
    if near:
        assert f"did you mean {near}?" in str(caught.value)
    else:
        assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("tables", "where"),
    [
        ({"model": {"width": 8.0}}, "model.width"),
        ({"model": {"width": True}}, "model.width"),
        ({"model": {"width": "8"}}, "model.width"),
        ({"model": {"se": 1}}, "model.se"),
        ({"model": {"detail": "rcab"}}, "model.detail"),
        ({"model": {"detail": ["sdcab"]}}, "model.detail"),
        ({"model": 3}, "model"),
        ({"model": ["width"]}, "model"),
        ({"optim": {"lr": "fast"}}, "optim.lr"),
        ({"optim": {"lr": False}}, "optim.lr"),
        ({"optim": {"lr": math.nan}}, "optim.lr"),
        ({"optim": {"lr": math.inf}}, "optim.lr"),
        ({"optim": {"milestones": 0.5}}, "optim.milestones"),
        ({"optim": {"milestones": ["a"]}}, "optim.milestones"),
        ({"optim": {"steps": None}}, "optim.steps"),
        ({"loop": {"compile": "yes"}}, "loop.compile"),
    ],
)
def test_wrong_types_are_refused_by_name(tables, where):
    with pytest.raises(UsageError) as caught:
        from_mapping(TrainConfig, tables)
    assert where in str(caught.value)
    assert caught.value.exit_code == 2


def test_integers_pass_for_floats_and_lists_for_tuples_only():
    config = from_mapping(TrainConfig, {"optim": {"lr": 1, "milestones": [0, 0.5]}})
    assert isinstance(config.optim.lr, float)
    assert config.optim.milestones == (0.0, 0.5)
    assert all(isinstance(m, float) for m in config.optim.milestones)


@given(TABLES, TABLES)
def test_differing_keys_is_symmetric_and_empty_only_for_equals(one, other):
    names = differing_keys(one, other)
    assert names == differing_keys(other, one)
    assert differing_keys(one, one) == []
    assert bool(names) == (one != other)


def test_differing_keys_are_dotted():
    one = to_mapping(TrainConfig())
    other = apply_overrides(one, {"optim": {"lr": 2.0}, "model": {"width": 8}})
    assert differing_keys(one, other) == ["model.width", "optim.lr"]
