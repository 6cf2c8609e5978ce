"""The positive transform compared with slow implementations, and its properties."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from derain_cli.losses.style import POSITIVE_TRANSFORMS, attention_statistics, channel_statistics, normalised


def features(seed: int, size: tuple[int, ...] = (2, 6, 5, 4)) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(size, generator=generator, dtype=torch.float64) * 3 + 1


def slow_attention(content: Tensor, style: Tensor) -> Tensor:
    """Loops over pictures and positions, directly from the definition."""
    out = torch.empty_like(content)
    query, key = normalised(content), normalised(style)
    for n in range(content.shape[0]):
        places = [(y, x) for y in range(style.shape[2]) for x in range(style.shape[3])]
        for y in range(content.shape[2]):
            for x in range(content.shape[3]):
                q = query[n, :, y, x]
                scores = torch.stack([q @ key[n, :, v, u] for v, u in places]) / content.shape[1] ** 0.5
                weights = scores.softmax(0)
                values = torch.stack([style[n, :, v, u] for v, u in places])
                mean = (weights[:, None] * values).sum(0)
                variance = (weights[:, None] * (values - mean) ** 2).sum(0)
                out[n, :, y, x] = variance.sqrt() * q + mean
    return out


def test_attention_equals_the_definition() -> None:
    content, style = features(0), features(1, (2, 6, 3, 7))
    torch.testing.assert_close(attention_statistics(content, style), slow_attention(content, style))


def test_attention_is_finite_in_fp32_at_the_scale_of_vgg() -> None:
    content, style = features(2).float() * 300, features(3).float() * 300
    assert torch.isfinite(attention_statistics(content, style)).all()


def test_channel_statistics_are_those_of_the_style() -> None:
    moved, style = channel_statistics(features(0), features(1)), features(1)
    torch.testing.assert_close(moved.mean((2, 3)), style.mean((2, 3)))
    torch.testing.assert_close(moved.std((2, 3)), style.std((2, 3)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["adaattn", "statistics"])
def test_a_constant_style_leaves_no_content(name: str) -> None:
    style = torch.ones(1, 6, 4, 4, dtype=torch.float64) * torch.arange(6).view(1, 6, 1, 1)
    moved = POSITIVE_TRANSFORMS[name](features(0, (1, 6, 5, 4)), style)
    torch.testing.assert_close(moved, style[:, :, :1, :1].expand_as(moved), atol=0.05, rtol=0)


def test_none_is_the_content() -> None:
    content = features(0)
    assert POSITIVE_TRANSFORMS["none"](content, features(1)) is content
