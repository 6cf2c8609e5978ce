"""Recipes survive a round trip, and `--set` overrides them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given

from derain_cli.cli.hints import line_of
from derain_cli.config import (
    ModelConfig,
    TrainConfig,
    apply_overrides,
    differing_keys,
    from_mapping,
    load_recipe,
    parse_overrides,
    recipe_names,
    to_mapping,
)
from derain_cli.errors import UsageError
from tests.config.tables import TABLES


def test_recipes_that_ship():
    assert {"fast", "paper"} <= set(recipe_names())


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_survive_the_round_trip(name):
    config = from_mapping(TrainConfig, load_recipe(name))
    as_json = json.loads(json.dumps(to_mapping(config)))
    assert from_mapping(TrainConfig, as_json) == config
    assert to_mapping(from_mapping(TrainConfig, as_json)) == as_json


@pytest.mark.parametrize("name", recipe_names())
def test_recipes_say_what_they_mean(name):
    """Each value in a recipe arrives in the options object."""
    tables = load_recipe(name)
    mapping = to_mapping(from_mapping(TrainConfig, tables))
    for table, values in tables.items():
        for key, value in values.items():
            assert mapping[table][key] == value


def test_paper_recipe_is_the_recorded_decision():
    config = from_mapping(TrainConfig, load_recipe("paper"))
    assert config.model == ModelConfig(width=64, blocks=16, unshuffle=1, se=True, detail="sdcab", detail_blocks=0)
    assert (config.data.patch, config.data.batch, config.data.epoch) == (100, 8, 27_000)
    assert config.optim.steps == 150 * 27_000 // 8  # 150 epochs
    assert abs(config.optim.steps - 506_000) < 1_000
    assert (config.optim.lr, config.optim.gamma, config.optim.schedule) == (1e-3, 0.2, "step")
    assert config.optim.milestones == pytest.approx((30 / 150, 50 / 150, 80 / 150), rel=1e-12)
    assert (config.optim.loss, config.optim.rain_weight) == ("l1", 0.5)
    assert (config.optim.weight_decay, config.optim.beta1, config.optim.beta2) == (0.0, 0.9, 0.999)
    assert (config.optim.ema, config.optim.warmup) == (0.0, 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("optim.lr=1e-4", {"optim": {"lr": 1e-4}}),
        ("model.se=false", {"model": {"se": False}}),
        ("model.detail=none", {"model": {"detail": "none"}}),
        ('model.detail="none"', {"model": {"detail": "none"}}),
        ("optim.milestones=[0.5, 0.75]", {"optim": {"milestones": [0.5, 0.75]}}),
        (" data.batch = 4 ", {"data": {"batch": 4}}),
        ("a.b.c=1", {"a": {"b": {"c": 1}}}),
        ("a.b=x=y", {"a": {"b": "x=y"}}),
    ],
)
def test_set_takes_toml_values_and_bare_words(text, expected):
    assert parse_overrides([text]) == expected


def test_set_collects_several_and_the_last_one_wins():
    assert parse_overrides(["a.x=1", "a.y=2", "a.x=3"]) == {"a": {"x": 3, "y": 2}}


@pytest.mark.parametrize("text", ["", "optim.lr", "=3", ".lr=3", "optim.=3", "optim..lr=3"])
def test_set_refuses_what_is_no_assignment(text):
    with pytest.raises(UsageError, match="takes table") as caught:
        parse_overrides([text])
    assert line_of(caught.value).startswith("--set takes table.key=value")


def test_set_refuses_a_key_below_a_value():
    with pytest.raises(UsageError, match="is not a table"):
        parse_overrides(["optim.lr=1", "optim.lr.x=2"])


def test_set_cannot_smuggle_in_further_assignments():
    tables = parse_overrides(["optim.lr=1\nsteps = 3"])
    with pytest.raises(UsageError, match=r"optim\.lr"):
        from_mapping(TrainConfig, tables)


def test_overrides_lie_on_top_and_change_neither():
    base = {"model": {"width": 64, "blocks": 16}, "optim": {"lr": 1.0}}
    over = {"model": {"width": 8}, "loop": {"seed": 3}}
    before = json.dumps([base, over])
    assert apply_overrides(base, over) == {
        "model": {"width": 8, "blocks": 16},
        "optim": {"lr": 1.0},
        "loop": {"seed": 3},
    }
    assert json.dumps([base, over]) == before


@given(TABLES, TABLES)
def test_overriding_leaves_only_the_overridden_keys_different(base, over):
    for name in differing_keys(base, apply_overrides(base, over)):
        top = name.split(".")[0]
        assert top in over


def test_recipe_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[optim]\nlr = 0.5\n")
    assert load_recipe(str(path)) == {"optim": {"lr": 0.5}}


@pytest.mark.parametrize(
    "content", [b"[optim\n", b"\xff\xfe\x00", b"lr = \n", b"a = " + b"[" * 9999, b"a = " + b"9" * 5000]
)
def test_recipe_that_is_not_toml(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="not a usable recipe") as caught:
        load_recipe(str(path))
    assert str(path) in str(caught.value)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("name", ["nosuch", "", "../recipes", "paper.toml.bak"])
def test_recipe_that_is_not_there_names_those_that_are(name):
    with pytest.raises(UsageError) as caught:
        load_recipe(name)
    assert "paper" in str(caught.value)


def test_the_semi_supervised_recipe_is_the_paper_s_with_its_contrast():
    """The same network, data and schedule; lambda_dual 0.5 and lambda_unsup 1 of section IV-B."""
    plain, semi = (from_mapping(TrainConfig, load_recipe(name)) for name in ("paper", "paper-semi"))
    assert (semi.model, semi.data, semi.optim, semi.loop) == (plain.model, plain.data, plain.optim, plain.loop)
    assert (semi.contrast.mode, semi.contrast.dual_weight, semi.contrast.unsup_weight) == ("both", 0.5, 1.0)
