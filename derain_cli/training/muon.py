"""Muon: momentum whose direction is orthogonalised, for the kernels of convolutions.

Adam scales each weight on its own. The gradient of a convolution is mostly a few directions, of
which the loudest, here the mean colour of the batch, is noise; per-weight scaling leaves it loudest.
Orthogonalising the momentum gives every direction of the kernel's matrix the same step (Jordan et al.
2024). The step's size follows Liu et al. 2025 ("Muon is scalable for LLM training"): its root mean
square is that of Adam's usual step, so one learning rate serves both optimisers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

__all__ = ["Muon", "orthogonalise"]

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_STEPS = 5
_ADAM_RMS = 0.2


def orthogonalise(matrices: Tensor) -> Tensor:
    """The nearest semi-orthogonal matrices, roughly: singular values come out between about 0.7 and 1.2.

    Five Newton-Schulz steps with the quintic of Jordan et al. 2024, which trades exactness for speed.

    Args:
        matrices: (K, m, n) in fp32; any scale. A zero matrix stays zero.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    a, b, c = _COEFFICIENTS
    for _ in range(_STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    result: Tensor = x.mT if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum for kernels (O, I, h, w), each taken as the matrix (O, I*h*w).

    Args:
        params: four-dimensional parameters; those without a gradient are left alone.
        lr: learning rate; a step's root mean square is 0.2 of it.
        momentum: decay of the momentum.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; kernels of one shape go through together."""
        assert closure is None
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for kernels in shapes.values():
                self._step_alike(kernels, group)

    def _step_alike(self, kernels: list[Tensor], group: dict[str, Any]) -> None:
        directions = []
        for p in kernels:
            assert p.grad is not None
            moment = self.state[p].setdefault("momentum", torch.zeros_like(p))
            moment.lerp_(p.grad, 1 - group["momentum"])
            directions.append(p.grad.lerp(moment, group["momentum"]).flatten(1))
        steps = orthogonalise(torch.stack(directions))
        scale = _ADAM_RMS * max(steps.shape[-2:]) ** 0.5
        for p, step in zip(kernels, steps, strict=True):
            p.add_(step.view_as(p), alpha=-group["lr"] * scale)
