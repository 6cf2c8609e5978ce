"""Runs: the content of their folder, and bit-identical results after interruption or kill."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from derain_cli.checkpoints import run_state
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.run_state import latest_checkpoint
from derain_cli.checkpoints.weight_file import load_weights, save_weights
from derain_cli.cli.hints import line_of
from derain_cli.config import ContrastConfig, DataConfig, LoopConfig, ModelConfig, OptimConfig, TrainConfig, to_mapping
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.pairs import Pair, PairGroup
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import DestinationError, NothingToDoError, ResourceError, TrainingError, UsageError, WeightsError
from derain_cli.evaluation.peers import as_peer
from derain_cli.evaluation.scores import evaluate
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.model import attach_drn, build
from derain_cli.model.attach import DerainedOnly
from derain_cli.training.run import RunPlan, SilentListener, loop, start, train, validation
from derain_cli.training.run.data import hold_back, prepare
from derain_cli.training.selection import Selection
from derain_cli.training.trainer import Trainer

TINY = ModelConfig(width=4, blocks=1)
STEPS = 7
CONFIG = TrainConfig(
    model=TINY,
    data=DataConfig(patch=32, batch=2, workers=0),
    optim=OptimConfig(steps=STEPS, lr=1e-2, schedule="cosine", ema=0.9, freeze_norm=0.8, precision="fp32"),
    loop=LoopConfig(seed=3, log_every=1, validate_every=3, checkpoint_every=2, threads=1),
)


class Stop(Exception):
    """Simulates a killed process: our code does not handle it."""


class Recorder(SilentListener):
    """Records events; interrupts or kills the run on request."""

    def __init__(self, interrupt_at=0, die_at=0, die_validating=0):
        self.interrupt_at, self.die_at, self.die_validating = interrupt_at, die_at, die_validating
        self.begun: list[int] = []
        self.steps: list[int] = []
        self.losses: dict[int, float] = {}
        self.validations: list[tuple[int, float, bool]] = []
        self.notes: list[str] = []
        self.changes: list = []

    def started(self, step, total, batch):
        self.begun.append(step)

    def stepped(self, report, patches_per_second, waiting_share):
        self.steps.append(report.step)
        self.losses[report.step] = report.loss
        if report.step == self.interrupt_at:
            os.kill(os.getpid(), signal.SIGTERM)
        if report.step == self.die_at:
            raise Stop

    def real_photos_checked(self, step, change):
        self.changes.append((step, change))

    def validated(self, step, evaluation, best):
        self.validations.append((step, evaluation.mean_psnr(), best))
        if step and step == self.die_validating:
            raise Stop

    def note(self, text):
        self.notes.append(text)


@pytest.fixture(scope="module")
def data(tmp_path_factory, pairs) -> Path:
    """Eight pairs; read-only."""
    return pairs(tmp_path_factory.mktemp("set"), count=8, height=36, width=40)


@pytest.fixture
def plan(tmp_path, data) -> RunPlan:
    return RunPlan(out=tmp_path / "run", config=CONFIG, datasets=(data,), device="cpu")


def change(plan: RunPlan, **sections) -> RunPlan:
    """The plan with some settings changed: `change(plan, optim={"lr": 1.0})`."""
    parts = {name: dataclasses.replace(getattr(plan.config, name), **values) for name, values in sections.items()}
    return dataclasses.replace(plan, config=dataclasses.replace(plan.config, **parts))


def resumed(plan: RunPlan, **changes) -> RunPlan:
    return dataclasses.replace(plan, resume=True, **changes)


def final(out: Path):
    """The full state of a run: tensors and state of its last checkpoint, and its best and last weights."""
    found = latest_checkpoint(out / "checkpoints")
    assert found is not None
    tensors, state, damaged = found
    assert damaged == []
    weights = {f"{name}.{k}": v for name in ("best", "last") for k, v in weights_of(out, name).tensors.items()}
    return tensors | weights, state, [weights_of(out, name).card.scores for name in ("best", "last")]


def weights_of(out: Path, name: str):
    return load_weights(out / f"{name}.safetensors")


def assert_same_bits(one, other):
    assert set(one[0]) == set(other[0])
    assert [k for k, v in one[0].items() if not torch.equal(v, other[0][k])] == []
    assert one[1:] == other[1:]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory, data):
    """The end of an undisturbed run, and the events of its listener."""
    listener = Recorder()
    out = tmp_path_factory.mktemp("unbroken") / "run"
    result = train(RunPlan(out=out, config=CONFIG, datasets=(data,), device="cpu"), listener)
    assert result.finished
    return final(out), listener, result, out


def log(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


# --- one run ----------------------------------------------------------------------------------------------------


def test_an_unbroken_run_does_what_it_says(unbroken):
    (tensors, state, _), listener, result, out = unbroken
    assert listener.begun == [0]
    assert listener.steps == list(range(1, STEPS + 1))
    assert [step for step, _, _ in listener.validations] == [3, 6, 7]
    assert (result.step, result.finished, result.stopped) == (STEPS, True, "")
    assert result.weights == out / "best.safetensors"
    assert result.best_psnr == state["best"] == max(psnr for _, psnr, _ in listener.validations)
    assert state["step"] == STEPS
    assert {key.split(".")[0] for key in tensors} == {"model", "average", "optimizer", "best", "last"}
    assert sorted(p.name for p in (out / "checkpoints").iterdir()) == ["step-000000006", "step-000000007"]
    assert len(list((out / "pictures").iterdir())) == 3


def test_the_log_has_every_step_and_validation(unbroken):
    _, listener, _, out = unbroken
    records = log(out)
    steps = [record for record in records if record["kind"] == "train"]
    assert [record["step"] for record in steps] == list(range(1, STEPS + 1))
    assert [record["loss"] for record in steps] == [listener.losses[n] for n in range(1, STEPS + 1)]
    needed = {"loss", "loss_detail", "loss_rain", "grad_norm", "lr", "patches_per_second", "waiting_share", "skipped"}
    assert all(needed <= set(record) for record in steps)
    checks = [record for record in records if record["kind"] == "validation"]
    assert [(r["step"], r["mean_psnr_rgb"]) for r in checks] == [(s, p) for s, p, _ in listener.validations]


def test_the_best_weights_score_what_their_card_says(unbroken, data):
    _, listener, result, out = unbroken
    weights = weights_of(out, "best")
    assert weights.config == TINY
    card = weights.card
    best_step = next(step for step, psnr, _ in listener.validations if psnr == result.best_psnr)
    assert (card.steps, card.patches) == (best_step, best_step * 2)
    assert card.recipe == to_mapping(CONFIG) | {"start": None}
    assert data.name in str(card.trained_on)
    (name,) = card.scores
    assert set(card.scores[name]) == {"rgb", "y", "pictures"}
    held = hold_back(find_pairs(data).groups)[1]
    assert card.scores[name]["pictures"] == len(held[0].pairs)
    found = evaluate(Restorer.from_pretrained(out / "best.safetensors", device="cpu"), held)
    assert found.mean_psnr() == pytest.approx(result.best_psnr, abs=1e-9)
    for protocol in ("rgb", "y"):
        assert card.scores[name][protocol]["output"] == pytest.approx(found.after[name][protocol], abs=1e-4)
        assert card.scores[name][protocol]["input"] == pytest.approx(found.before[name][protocol], abs=1e-4)


def test_tensorboard_is_told_the_same_and_it_is_on_disk_when_the_run_ends(plan, monkeypatch):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    kept = []

    def keep(*args):
        kept.append(real(*args))
        return kept[-1]

    real = loop.open_log
    monkeypatch.setattr(loop, "open_log", keep)
    listener = Recorder()
    train(plan, listener)
    assert kept[0].board.file_writer is None, "what an open writer has not flushed is lost when the process ends"
    events = accumulator.EventAccumulator(str(plan.out / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("train/loss")] == list(range(1, STEPS + 1))
    found = {e.step: e.value for e in events.Scalars("validation/mean_psnr_rgb")}
    assert found == pytest.approx({step: psnr for step, psnr, _ in listener.validations}, rel=1e-5)
    assert events.Tags()["images"] == ["validation"]


def test_the_caller_s_signal_handlers_are_given_back(plan):
    before = signal.getsignal(signal.SIGTERM)
    train(change(plan, optim={"steps": 2}))
    assert signal.getsignal(signal.SIGTERM) is before


# --- resuming ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3, 4, 6])
@pytest.mark.fault(62)
def test_stopped_at_any_step_it_goes_on_to_the_same_bits(plan, unbroken, step):
    """Before the first validation, at one, at a checkpoint, between two."""
    listener = Recorder(interrupt_at=step)
    result = train(plan, listener)
    assert (result.step, result.finished, result.stopped) == (step, False, "SIGTERM")
    assert listener.steps == list(range(1, step + 1))
    again = Recorder()
    result = train(resumed(plan), again)
    assert result.finished
    assert again.begun == [step]
    assert again.notes == []
    assert_same_bits(final(plan.out), unbroken[0])
    assert listener.losses | again.losses == unbroken[1].losses
    assert [r["step"] for r in log(plan.out)] == [r["step"] for r in log(unbroken[3])]


@pytest.mark.parametrize("fault", [{"die_at": 1}, {"die_at": 5}, {"die_validating": 6}, {"die_validating": 3}])
@pytest.mark.fault(61, 62)
def test_killed_at_any_moment_it_goes_on_to_the_same_bits(plan, unbroken, fault):
    """Steps since the last checkpoint are repeated, and appear in the log once."""
    with pytest.raises(Stop):
        train(plan, Recorder(**fault))
    with (plan.out / "log.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 7, "los')  # killed while writing
    again = Recorder()
    assert train(resumed(plan), again).finished
    died = next(iter(fault.values()))
    assert again.begun == [(died - 1) // 2 * 2]
    assert_same_bits(final(plan.out), unbroken[0])
    kept = [{k: r.get(k) for k in ("kind", "step", "loss", "mean_psnr_rgb")} for r in log(plan.out)]
    assert kept == [{k: r.get(k) for k in ("kind", "step", "loss", "mean_psnr_rgb")} for r in log(unbroken[3])]


def test_one_step_at_a_time_to_the_same_bits(plan, unbroken):
    """`minutes` runs out after every single step."""
    result = train(dataclasses.replace(plan, minutes=0))
    for step in range(1, STEPS):
        assert (result.step, result.finished, result.stopped) == (step, False, "time")
        result = train(resumed(plan, minutes=0))
    assert result.finished
    assert_same_bits(final(plan.out), unbroken[0])


def test_a_second_run_elsewhere_has_the_same_bits_and_another_seed_has_not(plan, unbroken, tmp_path):
    train(plan)
    assert_same_bits(final(plan.out), unbroken[0])
    other = dataclasses.replace(change(plan, loop={"seed": 4}), out=tmp_path / "other")
    train(other)
    key = "model.rrn.head.weight"
    assert not torch.equal(final(other.out)[0][key], unbroken[0][0][key])


def test_a_finished_run_has_nothing_left_to_do(plan, unbroken):
    train(plan)
    listener = Recorder()
    result = train(resumed(plan), listener)
    assert (result.step, result.finished, listener.steps) == (STEPS, True, [])
    assert_same_bits(final(plan.out), unbroken[0])


def test_a_damaged_newest_checkpoint_is_passed_over_and_told(plan, unbroken):
    train(plan, Recorder(interrupt_at=6))
    newest = plan.out / "checkpoints" / "step-000000006" / "state.safetensors"
    blob = bytearray(newest.read_bytes())
    blob[len(blob) // 2] ^= 4
    newest.write_bytes(blob)
    listener = Recorder()
    assert train(resumed(plan), listener).finished
    assert listener.begun == [4]
    assert any("damaged" in note and "step-000000006" in note for note in listener.notes)
    assert_same_bits(final(plan.out), unbroken[0])


def test_all_checkpoints_damaged_is_an_error(plan):
    train(plan, Recorder(interrupt_at=2))
    for file in (plan.out / "checkpoints").rglob("state.json"):
        file.write_text("{}")
    with pytest.raises(WeightsError):
        train(resumed(plan))


def test_without_any_checkpoint_it_starts_from_its_beginning(plan, unbroken):
    train(plan, Recorder(interrupt_at=1))
    shutil.rmtree(plan.out / "checkpoints")
    listener = Recorder()
    train(resumed(plan), listener)
    assert listener.begun == [0]
    assert any("no checkpoint yet" in note for note in listener.notes)
    assert_same_bits(final(plan.out), unbroken[0])


@pytest.mark.fault(40)
def test_a_full_disk_at_a_checkpoint_leaves_the_one_before(plan, unbroken, monkeypatch):
    real = run_state.atomic_bytes

    def full(path, *args, **kwargs):
        if "step-000000004" in str(path):
            raise ResourceError("no space left on the disk", path=path)
        real(path, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(run_state, "atomic_bytes", full)
        with pytest.raises(ResourceError) as caught:
            train(plan)
    assert caught.value.exit_code == 6
    found = latest_checkpoint(plan.out / "checkpoints")
    assert found is not None
    assert found[1]["step"] == 2
    assert train(resumed(plan)).finished
    assert_same_bits(final(plan.out), unbroken[0])


def test_a_full_disk_at_the_log_is_a_resource_error_too(plan, monkeypatch):
    real = Path.open

    def full(self, mode="r", *args, **kwargs):
        if self.name == "log.jsonl" and "a" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(ResourceError) as caught:
        train(plan)
    assert str(plan.out) in str(caught.value)


# --- refusals ---------------------------------------------------------------------------------------------------


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


@pytest.mark.parametrize("source", ["pairs", "photos"])
def test_a_folder_with_something_else_in_it_is_refused_and_left_alone(plan, source, data):
    plan.out.mkdir()
    (plan.out / "holiday.txt").write_text("mine")
    if source == "photos":
        plan = dataclasses.replace(plan, datasets=(), photos=(data / "norain",))
    with pytest.raises(DestinationError) as caught:
        train(plan)
    assert caught.value.exit_code == 7
    assert tree(plan.out) == {"holiday.txt": b"mine"}


def test_a_file_is_no_run_folder(plan):
    plan.out.write_text("mine")
    with pytest.raises(DestinationError):
        train(plan)
    assert plan.out.read_text() == "mine"


def test_a_run_that_is_there_is_refused_without_resume(plan):
    train(plan, Recorder(interrupt_at=1))
    before = tree(plan.out)
    with pytest.raises(DestinationError) as caught:
        train(plan)
    assert "--resume" in line_of(caught.value)
    assert tree(plan.out) == before


def test_no_run_to_resume(plan):
    with pytest.raises(NothingToDoError, match="no run to resume"):
        train(resumed(plan))
    assert not plan.out.exists()


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"optim": {"lr": 0.5}}, "config.optim.lr"),
        ({"data": {"batch": 3}}, "config.data.batch"),
        ({"loop": {"seed": 9}}, "config.loop.seed"),
        ({"model": {"width": 5}}, "config.model.width"),
    ],
)
@pytest.mark.fault(63)
def test_other_settings_are_refused_by_name(plan, sections, key):
    train(plan, Recorder(interrupt_at=2))
    before = tree(plan.out)
    with pytest.raises(UsageError) as caught:
        train(change(resumed(plan), **sections))
    assert key in str(caught.value)
    assert "--force" in line_of(caught.value)
    assert caught.value.exit_code == 2
    assert tree(plan.out) == before


@pytest.mark.fault(63)
def test_force_goes_on_with_other_settings_and_says_so(plan, unbroken):
    train(plan, Recorder(interrupt_at=2))
    other = change(resumed(plan, force=True), optim={"lr": 0.02})
    listener = Recorder()
    assert train(other, listener).finished
    assert listener.begun == [2]
    assert any("config.optim.lr" in note for note in listener.notes)
    assert log(plan.out)[2]["lr"] == pytest.approx(2 * log(unbroken[3])[2]["lr"])
    assert train(resumed(other, force=False)).finished  # the new settings are now the run's


def test_force_cannot_make_another_network_fit(plan):
    train(plan, Recorder(interrupt_at=2))
    before = tree(plan.out)
    with pytest.raises(TrainingError, match="does not fit"):
        train(change(resumed(plan, force=True), model={"width": 5}))
    assert tree(plan.out) == before


def test_a_refused_resume_makes_no_validation_pairs(plan, tmp_path, picture):
    for number in range(30):
        (tmp_path / "photos").mkdir(exist_ok=True)
        write_rgb(tmp_path / "photos" / f"{number:02d}.png", picture(34, 36, number))
        if number == 9:
            mine = dataclasses.replace(plan, datasets=(), photos=(tmp_path / "photos",))
            train(mine, Recorder(interrupt_at=1))
            before = tree(plan.out)
    with pytest.raises(UsageError, match="data"):
        train(resumed(mine))
    assert tree(plan.out) == before


@pytest.mark.fault(63)
@pytest.mark.parametrize("content", [b"", b"[]", b'{"config": 1}', b"[" * 99_999, b"\xff"])
def test_a_damaged_record_of_a_run_is_refused_in_a_line(plan, content):
    train(plan, Recorder(interrupt_at=1))
    (plan.out / "run.json").write_bytes(content)
    with pytest.raises(UsageError, match="not a usable record of a run"):
        train(resumed(plan))


@pytest.mark.fault(63)
def test_other_data_are_refused(plan, tmp_path, pairs):
    mine = dataclasses.replace(plan, datasets=(pairs(tmp_path / "mine", count=8, height=36, width=40),))
    train(mine, Recorder(interrupt_at=2))
    moved = shutil.move(tmp_path / "mine", tmp_path / "moved")
    assert train(resumed(mine, datasets=(Path(moved),), minutes=0)).step == 3  # the same files elsewhere are fine
    pairs(Path(moved), count=9, height=36, width=40)
    with pytest.raises(UsageError, match="data"):
        train(resumed(mine, datasets=(Path(moved),)))


@pytest.mark.fault(62)
def test_another_machine_is_noted_not_refused(plan):
    train(plan, Recorder(interrupt_at=2))
    record = json.loads((plan.out / "run.json").read_text())
    record["environment"]["torch"] = "1.0"
    (plan.out / "run.json").write_text(json.dumps(record))
    listener = Recorder()
    assert train(resumed(plan), listener).finished
    assert any("torch" in note and "will not be bit-identical" in note for note in listener.notes)


def test_nothing_to_train_or_to_validate_on(plan, tmp_path, data):
    with pytest.raises(UsageError, match="nothing to train on"):
        train(dataclasses.replace(plan, datasets=()))
    with pytest.raises(UsageError, match="nothing to validate on"):
        train(dataclasses.replace(plan, datasets=(), layers=(data,)))
    (tmp_path / "empty").mkdir()
    with pytest.raises(NothingToDoError, match="no photos found"):
        train(dataclasses.replace(plan, datasets=(), photos=(tmp_path / "empty",)))
    assert not plan.out.exists()


def test_a_device_that_is_not_there(plan):
    with pytest.raises(ResourceError):
        train(dataclasses.replace(plan, device=f"cuda:{torch.cuda.device_count() + 3}"))
    assert not plan.out.exists()


# --- starting weights -------------------------------------------------------------------------------------------


def test_a_run_starts_from_weights_and_is_bound_to_them(plan, tmp_path, network):
    model = network(TINY, seed=7)
    for name, seed in (("a", 7), ("b", 8)):
        save_weights(tmp_path / f"{name}.safetensors", network(TINY, seed=seed), Card(name=name, date="2026-01-02"))
    started = dataclasses.replace(plan, start=str(tmp_path / "a.safetensors"))
    train(change(started, optim={"steps": 1, "lr": 1e-9, "ema": 0.0}), Recorder())
    tensors = final(plan.out)[0]
    for key, value in model.named_parameters():
        assert torch.allclose(tensors[f"model.{key}"], value, atol=1e-6)
    sha256 = load_weights(tmp_path / "a.safetensors").sha256
    written = weights_of(plan.out, "last").card.recipe
    assert written["start"] == f"a of 2026-01-02 (SHA-256 {sha256[:16]})"
    assert str(tmp_path) not in str(written)  # weights are published and must not contain local folders
    with pytest.raises(UsageError, match="start"):
        train(
            change(resumed(started, start=str(tmp_path / "b.safetensors")), optim={"steps": 1, "lr": 1e-9, "ema": 0.0})
        )


@pytest.mark.parametrize("rate", [1e-9, 1.0])
def test_the_starting_weights_are_the_first_candidate_for_the_best(plan, tmp_path, network, rate):
    """The best weights of a run are never worse than its initial ones."""
    start = tmp_path / "start.safetensors"
    save_weights(start, network(TINY, seed=7), Card(name="start", steps=12))
    mine = change(dataclasses.replace(plan, start=str(start)), optim={"lr": rate, "ema": 0.0})
    listener = Recorder(interrupt_at=2)
    train(mine, listener)
    step, begun, best = listener.validations[0]
    assert (step, best) == (0, True)
    assert weights_of(plan.out, "best").path.read_bytes() == start.read_bytes(), "with its own card"
    again = Recorder()
    result = train(resumed(mine), again)
    scores = {step: psnr for step, psnr, _ in listener.validations + again.validations}
    assert result.best_psnr == max(scores.values()) >= begun
    assert scores[result.best_step] == result.best_psnr
    assert weights_of(plan.out, "best").card.steps == 12 + result.best_step
    assert 0 not in [step for step, _, _ in again.validations], "once, not at every resume"


def test_fresh_weights_are_no_candidate(unbroken):
    assert unbroken[2].best_step in (3, 6, 7)


def test_weights_of_another_network_are_refused_before_anything_is_made(plan, tmp_path, network):
    save_weights(tmp_path / "w.safetensors", network(ModelConfig(width=5, blocks=1)), Card())
    with pytest.raises(WeightsError, match=r"model\.width"):
        train(dataclasses.replace(plan, start=str(tmp_path / "w.safetensors")))
    with pytest.raises(WeightsError):
        train(dataclasses.replace(plan, start=str(tmp_path / "missing.safetensors")))
    assert not plan.out.exists()


def test_a_run_may_ask_for_more_blocks_than_its_start_has(plan, tmp_path, network):
    """It begins with the score of its initial weights; the card adds up the steps and keeps the original terms."""
    start = tmp_path / "w.safetensors"
    kept = {"trained_on": ("old pairs", "for research use"), "licence": "research", "limits": "no haze"}
    save_weights(start, network(TINY, seed=7), Card(steps=9, patches=100, **kept))
    same = change(dataclasses.replace(plan, start=str(start)), optim={"steps": 1, "lr": 1e-9})
    deeper = change(dataclasses.replace(same, out=tmp_path / "deeper"), model={"blocks": 2, "detail_blocks": 3})
    listeners = Recorder(), Recorder()
    train(same, listeners[0])
    train(deeper, listeners[1])
    assert listeners[0].validations[0] == listeners[1].validations[0]
    written = weights_of(deeper.out, "last")
    assert (written.config.blocks, written.config.detail_blocks) == (2, 3)
    card = written.card
    assert (card.steps, card.patches) == (10, 100 + CONFIG.data.batch)
    assert (card.trained_on[:2], card.licence, card.limits) == tuple(kept.values())
    assert len(card.trained_on) > 2, "and the data of this run"
    assert any("blocks, initialised as the identity" in note for note in listeners[1].notes)


# --- training and validation stay apart -------------------------------------------------------------------------


@given(st.lists(st.integers(1, 900), min_size=1, max_size=4))
def test_hold_back_splits_every_group(sizes):
    groups = [
        PairGroup(str(g), tuple(Pair(Path(f"{g}/r/{i}"), Path(f"{g}/c/{i}")) for i in range(size)))
        for g, size in enumerate(sizes)
    ]
    training, held = hold_back(groups)
    assert [group.name for group in training] == [group.name for group in groups]
    kept = {group.name: group.pairs for group in held}
    for group, rest in zip(groups, training, strict=True):
        validation = kept.get(group.name, ())
        assert not set(validation) & set(rest.pairs)
        assert sorted(validation + rest.pairs, key=str) == sorted(group.pairs, key=str)
        assert rest.pairs
        assert len(validation) == (min(40, max(1, round(0.05 * len(group.pairs)))) if len(group.pairs) > 1 else 0)


def test_held_back_pairs_are_in_no_source_of_training(plan, data):
    """The same folder for pairs, for layers, and (spelled differently) for layers again."""
    spelled = data / ".." / data.name
    sources, held = prepare(dataclasses.replace(plan, layers=(data, spelled)))
    hidden = {pair.clean.resolve() for group in held for pair in group.pairs}
    assert len(hidden) == 1
    used = [pair.clean.resolve() for group in (*sources.pairs, *sources.layers) for pair in group.pairs]
    assert len(used) == 3 * 7
    assert not hidden & set(used)


def test_given_validation_pairs_are_used_and_nothing_is_held_back(plan, data, tmp_path, pairs):
    mine = pairs(tmp_path / "mine", count=2)
    sources, held = prepare(dataclasses.replace(plan, validation=(mine,)))
    assert [group.name for group in held] == ["mine"]
    assert len(sources.pairs[0].pairs) == len(find_pairs(data).pairs)


def test_photos_alone_make_validation_pairs_of_their_own(plan, tmp_path, picture):
    for number in range(21):
        (tmp_path / "photos").mkdir(exist_ok=True)
        write_rgb(tmp_path / "photos" / f"{number:02d}.jpg", picture(40, 44, number))
    mine = dataclasses.replace(plan, datasets=(), photos=(tmp_path / "photos",))
    assert train(mine, Recorder(interrupt_at=3)).step == 3
    sources, held = prepare(mine)
    assert sorted(group.name for group in held) == ["heavy", "light", "real"]
    assert len(sources.photos) == 19  # two are held out for validation
    for group in held:
        assert len(group.pairs) == 2
        for pair in group.pairs:
            assert read_rgb(pair.rainy).shape == read_rgb(pair.clean).shape == (40, 44, 3)
    kept = read_rgb(next(g for g in held if g.name == "light").pairs[0].clean)
    assert (kept == read_rgb(tmp_path / "photos" / "00.jpg")).all()
    assert set(weights_of(plan.out, "best").card.scores) == {"heavy", "light", "real"}
    before = tree(plan.out / "validation")
    listener = Recorder()
    assert train(resumed(mine), listener).finished
    assert listener.notes == []
    assert tree(plan.out / "validation") == before


@pytest.mark.fault(64)
def test_unusable_files_are_told_and_too_many_end_it(plan, tmp_path, pairs):
    mine = pairs(tmp_path / "mine", count=25, height=36, width=40)
    (mine / "rain" / "007.png").write_bytes(b"")
    listener = Recorder()
    train(change(dataclasses.replace(plan, datasets=(mine,)), optim={"steps": 1}), listener)
    assert [note for note in listener.notes if "007.png" in note and "empty file" in note]
    (mine / "rain" / "008.png").write_bytes(b"")
    with pytest.raises(TrainingError, match="2 of 24"):
        train(dataclasses.replace(plan, datasets=(mine,), out=tmp_path / "other"))
    assert not (tmp_path / "other").exists()


# --- real photos and contrast -----------------------------------------------------------------------------------

# Contrast from the second step on, with rings that never fill up, and no bound, since a fresh network drifts freely.
# All layers go into the bank, however weak those of such a young network are.
CONTRAST = ContrastConfig(
    mode="both", warmup=1, ramp=1, bank=32, bank_floor=0, negatives=3, max_change=255, max_colour=255
)


@pytest.fixture(scope="module")
def real(tmp_path_factory, picture) -> Path:
    """Five real photos, one of them too small; read-only."""
    folder = tmp_path_factory.mktemp("real")
    for number in range(5):
        write_rgb(folder / f"{number}.png", picture(20 if number == 3 else 50, 60, 70 + number))
    return folder


@pytest.fixture
def semi(plan, real, vgg_file) -> RunPlan:
    return dataclasses.replace(plan, config=dataclasses.replace(CONFIG, contrast=CONTRAST), real=(real,), vgg=vgg_file)


@pytest.fixture(scope="module")
def semi_unbroken(tmp_path_factory, data, real, vgg_file):
    """The end of such an undisturbed run, and the events of its listener."""
    out = tmp_path_factory.mktemp("semi") / "run"
    listener = Recorder()
    config = dataclasses.replace(CONFIG, contrast=CONTRAST)
    plan = RunPlan(out=out, config=config, datasets=(data,), real=(real,), vgg=vgg_file, device="cpu")
    assert train(plan, listener).finished
    return final(out), listener, out


def test_a_run_with_real_photos_shows_and_weighs_them(semi_unbroken):
    (tensors, state, _), listener, out = semi_unbroken
    assert [n for n in listener.notes if "3.png" in n and "60x20 is smaller than the 32x32 patch" in n]
    assert [step for step, _ in listener.changes] == [0, 3, 6, 7], "before the first step too"
    assert listener.validations[0][2] is False, "what it starts from is no result"
    assert int(tensors["objective.bank.real.pushed"]) == int(tensors["objective.bank.synthetic.pushed"]) == 2 * STEPS
    assert state["best"] == max(psnr for step, psnr, _ in listener.validations if step)
    steps = [record for record in log(out) if record["kind"] == "train"]
    assert [record["contrast_share"] for record in steps] == [0, 0.5, 1, 1, 1, 1, 1]
    needed = {"loss_dual_sup", "loss_dual_unsup", "ratio_sup", "ratio_unsup", "capped_sup", "capped_unsup"}
    assert all(needed <= set(record) for record in steps[1:])
    assert all(record["bad_real"] == 0 for record in steps)
    checks = [record for record in log(out) if record["kind"] == "validation"]
    assert [record["real/mean_change"] for record in checks] == [change.mean_change for _, change in listener.changes]
    pictures = sorted(p.name for p in (out / "pictures").glob("real-*"))
    assert pictures == [f"real-step-{n:09d}.png" for n in (0, 3, 6, 7)]
    assert read_rgb(out / "pictures" / pictures[0]).shape == (4 * 240, 2 * 240, 3)
    card = weights_of(out, "last").card
    harm = card.change.pop("clean_streak_energy_removed")
    assert -100 < harm < 1
    assert card.change == listener.changes[-1][1].as_dict()
    assert any(line.startswith("real photos without ground truth: ") for line in card.trained_on)
    assert card.recipe["contrast"]["mode"] == "both"


@pytest.mark.parametrize("step", [1, 5])
@pytest.mark.fault(62)
def test_stopped_with_the_bank_part_filled_it_goes_on_to_the_same_bits(semi, semi_unbroken, step):
    listener = Recorder(interrupt_at=step)
    assert train(semi, listener).step == step
    again = Recorder()
    assert train(resumed(semi), again).finished
    assert_same_bits(final(semi.out), semi_unbroken[0])
    assert listener.losses | again.losses == semi_unbroken[1].losses
    assert [r["step"] for r in log(semi.out)] == [r["step"] for r in log(semi_unbroken[2])]


def test_drift_ends_the_run_and_the_best_weights_stay(semi, monkeypatch):
    fired = []

    def past(found, options):
        fired.append(found)
        return TrainingError("changes real photos too much") if len(fired) == 3 else None

    monkeypatch.setattr(validation, "drift_error", past)
    listener = Recorder()
    with pytest.raises(TrainingError, match="changes real photos too much"):
        train(semi, listener)
    assert [best for _, _, best in listener.validations] == [False, True, False]
    assert weights_of(semi.out, "best").card.steps == 3
    assert weights_of(semi.out, "last").card.steps == 6


def test_without_photos_contrast_is_the_supervised_phase_alone(semi, vgg_file):
    listener = Recorder()
    train(change(dataclasses.replace(semi, real=()), optim={"steps": 2}), listener)
    assert listener.changes == []
    second = [record for record in log(semi.out) if record["kind"] == "train"][1]
    assert "loss_dual_sup" in second and "loss_dual_unsup" not in second


def test_photos_without_contrast_need_no_features(semi, monkeypatch):
    monkeypatch.setattr(start, "load_features", None)
    listener = Recorder()
    train(change(semi, optim={"steps": 1}, contrast={"mode": "none"}), listener)
    assert [step for step, _ in listener.changes] == [0, 1]


def test_contrast_and_features_bind_a_run(semi, tmp_path, vgg_weights):
    train(semi, Recorder(interrupt_at=2))
    before = tree(semi.out)
    with pytest.raises(UsageError, match=r"config\.contrast\.mode, features"):
        train(change(resumed(semi), contrast={"mode": "none"}))
    other = {k: (v + 1e-2).half() for k, v in vgg_weights.items()}
    safetensors.torch.save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(UsageError, match="features"):
        train(resumed(semi, vgg=tmp_path / "other.safetensors"))
    with pytest.raises(UsageError, match="data"):
        train(resumed(semi, real=(semi.real[0] / "0.png",)))
    with pytest.raises(TrainingError, match="memory bank"):
        train(change(resumed(semi, force=True), contrast={"mode": "standard"}))
    assert tree(semi.out) == before
    listener = Recorder()
    assert train(resumed(semi), listener).finished, "what was refused has not spoilt the run"
    assert [note for note in listener.notes if "3.png" not in note] == [
        "only 4 real photos: none are held out, the best weights are chosen on all"
    ]


def test_a_run_from_before_there_was_contrast_goes_on(plan, unbroken):
    train(plan, Recorder(interrupt_at=2))
    record = json.loads((plan.out / "run.json").read_text())
    del record["config"]["contrast"], record["features"]
    (plan.out / "run.json").write_text(json.dumps(record))
    listener = Recorder()
    assert train(resumed(plan), listener).finished
    assert listener.notes == []
    assert_same_bits(final(plan.out), unbroken[0])


@pytest.mark.parametrize("fault", ["vgg", "empty", "small"])
def test_what_is_missing_is_told_before_anything_is_made(semi, tmp_path, picture, fault):
    (tmp_path / "real").mkdir()
    if fault == "small":
        write_rgb(tmp_path / "real" / "tiny.png", picture(20, 20))
    bad = {"vgg": tmp_path / "gone.safetensors"} if fault == "vgg" else {"real": (tmp_path / "real",)}
    with pytest.raises(WeightsError if fault == "vgg" else NothingToDoError) as caught:
        train(dataclasses.replace(semi, **bad))
    assert {"vgg": "gone.safetensors", "empty": "no photos found", "small": "tiny.png"}[fault] in str(caught.value)
    assert not semi.out.exists()


# --- third-party networks ---------------------------------------------------------------------------------------


def attached(seed=0):
    """A third-party network with a detail repair network attached."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return attach_drn(nn.Conv2d(3, 3, 3, padding=1), TINY, gives="rain")


