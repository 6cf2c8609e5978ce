"""Crops and flips: inside the picture, pixel-exact, uniformly distributed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from derain_cli.data.augment import crop_box, cut_warped, flip, orient, recoloured, upright_detail

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


@given(st.integers(20, 90), st.integers(20, 90), st.integers(16, 20), SEEDS)
def test_warped_crops_have_the_size_and_the_colours_of_the_picture(height, width, patch, seed):
    ramp = np.linspace(60, 180, height * width).reshape(height, width, 1)
    picture = np.broadcast_to(ramp, (height, width, 3)).astype(np.uint8)
    cut = cut_warped(picture, patch, rng(seed))
    assert cut.shape == (patch, patch, 3)
    assert cut.dtype == np.uint8
    assert cut.min() >= 60
    assert cut.max() <= 180


def test_warped_crops_are_turned_and_scaled():
    """Uniform bars come out in many directions and at many distances."""
    bars = np.broadcast_to((np.arange(300)[None, :, None] // 5 % 2 * 200).astype(np.uint8), (300, 300, 3))
    tilts, periods = [], []
    for seed in range(60):
        grey = cut_warped(np.ascontiguousarray(bars), 64, rng(seed))[..., 0].astype(float)
        spectrum = np.abs(np.fft.fft2(grey - grey.mean()))[:33]
        row, column = np.unravel_index(spectrum.argmax(), spectrum.shape)
        column = column - 64 if column > 32 else column
        tilts.append(np.degrees(np.arctan2(row, column)) % 180)
        periods.append(64 / np.hypot(row, column))
    leaning = [min(t, 180 - t) for t in tilts]
    assert max(leaning) > 35
    assert min(leaning) < 8
    assert max(leaning) < 55
    assert min(periods) < 8
    assert max(periods) > 13


def test_upright_detail_is_that_of_upright_lines():
    upright = np.broadcast_to((np.arange(40)[None, :, None] % 4 < 2) * np.uint8(100), (40, 40, 3))
    lying = upright.transpose(1, 0, 2)
    noise = rng(0).integers(0, 100, (40, 40, 3), np.uint8)
    assert upright_detail(upright) > 3 * upright_detail(noise)
    assert upright_detail(upright) > 3 * upright_detail(lying)
    assert upright_detail(np.full((40, 40, 3), 7, np.uint8)) == 0


def test_recoloured_scenes_keep_their_edges_and_often_lack_a_channel():
    picture = np.zeros((40, 40, 3), np.uint8)
    picture[:, :20], picture[:, 20:] = (60, 90, 120), (200, 180, 160)
    lacking = 0
    for seed in range(200):
        made = recoloured(picture, rng(seed))
        assert made.dtype == np.uint8 and made.shape == picture.shape
        assert np.ptp(made[:, :20].reshape(-1, 3), axis=0).max() == 0
        assert np.ptp(made[:, 20:].reshape(-1, 3), axis=0).max() == 0
        channels = made.reshape(-1, 3).mean(0)
        lacking += channels.min() < 0.15 * channels.max()
    assert 40 < lacking < 180
