"""Crops and flips: inside the picture, pixel by pixel those of it, evenly drawn."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from derain_cli.data.augment import crop_box, flip, orient

SEEDS = st.integers(0, 2**31)


def rng(seed):
    return np.random.default_rng(seed)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 60), SEEDS)
def test_crops_lie_inside_and_have_the_size(height, width, patch, seed):
    patch = min(patch, height, width)
    rows, columns = crop_box(height, width, patch, rng(seed))
    assert np.zeros((height, width))[rows, columns].shape == (patch, patch)
    assert 0 <= rows.start <= height - patch
    assert 0 <= columns.start <= width - patch


def test_every_place_is_drawn():
    found = {tuple(s.start for s in crop_box(6, 7, 4, rng(seed))) for seed in range(400)}
    assert found == {(row, column) for row in range(3) for column in range(4)}


@given(SEEDS)
def test_all_pictures_are_flipped_alike(seed):
    picture = rng(0).integers(0, 255, (5, 6, 3))
    one, other = flip([picture, picture + 1000], rng(seed))
    assert np.array_equal(one + 1000, other)
    assert any(np.array_equal(one, picture[::a, ::b]) for a in (1, -1) for b in (1, -1))


def test_the_four_flips_are_drawn_evenly():
    picture = np.arange(12).reshape(2, 2, 3)
    found: dict[bytes, int] = {}
    for seed in range(400):
        key = np.ascontiguousarray(flip([picture], rng(seed))[0]).tobytes()
        found[key] = found.get(key, 0) + 1
    assert len(found) == 4
    assert min(found.values()) > 60


def test_the_eight_orientations_are_drawn_evenly_and_keep_all_pixels():
    picture = np.arange(3 * 3 * 3).reshape(3, 3, 3)
    expected = {np.ascontiguousarray(np.rot90(p, k)).tobytes() for p in (picture, picture[:, ::-1]) for k in range(4)}
    found: dict[bytes, int] = {}
    for seed in range(800):
        key = np.ascontiguousarray(orient(picture, rng(seed))).tobytes()
        found[key] = found.get(key, 0) + 1
    assert set(found) == expected
    assert min(found.values()) > 60


@given(SEEDS)
def test_same_generator_same_choice_and_the_source_is_left_alone(seed):
    picture = rng(1).integers(0, 255, (4, 4, 3))
    kept = picture.copy()
    assert np.array_equal(orient(picture, rng(seed)), orient(picture, rng(seed)))
    assert np.array_equal(flip([picture], rng(seed))[0], flip([picture], rng(seed))[0])
    assert np.array_equal(picture, kept)
