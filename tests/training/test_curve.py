"""The curve of a run: what is drawn, and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from derain_cli.training.curve import CURVE_SIZE, draw_curve

_BLUE, _ORANGE = (0, 114, 178), (213, 94, 0)


def records(*scores: float, group: str = "light") -> list[dict[str, Any]]:
    return [
        {"kind": "validation", "step": 100 * number, f"{group}/psnr_rgb": score} for number, score in enumerate(scores)
    ]


def rows_of(colour: tuple[int, int, int], picture: np.ndarray, column: int) -> np.ndarray:
    """Rows below the legend with about this colour, around a column."""
    near = np.abs(picture[44:, column - 2 : column + 3].astype(int) - colour).max(axis=2) < 60
    return np.flatnonzero(near.any(axis=1)) + 44


def test_a_rising_score_rises_and_a_falling_one_falls() -> None:
    for scores, sign in (((30.0, 31.0, 32.0), -1), ((32.0, 31.0, 30.0), 1)):
        picture = draw_curve(records(*scores))
        assert picture.shape == (*CURVE_SIZE[::-1], 3) and picture.dtype == np.uint8
        places = [rows_of(_BLUE, picture, column).mean() for column in (74, 500, 932)]
        assert np.all(np.sign(np.diff(places)) == sign)


def test_each_group_has_its_own_line() -> None:
    both = records(30.0, 31.0) + records(20.0, 21.0, group="heavy")
    picture = draw_curve(both)
    assert rows_of(_ORANGE, picture, 500).mean() > rows_of(_BLUE, picture, 500).mean() + 50


def test_one_exploding_batch_does_not_flatten_the_loss() -> None:
    train = [{"kind": "train", "step": step, "loss": 0.02 + 0.01 * (step % 100 == 0)} for step in range(50, 5001, 50)]
    calm = draw_curve(train)
    train[40]["loss"] = 2000.0
    wild = draw_curve(train)
    lower = slice(round(0.66 * CURVE_SIZE[1]), CURVE_SIZE[1] - 50)

    def spread(picture: np.ndarray) -> int:
        drawn = np.flatnonzero((picture[lower, 100:160] < 200).any(axis=(1, 2)))
        return int(np.ptp(drawn))

    assert spread(wild) > 0.5 * spread(calm)


@pytest.mark.parametrize(
    "log",
    [
        [],
        records(30.0),
        records(float("nan"), float("inf")),
        [{"kind": "train", "step": 1, "loss": 0.0}, {"kind": "average", "share": 0.5}, {"step": "three"}],
        records(*range(20, 40), group="a name that is much longer than the legend has room for"),
    ],
)
def test_any_log_is_drawn(log: list[dict[str, Any]]) -> None:
    assert draw_curve(log).shape == (*CURVE_SIZE[::-1], 3)
