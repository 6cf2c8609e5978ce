"""The training loop: schedules, learning, skipped faulty steps, and restored state."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from derain_cli.checkpoints.run_state import load_checkpoint, save_checkpoint
from derain_cli.config import (
    AUTO_COMPILE_STEPS,
    LoopConfig,
    ModelConfig,
    OptimConfig,
    TrainConfig,
    from_mapping,
    load_recipe,
)
from derain_cli.data.loaders import Batch
from derain_cli.errors import TrainingError
from derain_cli.model.frozen import FrozenForm
from derain_cli.training.objectives import Losses, Supervised
from derain_cli.training.trainer import Trainer, learning_rate

CPU = torch.device("cpu")
TINY = ModelConfig(width=4, blocks=1)


def config(seed=0, max_bad_steps=20, model=TINY, **optim) -> TrainConfig:
    options = {"steps": 100, "schedule": "constant", "precision": "fp32"} | optim
    return TrainConfig(
        model=model, optim=OptimConfig(**options), loop=LoopConfig(seed=seed, max_bad_steps=max_bad_steps)
    )


def paired(pairs: torch.Tensor) -> Batch:
    """A batch without real patches."""
    return Batch(pairs, pairs.new_empty((0, *pairs.shape[2:])))


def batches(number: int, seed: int = 0, size: int = 16) -> list[Batch]:
    generator = torch.Generator().manual_seed(seed)
    shape = (2, 2, 3, size, size)
    return [paired(torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)) for _ in range(number)]


def run(trainer: Trainer, data) -> list:
    return list(trainer.steps(data))


def snapshot(trainer: Trainer) -> dict[str, torch.Tensor]:
    """Everything except the counters, including the buffers of the batch norms."""
    return {k: v.clone() for k, v in trainer.state()[0].items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> list[str]:
    """Names of the entries that differ in any bit."""
    assert set(one) == set(other)
    return [k for k, v in one.items() if not torch.equal(v, other[k])]


# --- learning rate ----------------------------------------------------------------------------------------------


def test_the_paper_s_rate_by_epoch():
    options = from_mapping(TrainConfig, load_recipe("paper")).optim
    epoch = 27_000 // 8
    for number in range(150):
        expected = 1e-3 * 0.2 ** sum(number >= fall for fall in (30, 50, 80))
        for step in (number * epoch, number * epoch + 1, (number + 1) * epoch - 1):
            assert learning_rate(step, options) == pytest.approx(expected, rel=1e-12)


def test_cosine_starts_at_the_top_and_ends_at_the_floor():
    options = OptimConfig(steps=1000, lr=0.1, schedule="cosine", lr_floor=0.01)
    rates = [learning_rate(step, options) for step in range(1001)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[500] == pytest.approx(0.1 * (0.01 + 0.99 / 2))
    assert rates[1000] == pytest.approx(0.001)
    assert all(a > b for a, b in itertools.pairwise(rates))
    assert learning_rate(5000, options) == pytest.approx(0.001)


def test_a_trapezoid_is_flat_and_then_goes_down_evenly():
    options = OptimConfig(steps=1000, lr=0.1, schedule="trapezoid", lr_floor=0.01, cooldown=0.4)
    assert {learning_rate(step, options) for step in range(601)} == {0.1}
    assert learning_rate(800, options) == pytest.approx(0.1 * (0.01 + 0.99 / 2))
    assert learning_rate(1000, options) == pytest.approx(0.001)
    assert learning_rate(5000, options) == pytest.approx(0.001)
    # Up to then it does not depend on the planned length, so a run can be extended.
    longer = replace(options, steps=2000)
    assert all(learning_rate(step, options) == learning_rate(step, longer) for step in range(600))


@pytest.mark.parametrize("schedule", ["cosine", "step", "constant", "trapezoid"])
def test_warm_up_is_linear_and_then_hands_over(schedule):
    options = OptimConfig(steps=1000, lr=0.1, schedule=schedule, warmup=10, milestones=(0.5,))
    assert [learning_rate(step, options) for step in range(10)] == pytest.approx([0.01 * n for n in range(1, 11)])
    assert learning_rate(10, options) == pytest.approx(0.1, rel=1e-4)


def test_the_optimiser_uses_the_rate_and_the_report_tells_it():
    trainer = Trainer(config(schedule="cosine", steps=5, lr=0.02), CPU)
    for step, report in enumerate(trainer.steps(batches(5))):
        assert report.step == step + 1
        assert report.lr == learning_rate(step, trainer.config.optim)
        assert {g["lr"] for o in trainer.optimizers.values() for g in o.param_groups} == {report.lr}


# --- learning ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["l1", "charbonnier"])
def test_a_tiny_network_overfits_a_tiny_batch(picture, loss):
    """Stripes on two pictures: in 120 steps the loss drops to less than a third."""
    clean = np.stack([picture(32, 32, seed) for seed in (1, 2)]).astype(int)
    stripes = np.where(np.arange(32) % 6 < 2, 70, 0)[None, None, :, None]
    pair = np.stack([np.clip(clean + stripes, 0, 255), clean], axis=1).transpose(0, 1, 4, 2, 3)
    batch = paired(torch.from_numpy(pair.astype(np.uint8)))
    settings = config(lr=1e-2, schedule="cosine", steps=120, loss=loss, model=ModelConfig(width=8, blocks=1))
    reports = run(Trainer(settings, CPU), [batch] * 120)
    assert reports[-1].loss < reports[0].loss / 3
    assert not any(report.skipped for report in reports)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_a_step_is_adam_on_the_clipped_gradient(weight_decay):
    settings = config(lr=3e-3, weight_decay=weight_decay, clip=0.05)
    trainer, data = Trainer(settings, CPU), batches(3)
    slow = Trainer(settings, CPU).model
    adam = torch.optim.AdamW if weight_decay else torch.optim.Adam
    optimizer = adam(slow.parameters(), lr=3e-3, weight_decay=weight_decay, foreach=False, fused=False)
    for batch, report in zip(data, trainer.steps(data), strict=True):
        optimizer.zero_grad()
        total = Supervised(settings.optim, autocast=False)(slow, paired(batch.pairs.float() / 255), 0).total
        total.backward()
        norm = math.sqrt(sum(float(p.grad.double().square().sum()) for p in slow.parameters()))
        for parameter in slow.parameters():
            parameter.grad *= min(1.0, 0.05 / (norm + 1e-6))
        optimizer.step()
        assert report.loss == pytest.approx(float(total.detach()), rel=1e-5)
        assert report.grad_norm == pytest.approx(norm, rel=1e-4)
        assert norm > 0.05, "the clip does something"
    for (name, ours), theirs in zip(trainer.model.named_parameters(), slow.parameters(), strict=True):
        # The true gradient of a bias before a batch norm is zero; Adam turns its rounding errors into steps.
        without_effect = name.endswith("bias") and not any(part in name for part in ("norm", "head", "tail"))
        assert without_effect or torch.allclose(ours, theirs, rtol=0, atol=2e-5), name


@pytest.mark.parametrize("clip", [0.0, 0.02, 1000.0])
def test_clipping_bounds_the_norm_and_leaves_small_gradients_alone(clip):
    trainer = Trainer(config(clip=clip), CPU)
    (report,) = run(trainer, batches(1))
    after = math.sqrt(sum(float(p.grad.double().square().sum()) for p in trainer.model.parameters()))
    expected = min(report.grad_norm, clip) if clip else report.grad_norm
    assert after == pytest.approx(expected, rel=1e-3)


def test_parts_are_reported():
    (report,) = run(Trainer(config(), CPU), batches(1))
    assert set(report.parts) == {"detail", "rain"}
    assert report.loss == pytest.approx(report.parts["detail"] + 0.5 * report.parts["rain"], rel=1e-5)


def test_the_seed_decides_the_weights_and_leaves_the_caller_s_generator_alone():
    torch.manual_seed(99)
    before = torch.random.get_rng_state()
    one, again, other = (Trainer(config(seed=seed), CPU) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(snapshot(one), snapshot(again)) == []
    assert same(snapshot(one), snapshot(other))


def test_start_weights_are_used(network):
    start = network(TINY, seed=5).state_dict()
    trainer = Trainer(config(ema=0.9), CPU, start=start)
    for model in (trainer.model, trainer.average):
        assert all(torch.equal(value, start[key]) for key, value in model.state_dict().items())


def test_training_repeats_bit_by_bit():
    results = []
    for _ in range(2):
        trainer = Trainer(config(ema=0.9), CPU)
        run(trainer, batches(4))
        results.append(snapshot(trainer))
    assert same(*results) == []


# --- the average ------------------------------------------------------------------------------------------------


def test_the_average_is_its_formula():
    trainer = Trainer(config(ema=0.8, lr=1e-2), CPU)
    slow = {k: v.double() for k, v in trainer.model.state_dict().items()}
    for step, _ in enumerate(trainer.steps(batches(12))):
        decay = min(0.8, (1 + step) / (10 + step))
        for key, value in trainer.model.state_dict().items():
            slow[key] = decay * slow[key] + (1 - decay) * value.double()
    moved = False
    for key, value in trainer.average.state_dict().items():
        if value.is_floating_point():
            assert torch.allclose(value.double(), slow[key], rtol=1e-5, atol=1e-6), key
            moved |= not torch.equal(value, trainer.model.state_dict()[key])
    assert moved
    assert not any(p.requires_grad for p in trainer.average.parameters())


def test_without_ema_the_average_is_the_network():
    trainer = Trainer(config(), CPU)
    assert trainer.average is trainer.model
    assert not any(key.startswith("average.") for key in snapshot(trainer))


# --- batch normalisation ----------------------------------------------------------------------------------------


def test_frozen_norms_keep_their_statistics_while_weights_go_on():
    trainer = Trainer(config(steps=6, freeze_norm=0.5, lr=1e-2), CPU)
    history = [snapshot(trainer)]
    for _ in trainer.steps(batches(6)):
        history.append(snapshot(trainer))
    for step, (before, after) in enumerate(itertools.pairwise(history)):
        changed = [key for key in before if not torch.equal(before[key], after[key])]
        statistics = [key for key in changed if "running" in key or "tracked" in key]
        assert bool(statistics) == (step < 3)
        assert "model.rrn.head.weight" in changed
        assert "model.rrn.norm.weight" in changed  # scale and shift are still trained


def test_norms_are_never_frozen_at_1():
    trainer = Trainer(config(steps=3, freeze_norm=1.0), CPU)
    run(trainer, batches(3))
    assert all(m.training for m in trainer.model.modules() if isinstance(m, nn.BatchNorm2d))


# --- faults -----------------------------------------------------------------------------------------------------


class Spoiled(Supervised):
    """The supervised objective with a fault at some steps."""

    def __init__(self, options, steps, fault):
        super().__init__(options, autocast=False)
        self.at, self.fault = set(steps), fault

    def __call__(self, model, batch, step):
        losses = super().__call__(model, batch, step)
        if step not in self.at:
            return losses
        if self.fault == "gradient":  # a finite loss whose gradient is not
            zero = next(model.parameters()).sum() * 0
            return losses._replace(total=losses.total + zero.abs().sqrt())
        return Losses(losses.total * float(self.fault), losses.parts)


@pytest.mark.parametrize("fault", ["nan", "inf", "-inf", "gradient"])
@pytest.mark.parametrize("ema", [0.0, 0.9])
@pytest.mark.fault(65)
def test_a_step_that_is_not_finite_leaves_no_trace(fault, ema):
    settings = config(ema=ema)
    trainer = Trainer(settings, CPU, objective=Spoiled(settings.optim, {2, 3}, fault))
    steps = trainer.steps(batches(6))
    reports = [next(steps), next(steps)]
    before = snapshot(trainer)
    for expected in (1, 2):
        reports.append(next(steps))
        assert same(snapshot(trainer), before) == []
        assert (trainer.bad_steps, trainer.skipped) == (expected, expected)
    assert [report.skipped for report in reports] == [False, False, True, True]
    reports.append(next(steps))
    assert not reports[-1].skipped
    assert same(snapshot(trainer), before)
    assert (trainer.bad_steps, trainer.skipped, trainer.step) == (0, 2, 5)
    assert all(bool(torch.isfinite(v).all()) for v in snapshot(trainer).values() if v.is_floating_point())


def test_a_non_finite_batch_is_survived_too():
    trainer = Trainer(config(), CPU)
    run(trainer, batches(1))
    before = snapshot(trainer)
    report = trainer._one(paired(torch.full((2, 2, 3, 16, 16), math.nan)))
    assert report.skipped
    assert same(snapshot(trainer), before) == []


@pytest.mark.fault(65)
def test_bad_steps_in_a_row_end_the_run():
    settings = config(max_bad_steps=3)
    objective = Spoiled(settings.optim, {1, 2, 4, 5, 6}, "nan")
    trainer = Trainer(settings, CPU, objective=objective)
    with pytest.raises(TrainingError, match="not finite for 3 consecutive steps") as caught:
        run(trainer, batches(20))
    assert trainer.step == 7
    assert trainer.skipped == 5
    assert caught.value.exit_code == 3
    assert "optim.lr" in str(caught.value)


@pytest.mark.parametrize("fault", ["nan", "gradient"])
def test_the_objective_learns_whether_the_step_was_made(fault):
    settings = config()
    objective = Spoiled(settings.optim, {1}, fault)
    told = []
    objective.after_step = told.append
    run(Trainer(settings, CPU, objective=objective), batches(3))
    assert told == [True, False, True]


# --- state ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [0, 1, 4, 7])
@pytest.mark.parametrize(("ema", "optimizer"), [(0.0, "adam"), (0.9, "adam"), (0.9, "muon")])
def test_a_run_that_is_cut_goes_on_with_the_same_bits(tmp_path, cut, ema, optimizer):
    """Through a checkpoint on disk into a new trainer, compared with an uninterrupted run."""
    settings = config(ema=ema, optimizer=optimizer, steps=8, schedule="cosine", freeze_norm=0.7, lr=1e-2, clip=0.5)
    data = batches(8)
    unbroken = Trainer(settings, CPU)
    reports = run(unbroken, data)
    first = Trainer(settings, CPU)
    run(first, data[:cut])
    place = save_checkpoint(tmp_path, cut, *first.state())
    second = Trainer(settings, CPU, start=Trainer(config(seed=8), CPU).model.state_dict())
    second.load_state(*load_checkpoint(place))
    assert second.step == cut
    assert run(second, data[cut:]) == reports[cut:]
    assert same(snapshot(second), snapshot(unbroken)) == []


def test_muon_takes_the_inner_kernels_and_every_weight_is_trained_once():
    trainer = Trainer(config(optimizer="muon"), CPU)
    of = {name: [id(p) for g in o.param_groups for p in g["params"]] for name, o in trainer.optimizers.items()}
    assert sorted(of["optimizer"] + of["muon"]) == sorted(id(p) for p in trainer.model.parameters())
    names = {n for n, p in trainer.model.named_parameters() if id(p) in of["muon"]}
    assert names and all(n.endswith("weight") and (".blocks." in n or ".body." in n) for n in names)
    before = {n: p.detach().clone() for n, p in trainer.model.named_parameters()}
    run(trainer, batches(2))
    assert all(not torch.equal(p, before[n]) for n, p in trainer.model.named_parameters() if n.endswith("weight"))


@pytest.mark.parametrize(("one", "other"), [("adam", "muon"), ("muon", "adam")])
def test_state_of_another_optimiser_is_refused(one, other):
    trainer = Trainer(config(optimizer=one), CPU)
    run(trainer, batches(1))
    with pytest.raises(TrainingError, match="does not fit"):
        Trainer(config(optimizer=other), CPU).load_state(*trainer.state())


def test_counters_come_back():
    settings = config()
    trainer = Trainer(settings, CPU, objective=Spoiled(settings.optim, {1, 2}, "nan"))
    run(trainer, batches(3))
    again = Trainer(settings, CPU)
    again.load_state(*trainer.state())
    assert (again.step, again.bad_steps, again.skipped) == (3, 2, 2)


@pytest.mark.parametrize("other", [config(model=ModelConfig(width=5, blocks=1)), config(ema=0.9)], ids=["width", "ema"])
def test_state_of_another_network_is_refused(other):
    trainer = Trainer(config(), CPU)
    run(trainer, batches(1))
    with pytest.raises(TrainingError, match="does not fit") as caught:
        Trainer(other, CPU).load_state(*trainer.state())
    assert str(caught.value).isprintable()


def test_frozen_norms_are_trained_in_the_frozen_form(monkeypatch):
    """From the step at which they are frozen, compared with what the network itself would have got."""
    found = {}
    for frozen_form in (True, False):
        with monkeypatch.context() as patched:
            if not frozen_form:
                patched.setattr("derain_cli.training.trainer.has_frozen_form", lambda model: False)
            trainer = Trainer(config(steps=4, freeze_norm=0.5, lr=1e-3, precision="fp32"), CPU)
            reports = run(trainer, batches(4))
            assert isinstance(trainer._forward, FrozenForm) == frozen_form
        found[frozen_form] = [r.loss for r in reports], [r.grad_norm for r in reports]
    for ours, theirs in zip(found[True], found[False], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)


def test_long_runs_compile_where_that_works(monkeypatch):
    """Otherwise it says so in one line instead of failing."""
    tried, notes = [], []

    def broken(function, **_):
        tried.append(function)
        raise RuntimeError("no C++ compiler\nlong story")

    monkeypatch.setattr(torch, "compile", broken)
    settings = config(steps=AUTO_COMPILE_STEPS - 1)
    Trainer(settings, CPU, note=notes.append)
    assert not tried
    assert not notes
    trainer = Trainer(
        replace(settings, optim=replace(settings.optim, steps=AUTO_COMPILE_STEPS)), CPU, note=notes.append
    )
    assert len(tried) == len(notes) == 1
    assert "no C++ compiler" in notes[0]
    assert "\n" not in notes[0]
    run(trainer, batches(1))


@pytest.mark.slow
def test_compiled_training_is_near_plain_training():
    """The same weights after a few steps up to rounding; checkpoints are interchangeable."""
    results = []
    for compile_it in (False, True):
        settings = TrainConfig(
            model=TINY,
            optim=OptimConfig(steps=4, schedule="constant", precision="fp32", lr=1e-4),
            loop=LoopConfig(compile=compile_it),
        )
        trainer = Trainer(settings, CPU)
        results.append((run(trainer, batches(4)), snapshot(trainer)))
    for plain, compiled in zip(results[0][0], results[1][0], strict=True):
        assert compiled.loss == pytest.approx(plain.loss, rel=1e-3)
    assert set(results[0][1]) == set(results[1][1])
