"""NIQE compared with a slow scipy implementation, and with figures of another implementation."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import convolve
from scipy.special import gamma

from derain_cli.metrics.niqe import BLOCK, _half, _model, niqe
from tests.standins import clean_picture, rainy_picture


def slow_gaussian(block):
    """estimateaggdparam.m: the shape is searched among 0.2, 0.201, ... 10."""
    tried = np.arange(0.2, 10.001, 0.001)
    ratios = gamma(2 / tried) ** 2 / (gamma(1 / tried) * gamma(3 / tried))
    left, right = np.sqrt(np.mean(block[block < 0] ** 2)), np.sqrt(np.mean(block[block > 0] ** 2))
    skew = left / right
    ratio = np.mean(np.abs(block)) ** 2 / np.mean(block**2)
    ratio *= (skew**3 + 1) * (skew + 1) / (skew**2 + 1) ** 2
    alpha = tried[np.argmin((ratios - ratio) ** 2)]
    scale = np.sqrt(gamma(1 / alpha) / gamma(3 / alpha))
    return alpha, left * scale, right * scale


def slow_features(block):
    alpha, left, right = slow_gaussian(block)
    found = [alpha, (left + right) / 2]
    for shift in ((0, 1), (1, 0), (1, 1), (1, -1)):
        alpha, left, right = slow_gaussian(block * np.roll(block, shift, axis=(0, 1)))
        found += [alpha, (right - left) * gamma(2 / alpha) / gamma(1 / alpha), left, right]
    return found


def slow_niqe(picture, half):
    rows, columns = picture.shape[0] // 96, picture.shape[1] // 96
    grey = np.rint(picture[: rows * 96, : columns * 96].astype(float) @ [0.2989, 0.5870, 0.1140])
    axis = np.arange(-3, 4)
    window = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * (7 / 6) ** 2))
    window /= window.sum()
    scales = []
    for level, side in ((grey, 96), (half(grey), 48)):
        mean = convolve(level, window, mode="nearest")
        deviation = np.sqrt(np.abs(convolve(level**2, window, mode="nearest") - mean**2))
        normal = (level - mean) / (deviation + 1)
        blocks = [
            normal[r * side : (r + 1) * side, c * side : (c + 1) * side] for r in range(rows) for c in range(columns)
        ]
        scales.append([slow_features(block) for block in blocks])
    features = np.concatenate(scales, axis=1)
    model = _model()
    away = model.mean - features.mean(0)
    return float(np.sqrt(away @ np.linalg.pinv((model.covariance + np.cov(features, rowvar=False)) / 2) @ away))


@pytest.mark.parametrize("size", [(192, 192), (200, 300), (96, 211)])
def test_niqe_is_the_slow_one(size):
    picture = rainy_picture(*size, 3)
    assert niqe(picture) == pytest.approx(slow_niqe(picture, _half), abs=1e-6)


@pytest.mark.parametrize(("make", "expected"), [(clean_picture, 7.5442926), (rainy_picture, 8.6009725)])
def test_niqe_is_that_of_another_implementation(make, expected):
    """BasicSR 1.4.2 on the same grey levels, in float64; generated pictures."""
    assert niqe(make(200, 300, 1)) == pytest.approx(expected, abs=1e-3)


def test_half_size_keeps_what_is_smooth():
    rows, columns = np.indices((40, 60)).astype(float)
    smooth = 3 * rows + 2 * columns + 7
    found = _half(smooth)
    assert found.shape == (20, 30)
    # The kernel preserves a plane away from the mirrored borders; pixel centres are shifted by half a pixel.
    assert found[3:-3, 3:-3] == pytest.approx((3 * (rows + 0.5) + 2 * (columns + 0.5) + 7)[6:-6:2, 6:-6:2], abs=1e-9)


def test_noise_and_blur_are_less_natural_than_a_photograph_like_picture():
    rng = np.random.default_rng(0)
    walk = rng.normal(0, 1, (384, 384, 3))
    spectrum = np.fft.fftn(walk, axes=(0, 1))
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(384), np.fft.fftfreq(384)))
    natural = np.real(np.fft.ifftn(spectrum / np.maximum(frequency, 1 / 384)[..., None], axes=(0, 1)))
    natural = np.clip(128 + 40 * natural / natural.std(), 0, 255).astype(np.uint8)
    noisy = np.clip(natural + rng.normal(0, 40, natural.shape), 0, 255).astype(np.uint8)
    assert niqe(noisy) > niqe(natural) + 1


@pytest.mark.parametrize("size", [(BLOCK, 2 * BLOCK - 1), (40, 500), (BLOCK - 1, 400)])
def test_small_pictures_have_no_score(size):
    assert niqe(clean_picture(*size, 1)) is None


@pytest.mark.parametrize("level", [0, 128, 255])
def test_flat_pictures_have_no_score_and_warn_of_nothing(level):
    assert niqe(np.full((200, 300, 3), level, np.uint8)) is None


def test_flat_blocks_are_left_out():
    picture = rainy_picture(192, 384, 2).copy()
    picture[:, 288:] = 200
    found = niqe(picture)
    assert found is not None
    assert np.isfinite(found)
