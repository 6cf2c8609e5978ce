"""Muon: an optimiser with orthogonalised momentum, for convolution kernels.

Adam scales each weight individually. The gradient of a convolution is dominated by a few directions, the
strongest of which, here the mean colour of the batch, is noise; per-weight scaling does not change that.
Orthogonalising the momentum gives every direction of the kernel matrix the same step (Jordan et al. 2024).
The step size follows Liu et al. 2025 ("Muon is scalable for LLM training"): its root mean square matches a
typical step of Adam, so one learning rate serves both optimisers.
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
    """Approximately the nearest semi-orthogonal matrices: singular values end up between about 0.7 and 1.2.

    Five Newton-Schulz steps with the quintic of Jordan et al. 2024, which trades accuracy for speed. Each step
    multiplies X by a polynomial of its Gram matrix, so all five are computed on the small Gram matrices, and the long
    matrix X appears only in the first and last product.

    Args:
        matrices: (K, m, n) in fp32; any scale. A zero matrix stays zero.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-12)
    a, b, c = _COEFFICIENTS
    gram = x @ x.mT
    unit = torch.eye(x.shape[-2], dtype=x.dtype, device=x.device).expand_as(gram)
    total = unit
    for _ in range(_STEPS):
        step = a * unit + torch.baddbmm(gram, gram, gram, beta=b, alpha=c)
        total = step @ total
        gram = step @ gram @ step  # polynomials of one symmetric matrix are symmetric and commute
    x = total @ x
    result: Tensor = x.mT if tall else x
    return result


class Muon(torch.optim.Optimizer):
    """Muon with Nesterov momentum for kernels (O, I, h, w), each treated as a matrix (O, I*h*w).

    Args:
        params: four-dimensional parameters; those without a gradient are skipped.
        lr: learning rate; the root mean square of a step is 0.2 times this.
        momentum: decay of the momentum.
    """

    def __init__(self, params: Iterable[Tensor], lr: float, momentum: float = 0.95):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; kernels of the same shape are batched."""
        assert closure is None
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = defaultdict(list)
            for p in group["params"]:
                if p.grad is not None:
                    shapes[p.shape].append(p)
            for kernels in shapes.values():
                self._step_batch(kernels, group)

    def _step_batch(self, kernels: list[Tensor], group: dict[str, Any]) -> None:
        moments = [self.state[p].setdefault("momentum", torch.zeros_like(p)) for p in kernels]
        gradients = [p.grad for p in kernels if p.grad is not None]
        torch._foreach_lerp_(moments, gradients, 1 - group["momentum"])
        directions = torch._foreach_lerp(gradients, moments, group["momentum"])
        # (O, h*w*I): column order does not matter, and this one needs no copy of channels-last kernels.
        steps = orthogonalise(torch.stack([d.permute(0, 2, 3, 1).flatten(1) for d in directions]))
        scale = _ADAM_RMS * max(steps.shape[-2:]) ** 0.5
        out, into, height, width = kernels[0].shape
        taken = list(steps.view(-1, out, height, width, into).permute(0, 1, 4, 2, 3).unbind())
        torch._foreach_add_(kernels, taken, alpha=-group["lr"] * scale)
