"""Data-parallel forward and backward passes on CPU threads.

Threads that share a layer synchronise after every layer, so any other load on the machine stalls all of them. Threads
that each process their own pictures synchronise once per step. Their gradients are summed in batch order, so the
result depends on how the batch is split but not on timing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from derain_cli.data.loaders import Batch
from derain_cli.model import Layers
from derain_cli.model.frozen import Folded, FrozenForm
from derain_cli.training.objectives import Losses, Objective

__all__ = ["ThreadedStep"]

_LEAST = 3
"""Minimum pictures per thread: with fewer, convolutions lose more efficiency than synchronisation costs."""


class ThreadedStep:
    """Losses and gradients of a batch, for objectives whose loss is the mean over its pictures (`separable`).

    Args:
        form: the network with frozen statistics.
        threads: CPU threads to use. If the batch is too small for that many, several threads share each part.
    """

    def __init__(self, form: FrozenForm, threads: int):
        self.form, self.threads = form, threads
        self._pool: ThreadPoolExecutor | None = None
        self._parts = 0

    def __call__(self, objective: Objective, batch: Batch, step: int) -> Losses:
        """The losses, detached; gradients accumulate in the network's parameters, as with `backward`."""
        count = len(batch.pairs)
        parts = max(1, min(self.threads, count // _LEAST))
        pool = self._threads(parts)
        folded = self.form.folded()
        leaves = [[tensor.detach().requires_grad_() for tensor in net] for net in folded]
        jobs = [
            pool.submit(self._part, objective, Batch(pairs, batch.real[:0]), step, leaves, len(pairs) / count)
            for pairs in batch.pairs.tensor_split(parts)
        ]
        found = [job.result() for job in jobs]
        flat = [tensor for net in folded for tensor in net]
        sums = [sum(rest, first.float()) for first, *rest in zip(*(gradients for _, gradients in found), strict=True)]
        torch.autograd.backward(flat, [g.to(t.dtype) for g, t in zip(sums, flat, strict=True)])
        return _total([losses for losses, _ in found])

    def _threads(self, parts: int) -> ThreadPoolExecutor:
        if self._pool is None or self._parts != parts:
            self.close()
            each = max(1, self.threads // parts)
            # set_num_threads applies to the calling thread, so every worker sets its own.
            self._pool = ThreadPoolExecutor(parts, "step", initializer=torch.set_num_threads, initargs=(each,))
            self._parts = parts
        return self._pool

    def close(self) -> None:
        """Stop the threads; the next step starts new ones."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _part(
        self, objective: Objective, batch: Batch, step: int, leaves: Folded, share: float
    ) -> tuple[Losses, list[Tensor]]:
        """Losses of some pictures, weighted by their share of the batch, and gradients of the folded tensors."""

        def network(rainy: Tensor) -> Layers:
            return self.form.run(rainy, leaves)

        losses = objective(network, batch, step)
        gradients = torch.autograd.grad(losses.total * share, [tensor for net in leaves for tensor in net])
        parts, figures = (
            {name: value * share for name, value in values.items()} for values in (losses.parts, losses.figures)
        )
        return Losses(losses.total.detach() * share, parts, figures), list(gradients)


def _total(parts: list[Losses]) -> Losses:
    """Losses of the whole batch: the sum of the weighted losses of its parts."""
    first = parts[0]
    return Losses(
        torch.stack([part.total for part in parts]).sum(),
        {name: torch.stack([part.parts[name] for part in parts]).sum() for name in first.parts},
        {name: torch.stack([part.figures[name] for part in parts]).sum() for name in first.figures},
    )
