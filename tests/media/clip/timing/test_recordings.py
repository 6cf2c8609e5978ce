"""Consecutive recordings in one file: the time line continues."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from derain_cli.media.clip.reader import open_clip
from tests.sample_clips import join, write_clip, write_without_duration


def recording(path: Path, **changes: Any) -> Path:
    values: dict[str, Any] = {"frames": 15, "time_base": Fraction(1, 90000), "audio": ["aac"]}
    values |= {"options": {"preset": "ultrafast", "g": "12", "bf": "2"}}
    return write_clip(path, **(values | changes))


def rewritten(path: Path, source: Path, seconds: float = 0.0, **options: str) -> Path:
    """The same packets, later."""
    with av.open(str(source)) as file, av.open(str(path), "w", options=options) as out:
        streams = {s.index: out.add_stream_from_template(s, opaque=True) for s in file.streams}
        for packet in file.demux():
            if packet.size == 0 or packet.pts is None:
                continue
            shift = round(seconds / packet.time_base)
            packet.pts, packet.dts = packet.pts + shift, None if packet.dts is None else packet.dts + shift
            packet.stream = streams[packet.stream_index]
            out.mux(packet)
    return path


def times(path: Path) -> tuple[list[float], list[str]]:
    with open_clip(path) as clip:
        found = [frame.seconds for frame in clip]
    assert not clip.incomplete
    return [round(each - found[0], 4) for each in found], clip.warnings


@pytest.mark.parametrize("offset", [0.0, 0.3, 40.0])
@pytest.mark.parametrize("ending", ["ts", "mpg"])
def test_the_clock_goes_on_wherever_the_next_recording_begins(tmp_path: Path, ending: str, offset: float) -> None:
    older: dict[str, Any] = {"codec": "mpeg2video", "options": {"bf": "2"}, "audio": ["mp2"]}
    older |= {"width": 64, "height": 64, "time_base": Fraction(1, 25)}
    first = recording(tmp_path / f"a.{ending}", **(older if ending == "mpg" else {}))
    second = rewritten(tmp_path / f"b.{ending}", first, offset)
    found, warnings = times(join(tmp_path / f"c.{ending}", first, second, first))
    assert len(found) == 45
    # The picture does not wait longer than the preceding sound. In a program stream, FFmpeg assigns the time of the
    # next recording to a picture without timestamp.
    assert all((0.039 if ending == "ts" else 0.019) < b - a < 0.09 for a, b in itertools.pairwise(found))
    assert found[-1] == pytest.approx(44 / 25, abs=0.1)
    assert len(warnings) == 1 and "3 consecutive recordings" in warnings[0]


def test_a_matroska_file_behind_another_goes_on_too(tmp_path: Path) -> None:
    first = recording(tmp_path / "a.mkv", time_base=Fraction(1, 1000))
    found, warnings = times(join(tmp_path / "c.mkv", first, first))
    assert len(found) == 30 and found[-1] == pytest.approx(29 / 25, abs=0.1)
    assert all(0.038 < b - a < 0.09 for a, b in itertools.pairwise(found))
    assert len(warnings) == 1 and "2 consecutive recordings" in warnings[0]


def test_without_sound_there_is_no_wait(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.ts", audio=[])
    found, _ = times(join(tmp_path / "c.ts", one, one))
    assert found == [round(n / 25, 4) for n in range(30)]


def test_recordings_with_a_clock_in_common_are_one(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.ts", audio=[])
    found, warnings = times(join(tmp_path / "c.ts", one, rewritten(tmp_path / "b.ts", one, 0.6)))
    assert found == [round(n / 25, 4) for n in range(30)] and warnings == []


def test_a_pause_that_is_no_new_recording_stays(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.ts", audio=[])
    found, warnings = times(join(tmp_path / "c.ts", one, rewritten(tmp_path / "b.ts", one, 4.0)))
    assert found[15] == 4.0 and warnings == []


def damaged_timestamp(data: bytearray, number: int) -> None:
    """Gives a packet of the video elementary stream its own timestamp."""
    starts = [at for at in range(len(data)) if data[at : at + 4] == b"\0\0\1\xe0"]
    for place in range(9, 9 + data[starts[number] + 8], 5):
        data[starts[number] + place + 1] ^= 0x10  # about 25 minutes


def test_a_damaged_timestamp_begins_no_recording(tmp_path: Path) -> None:
    source = recording(tmp_path / "a.ts")
    data = bytearray(source.read_bytes())
    damaged_timestamp(data, 7)
    source.write_bytes(bytes(data))
    with open_clip(source) as clip:
        assert len(list(clip)) >= 14
    assert not any("recordings" in each for each in clip.warnings)


def test_reading_may_begin_in_any_recording(tmp_path: Path) -> None:
    one = recording(tmp_path / "a.ts")
    source = join(tmp_path / "c.ts", one, one, one)
    with open_clip(source) as clip:
        whole = [(frame.pts, frame.pixels) for frame in clip]
    for place in (3, 20, 31, 44):
        with open_clip(source) as clip:
            rest = [(frame.pts, frame.pixels) for frame in clip.frames(whole[place][0])]
        assert [pts for pts, _ in rest] == [pts for pts, _ in whole[place:]]
        assert all(np.array_equal(a[1], b[1]) for a, b in zip(rest, whole[place:], strict=True))


def other_tracks(path: Path) -> Path:
    """A recording by another camera, with different track numbers in the stream."""
    return recording(path, width=192, height=128, container={"mpegts_start_pid": "0x200"})


def as_flv(path: Path) -> Path:
    return write_clip(path, frames=15, time_base=Fraction(1, 1000), audio=["aac"], width=192, height=128)


def as_matroska(path: Path) -> Path:
    """Two files at a time: FFmpeg does not read more than two consecutive ones."""
    one = recording(path.with_name("one.mkv"), time_base=Fraction(1, 1000))
    return join(path, one, one)


def as_mp4(path: Path) -> Path:
    return write_clip(path, frames=15, audio=["aac"])


@pytest.mark.parametrize(
    ("make", "ending"), [(other_tracks, "ts"), (as_flv, "flv"), (as_mp4, "mp4"), (as_matroska, "mkv")]
)
def test_a_recording_that_cannot_be_read_is_not_passed_over_in_silence(
    tmp_path: Path, make: Callable[[Path], Path], ending: str
) -> None:
    first = recording(tmp_path / "a.ts", width=192, height=128) if ending == "ts" else make(tmp_path / f"a.{ending}")
    source = join(tmp_path / f"c.{ending}", first, make(tmp_path / f"b.{ending}"))
    with open_clip(source) as clip:
        assert len(list(clip)) == (30 if ending == "mkv" else 15)
    assert clip.incomplete and any("not restored" in each for each in clip.warnings)


def test_what_follows_a_recording_without_a_length_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    endless = write_without_duration(tmp_path / "a.mkv", frames=15, time_base=Fraction(1, 1000))
    source = join(tmp_path / "c.mkv", endless, recording(tmp_path / "b.mkv", time_base=Fraction(1, 1000)))
    with open_clip(source) as clip:
        assert len(list(clip)) == 15
    assert clip.incomplete and any("not restored" in each for each in clip.warnings)
