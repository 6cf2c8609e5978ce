"""The camera's part in a rainy picture."""

from __future__ import annotations

import numpy as np
import pytest

from derain_cli.rain import MovingRain, Shower
from derain_cli.rain.finish import Finish

LIGHT = np.random.default_rng(0).random((24, 32, 3), np.float32)
SILENT = np.zeros_like(LIGHT)


def test_a_plain_camera_only_codes_and_clips() -> None:
    np.testing.assert_allclose(Finish()(2 * LIGHT, SILENT), np.minimum(2 * LIGHT, 1) ** (1 / 2.2), atol=1e-5)


def test_contrast_stretches_around_the_middle() -> None:
    plain, strong = Finish()(LIGHT, SILENT), Finish(contrast=1.2, middle=0.4)(LIGHT, SILENT)
    np.testing.assert_allclose(strong, np.clip(0.4 + 1.2 * (plain - 0.4), 0, 1), atol=1e-5)


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_sharpening_makes_an_edge_overshoot_and_leaves_flat_parts_alone(sharpness: float) -> None:
    step = np.full((16, 40, 3), 0.1, np.float32)
    step[:, 20:] = 0.3
    plain, crisp = (Finish(sharpness=s)(step, np.zeros_like(step)) for s in (0.0, sharpness))
    np.testing.assert_allclose(crisp[:, :10], plain[:, :10], atol=1e-5)
    assert crisp[:, 20].min() > plain[:, 20].max() + 0.01
    assert crisp[:, 19].max() < plain[:, 19].min() - 0.01


def test_noise_is_added_to_the_coded_picture() -> None:
    noise = np.full_like(LIGHT, 0.1)
    seen, plain = Finish()(LIGHT, noise), Finish()(LIGHT, SILENT)
    np.testing.assert_allclose(seen, np.minimum(plain + 0.1, 1), atol=1e-5)


def test_a_clip_is_seen_by_one_camera_with_and_without_streaks() -> None:
    clean = np.full((48, 64, 3), 0.5, np.float32)
    clean[:, 32:] = 0.3
    shower = Shower(noise=0.0, finish=Finish(contrast=1.2, sharpness=1.5))
    sample, plain = (MovingRain(48, 64, 1, one).frame(clean, 0) for one in (shower, Shower(noise=0.0)))
    dry = sample.layer < 1e-4
    assert np.abs(sample.clean - plain.clean).max() > 0.02
    np.testing.assert_allclose(sample.rainy[dry].mean(), sample.clean[dry].mean(), atol=0.02)


def test_showers_differ_in_their_cameras() -> None:
    drawn = [Shower.drawn(np.random.default_rng(seed)).finish for seed in range(40)]
    crisp = [finish.sharpness > 0 for finish in drawn]
    assert 5 < sum(crisp) < 35
    assert min(finish.contrast for finish in drawn) < 0.95 < 1.1 < max(finish.contrast for finish in drawn)
