"""The contrastive objective compared with a slow version of eq. 6, 8, 9, 10 and 13, and its memory."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from derain_cli.config import ContrastConfig, DataConfig, LoopConfig, ModelConfig, OptimConfig, TrainConfig
from derain_cli.data.loaders import Batch
from derain_cli.losses.features import FEATURE_WEIGHTS, VGGFeatures
from derain_cli.losses.style import attention_statistics
from derain_cli.training.objectives import Supervised, run_network
from derain_cli.training.semi_supervised import SemiSupervised, contrast_share, step_generator

TINY = ModelConfig(width=4, blocks=1)
PATCH, LABELLED, M = 32, 2, 3
MODES = ("standard", "negatives", "positives", "both")


@pytest.fixture(scope="module")
def features(vgg_weights) -> VGGFeatures:
    return VGGFeatures(vgg_weights)


@pytest.fixture(scope="module")
def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    pairs = torch.rand(LABELLED, 2, 3, PATCH, PATCH, generator=generator)
    return Batch(pairs, torch.rand(LABELLED, 3, PATCH, PATCH, generator=generator))


def make(features, *, mode="both", seed=3, filled=6, **contrast) -> SemiSupervised:
    options = {"negatives": M, "bank": 8, "warmup": 0, "ramp": 0, "cap": 1e6} | contrast
    config = TrainConfig(
        model=TINY,
        data=DataConfig(patch=PATCH, batch=LABELLED),
        optim=OptimConfig(precision="fp32"),
        loop=LoopConfig(seed=seed),
        contrast=ContrastConfig(mode=mode, **options),
    )
    objective = SemiSupervised(config, features, autocast=False)
    if objective.bank is not None:
        layers = torch.rand(2, filled, 3, PATCH, PATCH, generator=torch.Generator().manual_seed(2))
        objective.bank.push("synthetic", layers[0])
        objective.bank.push("real", layers[1])
    return objective


class Seen:
    """A feature network that records how many pictures it gets, and whether with gradient."""

    def __init__(self, features: VGGFeatures):
        self.features, self.mean, self.calls = features, features.mean, []

    def to(self, **_):
        return self

    def __call__(self, pictures: Tensor) -> list[Tensor]:
        self.calls.append((len(pictures), pictures.requires_grad))
        return self.features(pictures)


# --- the sum ----------------------------------------------------------------------------------------------------


def slow_total(objective: SemiSupervised, model, batch: Batch, step: int) -> Tensor:
    """Picture by picture, negative by negative, layer by layer."""
    options, see = objective.options, objective.features
    outputs = run_network(model, batch, autocast=False)
    total = objective.supervised.pixel_losses(outputs, batch).total
    generator = step_generator(objective.seed, step)
    rings = {"sup": ("synthetic", "real"), "unsup": ("real",)}
    drawn = {
        name: objective.bank.sample(ring, M - 1, generator) if objective.bank else torch.zeros(0, 3, PATCH, PATCH)
        for name, ring in rings.items()
    }
    order = torch.randperm(LABELLED, generator=generator)
    phases = (
        ("sup", options.dual_weight, outputs.derained, batch.pairs[:, 0], batch.pairs[:, 1]),
        ("unsup", options.unsup_weight, outputs.real_derained, batch.real, batch.pairs[:, 1][order]),
    )
    for name, weight, derained, rainy, clean in phases:
        negatives_of = [
            [(anchor.detach() + layer).clamp(0, 1) for layer in drawn[name]] + [original]
            for anchor, original in zip(derained, rainy, strict=True)
        ]
        for anchor, positive, negatives in zip(derained, clean, negatives_of, strict=True):
            ours = see(anchor[None])
            good = see(positive[None])
            if name == "unsup" and options.mode in ("positives", "both"):
                good = [attention_statistics(g, o.detach()) for g, o in zip(good, ours, strict=True)]
            for negative in negatives:
                for omega, a, p, n in zip(FEATURE_WEIGHTS, ours, good, see(negative[None]), strict=True):
                    ratio = (p - a).square().mean() / ((n - a).square().mean() + 1e-6)
                    total = total + weight * omega * ratio * (M / len(negatives)) / len(derained)
    return total


@pytest.mark.parametrize("mode", MODES)
def test_the_sum_and_its_gradient_are_the_paper_s(features, batch, network, mode):
    grads = []
    for fast in (True, False):
        model = network(TINY)
        objective = make(features, mode=mode)
        total = objective(model, batch, 5).total if fast else slow_total(objective, model, batch, 5)
        total.backward()
        grads.append((float(total.detach()), [p.grad for p in model.parameters()]))
    assert grads[0][0] == pytest.approx(grads[1][0], rel=1e-3)
    whole = torch.cat([g.flatten() for g in grads[1][1]])
    assert float((torch.cat([g.flatten() for g in grads[0][1]]) - whole).norm() / whole.norm()) < 1e-2


def test_modes_differ(features, batch, network):
    model = network(TINY)
    with torch.no_grad():
        found = [make(features, mode=mode)(model, batch, 5) for mode in MODES]
    # The positive transform is used in the unsupervised phase only.
    for name, alike in (("dual_sup", [{0, 2}, {1, 3}]), ("dual_unsup", [])):
        values = [float(losses.parts[name]) for losses in found]
        same = [{i, j} for i in range(4) for j in range(i) if values[i] == pytest.approx(values[j], rel=1e-6)]
        assert same == alike, name


def test_a_short_bank_is_made_up_for(features, batch, network):
    """With one of two layers the sum is scaled by 3/2, with none by 3: equal ratios give equal sums."""
    model = network(TINY)
    with torch.no_grad():
        empty = make(features, mode="negatives", filled=0)(model, batch, 5)
        plain = make(features, mode="standard")(model, batch, 5)
        short = make(features, mode="negatives", filled=1)(model, batch, 5)
    assert float(empty.total) == pytest.approx(float(plain.total), rel=1e-5)
    assert float(short.total) != pytest.approx(float(plain.total), rel=1e-3)


def test_each_loss_can_be_left_out(features, batch, network):
    model = network(TINY)
    with torch.no_grad():
        whole = make(features)(model, batch, 5)
        sup = make(features, unsup_weight=0.0)(model, batch, 5)
        unsup = make(features, dual_weight=0.0)(model, batch, 5)
        labelled = make(features)(model, Batch(batch.pairs, batch.real[:0]), 5)
        nothing = make(features, dual_weight=0.0, unsup_weight=0.0)(model, batch, 5)
    assert set(whole.parts) == {"detail", "rain", "dual_sup", "dual_unsup"}
    assert set(sup.parts) == set(labelled.parts) == {"detail", "rain", "dual_sup"}
    assert set(unsup.parts) == {"detail", "rain", "dual_unsup"}
    assert set(nothing.parts) == {"detail", "rain"}
    # The supervised term is drawn equally with and without the other one.
    values = {float(losses.parts["dual_sup"]) for losses in (whole, sup, labelled)}
    assert max(values) == pytest.approx(min(values), rel=1e-5)
    parts = whole.parts
    expected = parts["detail"] + 0.5 * parts["rain"] + 0.5 * parts["dual_sup"] + parts["dual_unsup"]
    assert float(whole.total) == pytest.approx(float(expected), rel=1e-5)


def test_the_figures_tell_ratio_cap_share_and_change(features, batch, network):
    with torch.no_grad():
        figures = make(features, mode="negatives", cap=1e-6)(network(TINY), batch, 5).figures
    names = {"contrast_share", "psnr", "real_change"} | {
        f"{a}_{b}" for a in ("ratio", "capped") for b in ("sup", "unsup")
    }
    assert set(figures) == names
    assert float(figures["capped_sup"]) == float(figures["capped_unsup"]) == 1.0
    assert float(figures["ratio_sup"]) > 1e-6
    assert float(figures["contrast_share"]) == 1.0


@pytest.mark.fault(65)
def test_a_ratio_past_the_cap_gives_no_gradient_even_where_nothing_was_taken_out(features, batch, network):
    """I = O: the distance to the original negative is zero."""
    model = network(TINY)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    losses = make(features, mode="standard", cap=10.0)(model, batch, 5)
    assert float(losses.figures["capped_sup"]) == 1.0
    assert float(losses.parts["dual_sup"]) == pytest.approx(M * sum(FEATURE_WEIGHTS) * 10)
    losses.total.backward()
    assert all(bool(torch.isfinite(p.grad).all()) for p in model.parameters())


# --- cost, time, randomness -------------------------------------------------------------------------------------


def test_two_passes_of_vgg_and_only_the_anchors_with_gradient(features, batch, network):
    seen = Seen(features)
    make(seen)(network(TINY), batch, 5)
    anchors = 2 * LABELLED
    assert sorted(seen.calls) == sorted([(anchors, True), (LABELLED + M * anchors, False)])


def test_before_the_warm_up_is_over_there_is_no_contrast(features, batch, network):
    seen, model = Seen(features), network(TINY)
    with torch.no_grad():
        losses = make(seen, warmup=6)(model, batch, 5)
        plain = Supervised(OptimConfig(), autocast=False)(model, batch, 5)
    assert float(losses.total) == float(plain.total)
    assert seen.calls == []


@pytest.mark.parametrize("ramp", [0, 1, 9])
def test_the_ramp_is_linear(ramp):
    options = ContrastConfig(mode="both", warmup=4, ramp=ramp)
    shares = [contrast_share(step, options) for step in range(20)]
    assert shares[:4] == [0.0] * 4
    assert shares[4 : 4 + ramp] == pytest.approx([(n + 1) / (ramp + 1) for n in range(ramp)])
    assert set(shares[4 + ramp :]) == {1.0}


def test_chance_hangs_on_seed_and_step_alone(features, batch, network):
    model = network(TINY)

    def value(seed, step):
        with torch.no_grad():
            return float(make(features, seed=seed)(model, batch, step).total)

    torch.manual_seed(1)
    first = value(3, 5)
    torch.manual_seed(2)
    assert value(3, 5) == first
    assert value(3, 6) != first
    assert value(4, 5) != first


# --- memory -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("good", [True, False])
@pytest.mark.parametrize("warmup", [0, 99])
def test_the_layers_of_a_step_enter_the_bank_unless_it_was_skipped(features, batch, network, good, warmup):
    model, objective = network(TINY), make(features, filled=0, warmup=warmup)
    objective(model, batch, 0)
    assert objective.bank.count("real") == 0, "not before the step is made"
    objective.after_step(good)
    assert objective.bank.count("synthetic") == objective.bank.count("real") == (LABELLED if good else 0)
    if good:
        outputs = run_network(model, batch, autocast=False)
        state = objective.bank.state_dict()
        for ring, rain in (("synthetic", outputs.rain), ("real", outputs.real_rain)):
            expected = rain.detach().clamp(0, 1)
            assert torch.allclose(state[f"{ring}.layers"][:LABELLED].float(), expected, atol=1e-3)
    objective.after_step(True)
    assert objective.bank.count("real") == (LABELLED if good else 0), "each step once"


def test_the_bank_is_the_state(features, batch, network):
    one, other = make(features), make(features, filled=0)
    other.load_state_dict({k: v.clone() for k, v in one.state_dict().items()})
    model = network(TINY)
    with torch.no_grad():
        assert float(one(model, batch, 7).total) == float(other(model, batch, 7).total)
    assert make(features, mode="standard").state_dict() == {}


@pytest.mark.parametrize(
    ("kept", "mode", "changes"),
    [("both", "standard", {}), ("standard", "both", {}), ("both", "both", {"bank": 4})],
)
def test_another_memory_is_refused(features, kept, mode, changes):
    state = make(features, mode=kept).state_dict()
    with pytest.raises(ValueError, match="memory bank"):
        make(features, mode=mode, **changes).load_state_dict(state)


def test_under_autocast_it_is_near(features, batch, network):
    model, full = network(TINY), make(features)
    half = make(features)
    half.autocast = True
    with torch.no_grad():
        near, exact = half(model, batch, 5), full(model, batch, 5)
    assert near.total.dtype == torch.float32
    assert float(near.parts["dual_sup"]) == pytest.approx(float(exact.parts["dual_sup"]), rel=0.1)
    assert dataclasses.asdict(full.options) == dataclasses.asdict(half.options)
