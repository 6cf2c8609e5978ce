"""Selecting the best weights of a run with real photos: removed rain counts in favour, other losses against."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from derain_cli.rain import add_rain
from derain_cli.training.drift import RealWatch
from derain_cli.training.selection import HARM, Gain, Selection


def scene(seed):
    """A photo-like picture with vertical detail of its own."""
    rng = np.random.default_rng(seed)
    picture = cv2.GaussianBlur(rng.normal(110, 60, (96, 96, 3)), (0, 0), 6) + rng.normal(0, 4, (96, 96, 3))
    for _ in range(8):
        left, top = rng.integers(0, 80, 2)
        picture[top : top + 40, left : left + rng.integers(2, 12)] += rng.uniform(-50, 50, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


CLEAN = {seed: scene(seed) for seed in range(12)}
RAINY = {
    seed: np.rint(255 * add_rain(CLEAN[seed].astype(np.float32) / 255, "light", np.random.default_rng(seed)).rainy)
    for seed in range(6)
}


@pytest.fixture
def selection():
    real = RealWatch(list(range(6)), lambda seed: RAINY[seed].astype(np.uint8), side=96)
    clean = RealWatch(list(range(6, 12)), lambda seed: CLEAN[seed], side=96)
    return Selection(real, clean, budget=0.1)


def oracle(picture):
    """Removes the rain from rainy pictures and leaves the others unchanged."""
    for seed, rainy in RAINY.items():
        if np.array_equal(picture, rainy):
            return CLEAN[seed]
    return picture


def half(picture):
    return ((picture.astype(int) + oracle(picture)) // 2).astype(np.uint8)


def blur(picture):
    return cv2.GaussianBlur(picture, (0, 0), 2)


def sideways(picture):
    """Removes any fine vertical detail."""
    return cv2.blur(picture, (9, 1))


def gain(selection, restore, psnr=30.0) -> Gain:
    found = selection.measure(restore, psnr)
    assert found is not None
    return found[0]


def test_taking_out_rain_wins_and_blurring_does_not(selection):
    nothing, some, all_of_it = (gain(selection, r).value for r in (lambda p: p, half, oracle))
    assert nothing == pytest.approx(0, abs=1e-6)
    assert 0.05 < some < all_of_it
    for spoiling in (blur, sideways):
        spoilt = gain(selection, spoiling)
        assert spoilt.removed > gain(selection, half).removed, "by what goes from rainy pictures alone it would win"
        assert spoilt.value < nothing


def test_harm_counts_more_than_rain():
    assert Gain(30, 0.5, 0.1).value == pytest.approx(0.5 - HARM * 0.1)
    assert Gain(30, 0.5, -0.1).value == pytest.approx(0.5), "what is added to clean pictures is no gain"


def test_only_within_the_budget(selection):
    assert selection.is_best(gain(selection, lambda p: p, 30.0)), "the start is the best there is"
    assert not selection.is_best(gain(selection, oracle, 29.8))
    assert selection.is_best(gain(selection, half, 29.95))
    assert selection.is_best(gain(selection, oracle, 29.91))
    assert not selection.is_best(gain(selection, half, 31.0)), "a better score on pairs alone is not better"
    assert not selection.is_best(gain(selection, oracle, 29.91)), "what is equal does not replace it"


def test_it_goes_on_from_its_state(selection):
    selection.is_best(gain(selection, lambda p: p, 30.0))
    selection.is_best(gain(selection, half, 30.0))
    other = Selection(selection.real, selection.clean, 0.1)
    other.load_state(selection.state())
    assert (other.start, other.best) == (selection.start, selection.best)
    fresh = Selection(selection.real, selection.clean, 0.1)
    fresh.load_state({})
    assert fresh.best is None


def test_without_pictures_there_is_nothing_to_measure(selection):
    empty = RealWatch([], lambda seed: CLEAN[0])
    assert Selection(empty, selection.clean, 0.1).measure(oracle, 30.0) is None
    assert Selection(selection.real, empty, 0.1).measure(oracle, 30.0) is None
