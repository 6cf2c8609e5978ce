"""Batches in order, prefetched by worker processes."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from derain_cli.data.clips import ClipPatches
from derain_cli.data.datasets import TrainingPatches
from derain_cli.errors import DerainError, TrainingError
from derain_cli.remedies import Remedy

__all__ = ["Batch", "BatchStream", "auto_workers"]


class Batch(NamedTuple):
    """Training data of one step.

    Attributes:
        pairs: (B, F + 1, 3, P, P), rainy and clean patches; for multi-frame networks, F rainy frames followed by the
            clean middle frame.
        real: (R, 3, P, P), patches of photos of real rain; R is B, or 0 in runs without such photos.
    """

    pairs: Tensor
    real: Tensor

    @property
    def frames(self) -> Tensor:
        """Network input of the labelled patches, (B, 3*F, P, P)."""
        return self.pairs[:, :-1].flatten(1, 2)

    @property
    def rainy(self) -> Tensor:
        """The rainy patches (of the middle frames), (B, 3, P, P)."""
        return self.pairs[:, (self.pairs.shape[1] - 1) // 2]

    @property
    def clean(self) -> Tensor:
        """The clean patches, (B, 3, P, P)."""
        return self.pairs[:, -1]


def auto_workers() -> int:
    """Number of loading processes for this machine: one on a laptop, up to 12 on a large machine."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(12, cores - 2))


def _start_method() -> str:
    return "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"


def _start_worker(_: int) -> None:
    import cv2

    _end_with_the_trainer()

    # The trainer stops the workers; Ctrl-C in the terminal reaches them too and must be ignored.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    torch.set_num_threads(1)


def _end_with_the_trainer() -> None:
    """Exit when the trainer exits, for whatever reason.

    A killed trainer cannot notify its workers: they are children of the fork server, which lives as long as they do,
    so both would wait for each other forever, holding some hundred megabytes.
    """
    trainer = multiprocessing.parent_process()
    if trainer is None:
        return

    def watch() -> None:
        multiprocessing.connection.wait([trainer.sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="trainer", daemon=True).start()


class BatchStream:
    """Batches `start`, `start + 1`, ... of `patches`, uint8; counts the time spent waiting.

    Attributes:
        waited: seconds the caller has waited for data so far.
        bad: unreadable files of pairs skipped so far.
        bad_real: unreadable real photos skipped so far.
    """

    def __init__(self, patches: TrainingPatches | ClipPatches, batch: int, start: int, workers: int, pin: bool = False):
        self.waited = 0.0
        self.bad = self.bad_real = 0
        workers = auto_workers() if workers < 0 else workers
        self._loader = DataLoader(
            patches,
            batch_size=batch,
            sampler=range(start * batch, len(patches)),
            num_workers=workers,
            worker_init_fn=_start_worker if workers else None,
            prefetch_factor=4 if workers else None,
            # Never a plain fork: this process already has threads (torch, OpenCV), and a forked child that uses
            # OpenCV's thread pool hangs.
            multiprocessing_context=_start_method() if workers else None,
            pin_memory=pin,
            # A separate generator, so that drawing the worker seeds does not advance the global one.
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[Batch]:
        batches = iter(self._loader)
        while True:
            begin = time.perf_counter()
            try:
                pairs, real, bad, bad_real = cast(tuple[Tensor, Tensor, Tensor, Tensor], next(batches))
            except StopIteration:
                return
            except DerainError as error:
                # An error from a worker has that process's traceback as its reason; the last line is the original.
                head, _, last = error.reason.rstrip().rpartition("\n")
                if not head:
                    raise
                raise type(error)(last.partition(": ")[2]) from error
            except RuntimeError as error:
                if "DataLoader worker" in str(error):
                    raise TrainingError("a data-loading process died", remedy=Remedy.NO_WORKERS) from error
                raise
            self.waited += time.perf_counter() - begin
            self.bad += int(bad.sum())
            self.bad_real += int(bad_real.sum())
            yield Batch(pairs, real.flatten(0, 1))