def test_a_ready_made_network_is_trained_kept_and_resumed_to_the_same_bits(plan, tmp_path, data):
    whole = dataclasses.replace(plan, out=tmp_path / "whole")
    result = train(whole, model=attached())
    assert result.finished and result.weights == whole.out / "best.safetensors"
    train(plan, Recorder(interrupt_at=4), attached())
    listener = Recorder()
    assert train(resumed(plan), listener, attached(seed=1)).finished
    assert listener.begun == [4], "all of it is in the checkpoint"
    for name in ("best", "last"):
        kept = (out / f"{name}.safetensors" for out in (whole.out, plan.out))
        one, other = (safetensors.torch.load_file(path) for path in kept)
        assert [k for k in one if not torch.equal(one[k], other[k])] == []
    model = attached(seed=2)
    model.load_state_dict(safetensors.torch.load_file(plan.out / "last.safetensors"))
    held = hold_back(find_pairs(data).groups)[1]
    found = evaluate(as_peer(DerainedOnly(model), torch.device("cpu")), held)
    assert found.mean_psnr() == pytest.approx(log(plan.out)[-1]["mean_psnr_rgb"], abs=1e-6)


def test_a_ready_made_network_does_not_take_weights_or_another_s_checkpoint(plan, tmp_path, network):
    save_weights(tmp_path / "w.safetensors", network(TINY), Card())
    with pytest.raises(UsageError, match="existing network"):
        train(dataclasses.replace(plan, start=str(tmp_path / "w.safetensors")), model=attached())
    assert not plan.out.exists()
    train(plan, Recorder(interrupt_at=2))
    before = tree(plan.out)
    with pytest.raises(TrainingError, match="does not fit"):
        train(resumed(plan), model=attached())
    assert tree(plan.out) == before


