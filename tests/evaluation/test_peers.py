"""Baselines and third-party networks: called like a restorer, on whole pictures, with clear errors."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from derain_cli.errors import InputError, ResourceError, UsageError, WeightsError
from derain_cli.evaluation.names import is_peer
from derain_cli.evaluation.peers import as_peer, find_peer

CPU = torch.device("cpu")


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Writes a module into the current folder and returns its name; unloaded afterwards."""
    monkeypatch.chdir(tmp_path)
    names = []

    def write(text: str) -> str:
        name = f"peer_of_test_{len(names)}_{tmp_path.name.replace('-', '_')}"
        (tmp_path / f"{name}.py").write_text("import torch\nfrom torch import nn\n" + text, encoding="utf-8")
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def darker(pictures):
    return pictures * 0.5


@pytest.mark.parametrize(
    ("name", "peer"),
    [
        ("input", True),
        ("a.b:net", True),
        ("net.onnx", True),
        ("dir/NET.PT", True),
        ("net.ts", True),
        ("fast", False),
        ("hf:org/repo", False),
        ("hf:name", False),
        ("weights.safetensors", False),
        ("C:/weights.safetensors", False),
    ],
)
def test_names_of_peers_and_of_our_own_weights(name, peer):
    assert is_peer(name) is peer


# --- python ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "def net(x):\n    return x * 0.5\n",
        "def net():\n    return lambda x: x * 0.5\n",
        "def net(scale=0.5):\n    return Half(scale)\n",
        "net = Half(0.5)\n",
        "net = Half\n",
    ],
    ids=["function", "factory", "factory with defaults", "module", "class"],
)
def test_what_a_name_may_stand_for(module, picture, text):
    half = (
        "class Half(nn.Module):\n"
        "    def __init__(self, scale=0.5):\n        super().__init__()\n"
        "        self.scale = nn.Parameter(torch.tensor(scale))\n"
        "    def forward(self, x):\n        assert not self.training\n        return x * self.scale\n"
    )
    name = module(half + text)
    peer = find_peer(f"{name}:net", CPU)
    rainy = picture(20, 30)
    assert np.array_equal(peer(rainy), np.rint(rainy.astype(np.float32) * np.float32(0.5)).astype(np.uint8))
    assert peer.kind == "python"


def test_parameters_and_macs_of_a_module_are_counted(module):
    name = module("net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 3, 1))\n")
    peer = find_peer(f"{name}:net", CPU)
    assert peer.parameters == 3 * 8 * 9 + 8 + 8 * 3 + 3
    assert peer.macs_per_pixel == pytest.approx(3 * 8 * 9 + 8 * 3)


def test_attributes_of_a_network_are_respected(module, picture):
    name = module(
        "class Net:\n    pad_multiple, parameters, macs_per_pixel = 8, 12, 34.5\n"
        "    def __call__(self, x):\n        assert x.shape[2] % 8 == 0 and x.shape[3] % 8 == 0\n        return x\n"
    )
    peer = find_peer(f"{name}:Net", CPU)
    assert (peer.pad_multiple, peer.parameters, peer.macs_per_pixel) == (8, 12, 34.5)
    assert np.array_equal(peer(picture(17, 30)), picture(17, 30))
    assert find_peer(f"{name}:Net", CPU, pad_multiple=16).pad_multiple == 16


def test_the_current_folder_is_looked_in_and_the_path_is_left_as_it_was(module):
    name = module("net = lambda x: x\n")
    before = list(sys.path)
    find_peer(f"{name}:net", CPU)
    assert sys.path == before


@pytest.mark.parametrize(
    ("text", "attribute", "words"),
    [
        ("", "net", "no 'net' in"),
        ("net = 3\n", "net", "is not a network"),
        ("def net():\n    return 3\n", "net", "is not a network"),
        ("def net():\n    raise RuntimeError('no weights')\n", "net", "no weights"),
        ("import no_such_module_at_all\n", "net", "cannot import"),
        ("def net(:\n", "net", "SyntaxError"),
        ("net = lambda x: x\nnet.pad_multiple = 0\n", "net", "pad_multiple"),
    ],
)
def test_names_that_are_nothing_are_usage_errors(module, text, attribute, words):
    name = module(text)
    with pytest.raises(UsageError, match=words):
        find_peer(f"{name}:{attribute}", CPU)


def test_a_module_that_is_not_there(module):
    with pytest.raises(UsageError, match="cannot import"):
        find_peer("no_such_module_at_all:net", CPU)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return [x]", "returned a list"),
        ("return x[:, :1]", "not \\(1, 3, 20, 30\\)"),
        ("return x[..., :-1]", "29x20 for a picture of 30x20"),
        ("return x / 0 - x / 0", "non-finite"),
        ("raise ValueError('sides of 8 only')", "ValueError: sides of 8 only"),
    ],
)
def test_what_a_network_does_wrong_concerns_the_picture(module, picture, body, words):
    peer = find_peer(f"{module(f'def net(x): {body}')}:net", CPU)
    with pytest.raises(InputError, match=words):
        peer(picture(20, 30))


