"""The weights between two or more trained networks of one kind.

Weights that were fine-tuned from the same start lie in one basin: between the start and the fine-tuned ones is a
network that keeps most of what either is better at (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR
2022).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from derain_cli.errors import UsageError
from derain_cli.model.semi_drdnet import SemiDRDNet, build

__all__ = ["average"]


def average(models: Sequence[SemiDRDNet], shares: Sequence[float]) -> SemiDRDNet:
    """The network whose every weight, and statistic of a batch normalisation, is the mean of those of `models`.

    Args:
        models: at least one, all of one configuration; they stay as they are.
        shares: of each, from 0 to 1; they add up to 1.

    Raises:
        UsageError: networks of different configurations, or shares that are not such.
    """
    if len(shares) != len(models) or not models:
        raise UsageError(f"{len(shares)} shares for {len(models)} networks")
    if not all(0 <= share <= 1 for share in shares) or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise UsageError(f"shares must be 0 to 1 and add up to 1, not {', '.join(f'{share:g}' for share in shares)}")
    if any(model.config != models[0].config for model in models):
        raise UsageError("only networks of one shape have an average")
    states = [model.state_dict() for model in models]
    made = build(models[0].config)
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            parts = [state[name] for state in states]
            if tensor.is_floating_point():  # the others count batches: the first one's will do
                mean = sum((share * part.double() for share, part in zip(shares, parts, strict=True)))
                tensor.copy_(torch.as_tensor(mean))
            else:
                tensor.copy_(parts[0])
    return made.eval()