# --- how a run ends -----------------------------------------------------------------------------------------------


def learnt(out: Path, start=None) -> bool:
    """Whether `last` has other weights than a fresh network of the run, or than `start`."""
    fresh = start or build(TINY).state_dict()
    return any(not torch.equal(value, fresh[name]) for name, value in weights_of(out, "last").tensors.items())


@pytest.mark.parametrize("why", ["signal", "time", "loss"])
def test_a_run_that_stops_before_its_first_validation_leaves_its_weights(plan, why, monkeypatch):
    early = change(plan, loop={"validate_every": 100, "max_bad_steps": 1}, optim={"steps": 50, "clip": 0.0})
    if why == "loss":
        steps = iter(range(100))

        def broken(self, batch):
            losses = real(self, batch)
            return losses._replace(total=losses.total * (math.nan if next(steps) == 4 else 1.0))

        real = Trainer._losses
        monkeypatch.setattr(Trainer, "_losses", broken)
        with pytest.raises(TrainingError, match="not finite"):
            train(early)
    else:
        result = train(dataclasses.replace(early, minutes=0.0 if why == "time" else None), Recorder(interrupt_at=4))
        assert result.stopped == ("time" if why == "time" else "SIGTERM")
        assert result.scored_step == 0
    card = weights_of(plan.out, "last").card
    assert card.scores == {}
    assert card.steps == {"time": 1, "signal": 4, "loss": 5}[why]
    assert learnt(plan.out)


