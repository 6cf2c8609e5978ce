"""Tiles cover a picture exactly once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.engine.tiling import Box, Tile, plan_tiles, sample_crops


@st.composite
def plans(draw):
    height, width = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    align = draw(st.sampled_from([1, 2, 3, 4]))
    tile, halo = draw(st.integers(align, 120)), draw(st.integers(0, 60))
    area = Box(0, 0, height, width)
    if draw(st.booleans()):  # a part of the picture that starts on the grid, as when a tile is halved
        top, left = (draw(st.integers(0, (n - 1) // align)) * align for n in (height, width))
        area = Box(top, left, draw(st.integers(top + 1, height)), draw(st.integers(left + 1, width)))
    return area, tile, halo, height, width, align


@settings(deadline=None)
@given(plans())
def test_tiles_write_every_pixel_of_the_area_once_and_nothing_else(plan):
    area, tile, halo, height, width, align = plan
    written = np.zeros((height, width), int)
    for part in plan_tiles(area, tile, halo, height, width, align):
        written[part.write.slices] += 1
    expected = np.zeros((height, width), int)
    expected[area.slices] = 1
    assert np.array_equal(written, expected)


@settings(deadline=None)
@given(plans())
def test_halo_lies_inside_the_picture_and_is_whole_where_there_is_room(plan):
    area, tile, halo, height, width, align = plan
    for read, write in plan_tiles(area, tile, halo, height, width, align):
        assert 0 <= read.top <= max(0, write.top - halo)
        assert 0 <= read.left <= max(0, write.left - halo)
        assert read.bottom == min(height, write.bottom + halo)
        assert read.right == min(width, write.right + halo)
        assert max(0, write.top - halo) - read.top < align
        assert max(0, write.left - halo) - read.left < align
        assert read.top % align == read.left % align == 0


@settings(deadline=None)
@given(plans())
def test_tiles_are_not_larger_than_asked_and_near_equal(plan):
    area, tile, halo, height, width, align = plan
    parts = list(plan_tiles(area, tile, halo, height, width, align))
    assert all(max(part.write.height, part.write.width) < tile + align for part in parts)
    for sides in ([p.write.height for p in parts], [p.write.width for p in parts]):
        assert max(sides) - min(sides) <= 2 * align


@settings(deadline=None)
@given(plans())
def test_inner_is_the_written_part_in_the_tile(plan):
    picture = np.arange(plan[3] * plan[4]).reshape(plan[3], plan[4])
    for part in plan_tiles(*plan):
        assert np.array_equal(picture[part.read.slices][part.inner], picture[part.write.slices])


def test_a_tile_as_large_as_the_picture_is_the_picture():
    whole = Box(0, 0, 30, 50)
    assert list(plan_tiles(whole, 50, 10, 30, 50)) == [Tile(whole, whole)]


@settings(deadline=None)
@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 300), st.integers(1, 20), st.sampled_from([1, 2, 4]))
def test_sample_crops_are_equal_inside_few_and_always_the_same(height, width, side, count, align):
    boxes = sample_crops(height, width, side, count, align)
    assert boxes == sample_crops(height, width, side, count, align)
    assert 1 <= len(boxes) <= count
    assert {(b.height, b.width) for b in boxes} == {(min(side, height), min(side, width))}
    for box in boxes:
        assert box.top >= 0 <= box.left
        assert box.bottom <= height
        assert box.right <= width
        assert box.top % align == box.left % align == 0


@pytest.mark.parametrize(("height", "width"), [(2000, 3000), (3000, 2000), (600, 6000), (1500, 1500)])
def test_sample_crops_reach_both_ends_of_a_large_picture(height, width):
    boxes = sample_crops(height, width, 512, 16)
    assert len(boxes) >= 6
    assert min(b.left for b in boxes) == 0 or len({b.left for b in boxes}) == 1
    if width > 2 * 512:
        assert (min(b.left for b in boxes), max(b.right for b in boxes)) == (0, width)
    if height > 2 * 512:
        assert (min(b.top for b in boxes), max(b.bottom for b in boxes)) == (0, height)


def test_a_small_picture_is_its_own_sample():
    assert sample_crops(100, 80, 512, 16) == [Box(0, 0, 100, 80)]
