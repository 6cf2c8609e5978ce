"""ONNX files, written without the onnx package: that package reads and approves them."""

from __future__ import annotations

import numpy as np
import pytest

from derain_cli.engine.onnx_file import Graph, Node, Value, model_bytes

onnx = pytest.importorskip("onnx")


def graph(about: str = "") -> Graph:
    constants = {"kernel": np.ones((2, 3, 3, 3), np.float32), "from": np.array([0, -1, 2**40], np.int64)}
    conv = Node("Conv", ["x", "kernel"], ["y"], {"pads": [1, 1, 1, 1], "kernel_shape": (3, 3), "group": 1})
    cast = Node("DepthToSpace", ["y"], ["z"], {"blocksize": 1, "mode": "CRD"})
    return Graph(
        [conv, cast], [Value("x", ("n", 3, "height", 640))], [Value("z", ("n", 2, "height", 640))], constants, about
    )


def test_a_model_is_what_the_onnx_package_reads() -> None:
    model = onnx.load_model_from_string(model_bytes(graph("Häuser im Regen"), 17))
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.producer_name, model.doc_string) == (8, "derain", "Häuser im Regen")
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    conv, last = model.graph.node
    assert (conv.op_type, list(conv.input), list(conv.output)) == ("Conv", ["x", "kernel"], ["y"])
    found = {each.name: onnx.helper.get_attribute_value(each) for node in (conv, last) for each in node.attribute}
    assert found == {"pads": [1, 1, 1, 1], "kernel_shape": [3, 3], "group": 1, "blocksize": 1, "mode": b"CRD"}
    shape = model.graph.input[0].type.tensor_type.shape.dim
    assert [side.dim_param or side.dim_value for side in shape] == ["n", 3, "height", 640]


def test_constants_are_kept_bit_by_bit() -> None:
    model = onnx.load_model_from_string(model_bytes(graph(), 17))
    read = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    for name, values in graph().constants.items():
        assert read[name].dtype == values.dtype and np.array_equal(read[name], values)


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 70_000])
def test_texts_of_any_length_are_read_back(size: int) -> None:
    assert onnx.load_model_from_string(model_bytes(graph("x" * size), 17)).doc_string == "x" * size
