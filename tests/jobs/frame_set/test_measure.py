"""Measurements of frames and photos, and which frames are analysed."""

from __future__ import annotations

import numpy as np

from derain_cli.jobs.frame_set.measure import DESCRIPTOR, measured_frames, measured_photo
from tests.jobs.frame_set.test_rain_score import rain_of
from tests.scenes import Scene, scene


def test_shots_end_at_cuts_and_nothing_is_measured_across_them() -> None:
    one, two = scene(Scene(seed=1), 5), scene(Scene(seed=2, brightness=60), 5)
    found = [m for m, _ in measured_frames(((i / 25, f) for i, f in enumerate(one + two)), 0.0)]
    assert [(m.index, m.shot) for m in found] == [(1, 0), (2, 0), (3, 0), (6, 1), (7, 1), (8, 1)]


def test_a_fast_pan_is_one_shot() -> None:
    rng = np.random.default_rng(3)
    blocks = rng.integers(20, 236, (6, 60, 1)).repeat(20, axis=0).repeat(20, axis=1).astype(np.uint8)
    wide = np.repeat(blocks, 3, axis=2)
    for speed in (2, 9, 18):
        pan = [np.ascontiguousarray(wide[:, speed * n : speed * n + 160]) for n in range(20)]
        found = [m for m, _ in measured_frames(((i / 25, f) for i, f in enumerate(pan)), 0.0)]
        assert [(m.index, m.shot) for m in found] == [(n, 0) for n in range(1, 19)]


def test_repeated_frames_are_passed_over() -> None:
    frames = scene(Scene(rain=60), 5)
    twice = [frame for frame in frames for _ in range(2)]
    assert rain_of(twice) == rain_of(frames)


def test_frames_are_as_far_apart_as_asked_for() -> None:
    frames = scene(Scene(), 12)
    times = [m.seconds for m, _ in measured_frames(((i / 10, f) for i, f in enumerate(frames)), 0.3)]
    assert np.diff(times).min() >= 0.3 - 1e-3


def test_a_photo_has_no_rain_score() -> None:
    one = measured_photo(scene(Scene(), 1)[0])
    assert np.isnan(one.rain)
    assert one.look.shape == (DESCRIPTOR,)
    assert 0.6 < one.sharpness < 1
