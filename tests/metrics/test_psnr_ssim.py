"""PSNR and SSIM compared with scikit-image and with a slow version of the MATLAB formulas."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from derain_cli.errors import InputError
from derain_cli.metrics import IDENTICAL_PSNR, PROTOCOLS, luma, psnr, quantise, score, score_levels, ssim


def tensor(picture):
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255


def random_pair(seed, height=40, width=47):
    rng = np.random.default_rng(seed)
    clean = rng.integers(0, 256, (height, width, 3)).astype(np.uint8)
    noise = rng.normal(0, rng.uniform(0.5, 60), clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8), clean


def smooth_pair(picture, seed, height=37, width=52):
    clean = picture(height, width, seed)
    noise = np.random.default_rng(seed + 100).normal(0, 2 + 6 * seed, clean.shape)
    return np.clip(clean + noise, 0, 255).astype(np.uint8), clean


def slow_luma(picture):
    """MATLAB's rgb2ycbcr for uint8: weights for [0, 1], offset 16, rounded half up, one pixel at a time."""
    out = np.empty(picture.shape[:2])
    for row in range(picture.shape[0]):
        for column in range(picture.shape[1]):
            r, g, b = (float(v) / 255 for v in picture[row, column])
            out[row, column] = math.floor(65.481 * r + 128.553 * g + 24.966 * b + 16 + 0.5)
    return out


def slow_gaussian_ssim(one, other):
    """ssim.m of Wang et al.: fspecial('gaussian', 11, 1.5), 'valid', one window at a time."""
    axis = np.arange(-5, 6)
    kernel = np.exp(-(axis[:, None] ** 2 + axis[None] ** 2) / (2 * 1.5**2))
    kernel /= kernel.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for row in range(one.shape[0] - 10):
        for column in range(one.shape[1] - 10):
            a, b = one[row : row + 11, column : column + 11], other[row : row + 11, column : column + 11]
            mu_a, mu_b = (kernel * a).sum(), (kernel * b).sum()
            var_a, var_b = (kernel * (a - mu_a) ** 2).sum(), (kernel * (b - mu_b) ** 2).sum()
            cov = (kernel * (a - mu_a) * (b - mu_b)).sum()
            values.append((2 * mu_a * mu_b + c1) * (2 * cov + c2) / ((mu_a**2 + mu_b**2 + c1) * (var_a + var_b + c2)))
    return float(np.mean(values))


