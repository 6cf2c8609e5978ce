"""A photo as a clip."""

from __future__ import annotations

import numpy as np
import pytest

from derain_cli.rain import MovingScene


def photo(seed=0, height=321, width=481):
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    return np.ascontiguousarray(coarse.repeat(8, 0).repeat(8, 1)[:height, :width])


def scene(seed, height=64, width=80, frames=7):
    return MovingScene(photo(), photo(1), height, width, frames, np.random.default_rng(seed))


def test_frames_are_pictures_and_every_one_can_be_made_alone():
    for seed in range(10):
        one, other = scene(seed), scene(seed)
        frames = [one.frame(index) for index in range(7)]
        assert np.array_equal(other.frame(5), frames[5])
        for frame in frames:
            assert frame.shape == (64, 80, 3)
            assert frame.dtype == np.float32
            assert 0 <= frame.min() <= frame.max() <= 1
    assert not np.array_equal(scene(0).frame(0), scene(1).frame(0))


def test_some_scenes_stand_still_and_most_move_more_and_more():
    still = moving = 0
    for seed in range(60):
        made = scene(seed)
        first, second, last = (made.frame(index) for index in (0, 1, 6))
        still += np.abs(last - first).mean() < 0.002
        moving += np.abs(last - first).mean() > np.abs(second - first).mean() > 0
    assert 2 <= still <= 20
    assert moving > 30


def test_a_thing_moves_on_its_own():
    """Compared with a static scene, in the clips that have one."""
    seen = 0
    for seed in range(80):
        made = scene(seed)
        if made.velocity.any() or made.thing is None or made.shake.any():
            continue
        changed = np.abs(made.frame(6) - made.frame(0)).max(2) > 0.02
        seen += 0.005 < changed.mean() < 0.95
    assert seen >= 2


@pytest.mark.parametrize("size", [(1, 1), (7, 90), (400, 600)])
def test_any_size_works(size):
    """Also larger than the photo: beyond its edges it is mirrored."""
    for seed in range(6):
        assert scene(seed, *size).frame(3).shape == (*size, 3)
