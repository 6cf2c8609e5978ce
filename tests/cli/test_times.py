"""Times in words."""

from __future__ import annotations

from datetime import datetime

import pytest

from derain_cli.cli.times import about, clock, until


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"), (7, "7 s"), (43, "45 s"), (89, "90 s"), (90, "2 min"), (840, "14 min"), (5399, "90 min"),
        (7800, "2 h 10 min"), (7190, "2 h"), (200_000, "2 days"),
    ],
)  # fmt: skip
def test_an_estimate_sounds_no_more_exact_than_it_is(seconds: float, words: str) -> None:
    assert about(seconds) == words


@pytest.mark.parametrize(("seconds", "words"), [(840, "15:42"), (9 * 3600, "Thu 00:28"), (9 * 86400, "11 Dec 15:28")])
def test_the_end_is_a_time_of_day_and_a_day_where_it_is_another(seconds: float, words: str) -> None:
    assert until(seconds, datetime(2026, 12, 2, 15, 28)) == words


@pytest.mark.parametrize(("seconds", "words"), [(2.4, "0:02"), (125, "2:05"), (3723, "1:02:03")])
def test_lengths_are_told_as_players_do(seconds: float, words: str) -> None:
    assert clock(seconds) == words
