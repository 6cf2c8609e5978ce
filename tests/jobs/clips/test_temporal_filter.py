"""Temporal filter: flashes are removed, motion is kept, cuts are respected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from derain_cli.jobs.clips.temporal_filter import median_of_three, temporal_filter
from derain_cli.motion.flow import is_cut

SMALL = arrays(np.uint8, (3, 4, 3))


def scene(shift: float = 0, seed: int = 0, size: int = 96) -> NDArray[np.uint8]:
    """A textured picture shifted to the left by `shift` pixels."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:size, 0:size]
    made = np.zeros((size, size))
    for _ in range(12):
        made += np.sin(rows * rng.uniform(0.03, 0.3) + (columns + shift) * rng.uniform(0.03, 0.3) + rng.uniform(0, 6))
    return np.asarray(np.clip(128 + 14 * made[:, :, None], 0, 255).repeat(3, axis=2), np.uint8)


def run(frames: list[Any], mode: Any) -> list[Any]:
    return [pixels for _, pixels in temporal_filter(list(enumerate(frames)), mode)]


@settings(max_examples=25)
@given(SMALL, SMALL, SMALL)
def test_the_median_is_numpys(a: Any, b: Any, c: Any) -> None:
    assert np.array_equal(median_of_three(a, b, c), np.median(np.stack([a, b, c]), axis=0).astype(np.uint8))


@pytest.mark.parametrize("mode", ["off", "median", "flow"])
@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_as_many_frames_come_out_in_the_same_order(mode: Any, count: int) -> None:
    out = list(temporal_filter([(n, scene(n)) for n in range(count)], mode))
    assert [tag for tag, _ in out] == list(range(count))


@pytest.mark.parametrize("mode", ["median", "flow"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_flash_in_one_frame_goes(mode: Any, dtype: Any) -> None:
    scale = 257 if dtype == np.uint16 else 1
    still = scene().astype(dtype) * scale
    flash = still.copy()
    flash[30:60, 40:43] = 255 * scale
    middle = run([still, flash, still], mode)[1]
    assert middle.dtype == dtype
    assert np.abs(middle.astype(int) - still).mean() < 0.4 * np.abs(flash.astype(int) - still).mean()


@pytest.mark.parametrize("mode", ["off", "median", "flow"])
def test_what_does_not_change_stays_bit_for_bit(mode: Any) -> None:
    assert all(np.array_equal(frame, scene()) for frame in run([scene()] * 4, mode))


def test_flow_keeps_what_moves_and_a_median_of_frames_as_they_lie_would_not() -> None:
    frames = [scene(3.0 * n) for n in range(3)]
    inner = (slice(8, -8), slice(8, -8))
    made = {"flow": run(frames, "flow")[1], "lying": median_of_three(*frames)}
    error = {name: np.abs(made[name].astype(float) - frames[1])[inner].mean() for name in made}
    assert error["flow"] < 2.0
    assert error["flow"] < 0.5 * error["lying"]


def test_where_the_camera_moves_the_median_follows_and_says_so() -> None:
    notes: list[str] = []
    moving = [scene(3.0 * n) for n in range(4)]
    out = [pixels for _, pixels in temporal_filter(list(enumerate(moving)), "median", notes)]
    assert all(np.array_equal(a, b) for a, b in zip(out, run(moving, "flow"), strict=True))
    assert len(notes) == 1 and "camera moves" in notes[0]


def test_what_moves_before_a_camera_that_stands_still_does_not_make_it_move() -> None:
    notes: list[str] = []
    frames = [scene() for _ in range(4)]
    for n, frame in enumerate(frames):
        frame[20:40, 5 + 6 * n : 25 + 6 * n] = 255 - frame[20:40, 5 + 6 * n : 25 + 6 * n]
    out = [pixels for _, pixels in temporal_filter(list(enumerate(frames)), "median", notes)]
    assert notes == [] and np.array_equal(out[1], median_of_three(*frames[:3]))


def test_thin_lines_on_a_plain_wall_stay_when_the_camera_pans() -> None:
    # Where there is a line, the frames before and after show wall; the line must be kept.
    def wall(shift: int) -> NDArray[np.uint8]:
        picture = scene(shift, size=160)
        picture[60:] = 105 + picture[60:] // 8  # rough plaster
        picture[60:, (20 - shift) % 40 :: 40] = 60
        picture[60:, (21 - shift) % 40 :: 40] = 60
        return picture

    frames = [wall(5 * n) for n in range(3)]
    inner = (slice(68, -8), slice(12, -12))
    steady = run(frames, "flow")[1]
    assert np.abs(steady[inner].astype(int) - frames[1][inner]).mean() < 1.0
    flash = frames[1].copy()
    flash[80:110, 70:73] = 200
    kept = run([frames[0], flash, frames[2]], "flow")[1][80:110, 70:73]
    assert np.abs(kept.astype(int) - frames[1][80:110, 70:73]).mean() < 20


def test_frames_beside_a_cut_are_left_alone() -> None:
    dark, bright = np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64, 3), np.uint8)
    dark[:, :32], bright[:, 32:] = 200, 200
    assert is_cut(dark[:, :, 0], bright[:, :, 0]) and not is_cut(dark[:, :, 0], dark[:, :, 0])
    out = run([dark, dark, bright, bright], "flow")
    assert [np.array_equal(a, b) for a, b in zip(out, [dark, dark, bright, bright], strict=True)] == [True] * 4


def test_a_result_hangs_on_the_frames_next_to_it_alone() -> None:
    frames = [scene(1.5 * n, size=64) for n in range(6)]
    whole = run(frames, "flow")
    part = run(frames[2:], "flow")
    assert all(np.array_equal(a, b) for a, b in zip(whole[3:], part[1:], strict=True))


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (40, 9), (17, 1500)])
def test_any_size(size: tuple[int, int]) -> None:
    frames = [np.full((*size, 3), level, np.uint8) for level in (10, 14, 12)]
    assert run(frames, "flow")[1].shape == (*size, 3)
