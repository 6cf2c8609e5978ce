"""How far the work is, as the page is told."""

from __future__ import annotations

import time

import pytest

from derain_cli.errors import UsageError
from derain_cli.serve.entry import Pace, Settings


def test_an_expected_time_moves_the_bar_and_never_ends_it() -> None:
    now = time.monotonic()
    views = [Pace(begun=now - passed, expected=10.0).view() for passed in (0, 2, 5, 8.9, 9.1, 12, 60, 6000)]
    shares = [view["share"] for view in views]
    assert shares == sorted(set(shares))
    assert shares[2] == pytest.approx(0.5, abs=0.01)
    assert shares[-1] < 1
    assert views[1]["left"] == pytest.approx(8, abs=0.1)
    assert views[-1]["left"] is None


def test_what_is_known_counts_more_than_what_is_expected() -> None:
    assert Pace(share=0.7, begun=time.monotonic(), expected=100.0).view()["share"] == 0.7
    assert Pace(share=0.25, left=12.34, frames=5).view() == {"share": 0.25, "left": 12.3, "frames": 5}
    assert Pace().view() == {"share": 0.0, "left": None, "frames": None}


@pytest.mark.parametrize("strength", [-0.1, 1.1, float("nan"), float("inf")])
def test_strengths_out_of_range(strength: float) -> None:
    with pytest.raises(UsageError, match="strength must be 0 to 1"):
        Settings("fast", strength)
