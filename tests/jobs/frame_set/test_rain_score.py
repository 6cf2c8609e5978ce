"""What counts as rain."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from derain_cli.jobs.frame_set.measure import measured_frames
from derain_cli.jobs.frame_set.rain_score import streaks
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
