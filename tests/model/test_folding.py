"""The folded network as arrays."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from derain_cli.config import ModelConfig
from derain_cli.model.folding import Folded, folded
from tests.conftest import make_network

CONFIG = ModelConfig(width=8, blocks=2, unshuffle=2, detail_blocks=1, detail_width=12, detail_unshuffle=4)


def arrays_of(seed: int) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    return {key: value.numpy() for key, value in make_network(CONFIG, seed).state_dict().items()}


def made(seed: int = 0) -> Folded:
    return folded(CONFIG, arrays_of(seed))


def test_equal_networks_have_equal_digests_and_others_others() -> None:
    assert made().digest() == made().digest() != made(1).digest()


@pytest.mark.parametrize("key", ["rrn.blocks.1.se.squeeze.weight", "drn.tail.bias", "rrn.blocks.0.norm2.running_var"])
def test_every_tensor_counts(key: str) -> None:
    arrays = arrays_of(0)
    arrays[key] = arrays[key] + np.float32(0.25)
    assert folded(CONFIG, arrays).digest() != made().digest()


def test_the_arrays_are_copies() -> None:
    arrays = arrays_of(0)
    net = folded(CONFIG, arrays)
    before = net.digest()
    for values in arrays.values():
        values[...] = 0
    assert net.digest() == before


def test_folding_needs_no_torch() -> None:
    code = "import sys; import derain_cli.model.folding, derain_cli.engine.restorer; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
