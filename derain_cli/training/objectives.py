"""Training objectives. The training loop is independent of the objective."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from derain_cli.config import OptimConfig
from derain_cli.data.loaders import Batch
from derain_cli.engine.device import pick_precision
from derain_cli.losses.pixel import PIXEL_LOSSES
from derain_cli.model import Derainer

__all__ = ["Losses", "Objective", "Outputs", "Supervised", "autocast_wanted", "run_network"]


class Losses(NamedTuple):
    """`total` is differentiated; `parts` are its named terms and `figures` other values to monitor, both detached, for
    the log."""

    total: Tensor
    parts: Mapping[str, Tensor]
    figures: Mapping[str, Tensor] = {}


class Objective(Protocol):
    """A loss with its own state, such as a memory bank, that is saved in checkpoints.

    Attributes:
        separable: whether the loss of a batch is the mean over its pictures, which can then be split across threads.
    """

    separable: bool

    def __call__(self, model: Derainer, batch: Batch, step: int) -> Losses:
        """Losses of a batch of patches in [0, 1]; `step` counts from 0."""
        ...

    def after_step(self, good: bool) -> None:
        """Called after the optimiser step, or (not `good`) after skipping a non-finite one."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors needed to resume a run."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        ...


def autocast_wanted(options: OptimConfig, device: torch.device) -> bool:
    """Whether networks run under bf16 autocast."""
    if options.precision == "auto":
        return pick_precision("auto", device) == torch.bfloat16
    return options.precision == "bf16"


class Outputs(NamedTuple):
    """The network's results for a batch, fp32, unclamped: derained pictures I and rain layers R = f(O).

    Attributes:
        derained, rain: of the labelled patches, (B, 3, P, P).
        real_derained, real_rain: of the real patches, (R, 3, P, P).
    """

    derained: Tensor
    rain: Tensor
    real_derained: Tensor
    real_rain: Tensor


def run_network(model: Derainer, batch: Batch, autocast: bool) -> Outputs:
    """All patches of a batch in one forward pass, so that batch statistics cover both labelled and real patches."""
    labelled = len(batch.pairs)
    rainy = torch.cat([batch.frames, batch.real]) if len(batch.real) else batch.frames
    rainy = rainy.contiguous(memory_format=torch.channels_last)
    with torch.autocast(rainy.device.type, torch.bfloat16, enabled=autocast):
        layers = model(rainy)
    derained, rain = layers.derained.float(), layers.rain.float()
    return Outputs(derained[:labelled], rain[:labelled], derained[labelled:], rain[labelled:])


@torch.no_grad()
def _psnr(derained: Tensor, clean: Tensor) -> Tensor:
    """Mean PSNR of the patches in dB (RGB, at most 100), as in validation except for the rounding to levels."""
    errors = (derained.clamp(0, 1) - clean).square().flatten(1).mean(1)
    return -10 * torch.log10(errors.clamp_min(1e-10)).mean()


class Supervised:
    """L_d + lambda_r L_r on pairs (eq. 10 without the contrastive term); real patches only affect batch statistics.

    Args:
        options: the pixel loss and lambda_r.
        autocast: run the network under bf16 autocast; losses are always computed in fp32.
    """

    separable = True

    def __init__(self, options: OptimConfig, autocast: bool):
        self.options = options
        self.pixel = PIXEL_LOSSES[options.loss]
        self.autocast = autocast

    def __call__(self, model: Derainer, batch: Batch, step: int) -> Losses:
        return self.pixel_losses(run_network(model, batch, self.autocast), batch)

    def pixel_losses(self, outputs: Outputs, batch: Batch) -> Losses:
        """Eq. 11 and 12 for the network's outputs on a batch."""
        clean = batch.clean
        detail = self.pixel(outputs.derained, clean)
        # eq. 11: L1 of f(O) against O - B equals L1 of O - f(O) against B.
        rain = self.pixel(batch.rainy - outputs.rain, clean)
        total = detail + self.options.rain_weight * rain
        return Losses(
            total, {"detail": detail.detach(), "rain": rain.detach()}, {"psnr": _psnr(outputs.derained, clean)}
        )

    def after_step(self, good: bool) -> None:
        """Nothing to do."""

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if state:
            raise ValueError(f"unexpected objective state {sorted(state)[0]}")
