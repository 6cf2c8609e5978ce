"""Weight averages of two or more trained networks of the same architecture.

Weights fine-tuned from the same start lie in one basin of the loss: interpolating between the start and the fine-tuned
weights gives a network that keeps most of the strengths of both (Wortsman et al., "Robust fine-tuning of zero-shot
models", CVPR 2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from derain_cli.errors import UsageError
from derain_cli.model.semi_drdnet import SemiDRDNet, build

__all__ = ["average"]


def average(models: Sequence[SemiDRDNet], shares: Sequence[float]) -> SemiDRDNet:
    """A network whose weights and batch normalisation statistics are the weighted mean of those of `models`.

    Args:
        models: at least one, all with the same configuration; not modified.
        shares: weight of each model, 0 to 1; they must sum to 1.

    Raises:
        UsageError: networks with different configurations, or invalid shares.
    """
    if len(shares) != len(models) or not models:
        raise UsageError(f"{len(shares)} shares for {len(models)} networks")
    if not all(0 <= share <= 1 for share in shares) or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UsageError(f"shares must be 0 to 1 and sum to 1, not {', '.join(f'{share:g}' for share in shares)}")
    if any(model.config != models[0].config for model in models):
        raise UsageError("only networks with the same configuration can be averaged")
    states = [model.state_dict() for model in models]
    made = build(models[0].config)
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            parts = [state[name] for state in states]
            if tensor.is_floating_point():  # the rest are batch counters: keep the first model's
                mean = sum((share * part.double() for share, part in zip(shares, parts, strict=True)))
                tensor.copy_(torch.as_tensor(mean))
            else:
                tensor.copy_(parts[0])
    return made.eval()
