"""Files of networks for other programs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.engine import export as exports
from derain_cli.engine.export import SUFFIXES, export
from derain_cli.engine.onnx_engine import OnnxEngine
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import DestinationError, WeightsError
from derain_cli.evaluation.peers import find_peer
from tests.conftest import make_network

for package in ("onnx", "onnxruntime", "openvino"):
    pytest.importorskip(package, reason="an extra")

FAST = ModelConfig(width=8, blocks=1, unshuffle=2, detail_blocks=1, detail_unshuffle=3)
CLIP = ModelConfig(width=8, blocks=1, unshuffle=4, frames=5, detail="none")
FORMS = list(SUFFIXES)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("config", [FAST, CLIP], ids=["fast", "clip"])
def test_files_were_run_and_give_our_pictures(form, config, tmp_path):
    path = tmp_path / f"net{SUFFIXES[form][0]}"
    made = export(make_network(config), form, path, about="whose they are")
    assert 0 <= made.difference < 0.01
    assert made.paths[0] == path and all(each.is_file() for each in made.paths)
    assert {each.name for each in tmp_path.iterdir()} == {each.name for each in made.paths}
    assert made.inputs == {"rainy": ("n", 3 * config.frames, "height", "width")}
    assert (
        made.outputs
        == (("derained",) if form == "torchscript" else ("derained", "rain", "detail"))[: 3 - (config.detail == "none")]
    )


def test_onnx_files_are_taken_as_an_engine(picture, tmp_path):
    model, pixels = make_network(FAST), picture(41, 58)
    export(model, "onnx", tmp_path / "net.onnx")
    ours = Restorer(model, RestoreOptions(device="cpu", precision="fp32"))(pixels)
    assert np.abs(Restorer(OnnxEngine(tmp_path / "net.onnx"))(pixels).astype(int) - ours).max() <= 1


def test_torchscript_files_are_taken_as_peers(picture, tmp_path):
    model, pixels = make_network(FAST), picture(41, 58)
    export(model, "torchscript", tmp_path / "net.ts")
    ours = Restorer(model, RestoreOptions(device="cpu", precision="fp32"))(pixels)
    peer = find_peer(str(tmp_path / "net.ts"), torch.device("cpu"))
    assert np.abs(peer(pixels).astype(int) - ours).max() <= 1


def test_what_the_weights_are_stands_in_the_file(tmp_path):
    import onnx
    import openvino

    for form in FORMS:
        export(make_network(FAST), form, tmp_path / f"net{SUFFIXES[form][0]}", about="for research only")
    assert onnx.load(str(tmp_path / "net.onnx")).doc_string == "for research only"
    assert "for research only" in (tmp_path / "net.xml").read_text(encoding="utf-8")
    extra = {"about.txt": ""}
    torch.jit.load(str(tmp_path / "net.ts"), _extra_files=extra)
    assert extra["about.txt"] in ("for research only", b"for research only")
    assert openvino.Core().read_model(str(tmp_path / "net.xml")).inputs[0].any_name == "rainy"


@pytest.mark.parametrize("form", FORMS)
def test_files_that_give_other_pictures_are_not_written(form, tmp_path, monkeypatch):
    write = exports._WRITERS[form]

    def wrong(net, path, about):
        run = write(net, path, about)
        return lambda pictures: [layer + 0.01 for layer in run(pictures)]

    monkeypatch.setitem(exports._WRITERS, form, wrong)
    with pytest.raises(WeightsError, match=r"off by 2\.5\d levels"):
        export(make_network(FAST), form, tmp_path / f"net{SUFFIXES[form][0]}")
    assert not list(tmp_path.iterdir())


def test_files_that_are_there_are_left_alone(tmp_path):
    (tmp_path / "net.bin").write_bytes(b"mine")
    with pytest.raises(DestinationError):
        export(make_network(FAST), "openvino", tmp_path / "net.xml")
    assert [each.name for each in tmp_path.iterdir()] == ["net.bin"]
    assert (tmp_path / "net.bin").read_bytes() == b"mine"
    export(make_network(FAST), "openvino", tmp_path / "net.xml", overwrite=True)
    assert (tmp_path / "net.bin").read_bytes() != b"mine"
    with pytest.raises(DestinationError, match="no such folder"):
        export(make_network(FAST), "onnx", tmp_path / "none" / "net.onnx")