def test_what_is_left_when_a_run_stops_does_not_replace_what_was_scored_at_that_step(plan):
    train(change(plan, loop={"validate_every": 4}), Recorder(interrupt_at=4))
    assert weights_of(plan.out, "last").card.scores
    train(resumed(change(plan, loop={"validate_every": 4})), Recorder(interrupt_at=6))
    assert weights_of(plan.out, "last").card.scores == {}
    assert weights_of(plan.out, "last").card.steps == 6


def test_tensorboard_keeps_the_step_that_a_run_goes_on_from(plan):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(plan, Recorder(interrupt_at=4))
    train(resumed(plan))
    events = accumulator.EventAccumulator(str(plan.out / "tensorboard"))
    events.Reload()
    assert [e.step for e in events.Scalars("train/loss")] == list(range(1, STEPS + 1))


def test_the_psnr_of_the_training_patches_is_a_mean_over_recent_steps(plan):
    train(plan)
    rows = [row for row in map(json.loads, (plan.out / "log.jsonl").read_text().splitlines()) if row["kind"] == "train"]
    each = [row["psnr"] for row in rows]
    assert 5 < min(each) < max(each) < 60
    for index, row in enumerate(rows):
        assert row["psnr_recent"] == pytest.approx(sum(each[: index + 1]) / (index + 1))


