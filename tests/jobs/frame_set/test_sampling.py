"""The choice of frames: what counts as rain, what is refused, what comes first."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from derain_cli.datasets.fingerprint import bits_apart
from derain_cli.jobs.frame_set import sampling as select
from derain_cli.jobs.frame_set.sampling import (
    count_for_test,
    divided,
    measured_frames,
    measured_photo,
    near_duplicates,
    reason_against,
    spread,
    steadied,
    streaks,
    taken,
)
from tests.scenes import Scene, scene


def rain_of(frames: list[NDArray[np.uint8]]) -> list[float]:
    return [m.rain for m, _ in measured_frames(((i / 25, f) for i, f in enumerate(frames)), 0.0)]


@pytest.mark.parametrize("speed", [0.0, 3.0])
def test_rain_scores_above_the_same_scene_without_it(speed: float) -> None:
    dry = rain_of(scene(Scene(speed=speed), 6))
    wet = rain_of(scene(Scene(speed=speed, rain=60), 6))
    assert len(dry) == len(wet) == 4
    assert max(dry) < 0.5
    assert min(wet) > 1.5


def test_more_rain_scores_higher() -> None:
    few, many = (np.median(rain_of(scene(Scene(rain=count), 6))) for count in (15, 60))
    assert 0 < few < many


@pytest.mark.parametrize("what", ["flicker", "block", "pixels"])
def test_other_things_that_come_and_go_are_no_rain(what: str) -> None:
    frames, rng = scene(Scene(), 6), np.random.default_rng(0)
    for number, frame in enumerate(frames):
        if what == "flicker":
            frame[:] = np.clip(frame * (1 + 0.03 * (-1) ** number), 0, 255)
        elif number % 2 and what == "block":
            frame[20:50, 30:36] = 255
        elif number % 2:
            frame[rng.integers(0, 120, 30), rng.integers(0, 160, 30)] = 255
    assert max(rain_of(frames)) < 0.5


def test_dark_streaks_are_no_rain() -> None:
    wet = scene(Scene(rain=60), 6)
    assert max(rain_of([255 - frame for frame in wet])) == 0


def test_lines_answer_and_dots_do_not() -> None:
    line, dot, bank = (np.zeros((61, 61), np.float32) for _ in range(3))
    line[20:41, 30] = 40
    dot[30, 30] = 40
    bank[:, 30:] = 40
    assert streaks(line).max() > 60
    assert streaks(dot).max() < streaks(line).max() / 6
    assert streaks(line.T).max() == pytest.approx(streaks(line).max(), rel=1e-4)
    assert streaks(np.full_like(bank, 40)).max() == pytest.approx(0, abs=1e-3)


def test_shots_end_at_cuts_and_nothing_is_measured_across_them() -> None:
    one, two = scene(Scene(seed=1), 5), scene(Scene(seed=2, brightness=60), 5)
    found = [m for m, _ in measured_frames(((i / 25, f) for i, f in enumerate(one + two)), 0.0)]
    assert [(m.index, m.shot) for m in found] == [(1, 0), (2, 0), (3, 0), (6, 1), (7, 1), (8, 1)]


def test_repeated_frames_are_passed_over() -> None:
    frames = scene(Scene(rain=60), 5)
    twice = [frame for frame in frames for _ in range(2)]
    assert rain_of(twice) == rain_of(frames)


def test_frames_are_as_far_apart_as_asked_for() -> None:
    frames = scene(Scene(), 12)
    times = [m.seconds for m, _ in measured_frames(((i / 10, f) for i, f in enumerate(frames)), 0.3)]
    assert np.diff(times).min() >= 0.3 - 1e-3


def test_what_is_dark_bright_flat_or_blurred_is_refused() -> None:
    import cv2

    def reason(picture: NDArray[np.uint8], **values: float) -> str | None:
        one = measured_photo(picture)
        settings = {"rain": np.nan, "usual_sharpness": one.sharpness, "least_rain": 1.0} | values
        return reason_against(one, **settings)

    good = scene(Scene(), 1)[0]
    assert reason(good) is None
    assert reason(good // 16) == "too dark"
    assert reason(240 + good // 17) == "too bright"
    assert reason(100 + good // 20) == "flat"
    assert reason(cv2.GaussianBlur(good, (0, 0), 3)) == "blurred"
    assert reason(good, usual_sharpness=1.3) == "blurred"
    assert reason(good, rain=0.9) == "no rain"
    assert reason(good, rain=1.1) is None
    assert reason(np.where(good[..., :1] > 128, 255, 0).repeat(3, axis=2).astype(np.uint8)) == "over- or underexposed"


def test_one_frame_neither_makes_nor_unmakes_rain() -> None:
    assert steadied([0, 0, 9, 0, 0], [0] * 5) == [0] * 5
    assert steadied([5, 5, 0, 5, 5], [0] * 5) == [5] * 5
    assert steadied([5, 5, 0, 0], [0, 0, 1, 1]) == [5, 5, 0, 0]
    assert steadied([], []) == []


def test_near_duplicates_repeat_one_that_is_kept() -> None:
    hashes = np.array([[0, 0], [1, 0], [255, 255], [3, 0], [254, 255]], np.uint8)
    assert bits_apart(hashes, hashes[0]).tolist() == [0, 1, 16, 2, 15]
    assert near_duplicates(hashes, 1) == [None, 0, None, None, 2]
    assert near_duplicates(hashes, 0) == [None] * 5
    assert near_duplicates(hashes[:0], 6) == []


def test_the_farthest_comes_next_and_every_one_comes_once() -> None:
    points = np.array([[0.0], [1.0], [10.0], [4.0], [10.0]], np.float32)
    assert list(spread(points)) == [0, 2, 3, 1, 4]
    looks = np.random.default_rng(0).random((40, 5), np.float32)
    order = list(spread(looks))
    assert sorted(order) == list(range(40))
    for count in (5, 20):  # slowly, by the definition
        before, one = looks[order[:count]], looks[order[count]]
        nearest = np.linalg.norm(looks[:, None] - before, axis=2).min(axis=1)
        assert np.linalg.norm(one - before, axis=1).min() == pytest.approx(nearest.max())


def test_what_is_left_out_is_replaced_by_one_other() -> None:
    rng = np.random.default_rng(3)
    groups = [f"g{n}" for n in rng.integers(0, 4, 60)]
    order = list(rng.permutation(60))
    for per_group, out in itertools.product((None, 4), range(5)):
        whole = taken(order, groups, 12, per_group=per_group, without=())
        assert len(whole) == 12
        assert per_group is None or max(map([groups[p] for p in whole].count, groups)) <= per_group
        fewer = taken(order, groups, 12, per_group=per_group, without={whole[out]})
        assert len(fewer) == 12
        assert len(set(whole) - set(fewer)) == 1
    assert taken(order, groups, 100, per_group=2, without=()) == taken(order, groups, 8, per_group=2, without=())


def test_the_test_has_whole_groups_of_about_its_size() -> None:
    sizes = {f"g{n}": 300 for n in range(50)}
    assert len(divided(sizes, 2000, 200)) == 5
    assert divided({"a": 10, "b": 5}, 2000, 200) == {"b"}
    assert divided({"a": 10}, 2000, 200) == frozenset()
    assert divided({}, 2000, 200) == frozenset()
    assert divided(sizes, 2000, 0) == frozenset()
    assert count_for_test(15, 2000, 200) == 2
    assert count_for_test(5000, 2000, 200) == 200
    for sizes in ({"a": 1, "b": 1}, {"a": 900, "b": 1, "c": 1}, {str(n): n for n in range(1, 30)}):
        testing = divided(sizes, 100, 10)
        assert 0 < len(testing) < len(sizes)


def test_a_photo_has_no_rain_score() -> None:
    one = measured_photo(scene(Scene(), 1)[0])
    assert np.isnan(one.rain)
    assert one.look.shape == (select.DESCRIPTOR,)
    assert 0.6 < one.sharpness < 1
