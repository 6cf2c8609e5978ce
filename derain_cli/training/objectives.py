"""What a training step minimises. The loop does not know which objective it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from derain_cli.config import OptimConfig
from derain_cli.losses.pixel import PIXEL_LOSSES
from derain_cli.model import SemiDRDNet

__all__ = ["Losses", "Objective", "Supervised"]


class Losses(NamedTuple):
    """`total` is what the gradient is taken of; `parts` are its named terms, detached, for the log."""

    total: Tensor
    parts: Mapping[str, Tensor]


class Objective(Protocol):
    """A loss with its own state (a memory bank, say), which belongs to the checkpoint."""

    def __call__(self, model: SemiDRDNet, batch: Tensor, step: int) -> Losses:
        """Losses of a batch (B, 2, 3, P, P) of rainy and clean patches in [0, 1]."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that a resumed run needs."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state_dict`."""
        ...


class Supervised:
    """L_d + lambda_r L_r on pairs (eq. 10 without its contrastive term).

    Args:
        options: the pixel loss, lambda_r, and whether the network computes in bf16.
        autocast: run the network under bf16 autocast; the losses are in fp32 in any case.
    """

    def __init__(self, options: OptimConfig, autocast: bool):
        self.options = options
        self.pixel = PIXEL_LOSSES[options.loss]
        self.autocast = autocast

    def __call__(self, model: SemiDRDNet, batch: Tensor, step: int) -> Losses:
        rainy, clean = batch.unbind(1)
        rainy = rainy.contiguous(memory_format=torch.channels_last)
        with torch.autocast(rainy.device.type, torch.bfloat16, enabled=self.autocast):
            layers = model(rainy)
        detail = self.pixel(layers.derained.float(), clean)
        # eq. 11: L1 of f(O) against O - B, which is L1 of O - f(O) against B.
        rain = self.pixel(rainy - layers.rain.float(), clean)
        total = detail + self.options.rain_weight * rain
        return Losses(total, {"detail": detail.detach(), "rain": rain.detach()})

    def state_dict(self) -> dict[str, Tensor]:
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        if state:
            raise ValueError(f"unexpected objective state {sorted(state)[0]}")
