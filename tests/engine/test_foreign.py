"""Third-party networks: padding."""

from __future__ import annotations

import pytest
import torch

from derain_cli.engine.foreign import pad_to_multiple


@pytest.mark.parametrize("size", [(1, 1), (5, 7), (8, 16), (3, 100)])
def test_padding_reaches_the_multiple_and_keeps_the_picture(size):
    rainy = torch.rand(1, 3, *size)
    padded = pad_to_multiple(rainy, 8)
    assert padded.shape[2] % 8 == 0
    assert padded.shape[3] % 8 == 0
    assert torch.equal(padded[..., : size[0], : size[1]], rainy)
