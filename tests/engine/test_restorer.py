"""Restoration of pictures: types and dtypes, tiles, gates, faults."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.find import find_weights
from derain_cli.checkpoints.weight_file import load_weights, save_weights
from derain_cli.checkpoints.weight_file import network as load_network
from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.engine import gates, torch_engine
from derain_cli.engine.device import pick_device
from derain_cli.engine.protocol import Batches
from derain_cli.engine.restorer import Restorer
from derain_cli.engine.tiling import SMALLEST_TILE
from derain_cli.errors import InputError, OutOfMemoryError, ResourceError, UsageError, WeightsError
from derain_cli.model import build
from derain_cli.model.architecture import receptive_radius
from derain_cli.model.fold import fold
from derain_cli.model.semi_drdnet import Layers
from derain_cli.rain import add_rain
from tests.conftest import make_network, make_picture

TINY = ModelConfig(width=4, blocks=1)
PLAIN = ModelConfig(width=4, blocks=1, se=False)
MODES = ["RGB", "RGBA", "L", "LA"]


def make(model, tile=0, strength=1.0, precision="fp32") -> Restorer:
    return Restorer(model, RestoreOptions(device="cpu", precision=precision, tile=tile, strength=strength))


def zero_network(config=TINY):
    model = build(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model.eval()


def busy(network, config=PLAIN, seed=0):
    """A network whose results are well inside the range, so that clamping hides no difference."""
    model = network(config, seed)
    with torch.no_grad():
        for net in (model.rrn, model.drn):
            if net is not None:
                net.tail.weight.mul_(0.3)
                net.tail.bias.zero_()
    return model


def gated(network, config, seed=0):
    """The same with gates that depend strongly on the picture."""
    model = busy(network, config, seed)
    with torch.no_grad():
        for block in model.rrn.blocks:
            block.se.squeeze.weight[1::2] = -block.se.squeeze.weight[::2]  # one of each pair passes the ReLU
            block.se.excite.weight.mul_(20)
    return model


def as_tensor(picture):
    top = np.iinfo(picture.dtype).max
    return torch.from_numpy(picture.astype(np.int64)).permute(2, 0, 1)[None].float() / top


# --- kinds of pictures ------------------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from([np.uint8, np.uint16]), st.sampled_from([1, 2, 3]))
def test_a_network_of_zeros_is_the_identity(height, width, dtype, unshuffle):
    rng = np.random.default_rng(height * 100 + width)
    picture = rng.integers(0, np.iinfo(dtype).max + 1, (height, width, 3)).astype(dtype)
    out = make(zero_network(ModelConfig(width=4, blocks=1, unshuffle=unshuffle)))(picture)
    assert out.dtype == dtype
    assert np.array_equal(out, picture)


def test_all_levels_survive_the_way_through_the_network():
    restorer = make(zero_network())
    for dtype in (np.uint8, np.uint16):
        levels = np.arange(np.iinfo(dtype).max + 1).astype(dtype)
        picture = np.repeat(levels.reshape(-1, 256)[..., None], 3, axis=-1)
        assert np.array_equal(restorer(picture), picture)


@pytest.mark.parametrize("mode", MODES)
def test_pil_pictures_keep_mode_size_and_alpha(mode, picture):
    rng = np.random.default_rng(0)
    image = Image.fromarray(picture(21, 34)).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(rng.integers(0, 256, (21, 34)).astype(np.uint8)))
    out = make(zero_network())(image)
    assert isinstance(out, Image.Image)
    assert (out.mode, out.size) == (image.mode, image.size)
    assert np.array_equal(np.asarray(out), np.asarray(image))


@pytest.mark.parametrize("mode", MODES)
def test_alpha_is_kept_by_a_network_that_changes_the_rest(mode, network, picture):
    image = Image.fromarray(picture(16, 18)).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(picture(16, 18, 5)[..., 0]))
    out = make(busy(network, TINY))(image)
    assert (out.mode, out.size) == (mode, image.size)
    assert not np.array_equal(np.asarray(out), np.asarray(image))
    if mode.endswith("A"):
        assert np.array_equal(np.asarray(out)[..., -1], np.asarray(image)[..., -1])


def test_pil_and_array_agree(network, picture):
    restorer, pixels = make(busy(network, TINY)), picture(20, 25)
    assert np.array_equal(np.asarray(restorer(Image.fromarray(pixels))), restorer(pixels))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_the_result_is_that_of_the_network_rounded(network, picture, dtype):
    model = busy(network, TINY)
    pixels = picture(23, 30)
    if dtype is np.uint16:
        pixels = pixels.astype(np.uint16) * 257
    with torch.no_grad():
        expected = model(as_tensor(pixels)).derained.clamp(0, 1)[0].permute(1, 2, 0) * np.iinfo(dtype).max
    found = make(model)(pixels)
    assert np.abs(found.astype(float) - expected.numpy()).max() <= 0.5 + 1e-5 * np.iinfo(dtype).max
    assert len(np.unique(found)) > 50


def test_deep_pictures_are_restored_in_depth(network, picture):
    """The output has more than 256 levels; it is not 8 bits scaled up."""
    rng = np.random.default_rng(0)
    pixels = picture(40, 40).astype(np.uint16) * 257 - rng.integers(0, 200, (40, 40, 3)).astype(np.uint16)
    assert len(np.unique(make(busy(network, TINY))(pixels))) > 1000


def test_input_is_never_modified_and_may_be_read_only_or_a_view(network, picture):
    restorer = make(busy(network, TINY))
    pixels = picture(20, 24)
    expected = restorer(pixels.copy())
    frozen = pixels.copy()
    frozen.setflags(write=False)
    assert np.array_equal(restorer(frozen), expected)
    assert np.array_equal(frozen, pixels)
    view = np.ascontiguousarray(pixels[::-1, ::-1])[::-1, ::-1]
    assert np.array_equal(restorer(view), expected)
    image = Image.fromarray(pixels)
    restorer(image)
    assert np.array_equal(np.asarray(image), pixels)
    batch = as_tensor(pixels)
    kept = batch.clone()
    restorer.restore(batch)
    assert torch.equal(batch, kept)


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((8, 8), np.uint8),
        np.zeros((8, 8, 1), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((2, 8, 8, 3), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
        np.zeros((8, 0, 3), np.uint8),
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.int16),
        np.zeros((8, 8, 3), np.uint32),
        np.zeros((8, 8, 3), bool),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_other_arrays_are_refused(bad):
    with pytest.raises(InputError, match="HxWx3"):
        make(zero_network())(bad)


@pytest.mark.parametrize("mode", ["1", "P", "CMYK", "I;16", "F", "YCbCr"])
def test_other_pil_modes_are_refused_by_name(mode):
    with pytest.raises(InputError, match=mode):
        make(zero_network())(Image.new(mode, (8, 8)))


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 1, 8, 8), (1, 4, 8, 8), (8, 8)])
def test_other_tensors_are_refused(shape):
    with pytest.raises(InputError, match="N, 3, H, W"):
        make(zero_network()).restore(torch.zeros(shape))


def test_tensors_each_have_their_own_gates_and_keep_their_dtype(network):
    restorer = make(busy(network, TINY))
    batch = torch.rand(3, 3, 14, 17)
    together = restorer.restore(batch)
    alone = torch.cat([restorer.restore(one[None]) for one in batch])
    assert torch.allclose(together, alone, rtol=0, atol=1e-6)
    assert float(together.min()) >= 0
    assert float(together.max()) <= 1
    assert restorer.restore(batch.double()).dtype == torch.float64


def test_layers_add_up(network, picture):
    pixels = picture(30, 33)
    model = busy(network, TINY)
    layers = make(model).layers(pixels)
    with torch.no_grad():
        expected = model(as_tensor(pixels))
    assert {layer.dtype for layer in (layers.derained, layers.rain, layers.detail)} == {np.dtype(np.uint8)}
    for found, value in (
        (layers.derained, expected.derained),
        (layers.rain, expected.rain),
        (layers.detail, expected.detail + 0.5),
    ):
        assert found.shape == pixels.shape
        assert np.abs(found - value.clamp(0, 1)[0].permute(1, 2, 0).numpy() * 255).max() <= 0.51


# --- strength ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strength_0_is_the_input_and_1_is_all(network, picture, dtype):
    model, pixels = busy(network, TINY), picture(20, 20).astype(dtype)
    full = make(model)(pixels)
    assert np.array_equal(make(model, strength=0.0)(pixels), pixels)
    assert np.array_equal(make(model, strength=1.0)(pixels), full)
    half = make(model, strength=0.5)(pixels).astype(float)
    inside = (full > 0) & (full < np.iinfo(dtype).max)
    assert np.abs(half - (pixels.astype(float) + full) / 2)[inside].max() <= 1.0
    assert not np.array_equal(full, pixels)


# --- tiles ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "config",
    [
        PLAIN,
        ModelConfig(width=4, blocks=3, se=False, detail="residual"),
        ModelConfig(width=4, blocks=1, se=False, unshuffle=2),
        ModelConfig(width=4, blocks=2, se=False, unshuffle=4, detail="none"),
    ],
    ids=lambda c: f"b{c.blocks}-s{c.unshuffle}-{c.detail}",
)
@pytest.mark.parametrize("size", [(150, 201), (64, 65), (70, 300)])
def test_tiles_with_a_full_halo_equal_the_whole(config, size, network, picture):
    """Without gates, and with a halo as large as the receptive field, tiling does not change the levels."""
    model, pixels = busy(network, config), picture(*size)
    tiled = make(model, tile=64)
    assert tiled.halo == receptive_radius(config)
    assert np.abs(tiled(pixels).astype(int) - make(model, tile=0)(pixels)).max() <= 1
    assert float((tiled(pixels) != make(model, tile=0)(pixels)).mean()) < 1e-3  # only rounding at half levels


@pytest.mark.parametrize("unshuffle", [1, 2])
def test_tiles_share_gates_and_equal_the_whole_where_the_sample_is_the_picture(unshuffle, network, picture):
    """With SE, tiles use gates of the whole picture if it is no larger than a sample crop: the same levels."""
    config = ModelConfig(width=6, blocks=2, unshuffle=unshuffle)
    model, pixels = busy(network, config), picture(140, 160)
    tiled, whole = make(model, tile=64)(pixels), make(model, tile=0)(pixels)
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    # With separate gates the tiles would disagree; otherwise this test would prove nothing.
    folded = fold(model)
    own = [folded.measure_gates(as_tensor(pixels[:64, :64])), folded.measure_gates(as_tensor(pixels))]
    assert own[0] is not None
    assert own[1] is not None
    assert float((own[0][0] - own[1][0]).abs().max()) > 1e-4


@pytest.fixture
def sampled_gates(monkeypatch):
    """Pictures of more than 60,000 pixels count as large: gates are measured on crops of 64 pixels."""
    monkeypatch.setattr(gates, "_GATE_SIDE", 64)
    monkeypatch.setattr(gates, "_GATE_PIXELS", 60_000)


@pytest.mark.usefixtures("sampled_gates")
def test_gates_of_a_sample_are_near_those_of_the_picture(network, picture):
    model = busy(network, ModelConfig(width=6, blocks=2))
    pixels = picture(400, 420)
    restorer = make(model, tile=0)
    sampled = gates.picture_gates(restorer.engine, pixels)
    true = fold(model).measure_gates(as_tensor(pixels))
    assert sampled is not None
    assert true is not None
    assert 0 < max(float((a - b).abs().max()) for a, b in zip(sampled, true, strict=True)) < 0.02
    exact = as_tensor(restorer(pixels)) - restorer.restore(as_tensor(pixels))
    assert float(exact.abs().max()) * 255 < 2.5


@pytest.mark.usefixtures("sampled_gates")
def test_a_large_picture_has_the_same_gates_however_it_is_tiled(network, picture, monkeypatch):
    """The sample is in the black part: gates are not exact, but neither tiles nor batches become visible."""
    monkeypatch.setattr(gates, "_GATE_CROPS", 1)
    model = gated(network, ModelConfig(width=6, blocks=2), seed=2)
    pixels = picture(260, 300)
    pixels[:, 110:190] = 0
    whole = make(model, tile=0)
    for tile in (64, 150, "auto"):
        assert np.abs(make(model, tile=tile)(pixels).astype(int) - whole(pixels)).max() <= 1
    for together in whole.batch([pixels, pixels]):
        assert np.array_equal(together, whole(pixels))
    # Separate gates give a different picture; otherwise nothing is proved.
    own = fold(model)(as_tensor(pixels)).derained
    assert float((own.clamp(0, 1) - as_tensor(whole(pixels))).abs().max()) * 255 > 1


@settings(max_examples=25)
@given(
    st.integers(1, 150),
    st.integers(65, 230),
    st.sampled_from([64, 77, 100]),
    st.sampled_from([ModelConfig(width=6, blocks=b, unshuffle=s) for b in (1, 2) for s in (1, 2)]),
    st.sampled_from(["fp32", "bf16"]),
    st.integers(0, 3),
)
def test_tiles_equal_the_whole_for_any_size_and_weights(height, width, tile, config, precision, seed):
    model, pixels = gated(make_network, config, seed), make_picture(height, width, seed)
    tiled, whole = (make(model, tile=side, precision=precision)(pixels).astype(int) for side in (tile, 0))
    assert np.abs(tiled - whole).max() <= 1


@pytest.fixture(scope="module")
def trained():
    """The network that is shipped."""
    try:
        weights = load_weights(find_weights("fast"))
    except WeightsError:
        pytest.skip("weights/fast.safetensors is not there")
    return load_network(weights)


@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=pytest.mark.slow)])
@pytest.mark.parametrize(("height", "width", "tile"), [(200, 333, 128), (301, 150, 100)])
def test_tiles_of_trained_weights_equal_the_whole(trained, precision, height, width, tile, picture):
    clean = picture(height, width, 3).astype(np.float32) / np.float32(255)
    pixels = np.rint(add_rain(clean, "heavy", np.random.default_rng(0)).rainy * 255).astype(np.uint8)
    tiled, whole = (make(trained, tile=side, precision=precision)(pixels).astype(int) for side in (tile, 0))
    assert np.abs(tiled - whole).max() <= 1
    assert np.abs(whole - pixels).mean() > 1


def test_no_seam_in_the_gradients(network, picture):
    """Steps across tile borders are no larger than in the picture processed whole."""
    model, pixels = gated(network, ModelConfig(width=6, blocks=2)), picture(130, 390)
    tiled, whole = make(model, tile=65)(pixels).astype(float), make(model, tile=0)(pixels).astype(float)
    # Separate gates without halo cause seams that this measure detects.
    cut = np.concatenate([make(model)(pixels[:, i : i + 65]) for i in range(0, 390, 65)], axis=1).astype(float)

    def steps(result):
        across = np.abs(np.diff(result, axis=1)).mean(axis=(0, 2))
        return across[64:-1:65].mean() / np.delete(across, slice(64, None, 65)).mean()

    assert abs(steps(tiled) / steps(whole) - 1) < 0.005
    assert abs(steps(cut) / steps(whole) - 1) > 0.05


def test_tile_size_does_not_show(network, picture):
    model, pixels = busy(network, PLAIN), picture(200, 230)
    results = [make(model, tile=tile)(pixels).astype(int) for tile in (64, 96, 200)]
    assert all(np.abs(result - results[0]).max() <= 1 for result in results)


def test_same_input_same_output(network, picture):
    model, pixels = busy(network, TINY), picture(100, 120)
    restorer = make(model, tile=64)
    first = restorer(pixels)
    restorer(picture(90, 90, 4))  # nothing is carried over from another picture
    assert np.array_equal(restorer(pixels), first)
    assert np.array_equal(make(model, tile=64)(pixels), first)


@pytest.mark.parametrize("config", [TINY, ModelConfig(width=16, blocks=1, unshuffle=2)], ids=["s1", "s2"])
@pytest.mark.parametrize("free", [0, 10**7, 4 * 10**7])
@pytest.mark.fault(43)
def test_automatic_tiles_follow_the_free_memory(config, free, network, picture, monkeypatch):
    model, pixels = busy(network, config), picture(500, 700)
    whole = make(model, tile=0)(pixels)
    monkeypatch.setattr(torch_engine, "free_device_memory", lambda device: free)
    restorer = make(model, tile="auto")
    most = max(restorer.engine.pixels_at_once(), (SMALLEST_TILE + 2 * restorer.halo + 2) ** 2)
    net = restorer.engine.net = Faulty(restorer.engine.net, 10**9, MemoryError())
    monkeypatch.setattr(net, "measure_gates", net.net.measure_gates)
    assert np.abs(restorer(pixels).astype(int) - whole).max() <= 1
    assert len(net.seen) > 1
    assert max(seen for seen, _ in net.seen) <= most < pixels.shape[0] * pixels.shape[1]


@pytest.mark.parametrize("free", [None, 2**34])
def test_a_picture_that_fits_is_taken_whole(free, network, picture, monkeypatch):
    monkeypatch.setattr(torch_engine, "free_device_memory", lambda device: free)
    restorer = make(busy(network, TINY), tile="auto")
    net = restorer.engine.net = Faulty(restorer.engine.net, 10**9, MemoryError())
    restorer(picture(1100, 1200))
    assert [pixels for pixels, _ in net.seen] == [1100 * 1200]


def test_automatic_tiles_have_a_bound_on_a_cpu(network, monkeypatch):
    """Regardless of free memory, 100 megapixels must fit into 4 GB."""
    restorers = [make(network(ModelConfig(blocks=1)), tile="auto"), make(network(ModelConfig(blocks=1)), tile="auto")]
    sides = []
    for restorer, free in zip(restorers, (2**36, 2**40), strict=True):
        monkeypatch.setattr(torch_engine, "free_device_memory", lambda device, free=free: free)
        sides.append(restorer._passes.tile_side(10_000, 10_000, 0))
    assert sides[0] == sides[1] < 4000


def test_the_arrays_of_a_large_picture_leave_less_for_its_tiles(network, monkeypatch):
    """The memory of tiles and arrays together does not grow with the picture, unless tiles would become too small."""
    monkeypatch.setattr(torch_engine, "free_device_memory", lambda device: 2**40)
    restorer = make(network(ModelConfig(blocks=1)), tile="auto")
    bound = torch_engine.AUTO_BYTES
    whole, half, little, none = (restorer.engine.pixels_at_once(held) for held in (0, bound // 2, bound - 1, 2 * bound))
    assert half == pytest.approx(whole / 2, rel=1e-6)
    assert little == none == pytest.approx(whole / 4, rel=1e-6)


def test_progress_rises_to_one(network, picture):
    seen: list[float] = []
    make(busy(network, PLAIN), tile=64)(picture(130, 200), seen.append)
    assert seen == sorted(seen)
    assert len(seen) == 12
    assert seen[-1] == 1.0


# --- faults -----------------------------------------------------------------------------------------------------


class Faulty(nn.Module):
    """The network, failing above a number of pixels; records its calls."""

    def __init__(self, net, limit: int, error: Exception):
        super().__init__()
        self.net, self.limit, self.error, self.seen = net, limit, error, []

    def _check(self, x):
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        self.seen.append((pixels, pixels <= self.limit))
        if pixels > self.limit:
            raise self.error

    def forward(self, x, gates=None):
        self._check(x)
        return self.net(x, gates)

    def measure_gates(self, crops):
        self._check(crops)
        return self.net.measure_gates(crops)


OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    MemoryError(),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda e: f"{type(e).__name__}{str(e)[:8]}")
@pytest.mark.parametrize("config", [PLAIN, TINY], ids=["bl", "se"])
@pytest.mark.parametrize("tile", [0, 256, "auto"])
@pytest.mark.fault(42)
def test_out_of_memory_halves_the_tiles_and_gives_the_same_picture(error, config, tile, network, picture):
    model, pixels = busy(network, config), picture(300, 420)
    restorer = make(model, tile=tile)
    net = Faulty(restorer.engine.net, (140 + 2 * restorer.halo) ** 2, error)
    restorer.engine.net = net
    found = restorer(pixels)
    assert np.abs(found.astype(int) - make(model, tile=0)(pixels)).max() <= 1
    assert any(not fitted for _, fitted in net.seen)
    assert any("out of memory" in note for note in restorer.notes)


def test_out_of_memory_while_gates_are_measured(network, picture, monkeypatch):
    """The sample of a large picture is larger than a tile; if tiles fit, the picture is processed."""
    monkeypatch.setattr(gates, "_GATE_SIDE", 128)
    model, pixels = busy(network, ModelConfig(width=6, blocks=1)), picture(500, 520)
    restorer = make(model, tile=128)
    restorer.engine.net = Faulty(restorer.engine.net, (132 + 2 * restorer.halo) ** 2, OUT_OF_MEMORY[0])
    assert np.abs(restorer(pixels).astype(int) - make(model, tile=0)(pixels)).max() <= 2
    assert any("gates measured on" in note for note in restorer.notes)


@pytest.mark.parametrize("config", [PLAIN, TINY], ids=["bl", "se"])
@pytest.mark.parametrize("tile", [0, 256])
@pytest.mark.fault(42)
def test_out_of_memory_with_the_smallest_tiles_is_a_resource_error(config, tile, network, picture):
    restorer = make(busy(network, config), tile=tile)
    restorer.engine.net = Faulty(restorer.engine.net, 1000, OUT_OF_MEMORY[1])
    with pytest.raises(OutOfMemoryError) as caught:
        restorer(picture(300, 300))
    assert caught.value.exit_code == 6
    restorer.engine.net = restorer.engine.exact  # and the next picture is fine
    restorer(picture(300, 300))


def test_other_errors_of_the_network_are_not_taken_for_memory(network, picture):
    restorer = make(busy(network))
    restorer.engine.net = Faulty(restorer.engine.net, 1, RuntimeError("expected scalar type Float"))
    with pytest.raises(RuntimeError, match="expected scalar type"):
        restorer(picture(20, 20))


class Overflowing(nn.Module):
    """One pixel of the result is not finite in every `every`-th call."""

    def __init__(self, net, value: float, every: int = 1):
        super().__init__()
        self.net, self.value, self.every, self.calls = net, value, every, 0

    def forward(self, x, gates=None):
        layers = self.net(x, gates)
        self.calls += 1
        if self.calls % self.every == 0:
            derained = layers.derained.clone()
            derained[0, 1, -1, -1] = self.value
            layers = layers._replace(derained=derained)
        return layers

    def measure_gates(self, crops):
        return self.net.measure_gates(crops)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("config", [PLAIN, TINY], ids=["bl", "se"])
@pytest.mark.fault(45)
def test_a_tile_that_is_not_finite_is_redone_in_float32(value, config, network, picture):
    model, pixels = busy(network, config), picture(130, 140)
    restorer = make(model, tile=64, precision="bf16")
    net = restorer.engine.net
    restorer.engine.net = Overflowing(net, value, every=2)
    found = restorer(pixels)
    redone = [note for note in restorer.notes if "recomputed in float32" in note]
    assert len(redone) == restorer.engine.net.calls // 2 > 0
    assert np.abs(found.astype(int) - make(model, tile=64)(pixels)).max() <= 8  # bf16 has 8 bits
    restorer.engine.net = Overflowing(net, value)
    exact = restorer(pixels)
    expected = make(model, tile=64)(pixels)
    assert np.abs(exact.astype(int) - expected).max() <= (1 if config.se else 0)  # gates were measured in bf16
    whole = Restorer(model, RestoreOptions(device="cpu", precision="bf16"))
    whole.engine.net = Overflowing(whole.engine.net, value)
    batch = as_tensor(pixels)
    assert torch.equal(whole.restore(batch), make(model).restore(batch))


@pytest.mark.fault(45)
def test_a_network_that_is_never_finite_gives_no_picture(network, picture):
    model = busy(network)
    with torch.no_grad():
        model.rrn.tail.bias.fill_(float("nan"))
    with pytest.raises(InputError, match="non-finite"):
        make(model)(picture(20, 20))
    with pytest.raises(InputError, match="non-finite"):
        make(model).restore(torch.rand(1, 3, 8, 8))


def test_half_precision_is_near_and_remembers_the_exact_network(network, picture):
    model, pixels = busy(network, TINY), picture(60, 70)
    found = make(model, precision="bf16")(pixels)
    assert np.abs(found.astype(int) - make(model)(pixels)).max() <= 8
    assert {p.dtype for p in make(model, precision="bf16").engine.net.parameters()} == {torch.bfloat16}
    assert {p.dtype for p in make(model, precision="bf16").engine.exact.parameters()} == {torch.float32}


# --- batches ----------------------------------------------------------------------------------------------------


def unlike(picture, count=3, height=40, width=52, dtype=np.uint8):
    """Pictures of one shape with different gates."""
    scale = np.iinfo(dtype).max // 255
    return [(picture(height, width, seed) // (seed + 1)).astype(dtype) * scale for seed in range(count)]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("config", [PLAIN, ModelConfig(width=6, blocks=2, unshuffle=2)], ids=["bl", "se"])
@pytest.mark.parametrize("tile", ["auto", 64])
def test_a_batch_gives_what_each_picture_gives_alone(dtype, config, tile, network, picture):
    restorer = make(busy(network, config), tile=tile, strength=0.7)
    for width in (52, 150):  # the second is tiled where these are small
        pictures = unlike(picture, width=width, dtype=dtype)
        alone = [restorer(pixels) for pixels in pictures]
        together = restorer.batch(pictures)
        assert [a.dtype for a in together] == [dtype] * 3
        assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(together, alone, strict=True))


def test_a_batch_is_one_pass_where_nothing_is_cut(network, picture):
    restorer = make(busy(network, TINY), tile="auto")
    net = restorer.engine.net = Faulty(restorer.engine.net, 3 * 40 * 52, MemoryError())
    restorer.batch(unlike(picture))
    assert [pixels for pixels, _ in net.seen] == [3 * 40 * 52]
    assert not restorer.notes


def test_a_batch_of_none_is_empty_and_of_one_is_the_call(network, picture):
    restorer = make(busy(network, TINY))
    assert restorer.batch([]) == []
    (only,) = restorer.batch([picture(30, 31)])
    assert np.array_equal(only, restorer(picture(30, 31)))


def test_a_batch_leaves_its_pictures_alone(network, picture):
    pictures = unlike(picture)
    kept = [pixels.copy() for pixels in pictures]
    for pixels in pictures:
        pixels.setflags(write=False)
    make(busy(network, TINY)).batch(pictures)
    assert all(np.array_equal(a, b) for a, b in zip(pictures, kept, strict=True))


def test_a_batch_of_unlike_pictures_is_refused(network, picture):
    restorer = make(busy(network, TINY))
    for other in (picture(20, 21), picture(20, 20).astype(np.uint16)):
        with pytest.raises(InputError, match="one shape"):
            restorer.batch([picture(20, 20), other])
    with pytest.raises(InputError, match="HxWx3"):
        restorer.batch([picture(20, 20), picture(20, 20)[..., 0]])


@pytest.mark.parametrize("limit", [5 * 40 * 52, 2 * 40 * 52, 40 * 52])
def test_a_batch_too_large_for_the_memory_is_halved(limit, network, picture):
    model, pictures = busy(network, TINY), unlike(picture, count=7)
    restorer = make(model, tile="auto")
    net = restorer.engine.net = Faulty(restorer.engine.net, limit, OUT_OF_MEMORY[1])
    together = restorer.batch(pictures)
    assert all(np.abs(a.astype(int) - make(model)(b)).max() <= 1 for a, b in zip(together, pictures, strict=True))
    assert sum(pixels for pixels, fitted in net.seen if fitted) == 7 * 40 * 52  # nothing is computed twice
    assert any("out of memory with 7 pictures" in note for note in restorer.notes)


def test_only_the_pictures_of_a_batch_that_are_not_finite_are_redone(network, picture):
    model, pictures = busy(network, TINY), unlike(picture)
    restorer = make(model, precision="bf16")
    plain = restorer.batch(pictures)
    restorer.engine.net = Overflowing(restorer.engine.net, float("nan"))  # in the first picture
    exact = restorer.engine.exact = Faulty(restorer.engine.exact, 40 * 52, AssertionError("all were redone"))
    found = restorer.batch(pictures)
    assert [pixels for pixels, _ in exact.seen] == [40 * 52]
    assert np.array_equal(found[0], make(model)(pictures[0]))
    assert np.array_equal(found[1], plain[1])
    assert np.array_equal(found[2], plain[2])
    assert len([note for note in restorer.notes if "recomputed in float32" in note]) == 1


@settings(max_examples=15, deadline=None)
@given(
    height=st.integers(1, 128),
    width=st.integers(1, 128),
    count=st.integers(2, 8),
    config=st.sampled_from([ModelConfig(width=8, blocks=2), ModelConfig(width=48, blocks=1, unshuffle=2)]),
    precision=st.sampled_from(["fp32", "bf16"]),
)
def test_small_pictures_are_bit_for_bit_the_same_whoever_shares_their_pass(height, width, count, config, precision):
    restorer = make(make_network(config, 5), tile="auto", precision=precision)
    pictures = [make_picture(height, width, seed) for seed in range(count)]
    assert restorer.at_once(height, width) == 8
    if restorer.same_together:
        for found, pixels in zip(restorer.batch(pictures), pictures, strict=True):
            assert np.array_equal(found, restorer(pixels))


def test_same_together_is_tried_not_taken_for_granted(network, picture):
    restorer = make(busy(network, TINY), tile="auto")
    assert restorer.same_together
    other = make(busy(network, TINY), tile="auto")
    net = other.engine.net
    other.engine.__dict__["net"] = lambda rainy, gates: net(rainy + 1e-6 * (len(rainy) > 1), gates)
    assert not other.same_together


@pytest.mark.parametrize(
    ("size", "tile", "expected"),
    [((64, 64), "auto", 8), ((128, 128), 0, 8), ((129, 128), "auto", 1), ((4000, 3000), 0, 1), ((65, 64), 64, 1)],
)
def test_only_small_whole_pictures_share_passes(size, tile, expected, network):
    assert make(busy(network, TINY), tile=tile).at_once(*size) == expected


@pytest.mark.parametrize("limit", [10**9, 5 * 40 * 52])
def test_passes_that_must_be_full_are_filled_up(limit, network, picture, monkeypatch):
    model, pictures = busy(network, TINY), unlike(picture)
    plain = [make(model)(pixels) for pixels in pictures]
    monkeypatch.setitem(torch_engine.BATCH_LIMITS, "cpu", Batches(40 * 52, 6 * 40 * 52, 32, filled=True))
    restorer = make(model, tile="auto")
    net = restorer.engine.net = Faulty(restorer.engine.net, limit, MemoryError())
    shares = []
    found = [restorer.batch(pictures), [restorer(pixels, shares.append) for pixels in pictures]]
    if limit == 10**9:
        assert [pixels for pixels, _ in net.seen] == [6 * 40 * 52] * 4
    assert shares == [1.0] * 3
    for each in found:
        assert [a.shape for a in each] == [b.shape for b in plain]
        assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(each, plain, strict=True))
    assert restorer.batch(pictures[:0]) == []
    net.seen.clear()
    restorer(picture(41, 52))  # too large to share one
    assert all(pixels <= 41 * 52 for pixels, _ in net.seen)


# --- devices, weights -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("asked", ["cuda", "cuda:0", "cuda:7"])
def test_a_device_that_is_not_there(asked, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ResourceError, match="no device") as caught:
        pick_device(asked)
    assert caught.value.exit_code == 6
    assert caught.value.hint
    with pytest.raises(ResourceError):
        Restorer(zero_network(), RestoreOptions(device=asked))


def test_from_pretrained(tmp_path, network, picture):
    model, pixels = busy(network, TINY), picture(20, 22)
    path = tmp_path / "w.safetensors"
    save_weights(path, model, Card(name="mine"))
    restorer = Restorer.from_pretrained(path, device="cpu", precision="fp32", tile=0, strength=0.5)
    assert restorer.card.name == "mine"
    assert restorer.options == RestoreOptions(device="cpu", precision="fp32", tile=0, strength=0.5)
    assert np.array_equal(restorer(pixels), make(model, strength=0.5)(pixels))


def test_from_pretrained_refuses_before_it_reads(tmp_path):
    with pytest.raises(WeightsError):
        Restorer.from_pretrained(tmp_path / "missing.safetensors")
    with pytest.raises(UsageError):
        Restorer.from_pretrained(tmp_path / "missing.safetensors", strength=2.0)


def test_making_a_restorer_leaves_the_network_alone(network, picture):
    model = network(TINY).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    make(model, precision="bf16")(picture(20, 20))
    assert model.training
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


# --- flat borders -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("level", [0, 1], ids=["black", "white"])
def test_a_flat_border_stays_and_the_inside_is_what_it_is_without(network, dtype, level):
    restorer = Restorer(network(ModelConfig(width=4, blocks=1, unshuffle=2)))
    top = np.iinfo(dtype).max
    inside = np.random.default_rng(0).integers(0, top, (33, 41, 3), dtype, endpoint=True)
    picture = np.full((60, 70, 3), level * top, dtype)
    picture[11:44, 7:48] = inside
    border = np.ones(picture.shape[:2], bool)
    border[11:44, 7:48] = False
    layers, alone = restorer.layers(picture), restorer.layers(inside)
    assert np.array_equal(layers.derained[border], picture[border])
    assert not layers.rain[border].any()
    assert np.unique(layers.detail[border]).tolist() == [round(top / 2)]
    for whole, part in zip(dataclasses.astuple(layers), dataclasses.astuple(alone), strict=True):
        assert np.array_equal(whole[11:44, 7:48], part)
    assert np.array_equal(restorer(picture), layers.derained)
    together = restorer.batch([picture, np.roll(picture, 3, axis=0)])
    assert np.array_equal(together[0], layers.derained)


CLIP = ModelConfig(width=4, blocks=1, detail="none", unshuffle=4, frames=3)


def frames_of(height, width, dtype=np.uint8):
    """(H, W, 9): three different frames without a flat border."""
    frames = [make_picture(height, width, seed).astype(dtype) for seed in range(3)]
    return np.concatenate(frames, axis=2) * (257 if dtype == np.uint16 else 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_of_several_frames_the_middle_one_comes_back(dtype):
    window = frames_of(24, 32, dtype)
    restorer = make(zero_network(CLIP))
    np.testing.assert_array_equal(restorer(window), window[:, :, 3:6])
    assert [layer.shape for layer in dataclasses.astuple(restorer.layers(window))] == [(24, 32, 3)] * 3


def test_several_frames_are_restored_as_the_network_does_it_in_tiles_too(network):
    config = dataclasses.replace(CLIP, se=False)
    model, window = busy(network, config), frames_of(96, 96)
    whole = make(model)(window)
    seen = torch.from_numpy(window.transpose(2, 0, 1).astype(np.float32) / 255)[None]
    with torch.inference_mode():
        expected = model.eval()(seen).derained[0].clamp(0, 1).mul(255).round().numpy().transpose(1, 2, 0)
    assert np.abs(whole.astype(int) - expected).max() <= 1
    assert not np.array_equal(whole, window[:, :, 3:6])
    np.testing.assert_array_equal(make(model, tile=64)(window), whole)


def test_a_flat_border_of_all_frames_stays(network):
    window = np.pad(frames_of(48, 48), ((8, 8), (8, 8), (0, 0)))
    restored = make(busy(network, dataclasses.replace(CLIP, se=False)))(window)
    assert restored.shape == (64, 64, 3)
    assert restored[:8].max() == 0 and restored[8:-8, 8:-8].max() > 0


def test_a_network_for_clips_says_that_it_is_not_for_photos(picture):
    restorer = make(zero_network(CLIP))
    with pytest.raises(InputError, match="3 frames of a clip"):
        restorer(picture(16, 16))
    with pytest.raises(InputError, match="3 frames of a clip"):
        restorer(Image.fromarray(picture(16, 16)))


# --- other engines ------------------------------------------------------------------------------------------------


class Halves:
    """An engine without torch modules: half of every value is rain. Its receptive field is unknown."""

    device, dtype = torch.device("cpu"), torch.float32
    frames, halo, grid, gated, batches, same_together = 1, None, 1, False, None, True

    def __init__(self):
        self.notes: list[str] = []
        self.sizes: list[tuple[int, ...]] = []

    def run(self, batch, gates=None):
        self.sizes.append(tuple(batch.shape))
        return Layers(batch / 2, batch / 2, torch.zeros_like(batch))

    def measure_gates(self, batch):
        return None

    def pixels_at_once(self, held=0):
        return 1

    def fingerprint(self):
        return "halves"

    def empty_cache(self):
        return None


def test_any_engine_restores_pictures(picture):
    engine = Halves()
    restorer = Restorer(engine, RestoreOptions(strength=0.5))
    pixels = picture(200, 300)
    layers = restorer.layers(pixels)
    assert np.abs(layers.derained - pixels * 0.75).max() <= 0.51
    assert np.abs(layers.rain - pixels * 0.5).max() <= 0.51
    assert np.array_equal(restorer.batch([pixels])[0], layers.derained)
    assert engine.sizes == [(1, 3, 200, 300)] * 2  # whole, since the receptive field is unknown
    assert "halves" in restorer.fingerprint()
    assert restorer.at_once(8, 8) == 1


def test_tiles_are_refused_where_the_reach_is_unknown():
    with pytest.raises(UsageError, match="cannot be tiled"):
        Restorer(Halves(), RestoreOptions(tile=64))
    Restorer(Halves(), RestoreOptions(tile=0))
