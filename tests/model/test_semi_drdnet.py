"""The whole network: sizes of the paper, all ablation forms, any picture size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from derain_cli.config import ModelConfig
from derain_cli.model import build, convolution
from derain_cli.model.architecture import macs_per_pixel, receptive_radius
from derain_cli.model.fold import fold
from derain_cli.model.semi_drdnet import from_blocks, middle_frame, to_blocks

DETAILS = ("none", "direct", "residual", "msarr", "sdcab")
FORMS = [
    *(ModelConfig(width=4, blocks=2, se=se, detail=detail) for se in (True, False) for detail in DETAILS),
    *(ModelConfig(width=4, blocks=1, unshuffle=s) for s in (2, 3, 4)),
    ModelConfig(width=4, blocks=1, unshuffle=2, detail="msarr", detail_blocks=2),
    ModelConfig(width=4, blocks=2, detail_blocks=1),
    ModelConfig(width=4, blocks=1, detail_blocks=3, detail="residual"),
    ModelConfig(width=1, blocks=1),
    ModelConfig(width=4, blocks=2, unshuffle=2, detail_blocks=1, detail_width=6, detail_unshuffle=4),
    ModelConfig(width=4, blocks=1, unshuffle=3, detail="residual", detail_width=3, detail_unshuffle=2),
    ModelConfig(width=4, blocks=1, unshuffle=2, detail="none", frames=3),
    ModelConfig(width=4, blocks=1, unshuffle=2, detail_width=6, detail_unshuffle=4, frames=5),
]


def name(config: ModelConfig) -> str:
    gates = "se" if config.se else "bl"
    drn = f"-m{config.detail_width}-s{config.detail_unshuffle}" if config.detail_width else ""
    shape = f"m{config.width}-d{config.blocks}-s{config.unshuffle}"
    frames = f"-f{config.frames}" if config.frames > 1 else ""
    return f"{shape}-{gates}-{config.detail}{config.detail_blocks or ''}{drn}{frames}"


def count(module: nn.Module | None) -> int:
    assert module is not None
    return sum(p.numel() for p in module.parameters())


def test_parameters_of_the_paper():
    model = build()
    assert count(model) == 5_221_766
    assert count(model.rrn) == 1_235_651
    assert count(model.drn) == 3_986_115


def test_layers_of_the_paper():
    """Names and shapes, layer by layer, as specified."""
    m = 64
    conv = lambda to, of, k=3: {"weight": (to, of, k, k), "bias": (to,)}  # noqa: E731
    norm = {"weight": (m,), "bias": (m,), "running_mean": (m,), "running_var": (m,), "num_batches_tracked": ()}
    ends = {"head": conv(m, 3), "act": {"weight": (m,)}, "body": conv(m, m), "norm": norm, "tail": conv(3, m)}
    dccl = {f"branches.{i}": conv(m, m) for i in range(3)} | {"mix": conv(m, 3 * m, 1)}
    rain = {"first": conv(m, m), "norm1": norm, "act": {"weight": (m,)}, "second": conv(m, m), "norm2": norm}
    rain |= {"se.squeeze": {"weight": (4, m)}, "se.excite": {"weight": (m, 4)}}
    detail = {f"{part}.{k}": v for part in ("first", "second") for k, v in dccl.items()}
    detail |= {"norm1": norm, "norm2": norm, "act": {"weight": (m,)}}
    expected = {}
    for net, block in (("rrn", rain), ("drn", detail)):
        layers = ends | {f"blocks.{i}.{k}": v for i in range(16) for k, v in block.items()}
        expected |= {f"{net}.{layer}.{k}": shape for layer, parts in layers.items() for k, shape in parts.items()}
    assert {k: tuple(v.shape) for k, v in build().state_dict().items()} == expected


@pytest.mark.parametrize("config", FORMS, ids=name)
def test_a_fresh_network_nearly_passes_the_picture_on(config):
    rainy = torch.rand(2, 3 * config.frames, 16, 16)
    with torch.no_grad():
        layers = build(config).train()(rainy)
    assert float((layers.derained - middle_frame(rainy)).abs().mean()) < 0.02
    assert bool(layers.rain.any())


def test_slopes_start_at_a_quarter():
    slopes = [m.weight for m in build().modules() if isinstance(m, nn.PReLU)]
    assert len(slopes) == 2 * 17
    assert all(bool((slope == 0.25).all()) for slope in slopes)


@pytest.mark.parametrize("config", FORMS, ids=name)
def test_every_form_has_gradients_on_every_parameter(config):
    torch.manual_seed(0)
    model = build(config).train()
    layers = model(torch.rand(2, 3 * config.frames, 13, 10))
    (layers.derained.square().mean() + 0.5 * layers.rain.square().mean()).backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None, parameter
        assert bool(torch.isfinite(value.grad).all()), parameter
        # The four squeeze units may all be rectified to zero; a bias before batch statistics has no effect.
        if ".se." not in parameter and not parameter.endswith("bias"):
            assert float(value.grad.abs().max()) > 0, parameter


@pytest.mark.parametrize("config", FORMS, ids=name)
def test_derained_is_rainy_minus_rain_plus_detail(config, network):
    rainy = torch.rand(2, 3 * config.frames, 9, 14)
    with torch.no_grad():
        layers = network(config)(rainy)
    assert torch.equal(layers.derained, middle_frame(rainy) - layers.rain + layers.detail)
    assert bool(layers.rain.any())
    assert bool(layers.detail.any()) == (config.detail != "none")


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(FORMS), st.integers(1, 40), st.integers(1, 40), st.integers(1, 2))
def test_any_size_goes_in_and_comes_out(config, height, width, number):
    model = build(config).eval()
    with torch.no_grad():
        layers = model(torch.rand(number, 3 * config.frames, height, width))
    assert {tuple(layer.shape) for layer in layers} == {(number, 3, height, width)}
    assert all(bool(torch.isfinite(layer).all()) for layer in layers)


def test_nothing_is_clamped(network):
    """Losses see unclamped values: a network with large weights exceeds [0, 1]."""
    model = network(ModelConfig(width=4, blocks=1))
    with torch.no_grad():
        model.rrn.tail.bias.fill_(5.0)
        derained = model(torch.rand(1, 3, 8, 8)).derained
    assert float(derained.max()) < 0


def test_rain_and_detail_networks_are_apart(network):
    """In parallel on the rainy picture (section III): detail does not depend on the rain network."""
    model = network(ModelConfig(width=4, blocks=1))
    rainy = torch.rand(1, 3, 8, 8)
    with torch.no_grad():
        before = model(rainy)
        model.rrn.tail.bias.add_(1.0)
        after = model(rainy)
    assert torch.equal(before.detail, after.detail)
    assert torch.allclose(after.rain, before.rain + 1)


def test_msarr_applies_one_block_several_times():
    one = build(ModelConfig(width=4, blocks=1, detail="msarr", detail_blocks=1))
    many = build(ModelConfig(width=4, blocks=1, detail="msarr", detail_blocks=5))
    assert count(one) == count(many)


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 30), st.integers(1, 30))
def test_unshuffling_comes_back(unshuffle, height, width):
    picture = torch.rand(2, 3, height, width)
    blocks = to_blocks(picture, unshuffle)
    assert blocks.shape == (2, 3 * unshuffle**2, -(-height // unshuffle), -(-width // unshuffle))
    assert torch.equal(from_blocks(blocks, unshuffle, height, width), picture)


def test_the_rest_at_the_edge_is_filled_by_repetition():
    picture = torch.arange(15.0).view(1, 1, 3, 5).expand(1, 3, 3, 5)
    filled = from_blocks(to_blocks(picture, 4), 4, 4, 8)
    assert torch.equal(filled[..., :3, :5], picture)
    assert torch.equal(filled[..., 3, :5], picture[..., 2, :])
    assert torch.equal(filled[..., 5:], filled[..., 4:5].expand(1, 3, 4, 3))


def test_patches_of_blocks_are_those_of_the_picture():
    picture = torch.rand(1, 3, 8, 8)
    blocks = to_blocks(picture, 4)
    for row in range(2):
        for column in range(2):
            patch = picture[0, :, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4]
            assert torch.equal(blocks[0, :, row, column], patch.flatten())


def test_same_generator_state_makes_the_same_network():
    states = []
    for _ in range(2):
        torch.manual_seed(7)
        states.append(build(ModelConfig(width=4, blocks=1)).state_dict())
    assert all(torch.equal(a, b) for a, b in zip(states[0].values(), states[1].values(), strict=True))


@pytest.mark.parametrize("config", [*FORMS, ModelConfig(width=8, blocks=2, unshuffle=2)], ids=name)
def test_macs_per_pixel_counts_the_convolutions_that_are_made(config, monkeypatch):
    """Every convolution of a folded forward pass, counted as it is called."""
    side = 24
    made = 0
    folded = fold(build(config).eval())
    folded(torch.rand(1, 3 * config.frames, side, side))  # the first call also tests which operators exist

    def count(place, name, map_and_kernel):
        called = getattr(place, name)

        def counting(*args, **kwargs):
            nonlocal made
            out = called(*args, **kwargs)
            total, kernel = map_and_kernel(out, *args)
            made += total.shape[-2] * total.shape[-1] * kernel.numel()
            return out

        monkeypatch.setattr(place, name, counting)

    count(torch.nn.functional, "conv2d", lambda out, x, kernel, *rest: (out, kernel))
    count(convolution, "_by_onednn", lambda out, x, kernel, *rest: (out, kernel))
    count(convolution, "_add_by_onednn", lambda out, total, x, kernel, *rest: (total, kernel))
    folded(torch.rand(1, 3 * config.frames, side, side))
    assert made == round(macs_per_pixel(config) * side * side)


def test_macs_of_the_paper():
    """340 GMAC at 256x256 for the unfolded form with its 1x1 convolutions; 27 of 30 taps when folded."""
    folded = macs_per_pixel(ModelConfig()) * 256 * 256
    literal = folded + 32 * 3 * 64 * 64 * 256 * 256
    assert literal == pytest.approx(340e9, rel=0.01)


def test_reach_of_the_paper_is_163():
    assert receptive_radius(ModelConfig()) == 163
    assert receptive_radius(ModelConfig(detail="none")) == 35


def measured_reach(config: ModelConfig) -> int:
    """The receptive field as the extent of the non-zero gradient, with positive weights and no gates."""
    model = build(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.5, 1.0)  # no cancellation
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight /= module.weight[0].numel()
    stated = receptive_radius(config)
    middle = (stated + 8) // config.unshuffle * config.unshuffle
    side = 2 * middle + 2 * config.unshuffle
    reach = 0
    for row in range(middle, middle + config.unshuffle):  # any pixel of a block
        rainy = torch.rand(1, 3 * config.frames, side, side, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(_layer_sum(model, rainy, row, middle), rainy)
        seen = gradient[0].abs().sum(0) > 0
        rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
        assert rows.min() > 0, "the picture is too small for the measurement"
        assert rows.max() < side - 1
        ends = (row - rows.min(), rows.max() - row, middle - columns.min(), columns.max() - middle)
        reach = max(reach, *(int(end) for end in ends))
    return reach


def _layer_sum(model, rainy, row, column):
    layers = model(rainy)
    return layers.rain[0, :, row, column].sum() + layers.detail[0, :, row, column].sum()


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(width=2, blocks=1, se=False),
        ModelConfig(width=2, blocks=2, se=False),
        ModelConfig(width=2, blocks=2, se=False, detail="none"),
        ModelConfig(width=2, blocks=1, se=False, detail="direct"),
        ModelConfig(width=2, blocks=2, se=False, detail="residual"),
        ModelConfig(width=2, blocks=2, se=False, detail="msarr"),
        ModelConfig(width=2, blocks=1, se=False, detail_blocks=2),
        ModelConfig(width=2, blocks=6, se=False, detail_blocks=1),
        ModelConfig(width=2, blocks=1, se=False, unshuffle=2),
        ModelConfig(width=2, blocks=1, se=False, unshuffle=3, detail="residual"),
        ModelConfig(width=2, blocks=1, se=False, unshuffle=4, detail="none"),
    ],
    ids=lambda c: f"b{c.blocks}-s{c.unshuffle}-{c.detail}{c.detail_blocks or ''}",
)
def test_reach_is_the_measured_one(config):
    assert measured_reach(config) == receptive_radius(config)


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_the_middle_frame_is_the_one_in_the_middle(frames):
    clip = torch.arange(frames).repeat_interleave(3).view(1, -1, 1, 1).expand(2, -1, 4, 5)
    assert middle_frame(clip).unique().tolist() == [frames // 2]
    assert middle_frame(clip).shape == (2, 3, 4, 5)


def test_every_frame_has_a_say_in_the_middle_one():
    """A network for clips uses all frames; one that used only the middle one would be a network for photos."""
    model = build(ModelConfig(width=4, blocks=1, unshuffle=2, frames=5)).eval()
    clip = torch.rand(1, 15, 8, 8, requires_grad=True)
    model(clip).rain.sum().backward()
    assert clip.grad is not None
    assert all(float(frame.abs().max()) > 0 for frame in clip.grad.split(3, dim=1))
