"""Option objects: what they refuse, what they say, and that recipes come back as they went in."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from derain_cli.config import (
    ContrastConfig,
    DataConfig,
    LoopConfig,
    ModelConfig,
    OptimConfig,
    RestoreOptions,
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
    """Each value written in a recipe arrives in the option object."""
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


def test_default_model_is_the_one_of_the_paper():
    assert from_mapping(TrainConfig, load_recipe("paper")).model == ModelConfig()


@pytest.mark.parametrize(
    "cls", [ModelConfig, DataConfig, OptimConfig, ContrastConfig, LoopConfig, TrainConfig, RestoreOptions]
)
def test_options_are_frozen(cls):
    options = cls()
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(options, dataclasses.fields(options)[0].name, 1)


@pytest.mark.parametrize(
    ("tables", "key", "near"),
    [
        ({"optim": {"learning_rat": 1}}, "optim.learning_rat", None),
        ({"optim": {"milestone": [0.5]}}, "optim.milestone", "milestones"),
        ({"model": {"widht": 8}}, "model.widht", "width"),
        ({"modle": {}}, "modle", "model"),
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


@pytest.mark.parametrize(
    ("table", "values"),
    [
        ("model", {"width": 0}),
        ("model", {"width": 1025}),
        ("model", {"blocks": 0}),
        ("model", {"blocks": 257}),
        ("model", {"unshuffle": 0}),
        ("model", {"unshuffle": 17}),
        ("model", {"detail_blocks": -1}),
        ("data", {"patch": 15}),
        ("data", {"batch": 0}),
        ("data", {"epoch": 0}),
        ("data", {"pairs": -0.1}),
        ("data", {"clean_share": 1.0}),
        ("data", {"clean_share": -0.1}),
        ("data", {"light": 0, "heavy": 0, "real": 0}),
        ("contrast", {"mode": "dual"}),
        ("contrast", {"positive": "adain"}),
        ("contrast", {"negatives": 0}),
        ("contrast", {"cap": 0}),
        ("contrast", {"warmup": -1}),
        ("contrast", {"ramp": -1}),
        ("contrast", {"dual_weight": -0.1}),
        ("contrast", {"unsup_weight": -0.1}),
        ("contrast", {"bank": 0}),
        ("contrast", {"max_change": 0}),
        ("contrast", {"max_colour": -1}),
        ("optim", {"steps": 0}),
        ("optim", {"lr": 0}),
        ("optim", {"lr": -1e-3}),
        ("optim", {"ema": 1.0}),
        ("optim", {"ema": -0.1}),
        ("optim", {"clip": -1}),
        ("optim", {"warmup": -1}),
        ("optim", {"beta1": 1.0}),
        ("optim", {"beta2": -0.1}),
        ("optim", {"weight_decay": -1}),
        ("loop", {"log_every": 0}),
        ("loop", {"validate_every": 0}),
        ("loop", {"checkpoint_every": 0}),
        ("loop", {"max_bad_steps": 0}),
        ("loop", {"threads": -1}),
        ("loop", {"seed": -1}),
    ],
)
def test_values_out_of_range_are_refused_by_name(table, values):
    with pytest.raises(UsageError) as caught:
        from_mapping(TrainConfig, {table: values})
    assert f"{table}.{next(iter(values))}" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"device": "gpu"},
        {"device": "cuda:"},
        {"device": "cuda:x"},
        {"device": "cpu:0"},
        {"device": "auto:1"},
        {"device": ""},
        {"precision": "int8"},
        {"tile": 63},
        {"tile": -1},
        {"tile": "big"},
        {"strength": 1.1},
        {"strength": -0.1},
        {"strength": math.nan},
    ],
)
def test_restore_options_out_of_range(values):
    with pytest.raises(UsageError, match=next(iter(values))):
        RestoreOptions(**values)


@pytest.mark.parametrize(
    "values",
    [{"device": d} for d in ("auto", "cpu", "cuda", "cuda:0", "cuda:12", "mps")]
    + [{"precision": p} for p in ("auto", "fp32", "bf16", "fp16")]
    + [{"tile": t} for t in ("auto", 0, 64, 5000)]
    + [{"strength": s} for s in (0.0, 0.5, 1.0)],
)
def test_restore_options_in_range(values):
    options = RestoreOptions(**values)
    assert from_mapping(RestoreOptions, to_mapping(options)) == options


def test_integers_pass_for_floats_and_lists_for_tuples_only():
    config = from_mapping(TrainConfig, {"optim": {"lr": 1, "milestones": [0, 0.5]}})
    assert isinstance(config.optim.lr, float)
    assert config.optim.milestones == (0.0, 0.5)
    assert all(isinstance(m, float) for m in config.optim.milestones)


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
    with pytest.raises(UsageError, match="--set takes table"):
        parse_overrides([text])


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


TREES = st.recursive(
    st.integers(0, 3), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8
)
TABLES = st.dictionaries(st.sampled_from("abc"), TREES, max_size=3)


@given(TABLES, TABLES)
def test_differing_keys_is_symmetric_and_empty_only_for_equals(one, other):
    names = differing_keys(one, other)
    assert names == differing_keys(other, one)
    assert differing_keys(one, one) == []
    assert bool(names) == (one != other)


@given(TABLES, TABLES)
def test_overriding_leaves_only_the_overridden_keys_different(base, over):
    for name in differing_keys(base, apply_overrides(base, over)):
        top = name.split(".")[0]
        assert top in over


def test_differing_keys_are_dotted():
    one = to_mapping(TrainConfig())
    other = apply_overrides(one, {"optim": {"lr": 2.0}, "model": {"width": 8}})
    assert differing_keys(one, other) == ["model.width", "optim.lr"]


def test_recipe_from_a_file(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[optim]\nlr = 0.5\n")
    assert load_recipe(str(path)) == {"optim": {"lr": 0.5}}


@pytest.mark.parametrize("content", [b"[optim\n", b"\xff\xfe\x00", b"lr = \n"])
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


# --- contrast ---------------------------------------------------------------------------------------------------


def test_settings_from_before_there_was_contrast_have_none():
    old = to_mapping(TrainConfig())
    del old["contrast"]
    config = from_mapping(TrainConfig, old)
    assert config == TrainConfig()
    assert config.contrast.mode == "none"


def test_contrast_defaults_are_the_recorded_decisions():
    options = ContrastConfig()
    assert (options.negatives, options.dual_weight, options.unsup_weight, options.bank) == (5, 0.5, 1.0, 256)
    assert from_mapping(TrainConfig, load_recipe("finetune")).contrast.mode == "both"
    assert "model" not in load_recipe("finetune"), "it keeps the network of the weights it starts from"
    assert from_mapping(TrainConfig, load_recipe("finetune")).optim.lr == 1e-4


@pytest.mark.parametrize(
    ("mode", "bank", "transform"),
    [
        ("none", False, "none"),
        ("standard", False, "none"),
        ("negatives", True, "none"),
        ("positives", False, "adaattn"),
        ("both", True, "adaattn"),
    ],
)
def test_modes_are_the_columns_of_table_vii(mode, bank, transform):
    options = ContrastConfig(mode=mode)
    assert (options.uses_bank, options.transform) == (bank, transform)


def test_patches_too_small_for_the_deepest_features_are_refused():
    small = {"data": {"patch": 31}}
    assert from_mapping(TrainConfig, small).data.patch == 31
    with pytest.raises(UsageError, match=r"data\.patch must be at least 32"):
        from_mapping(TrainConfig, small | {"contrast": {"mode": "standard"}})
