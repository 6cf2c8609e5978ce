"""Network and training options: defaults and refused values."""

from __future__ import annotations

import dataclasses

import pytest

from derain_cli.config import (
    ContrastConfig,
    DataConfig,
    LoopConfig,
    ModelConfig,
    OptimConfig,
    RestoreOptions,
    TrainConfig,
    from_mapping,
    load_recipe,
    to_mapping,
)
from derain_cli.errors import UsageError


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
