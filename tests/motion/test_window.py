"""Frames with motion-compensated neighbours."""

from __future__ import annotations

import itertools

import cv2
import numpy as np
import pytest

from derain_cli.motion.flow import grey_of, is_repeated
from derain_cli.motion.stacking import stacked, unstacked
from derain_cli.motion.window import REPEATS, windows


def pan(count, speed=(3, 0), height=96, width=128, seed=0, dtype=np.uint8):
    """A clip of a camera moving over a static scene."""
    rng = np.random.default_rng(seed)
    field = cv2.GaussianBlur(rng.normal(0, 1, (height + 200, width + 200, 3)), (0, 0), 2)
    field = (field - field.min()) / (field.max() - field.min()) * np.iinfo(dtype).max
    frames = []
    for index in range(count):
        top, left = 60 + speed[1] * index, 60 + speed[0] * index
        frames.append(np.ascontiguousarray(field[top : top + height, left : left + width]).astype(dtype))
    return frames


def made(frames, count):
    return list(windows(enumerate(frames), count))


@pytest.mark.parametrize("length", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 3, 5])
def test_every_frame_has_its_window_in_order_with_itself_in_the_middle(length, count):
    frames = pan(length)
    found = made(frames, count)
    assert [tag for tag, _ in found] == list(range(length))
    for (_, window), frame in zip(found, frames, strict=True):
        assert window.shape == (96, 128, 3 * count)
        assert window.dtype == frame.dtype
        start = 3 * (count // 2)
        assert np.array_equal(window[:, :, start : start + 3], frame)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("speed", [(0, 0), (3, 0), (-4, 2)])
def test_neighbours_are_moved_onto_the_frame(speed, dtype):
    frames = pan(5, speed, dtype=dtype)
    _, window = made(frames, 5)[2]
    inner = (slice(16, -16), slice(16, -16))
    top = np.iinfo(dtype).max
    for place in range(5):
        moved = window[:, :, 3 * place : 3 * place + 3].astype(float)
        apart = np.abs(moved - frames[2])[inner].mean() / top
        lying = np.abs(frames[place].astype(float) - frames[2])[inner].mean() / top
        assert apart < 0.02
        if place != 2 and speed != (0, 0):
            assert apart < 0.4 * lying


def test_beyond_a_cut_and_at_the_ends_the_frame_stands_for_what_is_not_there():
    dark = [frame // 4 for frame in pan(2)]
    bright = [255 - frame // 4 for frame in pan(2, seed=9)]
    dark[1][:, :40] = 255  # different coarse content
    bright[0][:, 60:] = 0
    found = made([*dark, *bright], 5)
    first = found[0][1]
    assert all(np.array_equal(first[:, :, 3 * k : 3 * k + 3], dark[0]) for k in (0, 1))
    after_the_cut = found[2][1]
    assert all(np.array_equal(after_the_cut[:, :, 3 * k : 3 * k + 3], bright[0]) for k in (0, 1, 2))
    before_the_cut = found[1][1]
    assert all(np.array_equal(before_the_cut[:, :, 3 * k : 3 * k + 3], dark[1]) for k in (2, 3, 4))


def test_frames_are_taken_no_further_ahead_than_they_are_needed():
    taken = []

    def clip():
        for index, frame in enumerate(pan(6)):
            taken.append(index)
            yield index, frame

    stream = windows(clip(), 5)
    assert next(stream)[0] == 0
    assert taken == [0, 1, 2]


def test_a_window_does_not_depend_on_where_the_clip_begins():
    """Two earlier frames are sufficient: a job resumed in the middle of a clip gets the same windows."""
    frames = pan(8, (2, 1))
    whole, part = made(frames, 5), made(frames[2:], 5)
    assert np.array_equal(whole[4][1], part[2][1])
    assert np.array_equal(whole[5][1], part[3][1])


def shown(frames, changes):
    """Picture k of `frames`, `changes[k]` times."""
    return [frame for frame, count in zip(frames, changes, strict=True) for _ in range(count)]


@pytest.mark.parametrize("changes", [(2, 2, 2, 2, 2, 2), (1, 3, 1, 2, 4, 1), (5, 1, 1, 5, 1, 1)])
@pytest.mark.parametrize("traces", [0, 0.03])
def test_a_repeated_frame_is_no_neighbour(changes, traces):
    frames = [np.minimum(frame, 253) for frame in pan(6, (3, 1))]
    rng = np.random.default_rng(1)
    clip = [f + np.uint8(2) * (rng.random(f.shape) < traces) for f in shown(frames, changes)]
    plain = [window for _, window in made(frames, 5)]
    for window, expected in zip((w for _, w in made(clip, 5)), shown(plain, changes), strict=True):
        if traces:
            inner = (slice(8, -8), slice(8, -8))
            assert np.abs(window.astype(int) - expected)[inner].mean() < 1.5
        else:
            assert np.array_equal(window, expected)


def test_a_still_has_itself_as_its_neighbours():
    (frame,) = pan(1)
    for _, window in made([frame] * (3 * REPEATS), 5):
        assert np.array_equal(window, np.dstack([frame] * 5))


def test_equal_windows_are_one_object():
    found = [window for _, window in made(shown(pan(4), (2, 1, 3, 2)), 5)]
    assert [a is b for a, b in itertools.pairwise(found)] == [True, False, False, True, True, False, True]


def test_a_window_with_repeats_does_not_depend_on_where_the_clip_begins():
    frames = shown(pan(7, (2, 1)), (1, 5, 7, 1, 2, 9, 3))
    whole = [window for _, window in made(frames, 5)]
    for start in range(1, len(frames) - 2 * REPEATS):
        part = [window for _, window in made(frames[start:], 5)]
        for ours, theirs in zip(part[2 * REPEATS :], whole[start + 2 * REPEATS :], strict=True):
            assert np.array_equal(ours, theirs)


def test_faint_rain_is_not_taken_for_a_repeated_frame():
    (frame,) = pan(1)
    rainy = frame.copy()
    cv2.line(rainy, (40, 20), (41, 32), (255, 255, 255))
    assert is_repeated(grey_of(frame), grey_of(frame))
    assert not is_repeated(grey_of(frame), grey_of(rainy))


def test_stacking_is_undone_by_unstacking():
    window = np.random.default_rng(0).integers(0, 256, (5, 7, 9), np.uint8)
    picture = stacked(window)
    assert picture.shape == (15, 7, 3)
    np.testing.assert_array_equal(picture[5:10], window[:, :, 3:6])  # the middle frame
    np.testing.assert_array_equal(unstacked(picture, 3), window)
