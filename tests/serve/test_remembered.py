"""An engine that remembers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.engine.restorer import Restorer
from derain_cli.engine.torch_engine import TorchEngine
from derain_cli.serve.remembered import RememberedEngine
from tests.conftest import make_network, make_picture


class Counting(TorchEngine):
    passes = 0

    def run(self, batch: Any, gates: Any = None) -> Any:
        self.passes += 1
        return super().run(batch, gates)


@pytest.fixture
def engine() -> Counting:
    network = make_network(ModelConfig(width=8, blocks=1, unshuffle=2))
    return Counting(network, torch.device("cpu"), torch.float32)


def restored(engine: Any, picture: Any, strength: float, tile: int = 0) -> Any:
    return Restorer(engine, RestoreOptions(device="cpu", strength=strength, tile=tile))(picture)


@pytest.mark.parametrize("tile", [0, 64])
def test_another_strength_takes_no_second_pass_and_gives_the_same_bits(engine: Counting, tile: int) -> None:
    picture, remembered = make_picture(90, 130), RememberedEngine(engine)
    first = restored(remembered, picture, 1.0, tile)
    passes = engine.passes
    found = {strength: restored(remembered, picture, strength, tile) for strength in (0.0, 0.3, 1.0)}
    assert engine.passes == passes
    for strength, pixels in found.items():
        assert np.array_equal(pixels, restored(engine, picture, strength, tile))
    assert np.array_equal(found[1.0], first)
    assert np.array_equal(found[0.0], picture)
    assert not np.array_equal(restored(remembered, 255 - picture, 1.0, tile), first)


def test_only_so_much_is_remembered(engine: Counting) -> None:
    pictures = [make_picture(32, 32, seed) for seed in range(3)]
    remembered = RememberedEngine(engine, most=2 * 32 * 32 * 3 * 4)
    for picture in pictures:
        restored(remembered, picture, 1.0)
    restored(remembered, pictures[2], 0.5)
    restored(remembered, pictures[1], 0.5)
    assert engine.passes == 3
    restored(remembered, pictures[0], 0.5)
    assert engine.passes == 4
    remembered.empty_cache()
    restored(remembered, pictures[0], 0.5)
    assert engine.passes == 5
    too_small = RememberedEngine(engine, most=10)
    assert np.array_equal(restored(too_small, pictures[0], 1.0), restored(too_small, pictures[0], 1.0))
