"""Content under full transparency does not affect the visible picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from derain_cli import Restorer
from derain_cli.config import ModelConfig
from derain_cli.media import hidden
from derain_cli.media.hidden import fill_hidden, keep_hidden


def picture(height, width, dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**16),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
@settings(max_examples=60, deadline=None)
def test_the_visible_stays_and_the_hidden_has_no_say(height, width, share, seed, dtype):
    rng = np.random.default_rng(seed)
    alpha = (rng.random((height, width)) < share).astype(dtype)  # 1 is nearly transparent, but visible
    one, other = picture(height, width, dtype, 1), picture(height, width, dtype, 2)
    other[alpha > 0] = one[alpha > 0]
    filled = fill_hidden(one, alpha)
    assert filled.dtype == dtype
    assert np.array_equal(filled[alpha > 0], one[alpha > 0])
    if alpha.any():
        assert np.array_equal(filled, fill_hidden(other, alpha))
        seen = one[alpha > 0]
        # Within the range of the visible pixels up to rounding: nothing new is invented.
        assert (filled >= seen.min(0).astype(int) - 1).all()
        assert (filled <= seen.max(0).astype(int) + 1).all()
    assert np.array_equal(keep_hidden(filled, one, alpha), one)


@pytest.mark.parametrize("alpha", [None, np.full((5, 7), 255, np.uint8), np.zeros((5, 7), np.uint8)])
def test_all_or_nothing_hidden_is_passed_on(alpha):
    shown = picture(5, 7)
    assert fill_hidden(shown, alpha) is shown


def test_a_hole_in_a_flat_colour_is_filled_with_it():
    flat = np.full((60, 80, 3), (200, 100, 50), np.uint8)
    alpha = np.full((60, 80), 255, np.uint8)
    alpha[10:50, 20:60] = 0
    shown = np.where(alpha[..., None] > 0, flat, 0).astype(np.uint8)
    assert np.abs(fill_hidden(shown, alpha).astype(int) - flat).max() <= 1


def test_a_large_picture_is_filled_from_a_smaller_copy(monkeypatch):
    """Smoothly: the fill differs by a few levels, the visible part not at all."""
    rows = np.linspace(50, 200, 90)[:, None, None]
    shown = np.broadcast_to(rows, (90, 120, 3)).astype(np.uint8)
    alpha = np.full((90, 120), 255, np.uint8)
    alpha[30:60, 30:90] = 0
    exact = fill_hidden(shown, alpha)
    monkeypatch.setattr(hidden, "_WORKED_ON", 400)
    rough = fill_hidden(shown, alpha)
    assert np.array_equal(rough[alpha > 0], shown[alpha > 0])
    assert np.abs(rough.astype(int) - exact).max() < 25


def test_a_restorer_does_not_look_under_transparency(network):
    restorer = Restorer(network(ModelConfig(width=4, blocks=1)))
    alpha = np.full((24, 30), 255, np.uint8)
    alpha[5:20, 8:22] = 0
    results = []
    for seed in (1, 2):
        pixels = np.where(alpha[..., None] > 0, picture(24, 30), picture(24, 30, seed=seed)).astype(np.uint8)
        out = np.asarray(restorer(Image.fromarray(np.dstack([pixels, alpha]))))
        assert np.array_equal(out[..., :3][alpha == 0], pixels[alpha == 0])
        results.append(out[alpha > 0])
    assert np.array_equal(*results)
