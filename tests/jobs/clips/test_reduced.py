"""Rain found on smaller pictures: sizes, detail, depth; and what it costs, on streaks with a truth."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.reduced import reduced
from tests.jobs.clips.conftest import IDENTITY, each


def texture(dtype: Any = np.uint8) -> NDArray[Any]:
    noise = np.random.default_rng(0).integers(60, 160, (120, 160, 3))
    return (noise * (257 if dtype == np.uint16 else 1)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("scale", [0.3, 0.5, 0.9])
def test_where_nothing_is_found_the_picture_stays_bit_for_bit(dtype: Any, scale: float) -> None:
    picture = texture(dtype)
    (out,) = reduced(IDENTITY, scale).restore([picture])
    assert out.dtype == dtype and np.array_equal(out, picture)


def test_the_engine_sees_small_pictures_and_windows_keep_their_frames() -> None:
    seen: list[tuple[int, ...]] = []

    def middle(window: Any) -> Any:
        seen.append(window.shape)
        return np.ascontiguousarray(window[:, :, 3:6])

    window = np.dstack([texture(), 255 - texture(), texture()])
    (out,) = reduced(each(middle, frames=3), 0.5).restore([window])
    assert seen == [(60, 80, 9)]
    assert np.array_equal(out, window[:, :, 3:6])


def test_streaks_go_and_the_detail_beside_them_stays() -> None:
    clean = cv2.GaussianBlur(texture(), (0, 0), 0.7)
    streak = np.zeros(clean.shape[:2], np.float32)
    for x in range(10, 150, 20):
        cv2.line(streak, (x, 5), (x + 12, 110), 70, 2)
    rainy = np.clip(clean + streak[:, :, None], 0, 255).astype(np.uint8)
    small = {"size": (80, 60), "interpolation": cv2.INTER_AREA}
    engine = each(lambda picture: cv2.resize(clean, small["size"], interpolation=cv2.INTER_AREA))  # type: ignore[call-overload]
    (out,) = reduced(engine, 0.5).restore([rainy])
    assert cv2.PSNR(out, clean) > cv2.PSNR(rainy, clean) + 6
    dry = streak == 0
    apart = cv2.dilate((~dry).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert np.abs(out[apart].astype(int) - clean[apart]).max() <= 2
    blurred = cv2.resize(cv2.resize(clean, (80, 60), interpolation=cv2.INTER_AREA), (160, 120))
    assert cv2.PSNR(out, clean) > cv2.PSNR(blurred, clean)


def test_the_whole_size_is_the_engine_itself_and_others_are_told_apart() -> None:
    assert reduced(IDENTITY, 1.0) is IDENTITY
    assert len({reduced(IDENTITY, scale).identity for scale in (1.0, 0.5, 0.51)}) == 3


def test_tiny_pictures_are_not_reduced_to_nothing() -> None:
    seen: list[tuple[int, ...]] = []
    engine = FrameRestorer(lambda pictures: [seen.append(p.shape) or p for p in pictures], "sees")  # type: ignore[func-returns-value]
    (out,) = reduced(engine, 0.1).restore([texture()[:20, :9]])
    assert out.shape == (20, 9, 3) and min(seen[0][:2]) >= 9
