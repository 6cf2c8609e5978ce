"""A detail repair network attached to third-party networks: its output, and training with all objectives."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch
import torch.nn.functional as F
from torch import nn

from derain_cli.checkpoints.weight_file import save_state
from derain_cli.config import ContrastConfig, DataConfig, ModelConfig, OptimConfig, TrainConfig
from derain_cli.data.loaders import Batch
from derain_cli.errors import UsageError
from derain_cli.evaluation.peers import as_peer
from derain_cli.losses.features import VGGFeatures
from derain_cli.model import Layers, attach_drn, build
from derain_cli.model.attach import DerainedOnly
from derain_cli.model.literature import DeepDetailNetwork, ProgressiveRecurrentNetwork, guided_base
from derain_cli.training.semi_supervised import SemiSupervised
from derain_cli.training.trainer import Trainer

CPU = torch.device("cpu")
TINY = ModelConfig(width=4, blocks=1)
LITERATURE = [lambda: DeepDetailNetwork(4, 1), lambda: ProgressiveRecurrentNetwork(4, 1, 2)]


class Darker(nn.Module):
    """Treats a fixed share of every picture as rain."""

    def __init__(self, gives: str, share: float = 0.1):
        super().__init__()
        self.gives, self.share = gives, nn.Parameter(torch.tensor(share))

    def forward(self, rainy: torch.Tensor) -> torch.Tensor:
        return rainy * (self.share if self.gives == "rain" else 1 - self.share)


def pictures(count: int = 2, height: int = 32, width: int = 32, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("gives", ["clean", "rain"])
@pytest.mark.parametrize("unshuffle", [1, 2])
def test_the_layers_add_up_whatever_the_network_gives(gives, unshuffle):
    attached = attach_drn(Darker(gives), ModelConfig(width=4, blocks=1, unshuffle=unshuffle), gives=gives)
    attached.drn.tail.reset_parameters()
    rainy = pictures(height=25, width=31)
    with torch.no_grad():
        layers = attached(rainy)
    assert isinstance(layers, Layers)
    assert {layer.shape for layer in layers} == {rainy.shape}
    assert torch.allclose(layers.rain, 0.1 * rainy, atol=1e-6)
    assert torch.allclose(layers.derained, rainy - layers.rain + layers.detail, atol=1e-6)
    assert float(layers.detail.abs().max()) > 1e-3


def test_around_our_own_rain_network_it_is_our_own_network(network):
    """RRN and DRN combined by hand: the same layers as SemiDRDNet."""
    whole = network(TINY)
    attached = attach_drn(whole.rrn, TINY, gives="rain")
    attached.drn.load_state_dict(whole.drn.state_dict())
    with torch.no_grad():
        for ours, theirs in zip(whole(pictures()), attached.eval()(pictures()), strict=True):
            assert torch.equal(ours, theirs)


def test_without_detail_the_network_stays_as_it_is():
    attached = attach_drn(Darker("clean"), ModelConfig(width=4, blocks=1, detail="none"), gives="clean")
    with torch.no_grad():
        layers = attached(pictures())
    assert attached.drn is None and not layers.detail.any()
    assert torch.allclose(layers.derained, 0.9 * pictures())


def test_a_trained_network_keeps_its_result_at_first():
    base = Darker("clean")
    with torch.no_grad():
        layers = attach_drn(base, TINY, gives="clean")(pictures())
        assert float((layers.derained - base(pictures())).abs().max()) < 0.05


def test_what_cannot_be_attached_is_told():
    with pytest.raises(UsageError, match="clean pictures or rain"):
        attach_drn(Darker("rain"), TINY, gives="snow")
    with pytest.raises(ValueError, match=r"\(2, 3, 16, 16\)"):
        attach_drn(nn.MaxPool2d(2), TINY, gives="clean")(pictures())


@pytest.mark.parametrize("make", LITERATURE)
def test_networks_of_the_literature_keep_the_size_and_start_near_the_picture(make):
    torch.manual_seed(0)
    net = make()
    rainy = pictures(height=33, width=37)
    with torch.no_grad():
        clean = net(rainy)
    assert clean.shape == rainy.shape
    assert 0 < float((clean - rainy).abs().mean()) < 0.02


def test_the_detail_network_sees_no_flat_light():
    """A brighter picture of the same detail gets the same correction, up to the filter's slope."""
    torch.manual_seed(0)
    net = DeepDetailNetwork(4, 1).eval()
    net.tail.reset_parameters()
    dim = 0.3 + 0.1 * pictures()
    with torch.no_grad():
        assert torch.allclose(net(dim) - dim, net(dim + 0.4) - dim - 0.4, atol=1e-5)


def test_stages_share_their_weights():
    one, many = ProgressiveRecurrentNetwork(4, 1, 1), ProgressiveRecurrentNetwork(4, 1, 5)
    assert {k: v.shape for k, v in one.state_dict().items()} == {k: v.shape for k, v in many.state_dict().items()}


