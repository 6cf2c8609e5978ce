"""A step's forward and backward pass by threads that share the pictures of the batch.

Several threads on one layer wait for each other at the end of every layer: whatever else runs on the machine stops
them all. Threads with pictures of their own meet once a step. What they find is added up in the order of the batch, so
the result depends on how it was cut but not on who was first.
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
"""Pictures for a thread: convolutions of fewer lose more than the waiting costs."""


class ThreadedStep:
    """Losses and gradients of a batch, for objectives whose loss is the mean over its pictures (`separable`).

    Args:
        form: the network with frozen statistics.
        threads: CPU threads to use. Where the batch is too small for that many, several work on each part.
    """

    def __init__(self, form: FrozenForm, threads: int):
        self.form, self.threads = form, threads
        self._pool: ThreadPoolExecutor | None = None
        self._parts = 0

    def __call__(self, objective: Objective, batch: Batch, step: int) -> Losses:
        """The losses, detached; gradients are added to those of the network's parameters, as `backward` does."""
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
            # Each thread has a number of its own of threads below it.
            self._pool = ThreadPoolExecutor(parts, "step", initializer=torch.set_num_threads, initargs=(each,))
            self._parts = parts
        return self._pool

    def close(self) -> None:
        """End the threads; the next step starts new ones."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _part(
        self, objective: Objective, batch: Batch, step: int, leaves: Folded, share: float
    ) -> tuple[Losses, list[Tensor]]:
        """Losses of some pictures, times their share of the batch, and gradients of the folded tensors."""

        def network(rainy: Tensor) -> Layers:
            return self.form.run(rainy, leaves)

        losses = objective(network, batch, step)
        gradients = torch.autograd.grad(losses.total * share, [tensor for net in leaves for tensor in net])
        parts, figures = (
            {name: value * share for name, value in values.items()} for values in (losses.parts, losses.figures)
        )
        return Losses(losses.total.detach() * share, parts, figures), list(gradients)


def _total(parts: list[Losses]) -> Losses:
    """Of the whole batch, from those of its parts times their shares."""
    first = parts[0]
    return Losses(
        torch.stack([part.total for part in parts]).sum(),
        {name: torch.stack([part.parts[name] for part in parts]).sum() for name in first.parts},
        {name: torch.stack([part.figures[name] for part in parts]).sum() for name in first.figures},
    )
