"""ONNX files as an engine of `Restorer`."""

from __future__ import annotations

import numpy as np
import pytest

from derain_cli.config import RestoreOptions
from derain_cli.engine.onnx_engine import OnnxEngine
from derain_cli.engine.restorer import Restorer

onnx = pytest.importorskip("onnx", reason="an extra")
pytest.importorskip("onnxruntime", reason="an extra")


@pytest.fixture
def blur(tmp_path):
    """A file with one 3x3 convolution, the mean of each colour."""
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.zeros((3, 3, 3, 3), np.float32)
    kernel[range(3), range(3)] = 1 / 9
    size = ["n", 3, "h", "w"]
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "kernel"], ["y"], pads=[1] * 4)],
        "blur",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, size)],
        [numpy_helper.from_array(kernel, "kernel")],
    )
    path = tmp_path / "blur.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_layers_of_a_file_add_up(blur, picture, dtype):
    pixels = picture(40, 50).astype(dtype) * (np.iinfo(dtype).max // 255)
    restorer = Restorer(OnnxEngine(blur))
    layers = restorer.layers(pixels)
    assert layers.derained.dtype == dtype
    assert not np.array_equal(layers.derained, pixels)
    taken = np.clip(pixels.astype(int) - layers.derained, 0, None)
    assert np.abs(taken - layers.rain).max() <= 1
    assert np.unique(layers.detail).size == 1
    assert np.array_equal(restorer.batch([pixels])[0], restorer(pixels))


def test_a_file_whose_reach_is_given_is_tiled(blur, picture):
    pixels = picture(150, 170)
    whole, tiled = Restorer(OnnxEngine(blur)), Restorer(OnnxEngine(blur, halo=1), RestoreOptions(tile=64))
    assert np.array_equal(whole(pixels), tiled(pixels))
    cut = Restorer(OnnxEngine(blur, halo=0), RestoreOptions(tile=64))
    assert not np.array_equal(whole(pixels), cut(pixels))


def test_fingerprints_differ_with_the_file_and_the_padding(blur):
    assert OnnxEngine(blur).fingerprint() != OnnxEngine(blur, pad_multiple=8).fingerprint()
    before = OnnxEngine(blur).fingerprint()
    assert OnnxEngine(blur).fingerprint() == before
    blur.write_bytes(blur.read_bytes().replace(b"blur", b"BLUR"))
    assert OnnxEngine(blur).fingerprint() != before
