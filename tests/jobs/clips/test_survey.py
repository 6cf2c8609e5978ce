"""What a clip amounts to, before its frames are read."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from derain_cli.config import VideoOptions
from derain_cli.jobs.clips.survey import Load, survey
from tests.sample_clips import write_clip, write_sound, write_without_duration


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("a.mp4", {}),
        ("a.mkv", {"time_base": Fraction(1, 1000)}),
        ("a.ts", {"time_base": Fraction(1, 90000)}),
        ("a.avi", {"codec": "mpeg4", "options": {}, "time_base": Fraction(1, 25)}),
    ],
)
def test_frames_and_size_are_known_of_usual_clips(tmp_path: Path, name: str, changes: dict[str, Any]) -> None:
    load = survey(str(write_clip(tmp_path / name, frames=50, **changes)), VideoOptions())
    assert (load.width, load.height) == (48, 32)
    assert abs(load.frames - 50) <= (1 if name == "a.ts" else 0)
    assert load.seconds == pytest.approx(2, abs=0.05)
    assert load.weight == load.frames * 48 * 32


def test_where_no_header_says_anything_packets_are_counted(tmp_path: Path) -> None:
    source = write_without_duration(tmp_path / "a.mkv", frames=40)
    assert survey(str(source), VideoOptions()).frames == 40


def test_counting_ends_after_a_while_and_goes_by_the_share_of_the_file(tmp_path: Path) -> None:
    source = write_without_duration(tmp_path / "a.mkv", frames=1200)
    times = iter(range(0, 1000, 10))
    load = survey(str(source), VideoOptions(), clock=lambda: float(next(times)))
    assert load.frames == pytest.approx(1200, rel=0.1)


def test_a_part_is_counted_as_a_part(tmp_path: Path) -> None:
    source = str(write_clip(tmp_path / "a.mp4", frames=50))
    assert survey(source, VideoOptions(start=0.4, end=1.2)).frames == 20
    assert survey(source, VideoOptions(preview=0.2)).frames == 5


@pytest.mark.parametrize("kind", ["missing", "junk", "sound"])
def test_what_cannot_be_read_amounts_to_nothing(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.mp4"
    if kind == "junk":
        path.write_bytes(b"junk" * 99)
    elif kind == "sound":
        write_sound(path.with_suffix(".m4a")).rename(path)
    assert survey(str(path), VideoOptions()) == Load()
