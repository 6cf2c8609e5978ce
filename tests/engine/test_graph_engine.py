"""Networks as graphs, on OpenVINO and ONNX Runtime: what comes out is what the torch engine makes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.engine import gates, graph_engine
from derain_cli.engine.graph_engine import GraphEngine
from derain_cli.engine.onnx_graph import GraphKind
from derain_cli.engine.restorer import Restorer
from derain_cli.engine.runtimes import OnnxRuntime, OpenVino
from derain_cli.engine.torch_engine import TorchEngine
from derain_cli.errors import InputError
from derain_cli.model import build
from derain_cli.model.fold import fold
from derain_cli.model.semi_drdnet import Layers
from tests.conftest import make_network

pytest.importorskip("onnx", reason="an extra")

CONFIGS = {
    "paper": ModelConfig(width=8, blocks=2),
    "fast": ModelConfig(width=8, blocks=2, unshuffle=2, detail_blocks=1, detail_width=12, detail_unshuffle=4),
    "clip": ModelConfig(width=8, blocks=2, unshuffle=4, frames=5, detail="none"),
    "msarr": ModelConfig(width=8, blocks=2, unshuffle=2, detail="msarr", detail_unshuffle=3),
    "plain": ModelConfig(width=8, blocks=2, se=False, detail="direct"),
}
LEVEL = 1 / 255


@pytest.fixture(params=["openvino", "onnx"])
def runtime(request):
    pytest.importorskip({"openvino": "openvino", "onnx": "onnxruntime"}[request.param], reason="an extra")
    return OpenVino() if request.param == "openvino" else OnnxRuntime()


def torch_engine(model) -> TorchEngine:
    return TorchEngine(model, torch.device("cpu"), torch.float32)


def graph_engine_of(model, runtime) -> GraphEngine:
    return GraphEngine(fold(model).folded, runtime)


def gated(config: ModelConfig, seed: int = 0):
    """A network whose gates hang on the picture strongly."""
    model = make_network(config, seed)
    with torch.no_grad():
        for block in model.rrn.blocks:
            block.se.squeeze.weight[1::2] = -block.se.squeeze.weight[::2]
            block.se.excite.weight.mul_(20)
    return model


def window(picture, frames: int, height: int, width: int) -> np.ndarray:
    return np.concatenate([picture(height, width, seed=seed) for seed in range(frames)], axis=2)


def largest(one: Layers, other: Layers) -> float:
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("name", CONFIGS)
def test_layers_and_gates_are_those_of_torch(name, runtime):
    model = make_network(CONFIGS[name])
    ours, graphs = torch_engine(model), graph_engine_of(model, runtime)
    for height, width in ((33, 47), (1, 1), (64, 24)):
        batch = torch.rand(2, 3 * model.config.frames, height, width, generator=torch.Generator().manual_seed(height))
        right = ours.run(batch)
        assert largest(graphs.run(batch.numpy()), right) < 1e-4 * max(1.0, float(right.rain.abs().max()))
        measured, shared = ours.measure_gates(batch), graphs.measure_gates(batch.numpy())
        if measured is None or shared is None:
            assert measured is shared is None
            continue
        assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(measured, shared, strict=True))
        # Gates of other pictures are taken, not measured anew.
        other = ours.measure_gates(batch.flip(0)[:1] * 0.3)
        assert largest(
            graphs.run(batch.numpy(), [gate.numpy() for gate in other]), ours.run(batch, other)
        ) < 1e-4 * max(1.0, float(right.rain.abs().max()))


@pytest.mark.parametrize("name", ["fast", "clip"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_pictures_are_within_one_level_of_torch(name, dtype, runtime, picture):
    model = gated(CONFIGS[name])
    pixels = window(picture, model.config.frames, 90, 117).astype(dtype) * (np.iinfo(dtype).max // 255)
    ours, graphs = (
        Restorer(model, RestoreOptions(device="cpu", precision="fp32")),
        Restorer(graph_engine_of(model, runtime)),
    )
    steps = np.iinfo(dtype).max // 255
    assert np.abs(ours(pixels).astype(int) - graphs(pixels)).max() <= steps
    both = zip(vars(ours.layers(pixels)).values(), vars(graphs.layers(pixels)).values(), strict=True)
    assert all(np.abs(a.astype(int) - b).max() <= steps for a, b in both)
    assert not np.array_equal(graphs(pixels), pixels[..., : 3 * (model.config.frames // 2 + 1)][..., -3:])


def test_tiles_share_the_gates_of_the_whole_picture(runtime, picture):
    model = gated(CONFIGS["fast"])
    # Halves that are unlike each other: gates of their own would show.
    pixels = picture(230, 260)
    pixels[:, 130:] //= 5
    engine = graph_engine_of(model, runtime)
    whole, tiled = Restorer(engine)(pixels), Restorer(engine, RestoreOptions(tile=64))(pixels)
    assert np.abs(whole.astype(int) - tiled).max() <= 1
    assert np.abs(Restorer(torch_engine(model), RestoreOptions(tile=64))(pixels).astype(int) - tiled).max() <= 1
    own = Restorer(engine)(np.ascontiguousarray(pixels[:, 130:]))
    assert np.abs(own.astype(int) - whole[:, 130:])[:, 100:].max() > 1, "gates do not matter in this test"


def test_large_pictures_measure_gates_on_the_same_crops_as_torch(runtime, picture, monkeypatch):
    monkeypatch.setattr(gates, "_GATE_SIDE", 64)
    monkeypatch.setattr(gates, "_GATE_PIXELS", 10_000)
    model, pixels = gated(CONFIGS["fast"]), picture(200, 180)
    ours = Restorer(model, RestoreOptions(device="cpu", precision="fp32"))(pixels)
    assert np.abs(ours.astype(int) - Restorer(graph_engine_of(model, runtime))(pixels)).max() <= 1


def test_results_are_the_same_bits_again_and_in_any_company(runtime, picture):
    model = gated(CONFIGS["fast"])
    restorer, again = Restorer(graph_engine_of(model, runtime)), Restorer(graph_engine_of(model, runtime))
    pictures = [picture(80, 96, seed=seed) for seed in range(3)]
    alone = [restorer(each) for each in pictures]
    restorer(picture(41, 57))
    assert all(np.array_equal(a, b) for a, b in zip(alone, restorer.batch(pictures), strict=True))
    assert all(np.array_equal(a, again(b)) for a, b in zip(alone, pictures, strict=True))


@pytest.mark.parametrize("place", ["first", "tail"])
def test_damaged_numbers_are_an_error_as_with_torch(place, runtime, picture):
    model = make_network(CONFIGS["fast"])
    with torch.no_grad():
        if place == "tail":
            model.rrn.tail.weight.fill_(3e38)
        else:  # infinite in the middle, where later operations could hide it
            model.rrn.blocks[0].first.weight.mul_(1e38)
            model.rrn.blocks[0].second.weight.mul_(1e20)
    pixels = picture(40, 50)
    for engine in (torch_engine(model), graph_engine_of(model, runtime)):
        with pytest.raises(InputError, match="non-finite values"):
            Restorer(engine)(pixels)


def test_what_is_not_finite_in_half_precision_is_redone_in_float32(runtime, picture, monkeypatch):
    model, pixels = make_network(CONFIGS["fast"]), picture(40, 50)
    right = Restorer(graph_engine_of(model, runtime))(pixels)
    compile_ = runtime.compile

    def overflowing(graph, *, exact=False):
        run = compile_(graph)
        return run if exact else lambda inputs: [np.full_like(layer, np.nan) for layer in run(inputs)]

    monkeypatch.setattr(runtime, "compile", overflowing)
    monkeypatch.setattr(runtime, "dtype", "bfloat16", raising=False)
    restorer = Restorer(graph_engine_of(model, runtime))
    assert np.array_equal(restorer(pixels), right)
    assert restorer.notes == ["a tile was not finite in bfloat16: recomputed in float32"]


@pytest.mark.parametrize("words", ["std::bad_alloc", "Failed to allocate memory for requested buffer of size 9"])
def test_out_of_memory_halves_the_tile(words, runtime, picture, monkeypatch):
    model, pixels = gated(CONFIGS["fast"]), picture(300, 280)
    right = Restorer(graph_engine_of(model, runtime))(pixels)
    compile_ = runtime.compile

    def tight(graph, *, exact=False):
        run = compile_(graph)

        def limited(inputs):
            if inputs["rainy"].shape[-1] > 260:
                raise RuntimeError(words)
            return run(inputs)

        return limited

    monkeypatch.setattr(runtime, "compile", tight)
    restorer = Restorer(graph_engine_of(model, runtime))
    assert np.abs(restorer(pixels).astype(int) - right).max() <= 1
    assert any("halved" in note for note in restorer.notes)


def test_other_errors_of_a_runtime_are_not_taken_for_memory(runtime, picture, monkeypatch):
    engine = graph_engine_of(build(CONFIGS["plain"]).eval(), runtime)
    monkeypatch.setattr(engine, "_compiled", lambda *asked: lambda inputs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Restorer(engine)(picture(20, 20))


def test_automatic_tiles_follow_the_free_memory(runtime, picture, monkeypatch):
    model, pixels = gated(CONFIGS["paper"]), picture(300, 280)
    engine = graph_engine_of(model, runtime)
    whole = Restorer(engine)(pixels)
    sizes = []
    run = engine.run
    monkeypatch.setattr(graph_engine, "free_memory", lambda: 20_000_000)
    monkeypatch.setattr(engine, "run", lambda batch, gates=None: sizes.append(batch.shape[-1]) or run(batch, gates))
    assert np.abs(Restorer(engine)(pixels).astype(int) - whole).max() <= 1
    assert len(sizes) > 1


def test_fingerprints_tell_engines_and_weights_apart(runtime):
    model, other = make_network(CONFIGS["plain"]), make_network(CONFIGS["plain"], seed=1)
    found = [torch_engine(model).fingerprint(), graph_engine_of(model, runtime).fingerprint()]
    assert len({*found, graph_engine_of(other, runtime).fingerprint()}) == 3
    assert graph_engine_of(model, runtime).fingerprint() == found[1]
    assert runtime.name in found[1] and runtime.version in found[1]


def test_graphs_are_compiled_when_they_are_needed_and_forgotten_when_memory_is_short(runtime, picture, monkeypatch):
    made = []
    monkeypatch.setattr(graph_engine, "onnx_graph", lambda net, kind: made.append(kind) or original(net, kind))
    engine = graph_engine_of(gated(CONFIGS["fast"]), runtime)
    Restorer(engine)(picture(30, 30))
    assert made == [GraphKind.WHOLE]
    Restorer(engine, RestoreOptions(tile=64))(picture(100, 90))
    assert made == [GraphKind.WHOLE, GraphKind.GATES, GraphKind.TILE]
    engine.empty_cache()
    Restorer(engine)(picture(30, 30))
    assert made[3:] == [GraphKind.WHOLE]


original = graph_engine.onnx_graph
