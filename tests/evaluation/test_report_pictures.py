"""Distributions on the page of an evaluation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from derain_cli.evaluation.report_pictures import interval, quartiles


@pytest.mark.parametrize("count", [2, 3, 4, 7, 100])
def test_quartiles_are_interpolated_as_numpy_does(count: int) -> None:
    values = np.random.default_rng(count).normal(size=count).tolist()
    assert quartiles(values) == pytest.approx(tuple(np.percentile(values, (25, 50, 75))))


def test_one_value_is_its_own_distribution() -> None:
    assert quartiles([3.0]) == (3.0, 3.0, 3.0)
    assert math.isinf(interval([3.0]))


def test_the_interval_holds_the_true_mean_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        values = rng.normal(2.0, 3.0, 60)
        held += abs(values.mean() - 2.0) <= interval(values.tolist())
    assert 0.92 < held / 1000 < 0.97
