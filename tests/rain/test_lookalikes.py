"""Drawn lookalikes of rain, and plain colours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.errors import UsageError
from derain_cli.rain.lookalikes import LOOKALIKES, framed, lookalike, plain


def ground(height=96, width=112):
    return np.broadcast_to(np.linspace(0.2, 0.6, width, dtype=np.float32)[None, :, None], (height, width, 3)).copy()


@pytest.mark.parametrize("kind", LOOKALIKES)
def test_each_kind_draws_something_and_leaves_something(kind):
    """On most pictures, lighter in some and darker in others; never outside the range."""
    changed, lighter, darker = 0, 0, 0
    for seed in range(40):
        picture = lookalike(ground(), np.random.default_rng(seed), kind)
        assert picture.shape == ground().shape
        assert picture.dtype == np.float32
        assert picture.min() >= 0
        assert picture.max() <= 1
        difference = picture - ground()
        touched = np.abs(difference).max(2) > 0.02
        changed += 0.001 < touched.mean() < 0.95
        lighter += difference.mean() > 0.002
        darker += difference.mean() < -0.002
    assert changed >= 30
    assert lighter >= 5
    assert darker >= 2


def test_without_a_kind_all_come_up():
    rng = np.random.default_rng(0)
    pictures = [lookalike(ground(), rng) for _ in range(10)]
    assert len({p.tobytes() for p in pictures}) == 10


def test_the_background_stays():
    background = ground()
    lookalike(background, np.random.default_rng(1))
    framed(background, np.random.default_rng(1))
    assert np.array_equal(background, ground())


@given(
    height=st.integers(1, 60), width=st.integers(1, 60), seed=st.integers(0, 2**20), kind=st.sampled_from([*LOOKALIKES])
)
@settings(max_examples=60, deadline=None)
def test_any_size_works(height, width, seed, kind):
    rng = np.random.default_rng(seed)
    base = plain(height, width, rng)
    for picture in (base, lookalike(base, rng, kind), framed(base, rng)):
        assert picture.shape == (height, width, 3)
        assert picture.dtype == np.float32
        assert np.isfinite(picture).all()
        assert 0 <= picture.min() <= picture.max() <= 1


def test_the_generator_decides_every_bit():
    for kind in LOOKALIKES:
        one, same, other = (lookalike(ground(), np.random.default_rng(seed), kind) for seed in (7, 7, 8))
        assert np.array_equal(one, same)
        assert not np.array_equal(one, other)


def test_an_unknown_kind_lists_the_names():
    with pytest.raises(UsageError, match="unknown lookalike 'fog'"):
        lookalike(ground(), np.random.default_rng(0), "fog")


def test_plain_pictures_are_flat_smooth_or_of_a_few_fields_and_often_saturated():
    rng = np.random.default_rng(0)
    pictures = [plain(40, 50, rng) for _ in range(200)]
    colours = [len(np.unique(p.reshape(-1, 3), axis=0)) for p in pictures]
    assert sum(count == 1 for count in colours) > 40
    assert sum(2 <= count <= 4 for count in colours) > 30
    assert sum(count > 4 for count in colours) > 30
    saturated = [((p[0, 0] <= 0.07) | (p[0, 0] >= 0.93)).any() for p in pictures]
    assert 0.4 < np.mean(saturated) < 0.9


def test_frames_are_flat_and_the_inside_stays():
    seen = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        inside = rng.random((40, 50, 3), np.float32) * np.float32(0.8) + np.float32(0.1)
        picture = framed(inside, rng)
        changed = (picture != inside).any(2)
        if changed.any():
            colours = np.unique(picture[changed], axis=0)
            assert len(colours) == 1
            seen.append(tuple(colours[0].tolist()))
            assert changed[0].all() or changed[-1].all() or changed[:, 0].all() or changed[:, -1].all()
            assert not changed[19:21, 24:26].any()
    assert (1.0, 1.0, 1.0) in seen
    assert (0.0, 0.0, 0.0) in seen
