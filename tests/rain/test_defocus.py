"""Out-of-focus streaks: a moving disc."""

from __future__ import annotations

import math

import numpy as np
import pytest

from derain_cli.errors import UsageError
from derain_cli.rain.defocus import _draw, defocused_layer


def one(length, diameter, theta=0.0, softness=0.5, size=121):
    """One streak in the middle of a layer."""
    layer = np.zeros((size, size), np.float32)
    _draw(layer, (size // 2, size // 2), length / 2, diameter / 2, math.radians(theta), 1.0, softness)
    return layer


def moved_disc(length, diameter, size=121, steps=400):
    """The same, computed by summing a disc at many positions of its path."""
    y, x = np.mgrid[:size, :size].astype(float) - size // 2
    total = np.zeros((size, size))
    for place in (np.arange(steps) + 0.5) / steps * length - length / 2:
        total += (y - place) ** 2 + x**2 <= (diameter / 2) ** 2
    return total * (length / steps) / min(length, diameter)


@pytest.mark.parametrize(("length", "diameter"), [(60.0, 20.0), (20.0, 20.0), (12.0, 40.0)])
def test_a_streak_is_the_exposure_of_a_moving_disc(length, diameter):
    ours, slow = one(length, diameter), moved_disc(length, diameter)
    assert np.abs(ours - slow).mean() < 0.02 * slow.max()
    assert ours.sum() == pytest.approx(slow.sum(), rel=0.05)


def test_a_drop_that_stands_still_is_a_disc():
    disc = one(0.0, 20.0)
    assert disc.sum() == pytest.approx(math.pi * 100, rel=0.03)
    assert disc.max() == 1
    assert (disc > 0.9).sum() > 0.85 * disc.sum()  # flat, unlike a Gaussian


def test_a_tilted_streak_is_the_upright_one_turned():
    upright, lying = one(60.0, 16.0), one(60.0, 16.0, theta=90.0)
    assert np.allclose(lying, upright.T, atol=1e-3)
    leaning = one(60.0, 16.0, theta=30.0)
    rows, columns = np.nonzero(leaning > 0.5)
    assert np.polyfit(rows, columns, 1)[0] == pytest.approx(-math.tan(math.radians(30)), abs=0.05)


def layer(seed=0, height=100, width=140, **changes):
    options = {"density": 2.0, "length": 30.0, "diameter": 8.0, "angle": 10.0} | changes
    return defocused_layer(height, width, rng=np.random.default_rng(seed), **options)


def test_the_border_is_as_wet_as_the_middle():
    mean = np.mean([layer(seed, density=8.0) for seed in range(80)], axis=0)
    edge = np.concatenate([mean[:5].ravel(), mean[-5:].ravel(), mean[:, :5].ravel(), mean[:, -5:].ravel()])
    assert edge.mean() == pytest.approx(mean[20:-20, 20:-20].mean(), rel=0.2)


def test_wider_discs_make_wider_streaks_and_twice_the_density_twice_the_rain():
    def share(**changes):
        return np.mean([layer(seed, **changes).mean() for seed in range(40)])

    assert share(diameter=16.0) > 1.7 * share()
    assert share(density=4.0) == pytest.approx(2 * share(), rel=0.25)
    assert not layer(density=0.0).any()


def test_the_generator_decides_every_bit():
    assert np.array_equal(layer(3), layer(3))
    assert not np.array_equal(layer(3), layer(4))


@pytest.mark.parametrize(
    "wrong", [{"height": 0}, {"density": -1.0}, {"length": -1.0}, {"diameter": 0.0}, {"softness": 0.0}]
)
def test_what_is_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError):
        layer(**wrong)
