"""Which of two pictures is rainy, and whether they show the same scene."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from derain_cli.datasets.layouts import Layout
from derain_cli.datasets.pairs import Pair
from derain_cli.datasets.sides import TWINS, likeness, looks_rainier, looks_swapped
from derain_cli.media.photo import write_rgb
from tests.standins import clean_picture, make_layout, rainy_picture


@pytest.mark.parametrize("profile", ["light", "heavy", "real"])
def test_rain_is_seen_on_nearly_every_picture(profile):
    votes = [looks_rainier(rainy_picture(120, 160, n, profile), clean_picture(120, 160, n)) for n in range(12)]
    assert np.median(votes) > 0.2
    assert sum(vote <= 0 for vote in votes) <= (2 if profile == "real" else 0)


@pytest.mark.parametrize("profile", ["light", "heavy", "real"])
def test_the_other_way_round_the_sign_turns(profile):
    one, other = rainy_picture(120, 160, 1, profile), clean_picture(120, 160, 1)
    assert looks_rainier(one, other) == pytest.approx(-looks_rainier(other, one), abs=1e-5)
    assert -1 <= looks_rainier(other, one) <= 1


def test_the_same_picture_says_nothing():
    picture = clean_picture(64, 64, 0)
    assert looks_rainier(picture, picture) == 0
    assert abs(looks_rainier(np.zeros((32, 32, 3), np.uint8), np.zeros((32, 32, 3), np.uint8))) == 0


@pytest.mark.parametrize("change", [lambda p: p * 0.8, lambda p: p * 1.15 + 5, lambda p: 255 * (p / 255) ** 0.8])
def test_exposure_does_not_outweigh_streaks(change):
    """A rainy picture that is darker or brighter overall still has bright streaks."""
    votes = []
    for n in range(10):
        rainy = np.clip(change(rainy_picture(120, 160, n).astype(float)), 0, 255).astype(np.uint8)
        votes.append(looks_rainier(rainy, clean_picture(120, 160, n)))
    assert np.median(votes) > 0.1


@pytest.mark.parametrize("profile", ["light", "heavy", "real"])
def test_rainy_and_clean_are_alike_and_other_scenes_are_not(profile):
    same = [likeness(rainy_picture(120, 160, n, profile), clean_picture(120, 160, n)) for n in range(10)]
    other = [likeness(rainy_picture(120, 160, n, profile), clean_picture(120, 160, n + 20)) for n in range(10)]
    assert np.median(same) > 2 * TWINS
    assert abs(np.median(other)) < TWINS


def test_sizes_that_differ_are_nothing_alike():
    assert likeness(clean_picture(64, 64, 0), clean_picture(64, 66, 0)) == 0
    assert likeness(clean_picture(8, 64, 0), clean_picture(8, 64, 0)) == 0
    flat = np.full((64, 64, 3), 9, np.uint8)
    assert likeness(flat, flat) == 0


def test_only_the_middle_of_large_pictures_is_looked_at():
    large = cv2.resize(clean_picture(120, 160, 0), (1600, 1200))
    changed = large.copy()
    changed[:100] = 255
    assert looks_rainier(changed, large) == 0


SIDE_BY_SIDE = [Layout("{n}", halves="clean|rainy"), Layout("{n}", halves="rainy|clean")]


@pytest.mark.parametrize("profile", ["light", "heavy", "real"])
def test_swapped_sides_are_noticed_and_right_ones_are_not(tmp_path, profile):
    made = make_layout(Layout("a/{n}", "b/{n}"), tmp_path, 10, (96, 120), profile)
    right = [Pair(rainy, clean) for rainy, clean in made]
    assert not looks_swapped(right)
    assert looks_swapped([Pair(clean, rainy) for rainy, clean in made])


@pytest.mark.parametrize("layout", SIDE_BY_SIDE, ids=str)
def test_swapped_halves_are_noticed(tmp_path, layout):
    made = make_layout(layout, tmp_path, 6, (64, 80))
    other = "rainy|clean" if layout.halves == "clean|rainy" else "clean|rainy"
    assert not looks_swapped([Pair(path, path, layout.halves) for path, _ in made])
    assert looks_swapped([Pair(path, path, other) for path, _ in made])


def test_nothing_is_swapped_where_nothing_can_be_seen(tmp_path):
    write_rgb(tmp_path / "1.png", clean_picture(32, 40, 0))
    (tmp_path / "2.png").write_bytes(b"no picture")
    same, broken = (Pair(tmp_path / f"{n}.png", tmp_path / f"{n}.png") for n in (1, 2))
    assert not looks_swapped([])
    assert not looks_swapped([same, same])
    assert not looks_swapped([broken])


def test_a_few_odd_pairs_do_not_decide(tmp_path):
    made = make_layout(Layout("a/{n}", "b/{n}"), tmp_path, 10, (64, 80))
    pairs = [Pair(*reversed(each)) if number < 3 else Pair(*each) for number, each in enumerate(made)]
    assert not looks_swapped(pairs)
