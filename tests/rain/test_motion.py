"""Rain on clips: reproducible, moving streaks, a slow veil."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from derain_cli.errors import UsageError
from derain_cli.rain import PROFILES, MovingRain, Shower
from derain_cli.rain.profiles import RealRain

GREY = np.full((96, 120, 3), 0.3, np.float32)


def test_a_frame_is_the_same_bits_whichever_frames_came_before() -> None:
    rain = MovingRain(96, 120, seed=3)
    for index in range(4):
        rain.frame(GREY, index)
    again = MovingRain(96, 120, seed=3).frame(GREY, 4)
    assert np.array_equal(rain.frame(GREY, 4).rainy, again.rainy)
    assert not np.array_equal(again.rainy, MovingRain(96, 120, seed=4).frame(GREY, 4).rainy)


def test_values_are_in_range_and_the_picture_is_not_changed() -> None:
    sample = MovingRain(96, 120, seed=0).frame(GREY, 0)
    for made in (sample.rainy, sample.clean):
        assert made.dtype == np.float32 and made.shape == GREY.shape
        assert made.min() >= 0 and made.max() <= 1
    assert sample.layer.shape == (96, 120)
    assert (np.float32(0.3) == GREY).all()


def test_streaks_change_from_frame_to_frame_and_the_rest_hardly_does() -> None:
    rain = MovingRain(96, 120, seed=1, shower=Shower(noise=0.001))
    a, b = rain.frame(GREY, 10), rain.frame(GREY, 11)
    assert np.abs(a.clean - b.clean).mean() < 0.01
    assert np.abs(a.layer - b.layer).mean() > 0.3 * a.layer.mean()


def test_fine_streaks_fall_along_the_wind() -> None:
    """The layer of a frame, shifted down by the fall of the fine streaks, resembles the next one."""
    rain = MovingRain(96, 120, seed=2, shower=Shower(tilt=0.0, amount=0.3))
    far, step = rain._moving[0]
    rain._moving, rain._new, rain._fine, rain._wide = [(far, step)], [], None, None
    before, after = rain.frame(GREY, 5).layer, rain.frame(GREY, 6).layer
    down = round(6 * step) - round(5 * step)
    moved = np.corrcoef(before[:-down].ravel(), after[down:].ravel())[0, 1]
    assert moved > 0.98
    assert np.corrcoef(before.ravel(), after.ravel())[0, 1] < 0.5


def test_more_rain_is_more_rain() -> None:
    little, much = (
        np.mean([MovingRain(96, 120, seed, Shower(amount=amount)).frame(GREY, 0).layer.mean() for seed in range(12)])
        for amount in (0.1, 2.0)
    )
    assert much > 2 * little


def test_larger_frames_have_larger_streaks() -> None:
    """At twice the size, the same rain varies half as fast along a row."""

    def changes(scale: float) -> float:
        layers = [
            MovingRain(160, 160, seed, Shower(scale=scale)).frame(np.full((160, 160, 3), 0.4, np.float32), 0).layer
            for seed in range(6)
        ]
        return float(np.mean([np.abs(np.diff(layer, axis=1)).mean() / layer.mean() for layer in layers]))

    assert changes(2.0) < 0.75 * changes(1.0)


def test_curtains_and_streaks_out_of_focus_are_new_in_every_frame() -> None:
    profile = PROFILES["real"]
    assert isinstance(profile, RealRain)
    parts = {name: dataclasses.replace(getattr(profile, name), share=0.0) for name in ("far", "mid", "near", "long")}
    for name in ("curtain", "defocused"):
        other = "defocused" if name == "curtain" else "curtain"
        kinds = {
            name: dataclasses.replace(getattr(profile, name), share=1.0),
            other: dataclasses.replace(getattr(profile, other), share=0.0),
        }
        rain = MovingRain(96, 120, 3, Shower(amount=2.0), dataclasses.replace(profile, **parts, **kinds))
        one, same, other_frame = (rain.frame(GREY, index).layer for index in (4, 4, 5))
        assert np.array_equal(one, same)
        assert one.max() > 0.02
        assert abs(np.corrcoef(one.ravel(), other_frame.ravel())[0, 1]) < 0.3


@pytest.mark.parametrize("wrong", [GREY[:5], GREY.astype(np.float64)])
def test_other_frames_are_refused(wrong: np.ndarray) -> None:  # type: ignore[type-arg]
    with pytest.raises(UsageError):
        MovingRain(96, 120, seed=0).frame(wrong, 0)
