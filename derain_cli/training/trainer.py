"""The training loop, with all state needed for a bit-exact resume."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn

from derain_cli.config import AUTO_COMPILE_STEPS, OptimConfig, TrainConfig
from derain_cli.data.loaders import Batch
from derain_cli.errors import TrainingError
from derain_cli.model import Derainer, SemiDRDNet, build
from derain_cli.model.frozen import FrozenForm, has_frozen_form
from derain_cli.remedies import Remedy
from derain_cli.training.muon import Muon
from derain_cli.training.objectives import Losses, Objective, Supervised, autocast_wanted
from derain_cli.training.threads import ThreadedStep

__all__ = ["RECENT", "StepReport", "Trainer", "learning_rate"]


def learning_rate(step: int, options: OptimConfig) -> float:
    """The learning rate of optimiser step `step` (from 0): a pure function, so a resumed run cannot diverge."""
    if step < options.warmup:
        return options.lr * (step + 1) / options.warmup
    if options.schedule == "constant":
        return options.lr
    if options.schedule == "step":
        return options.lr * options.gamma ** sum(step >= m * options.steps for m in options.milestones)
    if options.schedule == "trapezoid":
        left = (options.steps - step) / (options.cooldown * options.steps)
        return options.lr * (options.lr_floor + (1 - options.lr_floor) * min(1.0, max(0.0, left)))
    share = (step - options.warmup) / max(1, options.steps - options.warmup)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    return options.lr * (options.lr_floor + (1 - options.lr_floor) * cosine)


def _optimizers(model: nn.Module, options: OptimConfig, device: torch.device) -> dict[str, torch.optim.Optimizer]:
    """Optimisers by the prefix of their state in a checkpoint. With Muon, Adam still trains the first and last layer of
    each sub-network, the gates, and all parameters that are not matrices."""
    adam: list[nn.Parameter] = []
    muon: list[nn.Parameter] = []
    for name, parameter in model.named_parameters():
        inner = parameter.ndim == 4 and ".head." not in name and ".tail." not in name
        (muon if options.optimizer == "muon" and inner else adam).append(parameter)
    made: dict[str, torch.optim.Optimizer] = {
        "optimizer": torch.optim.AdamW(
            adam,
            lr=options.lr,
            betas=(options.beta1, options.beta2),
            weight_decay=options.weight_decay,
            fused=device.type in {"cpu", "cuda"},
        )
    }
    if muon:
        made["muon"] = Muon(muon, options.lr * options.muon_scale)
    return made


def _compiles(config: TrainConfig, device: torch.device, note: Callable[[str], None]) -> bool:
    """Whether the run uses torch.compile: if configured, and if it works on this machine."""
    wanted = config.loop.compile
    short = config.optim.steps * min(1.0, config.optim.freeze_norm) < AUTO_COMPILE_STEPS
    if wanted is False or (wanted == "auto" and (short or device.type == "mps")):
        return False
    try:
        torch.compile(lambda x: x + 1, dynamic=False)(torch.zeros(64, device=device))
    except Exception as error:  # no compiler, no headers, no Triton: each fails differently
        reason = str(error).strip().partition("\n")[0]
        note(f"torch.compile does not work here ({reason}): training will be somewhat slower")
        return False
    return True


RECENT = 200
"""Steps over which the PSNR of training patches is averaged, since single batches are noisy."""


@dataclass(frozen=True)
class StepReport:
    """One optimiser step: number (from 1), losses, gradient norm, learning rate; `skipped` if it was not finite;
    `figures` of the objective besides losses; `psnr`, the mean PSNR of the training patches over the last `RECENT`
    steps in dB, None if the objective has none."""

    step: int
    loss: float
    parts: Mapping[str, float]
    grad_norm: float
    lr: float
    skipped: bool
    figures: Mapping[str, float] = field(default_factory=dict)
    psnr: float | None = None


class Trainer:
    """Network, weight average, optimisers and step count of a run.

    Args:
        config: of the run.
        device: to train on.
        objective: to minimise; defaults to the supervised one of `config.optim`.
        start: weights to start from, by name; defaults to fresh ones seeded by `config.loop.seed`.
        model: an existing network whose forward returns `Layers` (see `attach_drn`), trained in place, instead of the
            one of `config.model`.
        note: called with one line if a setting cannot be followed.

    Attributes:
        model: the network being trained.
        average: its exponential moving average (the network itself if `ema` is 0).
        step: optimiser steps done.
        bad_steps: consecutive steps with non-finite loss or gradient.
        skipped: total number of such steps.
    """

    def __init__(
        self,
        config: TrainConfig,
        device: torch.device,
        objective: Objective | None = None,
        start: Mapping[str, Tensor] | None = None,
        model: nn.Module | None = None,
        note: Callable[[str], None] = lambda text: None,
    ):
        self.config, self.device = config, device
        # Forked, so that building a network does not affect the caller's random state.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.loop.seed)
            self.model: nn.Module = build(config.model) if model is None else model
        if start is not None:
            self.model.load_state_dict(dict(start))
        self.model.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.average = copy.deepcopy(self.model).requires_grad_(False) if config.optim.ema else self.model
        self.objective: Objective = objective or Supervised(config.optim, autocast_wanted(config.optim, device))
        self.optimizers = _optimizers(self.model, config.optim, device)
        self._compile = _compiles(config, device, note)
        self._forward = self._form(frozen=False)
        self._buffers = list(self.model.buffers())
        self._frozen = False
        self._threaded: ThreadedStep | None = None
        self.step = self.bad_steps = self.skipped = 0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def steps(self, batches: Iterable[Batch]) -> Iterator[StepReport]:
        """Train on uint8 batches, one step each.

        Raises:
            TrainingError: `max_bad_steps` consecutive steps were not finite.
        """
        for batch in batches:
            yield self._one(Batch(*(part.to(self.device, non_blocking=True).float() / 255 for part in batch)))

    def _one(self, batch: Batch) -> StepReport:
        options = self.config.optim
        rate = learning_rate(self.step, options)
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                group["lr"] = rate * options.muon_scale if name == "muon" else rate
        self._freeze_norms()
        # A non-finite step must leave no trace, but batch statistics are updated in the forward pass.
        kept = [] if self._frozen else [b.clone() for b in self._buffers]
        self.model.zero_grad(set_to_none=True)
        losses = self._losses(batch)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), options.clip or math.inf)
        good = bool(torch.isfinite(losses.total) & torch.isfinite(norm))
        if good:
            for optimizer in self.optimizers.values():
                optimizer.step()
            self._update_average()
            self.bad_steps = 0
        else:
            for buffer, value in zip(self._buffers, kept, strict=False):
                buffer.copy_(value)
            self.bad_steps += 1
            self.skipped += 1
        self.objective.after_step(good)
        self.step += 1
        if self.bad_steps >= self.config.loop.max_bad_steps:
            raise TrainingError(
                f"the loss was not finite for {self.bad_steps} consecutive steps (step {self.step})",
                remedy=Remedy.LOWER_RATE,
            )
        parts, figures = (
            {name: float(value) for name, value in values.items()} for values in (losses.parts, losses.figures)
        )
        if good and "psnr" in figures:
            self._recent.append(figures["psnr"])
        psnr = sum(self._recent) / len(self._recent) if self._recent else None
        return StepReport(self.step, float(losses.total.detach()), parts, float(norm), rate, not good, figures, psnr)

    def _losses(self, batch: Batch) -> Losses:
        """Forward and backward pass: losses, and gradients in the parameters."""
        if self._threaded is not None and self.objective.separable and not len(batch.real):
            return self._threaded(self.objective, batch, self.step)
        losses = self.objective(self._forward, batch, self.step)
        losses.total.backward()  # type: ignore[no-untyped-call]
        return losses

    def _freeze_norms(self) -> None:
        """In the last part of the run, batch normalisation uses its running statistics, as at inference."""
        frozen = self.step >= self.config.optim.freeze_norm * self.config.optim.steps
        if frozen != self._frozen:
            for module in self.model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.train(not frozen)
            self._frozen = frozen
            self._forward = self._form(frozen)
            if self._threaded is not None:
                self._threaded.close()
            self._threaded = None
            if isinstance(self._forward, FrozenForm) and self.device.type == "cpu":
                self._threaded = ThreadedStep(self._forward, torch.get_num_threads())

    def _form(self, frozen: bool) -> Derainer:
        """The network in the form used for training."""
        if frozen and has_frozen_form(self.model):
            dtype = torch.bfloat16 if autocast_wanted(self.config.optim, self.device) else torch.float32
            return FrozenForm(cast(SemiDRDNet, self.model), dtype)
        return cast(nn.Module, torch.compile(self.model)) if self._compile else self.model

    @torch.no_grad()
    def _update_average(self) -> None:
        if self.average is self.model:
            return
        # With few steps so far, the average follows quickly.
        decay = min(self.config.optim.ema, (1 + self.step) / (10 + self.step))
        ours = [*self.average.parameters(), *(b for b in self.average.buffers() if b.is_floating_point())]
        theirs = [*self.model.parameters(), *(b for b in self._buffers if b.is_floating_point())]
        torch._foreach_lerp_([t.data for t in ours], [t.data for t in theirs], 1 - decay)

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON state of a checkpoint."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        if self.average is not self.model:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= {f"objective.{k}": v for k, v in self.objective.state_dict().items()}
        for prefix, optimizer in self.optimizers.items():
            for index, entry in optimizer.state_dict()["state"].items():
                tensors |= {f"{prefix}.{index}.{k}": v for k, v in entry.items()}
        counts = {"step": self.step, "bad_steps": self.bad_steps, "skipped": self.skipped}
        return tensors, counts | {"recent_psnr": list(self._recent)}

    def load_state(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """The inverse of `state`.

        Raises:
            TrainingError: the checkpoint is from a different network or optimiser.
        """

        def part(prefix: str) -> dict[str, Tensor]:
            return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}

        try:
            self.model.load_state_dict(part("model."))
            if self.average is not self.model:
                self.average.load_state_dict(part("average."))
            self.objective.load_state_dict(part("objective."))
            for prefix, optimizer in self.optimizers.items():
                parameters = [p for group in optimizer.param_groups for p in group["params"]]
                moments: dict[int, dict[str, Tensor]] = {}
                for name, value in part(f"{prefix}.").items():
                    index, _, key = name.partition(".")
                    # Fused Adam assumes that moments have the memory layout of their parameter.
                    like = parameters[int(index)]
                    if value.ndim:
                        if value.shape != like.shape:
                            raise ValueError(f"the optimiser state is from a different network or optimiser ({name})")
                        value = torch.empty_like(like, dtype=value.dtype, requires_grad=False).copy_(value)
                    moments.setdefault(int(index), {})[key] = value
                groups = optimizer.state_dict()["param_groups"]
                optimizer.load_state_dict({"state": moments, "param_groups": groups})
        except (RuntimeError, ValueError, LookupError) as error:
            raise TrainingError(f"the checkpoint does not fit this run: {str(error).splitlines()[0]}") from error
        self.step, self.bad_steps, self.skipped = state["step"], state["bad_steps"], state["skipped"]
        self._recent = deque(state.get("recent_psnr", ()), maxlen=RECENT)