KILLED = """
import sys
from pathlib import Path
from derain_cli.config import DataConfig, LoopConfig, ModelConfig, OptimConfig, TrainConfig
from derain_cli.training.run import RunPlan, SilentListener, train

class Telling(SilentListener):
    def stepped(self, report, rate, waiting):
        print(report.step, flush=True)

if __name__ == "__main__":
    config = TrainConfig(
        model=ModelConfig(width=4, blocks=1),
        data=DataConfig(patch=32, batch=2, workers=2),
        optim=OptimConfig(steps=100000, precision="fp32"),
        loop=LoopConfig(threads=1, compile=False, validate_every=100000),
    )
    train(RunPlan(out=Path(sys.argv[1]), config=config, datasets=(Path(sys.argv[2]),), device="cpu"), Telling())
"""


def processes_with(text: str) -> list[int]:
    """Processes with a text in their environment."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if text.encode() in place.read_bytes():
                found.append(int(place.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="looks for processes in /proc")
def test_a_killed_run_leaves_no_process_behind(tmp_path, data):
    script, mark = tmp_path / "killed.py", f"DERAIN_TEST_MARK={tmp_path}"
    script.write_text(KILLED)
    environment = os.environ | {"DERAIN_TEST_MARK": str(tmp_path)}
    command = [sys.executable, str(script), str(tmp_path / "run"), str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stdout is not None
        assert running.stdout.readline().strip() == "1"
        assert len(processes_with(mark)) >= 4  # trainer, fork server, two workers
        running.kill()
    deadline = time.monotonic() + 20
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not processes_with(mark)


# --- the best weights of a run with real photos -------------------------------------------------------------------


class Choosing(Recorder):
    """Records which averages were tried."""

    def __init__(self):
        super().__init__()
        self.averages = []

    def averaged(self, share, gain, best):
        self.averages.append((share, gain, best))


def gains_by(monkeypatch, values):
    """Assigns these values to real photos, in order: initial weights, validations, averages."""
    found = iter(values)

    def measured(self, restore, psnr):
        result = real(self, restore, psnr)
        assert result is not None
        return replace_gain(result[0], next(found)), result[1]

    def replace_gain(gain, value):
        return dataclasses.replace(gain, removed=value, harm=0.0)

    real = Selection.measure
    monkeypatch.setattr(Selection, "measure", measured)


@pytest.mark.parametrize(
    ("values", "share"),
    [((0.2, 0.3, 0.4, 0.1, 0.5, 0.1), 0.5), ((0.2, 0.3, 0.4, 0.1, 0.1, 0.1), 1.0), ((0.9, 0.1, 0.1, 0, 0, 0), None)],
    ids=["an average", "the newest", "the start"],
)
def test_the_best_by_real_photos_is_kept_and_averages_are_tried(semi, tmp_path, monkeypatch, values, share):
    start = tmp_path / "start.safetensors"
    save_weights(start, build(TINY), Card(name="the start"))
    gains_by(monkeypatch, values)
    listener = Choosing()
    plan = change(
        dataclasses.replace(semi, start=str(start), out=tmp_path / "own"),
        contrast={"psnr_budget": 100.0, "max_change": 255.0, "max_colour": 255.0},
        loop={"validate_every": 3},
        optim={"steps": 6},
    )
    result = train(plan, listener)
    best, last = weights_of(plan.out, "best"), weights_of(plan.out, "last")
    assert [row[0] for row in listener.averages] == [0.25, 0.5, 0.75]
    first = load_weights(start)
    if share is None:
        assert result.best_step == 0
        assert (plan.out / "best.safetensors").read_bytes() == start.read_bytes()
        return
    assert result.best_step == 6
    assert result.best_share == share
    for name, tensor in best.tensors.items():
        if tensor.is_floating_point():
            assert torch.allclose(tensor, torch.lerp(first.tensors[name], last.tensors[name], share), atol=1e-6), name
    if share < 1:
        assert [part["share"] for part in best.card.recipe["average"]] == [0.5, 0.5]
        assert best.card.scores
        assert best.card.change["streak_energy_removed"] is not None


def test_a_run_that_is_stopped_does_not_try_averages(semi, tmp_path, monkeypatch):
    start = tmp_path / "start.safetensors"
    save_weights(start, build(TINY), Card())
    listener = Choosing()
    listener.interrupt_at = 2
    plan = dataclasses.replace(semi, start=str(start), out=tmp_path / "own")
    train(change(plan, contrast={"max_change": 255.0, "max_colour": 255.0}), listener)
    assert listener.averages == []


def test_some_real_photos_are_kept_out_of_the_training_where_there_are_enough(plan, tmp_path, picture):
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(12):
        write_rgb(folder / f"{number:02d}.png", picture(40, 40, number))
    sources, _ = prepare(dataclasses.replace(plan, real=(folder,)))
    assert [photo.stem for photo in sources.real_held] == ["00", "10"]
    assert len(sources.real) == 10
    assert not set(sources.real) & set(sources.real_held)
