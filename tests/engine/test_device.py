"""Devices and precision: the choice of `auto`, and missing devices."""

from __future__ import annotations

import pytest
import torch

from derain_cli.engine import processor
from derain_cli.engine.device import pick_device, pick_precision
from derain_cli.errors import ResourceError


def test_mps_that_is_not_there(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ResourceError, match="mps"):
        pick_device("mps")


def test_a_second_gpu_where_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert pick_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ResourceError, match="1 CUDA"):
        pick_device("cuda:1")


def test_auto_takes_the_best_there_is(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"


@pytest.mark.parametrize(
    ("flags", "expected"),
    [({"avx2"}, torch.float32), ({"avx512_bf16"}, torch.bfloat16), ({"amx_bf16"}, torch.bfloat16)],
)
def test_auto_precision_of_a_cpu_is_bf16_only_with_instructions_for_it(monkeypatch, flags, expected):
    monkeypatch.setattr(processor, "_cpu_flags", lambda: frozenset(flags))
    cpu = torch.device("cpu")
    assert pick_precision("auto", cpu) == expected
    assert pick_precision("fp32", cpu) == torch.float32
    assert pick_precision("fp16", cpu) == torch.float16