def slow_psnr(one, other):
    return 10 * math.log10(255**2 / float(np.mean((one.astype(float) - other.astype(float)) ** 2)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("kind", ["random", "smooth"])
def test_rgb_is_scikit_image(picture, kind, seed):
    restored, clean = random_pair(seed) if kind == "random" else smooth_pair(picture, seed)
    (found,) = score(tensor(restored), tensor(clean))
    assert found["rgb"].psnr == pytest.approx(peak_signal_noise_ratio(clean, restored, data_range=255), abs=1e-6)
    expected = structural_similarity(clean, restored, channel_axis=2, data_range=255)
    assert found["rgb"].ssim == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", ["random", "smooth"])
def test_y_is_the_matlab_formulas(picture, kind, seed):
    restored, clean = random_pair(seed, 24, 30) if kind == "random" else smooth_pair(picture, seed, 24, 30)
    (found,) = score(tensor(restored), tensor(clean))
    one, other = slow_luma(restored), slow_luma(clean)
    assert found["y"].psnr == pytest.approx(slow_psnr(one, other), abs=1e-6)
    assert found["y"].ssim == pytest.approx(slow_gaussian_ssim(one, other), abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
def test_y_ssim_is_scikit_image_with_gaussian_weights_and_no_border(picture, seed):
    restored, clean = smooth_pair(picture, seed, 41, 60)
    (found,) = score(tensor(restored), tensor(clean))
    one, other = slow_luma(restored), slow_luma(clean)
    _, values = structural_similarity(
        other, one, data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    assert found["y"].ssim == pytest.approx(float(values[5:-5, 5:-5].mean()), abs=1e-6)


def test_luma_of_known_colours():
    """Corners of the colour cube as converted by MATLAB's rgb2ycbcr for uint8."""
    colours = [(0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)]
    picture = torch.tensor(colours, dtype=torch.float64).T.reshape(1, 3, 1, -1)
    assert luma(picture).flatten().tolist() == [16, 235, 81, 145, 41, 126]


@pytest.mark.parametrize("red", [0, 1, 60, 127, 128, 201, 254, 255])
def test_luma_is_the_nearest_integer_for_any_green_and_blue(red):
    """In integers, so that rounding hides nothing. A few colours are exactly half-way: either result is right."""
    green, blue = np.meshgrid(np.arange(256), np.arange(256), indexing="ij")
    exact = 65_481 * red + 128_553 * green + 24_966 * blue + 16 * 255_000
    colours = torch.from_numpy(np.stack([np.full_like(green, red), green, blue])[None]).double()
    found = luma(colours)[0, 0].numpy().astype(np.int64)
    assert np.all(2 * np.abs(255_000 * found - exact) <= 255_000)


def test_luma_of_a_picture_of_many_colours_is_the_slow_one(picture):
    levels = np.random.default_rng(0).integers(0, 256, (30, 41, 3)).astype(np.uint8)
    expected = slow_luma(levels)
    assert np.array_equal(luma(torch.from_numpy(levels).permute(2, 0, 1)[None])[0, 0].numpy(), expected)
    # Compared with itself plus one level everywhere: shows which luma is scored.
    other = slow_luma(255 - levels)
    assert score_levels(levels, 255 - levels)["y"].psnr == pytest.approx(slow_psnr(expected, other), abs=1e-9)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_identical_pictures_count_as_100_db(picture, protocol):
    same = tensor(picture(20, 20, 3))
    (found,) = score(same, same.clone())
    assert found[protocol].psnr == IDENTICAL_PSNR == 100.0
    assert found[protocol].ssim == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_symmetric(seed):
    one, other = (tensor(p) for p in random_pair(seed))
    forth, back = score(one, other)[0], score(other, one)[0]
    for protocol in PROTOCOLS:
        assert forth[protocol] == pytest.approx(back[protocol], abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.integers(11, 30), st.integers(11, 30))
def test_ranges_for_any_pictures(seed, height, width):
    one, other = (tensor(p) for p in random_pair(seed, height, width))
    for value in score(one, other)[0].values():
        assert 0 <= value.psnr <= 100
        assert -1 <= value.ssim <= 1


def test_more_noise_scores_less(picture):
    clean = picture(40, 40, 1)
    noise = np.random.default_rng(0).normal(0, 1, clean.shape)
    rows = []
    for sigma in (1, 3, 9, 27):
        noisy = np.clip(np.rint(clean + sigma * noise), 0, 255).astype(np.uint8)
        rows.append(score(tensor(noisy), tensor(clean))[0])
    for protocol in PROTOCOLS:
        assert all(a[protocol].psnr > b[protocol].psnr + 3 for a, b in itertools.pairwise(rows))
        assert all(a[protocol].ssim > b[protocol].ssim for a, b in itertools.pairwise(rows))


def test_outputs_are_rounded_and_clamped_not_truncated():
    values = torch.tensor([-0.3, 0.0, 0.49 / 255, 0.51 / 255, 99.6 / 255, 100.4 / 255, 254.51 / 255, 1.0, 1.7])
    assert quantise(values).tolist() == [0, 0, 0, 1, 100, 100, 255, 255, 255]


def test_a_difference_below_half_a_level_is_none(picture):
    clean = tensor(picture(16, 16, 2)).clamp(0.1, 0.9)
    clean = quantise(clean).float() / 255
    (near,) = score(clean + 0.45 / 255, clean)
    (next_level,) = score(clean + 0.55 / 255, clean)
    assert near["rgb"].psnr == IDENTICAL_PSNR
    assert next_level["rgb"].psnr == pytest.approx(20 * math.log10(255), abs=1e-9)


def test_a_batch_scores_like_its_pictures_one_by_one():
    pairs = [tuple(tensor(p) for p in random_pair(seed)) for seed in range(3)]
    together = score(torch.cat([a for a, _ in pairs]), torch.cat([b for _, b in pairs]))
    assert len(together) == 3
    for (a, b), found in zip(pairs, together, strict=True):
        for protocol in PROTOCOLS:
            assert found[protocol] == pytest.approx(score(a, b)[0][protocol], abs=1e-12)


@pytest.mark.parametrize("other", [(1, 3, 20, 21), (1, 3, 19, 20), (2, 3, 20, 20)])
def test_different_sizes_are_refused_not_resized(other):
    with pytest.raises(InputError, match="sizes differ"):
        score(torch.rand(1, 3, 20, 20), torch.rand(other))
    with pytest.raises(InputError, match="sizes differ"):
        score_levels(np.zeros((20, 20, 3), np.uint8), np.zeros((20, 21, 3), np.uint8))


@pytest.mark.parametrize(("height", "width"), [(10, 40), (40, 10), (1, 1)])
def test_pictures_smaller_than_the_window_are_refused(height, width):
    with pytest.raises(InputError, match="at least"):
        score(torch.rand(1, 3, height, width), torch.rand(1, 3, height, width))
    eleven = torch.rand(1, 3, 11, 11)
    assert len(score(eleven, eleven)) == 1


def test_uniform_window_alone_needs_seven_pixels():
    assert ssim(torch.rand(1, 1, 7, 7), torch.rand(1, 1, 7, 7), window="uniform").shape == (1,)
    with pytest.raises(InputError, match="7x7"):
        ssim(torch.rand(1, 1, 6, 7), torch.rand(1, 1, 6, 7), window="uniform")


def test_pictures_of_many_blocks_score_as_one(picture):
    """Blocks of a wide and of a tall picture, compared with scikit-image, which has no blocks."""
    for height, width in ((60, 1100), (300, 90)):
        restored, clean = smooth_pair(picture, 1, height, width)
        (found,) = score(tensor(restored), tensor(clean))
        assert found["rgb"].psnr == pytest.approx(peak_signal_noise_ratio(clean, restored, data_range=255), abs=1e-6)
        expected = structural_similarity(clean, restored, channel_axis=2, data_range=255)
        assert found["rgb"].ssim == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("level", [0, 255])
def test_flat_pictures_keep_their_digits(level):
    """Where nothing varies, variances are differences of large numbers: float32 must not lose them."""
    flat = np.full((40, 40, 3), level, np.uint8)
    other = np.where(np.indices((40, 40)).sum(0)[..., None] % 2, flat, flat ^ 1).astype(np.uint8)
    (found,) = score(tensor(other), tensor(flat))
    expected = structural_similarity(flat, other, channel_axis=2, data_range=255)
    assert found["rgb"].ssim == pytest.approx(expected, abs=1e-6)
    assert found["y"].ssim == pytest.approx(slow_gaussian_ssim(slow_luma(other), slow_luma(flat)), abs=1e-6)


@pytest.mark.parametrize("size", [(11, 11), (23, 40), (70, 900), (130, 90)])
def test_a_cpu_and_other_devices_agree(picture, size):
    """On a CPU OpenCV scores integers; the path of other devices is run here on a CPU, step by step."""
    levels = smooth_pair(picture, 2, *size)
    one, other = (torch.from_numpy(p).permute(2, 0, 1)[None] for p in levels)
    found = score_levels(*levels)
    assert found["rgb"].psnr == pytest.approx(float(psnr(one, other)), abs=1e-9)
    assert found["rgb"].ssim == pytest.approx(float(ssim(one, other, window="uniform")), abs=1e-6)
    assert found["y"].psnr == pytest.approx(float(psnr(luma(one), luma(other))), abs=1e-9)
    assert found["y"].ssim == pytest.approx(float(ssim(luma(one), luma(other), window="gaussian")), abs=1e-6)


@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_no_sum_overflows(level):
    """The largest sums of squares, products and differences possible with 8 bits, including flat pictures."""
    flat = np.full((24, 30, 3), level, np.uint8)
    for other in (
        255 - flat,
        np.where(np.indices((24, 30)).sum(0)[..., None] % 2, 0, 255).astype(np.uint8).repeat(3, 2),
    ):
        found = score_levels(other, flat)
        expected = structural_similarity(flat, other, channel_axis=2, data_range=255)
        assert found["rgb"].ssim == pytest.approx(expected, abs=1e-6)
        assert found["y"].ssim == pytest.approx(slow_gaussian_ssim(slow_luma(other), slow_luma(flat)), abs=1e-6)


def test_pictures_that_are_cut_out_of_others_score_as_copies(picture):
    """Halves of a side-by-side picture are views of it: their rows are not contiguous."""
    wide = picture(40, 60, 1)
    left, right = wide[:, :30], wide[:, 30:]
    assert score_levels(left, right) == score_levels(left.copy(), right.copy())


def test_uint8_pictures_score_as_their_floats():
    one, other = (torch.from_numpy(p).permute(2, 0, 1)[None] for p in random_pair(5))
    assert score(one, other) == score(one.float() / 255, other.float() / 255)


def test_arguments_are_left_alone():
    one, other = torch.rand(1, 3, 12, 12) * 1.5, torch.rand(1, 3, 12, 12)
    kept = one.clone(), other.clone()
    score(one, other)
    assert torch.equal(one, kept[0])
    assert torch.equal(other, kept[1])


def test_float32_pictures_are_measured_in_float64():
    one = torch.full((1, 1, 200, 200), 100.0)
    other = one.clone()
    other[0, 0, 0, 0] = 101.0
    assert float(psnr(one, other)) == pytest.approx(10 * math.log10(255**2 * 40_000), abs=1e-9)
