"""No-reference figures measure what they claim, on pictures where this is known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from derain_cli.errors import InputError
from derain_cli.metrics.niqe import niqe
from derain_cli.metrics.no_reference import FIGURES, Figures, figures


def tensor(picture):
    return torch.from_numpy(np.array(picture.transpose(2, 0, 1), order="C"))[None]


def with_streaks(clean, tilt=0.0, strength=60, every=12):
    """Bright lines two pixels wide, `tilt` degrees from the vertical."""
    rows, columns = np.indices(clean.shape[:2])
    across = columns * np.cos(np.radians(tilt)) - rows * np.sin(np.radians(tilt))
    lines = (across % every < 2)[..., None] * strength
    return np.clip(clean.astype(int) + lines, 0, 255).astype(np.uint8)


@pytest.fixture
def clean(picture):
    return (picture(96, 96, 3) // 2 + 40).astype(np.uint8)


def test_nothing_done_nothing_removed(clean):
    found = figures(tensor(clean), tensor(clean))
    assert found == Figures(0.0, 1.0, 1.0, 0.0, 0.0, 0.0)
    assert set(found.as_dict()) == set(FIGURES) - {"niqe_input", "niqe_output"}, "too small for these"


@pytest.mark.parametrize("tilt", [0, 15, -25])
def test_taking_out_streaks_takes_out_their_energy_and_little_else(clean, tilt):
    found = figures(tensor(with_streaks(clean, tilt)), tensor(clean))
    assert found.streak_energy_removed > 0.5
    assert found.streak_share_of_removed > 0.9
    assert found.gradient_energy_kept < 0.8
    assert found.mean_change == pytest.approx(60 * 2 / 12, abs=3)


@pytest.mark.parametrize("tilt", [90, 60, -70])
def test_lines_of_other_directions_are_no_streaks(clean, tilt):
    found = figures(tensor(with_streaks(clean, tilt)), tensor(clean))
    assert found.streak_share_of_removed < 0.1
    assert found.other_energy_kept < 0.6


def test_noise_has_no_preferred_direction():
    rng = np.random.default_rng(0)
    rainy = rng.integers(0, 256, (200, 200, 3)).astype(np.uint8)
    found = figures(tensor(rainy), tensor(np.full_like(rainy, 128)))
    assert found.streak_share_of_removed == pytest.approx(1 / 3, abs=0.05)
    assert found.streak_energy_removed == 1.0


def test_colour_shift_is_that_of_the_worst_channel(clean):
    shifted = clean.copy()
    shifted[..., 1] += 7
    found = figures(tensor(clean), tensor(shifted))
    assert found.colour_shift == pytest.approx(7, abs=1e-3)
    assert found.mean_change == pytest.approx(7 / 3, abs=1e-3)


def test_flat_pictures_divide_nothing_by_nothing():
    flat = tensor(np.full((20, 20, 3), 100, np.uint8))
    assert figures(flat, flat).other_energy_kept == 1.0


def test_small_and_different_pictures_are_refused(picture):
    with pytest.raises(InputError, match="at least 16x16"):
        figures(tensor(picture(15, 40)), tensor(picture(15, 40)))
    with pytest.raises(InputError, match="sizes differ"):
        figures(tensor(picture(20, 40)), tensor(picture(20, 41)))


def test_niqe_is_that_of_input_and_output_and_missing_for_small_pictures(picture):
    large, small = picture(192, 192, 3), picture(96, 96, 3)
    other = np.clip(large.astype(int) + np.random.default_rng(0).normal(0, 30, large.shape), 0, 255).astype(np.uint8)
    found = figures(tensor(large), tensor(other))
    assert (found.niqe_input, found.niqe_output) == (niqe(large), niqe(other))
    alone = figures(tensor(small), tensor(small))
    assert "niqe_input" not in alone.as_dict()
    assert Figures.mean([found, alone]).niqe_output == found.niqe_output
    assert Figures.mean([alone, alone]).niqe_output is None
    assert Figures.mean([found, alone]).mean_change == found.mean_change / 2
