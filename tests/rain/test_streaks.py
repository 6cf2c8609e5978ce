"""Properties of one population of streaks."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from derain_cli.errors import UsageError
from derain_cli.rain.streaks import streak_layer, streak_mass

Layer = NDArray[np.float32]


def draw(seed: int = 0, height: int = 96, width: int = 96, **changes: Any) -> Layer:
    options: dict[str, Any] = {"density": 20.0, "length": 30.0, "thickness": 2.0, "angle": 0.0, **changes}
    return streak_layer(height, width, rng=np.random.default_rng(seed), **options)


def lean(layer: Layer) -> float:
    """Tilt from the vertical in degrees, positive if the upper end is to the right (structure tensor)."""
    gx, gy = cv2.Scharr(layer, cv2.CV_32F, 1, 0), cv2.Scharr(layer, cv2.CV_32F, 0, 1)
    xx, yy, xy = (float(v.mean()) for v in (gx * gx, gy * gy, gx * gy))
    return math.degrees(0.5 * math.atan2(2 * xy, xx - yy))


def half_width(layer: Layer) -> float:
    """Full width at half maximum of the streaks along rows, from the autocorrelation (Gaussian streaks)."""
    power = np.abs(np.fft.fft2(layer - layer.mean())) ** 2
    row = np.fft.ifft2(power).real[0, :12]
    row /= row[0]
    k = int(np.argmax(row < 0.5))
    return float(2 * (k - 1 + (row[k - 1] - 0.5) / (row[k - 1] - row[k])) / math.sqrt(2))


@pytest.mark.parametrize("size", [(1, 1), (1, 70), (70, 1), (2, 3), (33, 65), (400, 300)])
def test_the_layer_has_the_asked_shape(size: tuple[int, int]) -> None:
    layer = draw(height=size[0], width=size[1], density=200.0, angle=20.0, thickness_spread=0.3)
    assert layer.shape == size
    assert layer.dtype == np.float32
    assert layer.flags.c_contiguous
    assert np.isfinite(layer).all()
    assert layer.min() >= 0.0


@given(
    height=st.integers(1, 70),
    width=st.integers(1, 70),
    angle=st.floats(-180, 180),
    density=st.floats(0, 300),
    length=st.floats(0.5, 120),
    thickness=st.floats(0.1, 12),
    jitter=st.floats(0, 40),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=120, deadline=None)
def test_any_population_can_be_drawn(
    height: int,
    width: int,
    angle: float,
    density: float,
    length: float,
    thickness: float,
    jitter: float,
    seed: int,
) -> None:
    layer = streak_layer(
        height,
        width,
        rng=np.random.default_rng(seed),
        density=density,
        length=length,
        thickness=thickness,
        angle=angle,
        angle_jitter=jitter,
        length_spread=0.5,
        thickness_spread=0.3,
        brightness_spread=0.7,
        taper=0.6,
        lopsided=0.8,
        beads=0.7,
        bundle=2.0,
    )
    assert layer.shape == (height, width)
    assert layer.dtype == np.float32
    assert np.isfinite(layer).all()
    assert layer.min() >= 0.0


def test_the_seed_decides_every_bit() -> None:
    changes: dict[str, Any] = {
        "angle_jitter": 3.0,
        "length_spread": 0.4,
        "thickness_spread": 0.3,
        "brightness_spread": 0.5,
        "beads": 0.5,
    }
    np.random.seed(1)  # noqa: NPY002 - the global generator must not matter
    first = draw(3, **changes)
    np.random.seed(2)  # noqa: NPY002
    assert np.array_equal(first, draw(3, **changes))
    assert not np.array_equal(first, draw(4, **changes))


def test_the_global_generator_is_left_alone() -> None:
    np.random.seed(5)  # noqa: NPY002
    draw(1)
    after = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    assert after == np.random.random()  # noqa: NPY002


def test_no_density_is_no_rain() -> None:
    assert not draw(density=0.0).any()


def test_brightness_scales_the_layer() -> None:
    np.testing.assert_allclose(draw(brightness=0.25), 0.25 * draw(brightness=1.0), rtol=1e-5, atol=1e-7)


def test_more_density_is_more_rain() -> None:
    means = [float(draw(height=300, width=300, density=d).mean()) for d in (5.0, 20.0, 80.0)]
    assert means[1] == pytest.approx(4 * means[0], rel=0.3)
    assert means[2] == pytest.approx(4 * means[1], rel=0.3)


@pytest.mark.parametrize("angle", [-75.0, -44.0, -20.0, 0.0, 7.0, 30.0, 46.0, 80.0])
def test_streaks_lean_as_asked(angle: float) -> None:
    layer = draw(2, 300, 300, angle=angle, length=60.0, thickness=2.5)
    assert lean(layer) == pytest.approx(angle, abs=1.5)


def test_a_positive_angle_leans_the_upper_end_to_the_right() -> None:
    # One long streak across a small picture: going down, the brightest column moves left.
    layer = draw(0, 60, 200, angle=30.0, length=600.0, density=0.6, thickness=3.0)
    rows = np.flatnonzero(layer.max(axis=1) > 0.5)
    assert rows.size > 10
    shift = np.corrcoef(np.arange(60), (layer * np.arange(200)).sum(axis=1) / np.maximum(layer.sum(axis=1), 1e-6))
    assert shift[0, 1] < 0.0


@pytest.mark.parametrize("thickness", [1.5, 2.5, 5.0])
def test_streaks_are_as_thick_as_asked(thickness: float) -> None:
    layer = draw(1, 400, 400, thickness=thickness, length=60.0, density=8.0)
    assert half_width(layer) == pytest.approx(thickness, rel=0.12)


@pytest.mark.parametrize("length", [10.0, 40.0])
def test_streaks_are_as_long_as_asked(length: float) -> None:
    layer = draw(1, 500, 500, length=length, density=4.0)
    power = np.abs(np.fft.fft2(layer - layer.mean())) ** 2
    column = np.fft.ifft2(power).real[:200, 0]
    # The autocorrelation of a uniform line of length L drops to one half at L / 2.
    assert 2 * int(np.argmax(column < 0.5 * column[0])) == pytest.approx(length, abs=0.1 * length + 2)


@pytest.mark.parametrize("angle", [0.0, 25.0, 70.0])
def test_the_border_is_as_wet_as_the_middle(angle: float) -> None:
    stack = [
        draw(
            s, 48, 48, angle=angle, density=60.0, angle_jitter=2.0, length_spread=0.4, thickness_spread=0.3, bundle=1.5
        )
        for s in range(400)
    ]
    mean = np.mean(stack, axis=0)
    middle = mean[12:36, 12:36].mean()
    for border in (mean[:3], mean[-3:], mean[:, :3], mean[:, -3:]):
        assert border.mean() == pytest.approx(middle, rel=0.12)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"thickness": 0.5},
        {"angle": 35.0},
        {"taper": 0.7, "lopsided": 0.8},
        {"beads": 1.0},
        {"length_spread": 0.5, "thickness_spread": 0.3, "brightness_spread": 0.8},
        {"bundle": 3.0},
    ],
)
def test_the_mean_is_the_mass_times_the_density(changes: dict[str, float]) -> None:
    options = {"density": 40.0, "length": 30.0, "thickness": 2.0, "brightness": 0.3, **changes}
    mass = streak_mass(
        options["length"],
        options["thickness"],
        **{k: v for k, v in options.items() if k in ("taper", "length_spread", "thickness_spread", "beads")},
    )
    wanted = options["density"] * 1e-4 * options["brightness"] * mass
    measured = np.mean([draw(s, 300, 300, **options).mean() for s in range(6)])
    assert measured == pytest.approx(wanted, rel=0.08)


def test_bundles_leave_the_mean_and_add_gaps() -> None:
    alone, together = (np.stack([draw(s, 200, 200, bundle=b, density=30.0) for s in range(12)]) for b in (1.0, 6.0))
    assert together.mean() == pytest.approx(alone.mean(), rel=0.15)
    assert (together < 0.01).mean() > (alone < 0.01).mean()


@pytest.mark.parametrize(
    "changes",
    [
        {"density": -1.0},
        {"density": math.nan},
        {"density": 20_000.0},
        {"length": 0.0},
        {"thickness": 0.0},
        {"end_softness": 0.0},
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        draw(**changes)
    with pytest.raises(UsageError):
        draw(height=0)
