"""Selection of frames: rain, rejection, order."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from derain_cli.datasets.fingerprint import bits_apart
from derain_cli.jobs.frame_set.measure import measured_photo
from derain_cli.jobs.frame_set.sampling import (
    count_for_test,
    farthest_point_order,
    near_duplicates,
    pick,
    rejection_reason,
    running_median,
    split_by_group,
)
from tests.scenes import Scene, scene


def test_what_is_dark_bright_flat_or_blurred_is_refused() -> None:
    import cv2

    def reason(picture: NDArray[np.uint8], **values: float) -> str | None:
        one = measured_photo(picture)
        settings = {"rain": np.nan, "usual_sharpness": one.sharpness, "least_rain": 1.0} | values
        return rejection_reason(one, **settings)

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
    assert running_median([0, 0, 9, 0, 0], [0] * 5) == [0] * 5
    assert running_median([5, 5, 0, 5, 5], [0] * 5) == [5] * 5
    assert running_median([5, 5, 0, 0], [0, 0, 1, 1]) == [5, 5, 0, 0]
    assert running_median([], []) == []


def test_near_duplicates_repeat_one_that_is_kept() -> None:
    hashes = np.array([[0, 0], [1, 0], [255, 255], [3, 0], [254, 255]], np.uint8)
    assert bits_apart(hashes, hashes[0]).tolist() == [0, 1, 16, 2, 15]
    assert near_duplicates(hashes, 1) == [None, 0, None, None, 2]
    assert near_duplicates(hashes, 0) == [None] * 5
    assert near_duplicates(hashes[:0], 6) == []


def test_the_farthest_comes_next_and_every_one_comes_once() -> None:
    points = np.array([[0.0], [1.0], [10.0], [4.0], [10.0]], np.float32)
    assert list(farthest_point_order(points)) == [0, 2, 3, 1, 4]
    looks = np.random.default_rng(0).random((40, 5), np.float32)
    order = list(farthest_point_order(looks))
    assert sorted(order) == list(range(40))
    for count in (5, 20):  # slowly, by definition
        before, one = looks[order[:count]], looks[order[count]]
        nearest = np.linalg.norm(looks[:, None] - before, axis=2).min(axis=1)
        assert np.linalg.norm(one - before, axis=1).min() == pytest.approx(nearest.max())


def test_what_is_left_out_is_replaced_by_one_other() -> None:
    rng = np.random.default_rng(3)
    groups = [f"g{n}" for n in rng.integers(0, 4, 60)]
    order = list(rng.permutation(60))
    for per_group, out in itertools.product((None, 4), range(5)):
        whole = pick(order, groups, 12, per_group=per_group, without=())
        assert len(whole) == 12
        assert per_group is None or max(map([groups[p] for p in whole].count, groups)) <= per_group
        fewer = pick(order, groups, 12, per_group=per_group, without={whole[out]})
        assert len(fewer) == 12
        assert len(set(whole) - set(fewer)) == 1
    assert pick(order, groups, 100, per_group=2, without=()) == pick(order, groups, 8, per_group=2, without=())


def test_the_test_has_whole_groups_of_about_its_size() -> None:
    sizes = {f"g{n}": 300 for n in range(50)}
    assert len(split_by_group(sizes, 2000, 200)) == 5
    assert split_by_group({"a": 10, "b": 5}, 2000, 200) == {"b"}
    assert split_by_group({"a": 10}, 2000, 200) == frozenset()
    assert split_by_group({}, 2000, 200) == frozenset()
    assert split_by_group(sizes, 2000, 0) == frozenset()
    assert count_for_test(15, 2000, 200) == 2
    assert count_for_test(5000, 2000, 200) == 200
    for sizes in ({"a": 1, "b": 1}, {"a": 900, "b": 1, "c": 1}, {str(n): n for n in range(1, 30)}):
        testing = split_by_group(sizes, 100, 10)
        assert 0 < len(testing) < len(sizes)
