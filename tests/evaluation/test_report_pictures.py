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


@pytest.mark.parametrize("count", [2, 3, 5, 10, 31, 32, 60])
def test_the_interval_holds_the_true_mean_nineteen_times_in_twenty(count: int) -> None:
    rng, held = np.random.default_rng(count), 0
    for values in rng.normal(2.0, 3.0, (4000, count)):
        held += abs(values.mean() - 2.0) <= interval(values.tolist())
    assert 0.938 < held / 4000 < 0.962
