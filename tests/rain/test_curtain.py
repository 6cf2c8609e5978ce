"""Curtains of fine rain: mean, direction, reproducibility."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from derain_cli.errors import UsageError
from derain_cli.rain.curtain import curtain
from derain_cli.rain.streaks import streak_layer


def field(seed=0, height=160, width=200, **changes):
    options = {"density": 0.1, "length": 12.0, "thickness": 1.2, "angle": 0.0} | changes
    return curtain(height, width, rng=np.random.default_rng(seed), **options)


def direction(layer) -> float:
    """Tilt of a layer from the vertical in degrees, from its gradients."""
    gx, gy = cv2.Scharr(layer, cv2.CV_32F, 1, 0), cv2.Scharr(layer, cv2.CV_32F, 0, 1)
    return 0.5 * np.degrees(np.arctan2(2 * (gx * gy).mean(), (gx * gx - gy * gy).mean()))


@pytest.mark.parametrize("density", [0.02, 0.3, 2.0])
@pytest.mark.parametrize("length", [0.0, 5.0, 40.0])
def test_the_mean_is_one_to_the_edge(density, length):
    layers = [field(seed, density=density, length=length) for seed in range(12)]
    assert np.mean(layers) == pytest.approx(1, rel=0.1)
    edge = np.mean([np.concatenate([layer[:4].ravel(), layer[:, -4:].ravel()]) for layer in layers])
    assert edge == pytest.approx(1, rel=0.25)
    assert min(layer.min() for layer in layers) >= 0


@pytest.mark.parametrize("angle", [-60.0, -25.0, 0.0, 10.0, 45.0])
def test_streaks_lean_as_they_are_told(angle):
    """A positive tilt leans the upper end to the right, as in `streak_layer`."""
    population = {"density": 40.0, "length": 20.0, "thickness": 1.5, "angle": angle}
    counted = streak_layer(160, 200, rng=np.random.default_rng(0), **population)
    ours = np.mean([direction(field(seed, angle=angle, length=20.0)) for seed in range(4)])
    assert ours == pytest.approx(angle, abs=4)
    assert ours == pytest.approx(direction(counted), abs=8)


def test_denser_is_more_even():
    assert field(density=2.0).std() < 0.6 * field(density=0.1).std()


def test_jitter_blurs_the_direction():
    def coherence(layer):
        gx, gy = cv2.Scharr(layer, cv2.CV_32F, 1, 0), cv2.Scharr(layer, cv2.CV_32F, 0, 1)
        return np.hypot((gx * gx - gy * gy).mean(), 2 * (gx * gy).mean()) / (gx * gx + gy * gy).mean()

    assert coherence(field(angle_jitter=15.0, length=25.0)) < coherence(field(length=25.0))


def test_the_generator_decides_every_bit():
    assert np.array_equal(field(3), field(3))
    assert not np.array_equal(field(3), field(4))


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (37, 2)])
def test_any_size_works(size):
    layer = field(height=size[0], width=size[1])
    assert layer.shape == size
    assert layer.dtype == np.float32


@pytest.mark.parametrize(
    "wrong",
    [{"height": 0}, {"density": 0.0}, {"density": 5.0}, {"length": -1.0}, {"length": 201.0}, {"thickness": 0.0}],
)
def test_what_is_out_of_range_is_refused(wrong):
    with pytest.raises(UsageError):
        field(**wrong)
