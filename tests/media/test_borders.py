"""Flat borders are separated from the picture inside them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from derain_cli.media.borders import content_box


def inside(height=30, width=40, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (height, width, 3), dtype, endpoint=True)


def framed(picture, top, bottom, left, right, colour):
    width = ((top, bottom), (left, right), (0, 0))
    made = np.pad(picture, width)
    border = np.pad(np.zeros(picture.shape[:2], bool), width[:2], constant_values=True)
    made[border] = colour
    return made


SIDE = st.one_of(st.just(0), st.integers(4, 20))


@given(top=SIDE, bottom=SIDE, left=SIDE, right=SIDE, level=st.sampled_from([0, 255, 128]))
def test_the_box_is_what_lies_inside(top, bottom, left, right, level):
    rows, columns = content_box(framed(inside(), top, bottom, left, right, level))
    assert (rows.start, rows.stop) == (top, top + 30)
    assert (columns.start, columns.stop) == (left, left + 40)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_border_may_differ_a_little_as_jpeg_leaves_it(dtype):
    scale = 257 if dtype == np.uint16 else 1
    picture = framed(inside(dtype=dtype), 8, 8, 8, 8, 250 * scale)
    noisy = picture.copy()
    noise = np.random.default_rng(1).integers(-2, 3, picture.shape) * scale
    border = np.ones(picture.shape[:2], bool)
    border[8:38, 8:48] = False
    noisy[border] = (picture[border].astype(int) + noise[border]).astype(dtype)
    assert content_box(noisy) == (slice(8, 38), slice(8, 48))


def test_sides_may_have_colours_of_their_own():
    picture = framed(framed(inside(), 0, 0, 6, 7, (10, 20, 30)), 9, 5, 0, 0, (200, 0, 0))
    assert content_box(picture) == (slice(9, 39), slice(6, 46))


@pytest.mark.parametrize(
    "picture",
    [inside(), np.full((20, 30, 3), 7, np.uint8), framed(inside(), 3, 3, 3, 3, 0), inside(1, 1), inside(3, 50)],
    ids=["no border", "all flat", "too thin", "one pixel", "low"],
)
def test_else_it_is_the_whole_picture(picture):
    height, width = picture.shape[:2]
    assert content_box(picture) == (slice(0, height), slice(0, width))


def test_a_gradient_is_no_border():
    sky = np.broadcast_to(np.linspace(255, 100, 60)[:, None, None], (60, 50, 3)).astype(np.uint8)
    assert content_box(sky) == (slice(0, 60), slice(0, 50))
