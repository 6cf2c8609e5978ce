"""The memory bank compared with a plain Python queue."""

from __future__ import annotations

from collections import deque

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.losses.memory_bank import MemoryBank


def marked(values: list[int]) -> torch.Tensor:
    """Layers that encode a number: multiples of 1/256, which are exact in fp16."""
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2) / 256


def numbers(layers: torch.Tensor) -> list[int]:
    return [round(float(layer[0, 0, 0]) * 256) for layer in layers]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 9), max_size=25))
def test_a_ring_is_a_queue_of_the_newest(pushes: list[int]) -> None:
    bank, queue, number = MemoryBank(5, 2), deque[int](maxlen=5), 0
    for size in pushes:
        values = [(number + i) % 250 for i in range(size)]
        number += size
        bank.push("real", marked(values))
        queue.extend(values)
        everything = bank.sample(["real"], 99, torch.Generator().manual_seed(0))
        assert sorted(numbers(everything)) == sorted(queue)
        assert bank.count("real") == len(queue) and bank.count("synthetic") == 0


def test_sampling_is_without_replacement_and_repeatable() -> None:
    bank = MemoryBank(8, 2)
    bank.push("real", marked([1, 2, 3]))
    bank.push("synthetic", marked([11, 12]))
    draw = [numbers(bank.sample(["synthetic", "real"], 4, torch.Generator().manual_seed(s))) for s in range(40)]
    assert all(len(set(d)) == 4 for d in draw)
    assert {n for d in draw for n in d} == {1, 2, 3, 11, 12}
    assert draw[7] == numbers(bank.sample(["synthetic", "real"], 4, torch.Generator().manual_seed(7)))
    assert set(numbers(bank.sample(["real"], 9, torch.Generator().manual_seed(0)))) == {1, 2, 3}
    assert bank.sample(["real"], 0, torch.Generator()).shape == (0, 3, 2, 2)


def test_layers_are_detached_and_clamped() -> None:
    bank = MemoryBank(2, 2)
    bank.push("real", torch.full((1, 3, 2, 2), 7.0, requires_grad=True))
    layer = bank.sample(["real"], 1, torch.Generator())
    assert not layer.requires_grad and float(layer.max()) == 1.0


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=20), st.integers(1, 10))
def test_layers_below_the_floor_never_come_in(levels: list[int], floor: int) -> None:
    bank = MemoryBank(6, 2, floor=floor - 0.25)  # between two levels: a tie in fp32 may go either way
    layers = torch.tensor(levels, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 3, 2, 2) / 255
    bank.push("real", layers)
    kept = bank.sample(["real"], 99, torch.Generator().manual_seed(0))
    found = sorted(round(255 * float(layer.mean())) for layer in kept)
    assert found == sorted([level for level in levels if level >= floor][-6:])


def test_the_floor_is_of_the_root_mean_square() -> None:
    bank = MemoryBank(4, 2, floor=2.0)
    streak = torch.zeros(1, 3, 2, 2)
    streak[..., 0, 0] = 4.1 / 255  # mean 1.025 levels, root mean square 2.05
    bank.push("real", streak)
    bank.push("synthetic", streak * (3.9 / 4.1))
    assert bank.count("real") == 1 and bank.count("synthetic") == 0


def test_the_state_round_trips_and_another_shape_is_refused() -> None:
    bank, other = MemoryBank(4, 2), MemoryBank(4, 2)
    bank.push("real", marked([1, 2, 3, 4, 5, 6]))
    other.load_state_dict({k: v.clone() for k, v in bank.state_dict().items()})
    bank.push("real", marked([7]))
    other.push("real", marked([7]))
    assert all(torch.equal(v, other.state_dict()[k]) for k, v in bank.state_dict().items())
    with pytest.raises(ValueError, match="memory bank"):
        MemoryBank(4, 3).load_state_dict(bank.state_dict())
    with pytest.raises(ValueError, match="layers of shape"):
        bank.push("real", torch.zeros(1, 3, 3, 3))