def test_out_of_memory_is_no_fault_of_the_picture(module, picture):
    peer = find_peer(f"{module('def net(x): raise MemoryError')}:net", CPU)
    with pytest.raises(ResourceError):
        peer(picture(20, 30))


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_torchscript_archive_is_run(tmp_path, picture):
    network = nn.Conv2d(3, 3, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(0.5 * torch.eye(3)[..., None, None])
    path = tmp_path / "net.pt"
    torch.jit.trace(network, torch.rand(1, 3, 8, 8)).save(str(path))
    peer = find_peer(str(path), CPU)
    assert (peer.kind, peer.parameters) == ("torchscript", 9)
    assert peer.sha256 is not None and len(peer.sha256) == 64
    expected = np.rint(picture(20, 30).astype(np.float32) * np.float32(0.5))
    assert np.abs(peer(picture(20, 30)) - expected).max() <= 1


def test_pickles_are_refused_unopened(tmp_path):
    class Bomb:
        def __reduce__(self):
            return Path.touch, (tmp_path / "canary",)

    torch.save({"weights": Bomb()}, tmp_path / "new.pt")
    torch.save({"weights": Bomb()}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    (tmp_path / "junk.ts").write_bytes(b"junk")
    for name in ("new.pt", "old.pt", "junk.ts"):
        with pytest.raises(WeightsError, match="not a TorchScript archive"):
            find_peer(str(tmp_path / name), CPU)
    assert not (tmp_path / "canary").exists()


@pytest.mark.parametrize("name", ["net.pt", "net.onnx"])
def test_files_that_are_not_there(tmp_path, name):
    with pytest.raises(WeightsError, match="no such file"):
        find_peer(str(tmp_path / name), CPU)


def test_onnx_without_its_runtime_says_how_to_get_it(tmp_path, monkeypatch):
    (tmp_path / "net.onnx").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="pip install onnxruntime"):
        find_peer(str(tmp_path / "net.onnx"), CPU)


needs_onnx = pytest.mark.skipif(
    importlib.util.find_spec("onnx") is None or importlib.util.find_spec("onnxruntime") is None,
    reason="onnx and onnxruntime are extras",
)


@needs_onnx
def test_an_onnx_file_is_run(tmp_path, picture):
    import onnx
    from onnx import TensorProto, helper

    size = [1, 3, "h", "w"]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "half"], ["y"])],
        "half",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, size)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, size)],
        [helper.make_tensor("half", TensorProto.FLOAT, [1], [0.5])],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    peer = find_peer(str(path), CPU, pad_multiple=8)
    assert (peer.kind, peer.parameters, peer.pad_multiple) == ("onnx", 1, 8)
    expected = np.rint(picture(20, 30).astype(np.float32) * np.float32(0.5))
    assert np.abs(peer(picture(20, 30)) - expected).max() <= 1


@needs_onnx
def test_damaged_onnx_files_are_refused(tmp_path):
    (tmp_path / "net.onnx").write_bytes(b"junk")
    with pytest.raises(WeightsError, match="not a usable ONNX file"):
        find_peer(str(tmp_path / "net.onnx"), CPU)


@needs_onnx
def test_an_onnx_file_of_one_size_says_which(tmp_path, picture):
    import onnx
    from onnx import TensorProto, helper

    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 32, 24]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", sides[:1], sides[1:])
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    peer = find_peer(str(path), CPU)
    assert peer(picture(32, 24)).shape == (32, 24, 3)
    with pytest.raises(InputError, match="accepts 24x32 only"):
        peer(picture(32, 32))


@needs_onnx
def test_multiply_accumulates_of_an_onnx_file_are_those_of_the_same_network_in_torch(tmp_path):
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernels = {
        "down": np.ones((8, 3, 3, 3), np.float32),
        "deep": np.ones((8, 4, 3, 3), np.float32),
        "up": np.ones((8, 3, 2, 2), np.float32),
    }
    dynamic = ["n", 3, "h", "w"]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "down"], ["a"], pads=[1, 1, 1, 1], strides=[2, 2]),
            helper.make_node("Conv", ["a", "deep"], ["b"], pads=[1, 1, 1, 1], group=2),
            helper.make_node("ConvTranspose", ["b", "up"], ["y"], strides=[2, 2]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, dynamic)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, dynamic)],
        [numpy_helper.from_array(kernel, name) for name, kernel in kernels.items()],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    same = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.Conv2d(8, 8, 3, 1, 1, groups=2, bias=False),
        nn.ConvTranspose2d(8, 3, 2, 2, bias=False),
    )
    peer, expected = find_peer(str(path), CPU), as_peer(same, CPU)
    assert peer.parameters == expected.parameters
    assert peer.macs_per_pixel == expected.macs_per_pixel == (8 * 27 + 8 * 36 + 8 * 12) / 4
