"""Change of real photos: fixed crops, mean figures, limits."""

from __future__ import annotations

import numpy as np
import pytest

from derain_cli.config import ContrastConfig
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.training.drift import CROPS, RealWatch, drift_error
from derain_cli.training.pictures import centre, grid


@pytest.fixture
def photos(tmp_path, picture):
    paths = [tmp_path / f"{number:02d}.png" for number in range(2 * CROPS)]
    for number, path in enumerate(paths):
        write_rgb(path, picture(40, 50, number))
    return paths


def darker(picture):
    return picture - np.minimum(picture, 7)


def test_the_crops_are_the_same_middles_each_time(photos, picture):
    watch = RealWatch(photos, read_rgb, side=32)
    assert len(watch.crops) == CROPS
    assert (watch.crops[1] == picture(40, 50, 2)[4:36, 9:41]).all()
    look = watch.look(darker)
    found, sheet = look.mean, look.grid
    other = RealWatch(photos, read_rgb, side=32).look(darker)
    again, same = other.mean, other.grid
    assert found == again
    assert (sheet == same).all()
    assert found.mean_change == pytest.approx(7, abs=0.1)
    assert found.colour_shift == pytest.approx(7, abs=0.1)
    assert (sheet[:32, :32] == watch.crops[0]).all()
    assert (sheet[:32, 240:272] == darker(watch.crops[0])).all()


def test_unreadable_photos_are_passed_over(photos):
    photos[0].write_bytes(b"")
    assert len(RealWatch(photos, read_rgb).crops) == CROPS - 1
    assert len(RealWatch(photos[1:3], read_rgb).crops) == 2
    assert RealWatch(photos[:1], read_rgb).look(darker) is None


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        ({"max_change": 8.0, "max_colour": 8.0}, None),
        ({"max_change": 6.0}, "mean change 7.0 of 255 levels, limit 6"),
        ({"max_colour": 6.5}, "colour shift 7.0 of 255 levels, limit 6.5"),
    ],
)
def test_past_a_bound_it_is_an_error_with_a_way_out(photos, bounds, told):
    found = RealWatch(photos, read_rgb).look(darker).mean
    error = drift_error(found, ContrastConfig(**bounds))
    if told is None:
        assert error is None
        return
    assert told in str(error)
    assert f"contrast.{next(iter(bounds))}" in str(error)
    assert error.exit_code == 3


def test_a_grid_has_middles_and_black(picture):
    large, small = picture(30, 40), picture(6, 8, 1)
    sheet = grid([[large, small], [small]], side=10)
    assert sheet.shape == (20, 20, 3)
    assert (sheet[:10, :10] == large[10:20, 15:25]).all()
    assert (sheet[:6, 10:18] == small).all()
    assert not sheet[10:, 10:].any() and not sheet[6:10, 10:].any()
    assert centre(small, 10).shape == small.shape
