"""Options for restoring pictures: refused values."""

from __future__ import annotations

import math

import pytest

from derain_cli.config import RestoreOptions, from_mapping, to_mapping
from derain_cli.errors import UsageError


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
