"""The objective of semi-supervised training with dual sample-augmented contrast (sections III-C and III-D)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from derain_cli.config import ContrastConfig, TrainConfig
from derain_cli.data.loaders import Batch
from derain_cli.losses.contrastive import augmented_negatives, contrastive_ratio
from derain_cli.losses.features import VGGFeatures
from derain_cli.losses.memory_bank import MemoryBank, Ring
from derain_cli.losses.style import POSITIVE_TRANSFORMS
from derain_cli.model import Derainer
from derain_cli.training.objectives import Losses, Supervised, run_network

__all__ = ["SemiSupervised", "contrast_share", "step_generator"]


class _Phase(NamedTuple):
    """A contrastive term: name, weight, derained and rainy pictures, and the rings it samples layers from."""

    name: str
    weight: float
    anchor: Tensor
    rainy: Tensor
    rings: tuple[Ring, ...]


def contrast_share(step: int, options: ContrastConfig) -> float:
    """Factor on lambda_dual and lambda_unsup at a step (from 0): 0 during warm-up, then linear up to 1."""
    if step < options.warmup:
        return 0.0
    return min(1.0, (step - options.warmup + 1) / (options.ramp + 1))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The random generator of one step, a pure function of both numbers, so that a resumed run draws the same."""
    state = np.random.SeedSequence((seed, step)).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


class SemiSupervised:
    """L_sup + lambda_unsup L_unsup (eq. 9, 10, 13), or only L_sup if a batch has no real patches.

    Only the derained pictures carry gradients: positives, negatives, the style of eq. 7 and the layers of the bank are
    constants. VGG-16 runs twice per batch: with gradients on the derained pictures, and without on clean pictures and
    all negatives.

    Args:
        config: of the run; `contrast.mode` must not be `none`.
        features: the feature network, on the device of the batches.
        autocast: run both networks under bf16 autocast; feature differences and losses are computed in fp32.
    """

    separable = False

    def __init__(self, config: TrainConfig, features: VGGFeatures, autocast: bool):
        self.options, self.seed, self.autocast = config.contrast, config.loop.seed, autocast
        self.supervised = Supervised(config.optim, autocast)
        self.features = features.to(memory_format=torch.channels_last)
        self.transform = POSITIVE_TRANSFORMS[config.contrast.transform]
        self.bank = (
            MemoryBank(config.contrast.bank, config.data.patch, features.mean.device, floor=config.contrast.bank_floor)
            if config.contrast.uses_bank
            else None
        )
        self._fresh: dict[Ring, Tensor] = {}

    def __call__(self, model: Derainer, batch: Batch, step: int) -> Losses:
        outputs = run_network(model, batch, self.autocast)
        pixel = self.supervised.pixel_losses(outputs, batch)
        self._fresh = {"synthetic": outputs.rain.detach(), "real": outputs.real_rain.detach()}
        share = contrast_share(step, self.options)
        figures = {**pixel.figures, "contrast_share": pixel.total.new_tensor(share)}
        phases = [_Phase("sup", share * self.options.dual_weight, outputs.derained, batch.rainy, ("synthetic", "real"))]
        if len(batch.real):
            figures["real_change"] = 255 * (outputs.real_derained.detach() - batch.real).abs().mean()
            weight = share * self.options.unsup_weight
            phases.append(_Phase("unsup", weight, outputs.real_derained, batch.real, ("real",)))
        phases = [phase for phase in phases if phase.weight]
        if not phases:
            return Losses(pixel.total, pixel.parts, figures)

        generator = step_generator(self.seed, step)
        negatives = [augmented_negatives(phase.anchor, self._layers(phase, generator), phase.rainy) for phase in phases]
        clean = batch.clean
        anchors_seen = _split(self._see(torch.cat([p.anchor for p in phases])), [len(p.anchor) for p in phases])
        with torch.no_grad():
            seen = self._see(torch.cat([clean, *(n.flatten(0, 1) for n in negatives)]))
            clean_seen, *negatives_seen = _split(seen, [len(clean), *(n.shape[0] * n.shape[1] for n in negatives)])
        # B_r: the clean patches of the batch, permuted.
        order = torch.randperm(len(clean), generator=generator).to(clean.device)

        total, parts = pixel.total, dict(pixel.parts)
        for phase, anchor, negative, made in zip(phases, anchors_seen, negatives_seen, negatives, strict=True):
            positive = clean_seen if phase.name == "sup" else self._positives(clean_seen, anchor, order)
            term = contrastive_ratio(
                anchor,
                positive,
                _by_negative(negative, len(made)),
                cap=self.options.cap,
                wanted=self.options.negatives,
            )
            total = total + phase.weight * term.loss
            parts[f"dual_{phase.name}"] = term.loss.detach()
            figures |= {f"ratio_{phase.name}": term.ratio, f"capped_{phase.name}": term.capped}
        return Losses(total, parts, figures)

    def _layers(self, phase: _Phase, generator: torch.Generator) -> Tensor:
        """m - 1 rain layers from the bank, fewer while it fills up, none in modes without a bank."""
        if self.bank is None:
            return phase.rainy.new_zeros((0, *phase.rainy.shape[1:]))
        return self.bank.sample(phase.rings, self.options.negatives - 1, generator)

    def _see(self, pictures: Tensor) -> list[Tensor]:
        with torch.autocast(pictures.device.type, torch.bfloat16, enabled=self.autocast):
            layers = self.features(pictures.contiguous(memory_format=torch.channels_last))
        return [layer.float() for layer in layers]

    def _positives(self, clean: Sequence[Tensor], anchor: Sequence[Tensor], order: Tensor) -> list[Tensor]:
        """Features of the permuted clean patches, transformed to the style of I_r (eq. 7)."""
        places = order[torch.arange(len(anchor[0]), device=order.device) % len(order)]
        with torch.no_grad():
            return [self.transform(c[places], a.detach()) for c, a in zip(clean, anchor, strict=True)]

    def after_step(self, good: bool) -> None:
        """Add this step's rain layers to the bank; those of a skipped step are discarded."""
        if good and self.bank is not None:
            for ring, layers in self._fresh.items():
                self.bank.push(ring, layers)
        self._fresh = {}

    def state_dict(self) -> dict[str, Tensor]:
        return {} if self.bank is None else {f"bank.{k}": v for k, v in self.bank.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: the bank has a different capacity or patch size, or only one of state and mode has a bank.
        """
        bank = {k.removeprefix("bank."): v for k, v in state.items()}
        if bool(bank) != (self.bank is not None):
            raise ValueError("it has a memory bank, which this mode does not use" if bank else "it has no memory bank")
        if self.bank is not None:
            self.bank.load_state_dict(bank)


def _split(layers: Sequence[Tensor], sizes: Sequence[int]) -> list[list[Tensor]]:
    """Features of each part of a batch, per layer."""
    parts = [torch.split(layer, list(sizes)) for layer in layers]
    return [[layer[number] for layer in parts] for number in range(len(sizes))]


def _by_negative(layers: Sequence[Tensor], count: int) -> list[list[Tensor]]:
    """(count * N, C, h, w) per layer -> per negative, per layer, (N, C, h, w)."""
    return _split(layers, [len(layers[0]) // count] * count)
