"""Batches in order, independent of the starting point and of the number of processes."""

from __future__ import annotations

import multiprocessing
import os
import time
from dataclasses import replace

import pytest
import torch
from torch.utils.data import Dataset

from derain_cli.config import DataConfig
from derain_cli.data.datasets import Sample, TrainingPatches, check_sources
from derain_cli.data.loaders import Batch, BatchStream, auto_workers
from derain_cli.datasets.finding import find_pairs
from derain_cli.errors import DerainError, InputError, TrainingError
from derain_cli.remedies import Remedy

BATCH, STEPS = 3, 6


@pytest.fixture(scope="module")
def patches(pair_folder) -> TrainingPatches:
    sources = check_sources([find_pairs(pair_folder)], [], [], 32)
    return TrainingPatches(sources, DataConfig(patch=32), seed=4, length=BATCH * STEPS)


def batches(patches, start=0, workers=0) -> list[Batch]:
    return list(BatchStream(patches, BATCH, start, workers))


def test_batches_are_the_items_in_order(patches):
    found = batches(patches)
    assert len(found) == STEPS
    assert {tuple(b.pairs.shape) for b in found} == {(BATCH, 2, 3, 32, 32)}
    assert {tuple(b.real.shape) for b in found} == {(0, 3, 32, 32)}
    assert {part.dtype for b in found for part in b} == {torch.uint8}
    items = torch.stack([patches[i].pair for i in range(BATCH * STEPS)])
    assert torch.equal(torch.cat([b.pairs for b in found]), items)


@pytest.mark.parametrize(("start", "workers"), [(0, 0), (1, 0), (4, 0), (STEPS, 0), (1, 2)])
def test_a_start_is_the_tail_whatever_the_number_of_processes(patches, start, workers):
    torch.manual_seed(0)
    generator = torch.random.get_rng_state()
    whole, tail = batches(patches), batches(patches, start, workers)
    assert torch.equal(torch.random.get_rng_state(), generator), "the global generator is left alone"
    assert len(tail) == STEPS - start
    assert all(torch.equal(a.pairs, b.pairs) for a, b in zip(whole[start:], tail, strict=True))


def test_real_patches_come_beside_the_pairs(patches):
    photos = tuple(pair.rainy for group in patches.sources.pairs for pair in group.pairs)
    real = TrainingPatches(replace(patches.sources, real=photos), patches.config, patches.seed, BATCH * STEPS)
    found, plain = batches(real, start=2), batches(patches, start=2)
    assert {tuple(b.real.shape) for b in found} == {(BATCH, 3, 32, 32)}
    items = torch.cat([real[i].real for i in range(2 * BATCH, BATCH * STEPS)])
    assert torch.equal(torch.cat([b.real for b in found]), items)
    assert all(torch.equal(a.pairs, b.pairs) for a, b in zip(found, plain, strict=True))


class Plain(Dataset):
    """Items that take a while, are bad, or are missing."""

    def __init__(self, seconds=0.0, bad=0, error: Exception | None = None, die=False):
        self.seconds, self.bad, self.error, self.die = seconds, bad, error, die

    def __len__(self):
        return 8

    def __getitem__(self, index):
        time.sleep(self.seconds)
        if index == 5 and self.error is not None:
            raise self.error
        if self.die and multiprocessing.parent_process() is not None:
            os._exit(9)
        pair = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)
        return Sample(pair, pair[:0], self.bad)


def test_waiting_and_bad_files_are_counted():
    stream = BatchStream(Plain(seconds=0.01, bad=2), 2, 0, 0)
    assert (stream.waited, stream.bad) == (0.0, 0)
    begin = time.perf_counter()
    for _ in stream:
        time.sleep(0.05)  # time spent in the network does not count as waiting
    assert 8 * 0.01 <= stream.waited <= time.perf_counter() - begin - 4 * 0.05
    assert stream.bad == 16


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_of_a_file_arrives_as_one_of_ours(workers):
    stream = BatchStream(Plain(error=InputError("truncated", path="a.png")), 2, 0, workers)
    with pytest.raises(DerainError, match="truncated") as caught:
        list(stream)
    assert caught.value.exit_code == 3
    assert str(caught.value) == "a.png: truncated"


def test_other_errors_arrive_as_they_are():
    with pytest.raises(ZeroDivisionError):
        list(BatchStream(Plain(error=ZeroDivisionError("x")), 2, 0, 0))


@pytest.mark.slow  # torch checks every five seconds
@pytest.mark.fault(64)
def test_a_process_that_dies_ends_the_run_in_one_line():
    with pytest.raises(TrainingError, match="a data-loading process died") as caught:
        list(BatchStream(Plain(die=True), 2, 0, 1))
    assert caught.value.remedy is Remedy.NO_WORKERS


def test_number_of_processes_for_this_machine(monkeypatch):
    for cores, expected in ((1, 1), (2, 1), (4, 2), (16, 12), (128, 12)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False)
        assert auto_workers() == expected
