"""Description of a clip before its frames are read."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np

from derain_cli.media.clip.info import Orientation
from tests.media.clip.reading import read
from tests.sample_clips import write_clip, write_without_duration


def test_all_eight_orientations_are_undone() -> None:
    array = np.arange(12).reshape(3, 4)
    for bits in itertools.product([False, True], repeat=3):
        turn = Orientation(*bits)
        assert np.array_equal(turn.coded(turn.upright(array)), array)


def test_odd_sizes_and_pixel_aspect(tmp_path: Path) -> None:
    options = {"crf": "10", "b": "0", "cpu-used": "8", "deadline": "realtime"}
    frames, _ = read(write_clip(tmp_path / "a.webm", codec="libvpx-vp9", width=49, height=33, options=options))
    assert frames[0].pixels.shape == (33, 49, 3)
    _, reader = read(write_clip(tmp_path / "b.mp4", pixel_aspect=Fraction(4, 3)))
    assert reader.info.pixel_aspect == Fraction(4, 3)


def test_a_missing_duration_is_none(tmp_path: Path) -> None:
    frames, reader = read(write_without_duration(tmp_path / "a.mkv"))
    assert len(frames) == 12
    assert reader.info.duration is None and reader.info.frames is None
    assert not reader.incomplete
