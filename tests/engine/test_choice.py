"""Which engine runs a network."""

from __future__ import annotations

import itertools

import pytest
import torch

from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.engine import choice
from derain_cli.engine.choice import EARNED, Work, make_engine, with_engine
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import ResourceError, UsageError
from derain_cli.model.architecture import macs_per_pixel
from derain_cli.remedies import Remedy

TINY = ModelConfig(width=4, blocks=1)
LONG = int(EARNED / macs_per_pixel(TINY)) + 1
"""Pixels that earn another engine with the one thread of the tests."""


@pytest.fixture
def machine(monkeypatch):
    """`machine(*installed, ...)`: an x86 CPU without CUDA, with these engines and, unless denied, PyTorch."""

    def make(*installed, bf16=(), units=False, cpu="x86_64", device="cpu", pytorch=True):
        monkeypatch.setattr(choice, "is_installed", lambda name: name in installed)
        monkeypatch.setattr(choice, "has_torch", lambda: pytorch)
        dtypes = {"float32"} | ({"bfloat16"} if bf16 else set())
        monkeypatch.setattr(choice.OpenVino, "dtypes", staticmethod(lambda: frozenset(dtypes)))
        monkeypatch.setattr(choice.platform, "machine", lambda: cpu)
        monkeypatch.setattr(choice, "on_cpu", lambda asked: device == "cpu")
        best = "bfloat16" if units else "float32"
        named = {"auto": best, "fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
        monkeypatch.setattr(choice, "cpu_precision", lambda asked: named[asked])

    return make


def chosen(pixels=(LONG,), begun_with=None, **options) -> str:
    return with_engine(RestoreOptions(**options), Work(TINY, pixels, begun_with)).engine


def test_long_work_earns_openvino_and_short_work_stays_with_torch(machine):
    machine("openvino", "onnx")
    assert chosen() == "openvino"
    assert chosen([LONG // 2]) == chosen([]) == "torch"
    assert chosen([LONG // 2] * 3) == "openvino"


def test_more_threads_want_more_work(machine):
    machine("openvino")
    torch.set_num_threads(2)
    assert chosen() == "torch" and chosen([2 * LONG]) == "openvino"


def test_no_more_sizes_are_looked_at_than_needed(machine):
    machine("openvino")
    assert chosen(itertools.repeat(LONG // 3)) == "openvino"
    machine()
    assert chosen(itertools.repeat(LONG // 3)) == "torch"


def test_onnx_runtime_is_never_picked_unasked_since_it_is_no_faster(machine):
    machine("onnx")
    assert chosen() == "torch"
    machine()
    assert chosen() == "torch"


@pytest.mark.parametrize(
    ("surroundings", "options"),
    [
        ({"device": "cuda"}, {}),
        ({"cpu": "aarch64"}, {}),
        ({"units": True}, {}),  # torch would compute in bf16, the others cannot
        ({}, {"precision": "bf16"}),
        ({}, {"precision": "fp16"}),
        ({}, {"engine": "torch"}),
    ],
)
def test_auto_stays_with_torch_where_others_are_slower_or_other(surroundings, options, machine):
    machine("openvino", "onnx", **surroundings)
    assert chosen(**options) == "torch"


def test_bf16_units_are_used_by_openvino(machine):
    machine("openvino", "onnx", bf16=True, units=True)
    assert chosen() == "openvino"
    assert chosen(precision="fp32") == "openvino"


def test_what_is_asked_for_is_taken(machine):
    machine()
    assert chosen(engine="onnx") == "onnx" and chosen([], engine="openvino") == "openvino"


@pytest.mark.parametrize("begun", ["torch", "onnx", "openvino"])
def test_a_job_that_goes_on_keeps_its_engine(begun, machine):
    machine("openvino", "onnx")
    assert chosen(begun_with=begun) == chosen([], begun_with=begun) == begun
    assert chosen(begun_with=begun, engine="torch") == "torch"


def test_an_engine_that_is_gone_cannot_be_kept(machine):
    machine("onnx")
    assert chosen(begun_with="openvino") == "torch"
    assert chosen([], begun_with="openvino") == "torch"


@pytest.mark.parametrize("cpu", ["x86_64", "aarch64"])
def test_without_torch_onnx_runtime_stands_for_it(cpu, machine):
    machine("onnx", cpu=cpu, pytorch=False)
    assert chosen() == chosen([]) == chosen(begun_with="openvino") == chosen(begun_with="torch") == "onnx"
    machine("openvino", "onnx", cpu=cpu, pytorch=False)
    assert chosen([]) == "onnx" and chosen([], begun_with="onnx") == "onnx"
    assert chosen() == ("openvino" if cpu == "x86_64" else "onnx")


def test_without_torch_there_is_only_the_processor(monkeypatch):
    monkeypatch.setattr(choice, "has_torch", lambda: False)
    assert choice.on_cpu("auto") and choice.on_cpu("cpu")
    for device in ("cuda", "mps"):
        with pytest.raises(ResourceError, match=r"without PyTorch") as caught:
            choice.on_cpu(device)
        assert caught.value.remedy is Remedy.INSTALL_FULL


def test_auto_without_a_job_is_torch(network):
    assert Restorer(network(TINY), RestoreOptions(device="cpu")).engine.name == "torch"


@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_restorers_have_the_engine_that_is_asked_for(engine, network, picture):
    pytest.importorskip("onnx", reason="an extra")
    pytest.importorskip({"openvino": "openvino", "onnx": "onnxruntime"}[engine], reason="an extra")
    restorer = Restorer(network(TINY), RestoreOptions(engine=engine, precision="fp32"))
    assert restorer.engine.name == engine and str(restorer.device) == "cpu"
    assert restorer(picture(20, 30)).shape == (20, 30, 3)


@pytest.mark.parametrize("options", [{"device": "cuda"}, {"precision": "fp16"}])
@pytest.mark.parametrize("engine", ["openvino", "onnx"])
def test_what_does_not_go_together_is_refused(engine, options, network):
    pytest.importorskip("openvino", reason="an extra")
    with pytest.raises(UsageError):
        make_engine(network(TINY), RestoreOptions(engine=engine, **options))


@pytest.mark.parametrize(("engine", "package"), [("openvino", "openvino"), ("onnx", "onnxruntime")])
def test_a_missing_package_is_named(engine, package, network, monkeypatch):
    pytest.importorskip("onnxruntime", reason="an extra")
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(UsageError, match=f"pip install {package}"):
        make_engine(network(TINY), RestoreOptions(engine=engine))


def test_a_device_that_is_not_there_is_an_error_whatever_the_work(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ResourceError, match="no device cuda:1"):
        with_engine(RestoreOptions(device="cuda:1"), Work(TINY, []))
