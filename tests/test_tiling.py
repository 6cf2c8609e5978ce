"""Tiles cover a picture exactly once, and the stated reach is the measured one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from derain_cli.config import ModelConfig
from derain_cli.model import build
from derain_cli.tiling import Box, Tile, plan_tiles, receptive_radius, sample_crops


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


def test_reach_of_the_paper_is_163():
    assert receptive_radius(ModelConfig()) == 163
    assert receptive_radius(ModelConfig(detail="none")) == 35


def measured_reach(config: ModelConfig) -> int:
    """How far from a pixel the picture has an influence on it: the non-zero gradient, positive weights, no gates."""
    model = build(config).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.uniform_(0.5, 1.0)  # no cancellation
        for module in model.modules():
            if isinstance(module, nn.Conv2d):
                module.weight /= module.weight[0].numel()
    stated = receptive_radius(config)
    middle = (stated + 8) // config.unshuffle * config.unshuffle
    side = 2 * middle + 2 * config.unshuffle
    reach = 0
    for row in range(middle, middle + config.unshuffle):  # any pixel of a block
        rainy = torch.rand(1, 3, side, side, dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(_layer_sum(model, rainy, row, middle), rainy)
        seen = gradient[0].abs().sum(0) > 0
        rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
        assert rows.min() > 0, "the picture is too small for the measurement"
        assert rows.max() < side - 1
        ends = (row - rows.min(), rows.max() - row, middle - columns.min(), columns.max() - middle)
        reach = max(reach, *(int(end) for end in ends))
    return reach


def _layer_sum(model, rainy, row, column):
    layers = model(rainy)
    return layers.rain[0, :, row, column].sum() + layers.detail[0, :, row, column].sum()


@pytest.mark.parametrize(
    "config",
    [
        ModelConfig(width=2, blocks=1, se=False),
        ModelConfig(width=2, blocks=2, se=False),
        ModelConfig(width=2, blocks=2, se=False, detail="none"),
        ModelConfig(width=2, blocks=1, se=False, detail="direct"),
        ModelConfig(width=2, blocks=2, se=False, detail="residual"),
        ModelConfig(width=2, blocks=2, se=False, detail="msarr"),
        ModelConfig(width=2, blocks=1, se=False, detail_blocks=2),
        ModelConfig(width=2, blocks=6, se=False, detail_blocks=1),
        ModelConfig(width=2, blocks=1, se=False, unshuffle=2),
        ModelConfig(width=2, blocks=1, se=False, unshuffle=3, detail="residual"),
        ModelConfig(width=2, blocks=1, se=False, unshuffle=4, detail="none"),
    ],
    ids=lambda c: f"b{c.blocks}-s{c.unshuffle}-{c.detail}{c.detail_blocks or ''}",
)
def test_reach_is_the_measured_one(config):
    assert measured_reach(config) == receptive_radius(config)
