"""A training run from start to finish."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import torch
from torch import nn

from derain_cli.checkpoints.find import find_weights
from derain_cli.checkpoints.weight_file import load_weights
from derain_cli.config import to_mapping
from derain_cli.data.clips import ClipPatches
from derain_cli.data.datasets import MAX_BAD_SHARE, Sources, TrainingPatches
from derain_cli.data.loaders import BatchStream
from derain_cli.engine.device import pick_device
from derain_cli.errors import DerainError, TrainingError, UsageError, resource_error_from
from derain_cli.system.memory import keep_freed_memory
from derain_cli.system.provenance import program_version
from derain_cli.system.signals import stop_requests
from derain_cli.training.output import refuse_output
from derain_cli.training.run.data import prepare
from derain_cli.training.run.folder import agrees, claim, environment, fingerprint
from derain_cli.training.run.log import RunLog, open_log
from derain_cli.training.run.plan import Listener, RunPlan, RunResult, SilentListener
from derain_cli.training.run.start import make_objective, starting_tensors
from derain_cli.training.run.validation import Run
from derain_cli.training.trainer import StepReport, Trainer

__all__ = ["train"]


def train(plan: RunPlan, listener: Listener | None = None, model: nn.Module | None = None) -> RunResult:
    """Start or resume a training run.

    Args:
        plan: the run.
        listener: receives progress events.
        model: an existing network whose forward returns `Layers` (see `attach_drn`), trained in place; `config.model`
            is then ignored, and weight files are plain tensors by name (`save_state`).

    Raises:
        UsageError: invalid settings, or a resumed run with other settings.
        DestinationError: the folder contains something else.
        NothingToDoError: no data.
        WeightsError: the starting weights, the feature network's weights or all checkpoints are unusable.
        TrainingError: too much unusable data, a loss that stays non-finite, or real photos that change too much.
        ResourceError: the disk is full, or the device is not available.
    """
    listener = listener or SilentListener()
    refuse_output(plan.out, resume=plan.resume)
    device = pick_device(plan.device)
    config = plan.config
    if config.loop.threads:
        torch.set_num_threads(config.loop.threads)
    start, tensors = None, None
    if plan.start is not None:
        if model is not None:
            raise UsageError("an existing network cannot be started from other weights")
        start = load_weights(find_weights(plan.start))
        tensors = starting_tensors(start, config, listener)
    objective, features = make_objective(plan, device, listener)
    sources, held = prepare(plan, listener)
    for rejected in sources.rejected:
        listener.note(f"not used: {rejected}")
    record = {
        "config": to_mapping(config),
        "data": fingerprint(sources),
        "start": None if start is None else start.sha256,
        "features": features,
        "environment": environment(device, config),
        "version": program_version(),
    }
    agreed = agrees(plan, record, listener)
    keep_freed_memory()
    trainer = Trainer(config, device, objective, tensors, model, listener.note)
    run = Run(plan, trainer, (sources, held), RunLog(plan.out / "log.jsonl"), listener, start)
    if plan.resume:
        run.restore()
    # Only now, so that a resume refused by the checkpoint leaves everything unchanged.
    if not agreed:
        claim(plan, record)
    try:
        run.log = open_log(plan.out, listener, trainer.step)
        with stop_requests() as caught, contextlib.closing(run.log):
            return _loop(run, sources, caught)
    except OSError as error:
        full = resource_error_from(error, plan.out)
        if full is None:
            raise
        raise full from error


def _steps(run: Run, stream: BatchStream) -> Iterator[StepReport]:
    """The trainer's steps; if a step or the data raises an error, the weights so far are kept."""
    try:
        yield from run.trainer.steps(stream)
    except DerainError:
        run.keep_unscored()
        raise


def _loop(run: Run, sources: Sources, caught: list[signal.Signals]) -> RunResult:
    plan, trainer, listener, config = run.plan, run.trainer, run.listener, run.plan.config
    total, batch = config.optim.steps, config.data.batch
    patches: TrainingPatches | ClipPatches
    if config.model.frames > 1:
        patches = ClipPatches(sources.photos, config.model, config.data.patch, config.loop.seed, total * batch)
    else:
        patches = TrainingPatches(sources, config.data, config.loop.seed, total * batch)
    stream = BatchStream(patches, batch, trainer.step, config.data.workers, pin=trainer.device.type == "cuda")
    listener.started(trainer.step, total, batch)
    if (sources.real_held or run.start is not None) and not trainer.step:
        run.validate()  # the score to beat, and the real photos before training
    begin = time.monotonic()
    first, rate, waiting, paused, stopped = trainer.step, 0.0, 0.0, 0.0, ""
    for report in _steps(run, stream):
        elapsed = max(1e-9, time.monotonic() - begin - paused)
        rate, waiting = (report.step - first) * batch / elapsed, stream.waited / elapsed
        listener.stepped(report, rate, waiting)
        last = report.step == total
        if report.step % config.loop.log_every == 0 or report.skipped:
            losses = {f"loss_{k}": v for k, v in report.parts.items()}
            extra = {
                "patches_per_second": rate,
                "waiting_share": waiting,
                "skipped": trainer.skipped,
                "bad": stream.bad,
                **({"bad_real": stream.bad_real} if sources.real else {}),
                **report.figures,
                **({} if report.psnr is None else {"psnr_recent": report.psnr}),
            }
            values = {"loss": report.loss, **losses, "grad_norm": report.grad_norm, "lr": report.lr, **extra}
            run.log.write("train", report.step, values)
        pause = time.monotonic()
        if report.step % config.loop.validate_every == 0 or last:
            run.validate()
        if caught:
            stopped = caught[0].name
        elif plan.minutes is not None and time.monotonic() - begin >= plan.minutes * 60:
            stopped = "time"
        if report.step % config.loop.checkpoint_every == 0 or last or stopped:
            run.checkpoint()
        if stream.bad > MAX_BAD_SHARE * (report.step - first) * batch + 20:
            raise TrainingError(f"{stream.bad} training files could not be read", hint="see log.jsonl")
        paused += time.monotonic() - pause
        if stopped and not last:
            run.keep_unscored()
            break
    if trainer.step >= total:
        run.try_averages()
    best = plan.out / "best.safetensors"
    return RunResult(
        step=trainer.step,
        finished=trainer.step >= total,
        stopped="" if trainer.step >= total else stopped,
        best_psnr=run.best,
        best_step=run.best_step,
        scored_step=run.scored_step,
        best_share=run.best_share,
        seconds=time.monotonic() - begin,
        patches_per_second=rate,
        waiting_share=waiting,
        weights=best if best.exists() else None,
    )
