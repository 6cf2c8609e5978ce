"""How far a job of several clips is, and what it still takes; with a clock of its own."""

from __future__ import annotations

import pytest

from derain_cli.jobs.clips.forecast import Forecast
from derain_cli.jobs.clips.outcome import Pace
from derain_cli.jobs.clips.survey import Load


def test_clips_count_by_frames_and_pixels() -> None:
    forecast = Forecast([Load(100, 10, 10), Load(100, 20, 20)])
    forecast.update(0, Pace(100, 100, 0), 0)
    assert forecast.share == pytest.approx(0.2)
    forecast.update(1, Pace(50, 100, 0), 1)
    assert forecast.share == pytest.approx(0.6)


def test_the_time_left_follows_from_the_pace_since_the_first_frame() -> None:
    forecast = Forecast([Load(100, 10, 10), Load(100, 20, 20)])
    forecast.update(0, Pace(0, 100, 0), 0)
    assert forecast.left is None and forecast.fps is None
    for second in range(11):  # the first frame comes after 30 s, then ten a second
        forecast.update(0, Pace(1 + second * 5, 100, 0), 30 + second * 0.5)
    assert forecast.fps == pytest.approx(10)
    assert forecast.left == pytest.approx((49 + 4 * 100) / 10)
    forecast.update(1, Pace(1, 100, 0), 40)
    assert forecast.fps is not None and forecast.fps < 10  # large frames take longer


def test_an_estimate_waits_for_four_seconds_of_frames() -> None:
    forecast = Forecast([Load(1000, 10, 10)])
    settled = []
    for second in range(7):
        forecast.update(0, Pace(second, 1000, 0), second)
        settled.append(forecast.settled)
    assert settled == [False] * 5 + [True] * 2


def test_frames_of_an_earlier_run_are_done_but_say_nothing_of_the_pace() -> None:
    forecast = Forecast([Load(1000, 10, 10)])
    forecast.update(0, Pace(900, 1000, 0, 900), 0)
    assert forecast.share == pytest.approx(0.9) and forecast.left is None
    forecast.update(0, Pace(901, 1000, 0, 900), 5)
    forecast.update(0, Pace(911, 1000, 0, 900), 10)
    assert forecast.left == pytest.approx(89 / 2)


def test_a_clip_that_ended_early_or_failed_is_no_more_to_do() -> None:
    forecast = Forecast([Load(100, 10, 10), Load(0), Load(100, 10, 10)])
    forecast.update(0, Pace(40, 100, 0), 0)
    forecast.update(1, Pace(3, None, 0), 1)  # of which nothing was known
    forecast.update(2, Pace(50, 100, 0), 2)
    assert forecast.share == pytest.approx(90 / 140)
    assert forecast.left == pytest.approx(50 / 25)


def test_the_pace_of_long_ago_is_forgotten() -> None:
    forecast = Forecast([Load(10_000, 10, 10)])
    for second in range(300):
        forecast.update(0, Pace(second * 10, 10_000, 0), second)
    for second in range(300):
        forecast.update(0, Pace(3000 + second, 10_000, 0), 300 + second)
    assert forecast.fps == pytest.approx(1)