@pytest.mark.parametrize("eps", [0.01, 1.0])
def test_the_guided_filter_is_the_slow_one(eps):
    """Window by window, as defined in the paper."""
    radius, picture = 2, pictures(1, 9, 11)[:, :1].double()
    height, width = picture.shape[-2:]

    def windows(values, y, x):
        return values[..., max(0, y - radius) : y + radius + 1, max(0, x - radius) : x + radius + 1]

    slope, offset = torch.zeros_like(picture), torch.zeros_like(picture)
    for y in range(height):
        for x in range(width):
            part = windows(picture, y, x)
            slope[..., y, x] = part.var(unbiased=False) / (part.var(unbiased=False) + eps)
            offset[..., y, x] = part.mean() * (1 - slope[..., y, x])
    expected = torch.zeros_like(picture)
    for y in range(height):
        for x in range(width):
            value = windows(slope, y, x).mean() * picture[..., y, x] + windows(offset, y, x).mean()
            expected[..., y, x] = value
    assert torch.allclose(guided_base(picture, radius, eps), expected, atol=1e-12)
    assert torch.allclose(guided_base(torch.full((1, 3, 8, 8), 0.7), radius, eps), torch.tensor(0.7), atol=1e-6)


# --- training ---------------------------------------------------------------------------------------------------


def batch(size: int = 32) -> Batch:
    """Bright stripes on smooth pictures, and as many real pictures."""
    clean = F.interpolate(pictures(4, 4, 4), size=size, mode="bilinear") * 0.6
    stripes = (torch.arange(size) % 6 < 2).float() * 0.3
    rainy = (clean + stripes).clamp(0, 1)
    levels = (torch.stack([rainy[:2], clean[:2]], 1) * 255).round().to(torch.uint8)
    return Batch(levels, (rainy[2:] * 255).round().to(torch.uint8))


def settings(mode: str = "none", steps: int = 40) -> TrainConfig:
    return TrainConfig(
        data=DataConfig(patch=32, batch=2),
        optim=OptimConfig(steps=steps, lr=1e-2, schedule="constant", precision="fp32", ema=0.5),
        contrast=ContrastConfig(
            mode=mode, warmup=0, ramp=0, bank=8, bank_floor=0, negatives=3, dual_weight=1e-3, unsup_weight=1e-3
        ),
    )


@pytest.mark.parametrize("make", LITERATURE)
def test_the_loop_trains_both_parts(make):
    torch.manual_seed(0)
    attached = attach_drn(make(), TINY, gives="clean")
    before = {name: value.clone() for name, value in attached.state_dict().items()}
    trainer = Trainer(settings(), CPU, model=attached)
    losses = [report.loss for report in trainer.steps([batch()] * 40)]
    assert trainer.model is attached
    assert losses[-1] < losses[0] / 2
    moved = {
        name.split(".")[0] for name, value in attached.state_dict().items() if not torch.equal(value, before[name])
    }
    assert moved == {"base", "drn"}


@pytest.mark.parametrize("make", LITERATURE)
def test_the_contrastive_objective_takes_it_as_it_is(make, vgg_weights):
    torch.manual_seed(0)
    attached = attach_drn(make(), TINY, gives="clean")
    config = settings("both", steps=2)
    trainer = Trainer(config, CPU, SemiSupervised(config, VGGFeatures(vgg_weights), autocast=False), model=attached)
    first, second = trainer.steps([batch()] * 2)
    assert {"dual_sup", "dual_unsup"} <= set(first.parts)
    assert not first.skipped and not second.skipped
    assert trainer.objective.bank.count("real") == 4


def test_its_state_comes_back():
    torch.manual_seed(0)
    one = Trainer(settings(), CPU, model=attach_drn(LITERATURE[0](), TINY, gives="clean"))
    list(one.steps([batch()] * 2))
    other = Trainer(settings(), CPU, model=attach_drn(LITERATURE[0](), TINY, gives="clean"))
    tensors, state = one.state()
    other.load_state({k: v.clone() for k, v in tensors.items()}, state)
    (a,), (b,) = one.steps([batch()]), other.steps([batch()])
    assert (a.loss, a.step) == (b.loss, b.step)


def test_as_a_plain_network_it_restores_pictures(picture, tmp_path):
    torch.manual_seed(0)
    attached = attach_drn(Darker("clean"), ModelConfig(width=4, blocks=1, detail="none"), gives="clean")
    restored = as_peer(DerainedOnly(attached), CPU)(picture(20, 30))
    assert abs(restored.astype(float) - 0.9 * picture(20, 30)).max() <= 0.51
    save_state(tmp_path / "w.safetensors", attached)
    again = safetensors.torch.load_file(tmp_path / "w.safetensors")
    assert set(again) == set(attached.state_dict())


def test_our_own_network_is_trained_as_before():
    torch.manual_seed(5)
    config = TrainConfig(model=TINY, optim=OptimConfig(precision="fp32"))
    given = build(TINY)
    given.load_state_dict(Trainer(config, CPU).model.state_dict())
    reports = [next(iter(Trainer(config, CPU, model=m).steps([batch()]))).loss for m in (given, None)]
    assert reports[0] == reports[1]
