"""Clips behind each other: times, sound, data, chapters; and what does not fit."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from derain_cli.media.clip.carried.tracks import is_made_anew
from derain_cli.media.clip.joining import Piece, difference, join, layout_of
from derain_cli.media.clip.reader import open_clip
from tests.sample_clips import packets_of, times_of, write_clip


def joined(target: Path, *paths: Path) -> list[str]:
    return join([Piece(path, path.stem) for path in paths], target, target.suffix, lambda share: None)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv"])
@pytest.mark.parametrize("bf", ["0", "2"])
def test_frames_follow_without_a_gap_and_are_the_same(tmp_path: Path, suffix: str, bf: str) -> None:
    base = Fraction(1, 1000) if suffix == "mkv" else Fraction(1, 12800)
    options = {"preset": "ultrafast", "crf": "12", "bf": bf}
    counts = (12, 7, 2, 20)
    paths = [
        write_clip(tmp_path / f"{n}.{suffix}", frames=n, time_base=base, options=options, audio=["aac"]) for n in counts
    ]
    assert joined(tmp_path / f"all.{suffix}", *paths) == []
    assert times_of(tmp_path / f"all.{suffix}") == [Fraction(n, 25) for n in range(sum(counts))]
    before: list[bytes] = []
    for path in paths:
        with open_clip(path) as reader:
            before += [frame.pixels.tobytes() for frame in reader]
    with open_clip(tmp_path / f"all.{suffix}") as reader:
        assert [frame.pixels.tobytes() for frame in reader] == before
        assert reader.warnings == [] and not reader.incomplete


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_sound_keeps_its_place_beside_the_picture_over_many_clips(tmp_path: Path, suffix: str) -> None:
    base = Fraction(1, 1000) if suffix == "mkv" else Fraction(1, 30000)
    path = write_clip(tmp_path / f"a.{suffix}", frames=31, rate=Fraction(30000, 1001), time_base=base, audio=["aac"])
    joined(tmp_path / f"all.{suffix}", *[path] * 20)
    frames, sound = times_of(tmp_path / f"all.{suffix}"), packets_of(tmp_path / f"all.{suffix}", 1)
    assert len(frames) == 20 * 31
    own = packets_of(path, 1)
    places = {content: time for time, content in own}
    begins = frames[19 * 31]  # of the last clip
    if suffix == "mp4":
        assert begins == 19 * 31 * Fraction(1001, 30000)
    last = [(time - begins, content) for time, content in sound][-10:]
    shift = {round(float(time - places[content]), 3) for time, content in last}
    assert max(map(abs, shift)) <= (0.001 if suffix == "mkv" else 1 / 48000 + 0.0005)
    assert len(sound) >= 20 * (len(own) - 3)
    assert all(after > before for (before, _), (after, _) in itertools.pairwise(sound))


def test_sound_that_goes_on_behind_the_picture_pushes_the_next_clip_back(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", frames=5, time_base=Fraction(1, 1000))
    with av.open(str(tmp_path / "b.mkv"), "w") as out, av.open(str(path)) as source:
        video: Any = out.add_stream_from_template(source.streams.video[0])
        sound: Any = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        out.start_encoding()
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = video
                out.mux(packet)
        for n in range(10):
            beep: Any = av.Packet(bytes(1600))
            beep.stream, beep.time_base, beep.pts, beep.dts, beep.duration = (
                sound,
                Fraction(1, 8000),
                n * 800,
                n * 800,
                800,
            )
            out.mux(beep)
    joined(tmp_path / "all.mkv", tmp_path / "b.mkv", tmp_path / "b.mkv")
    assert times_of(tmp_path / "all.mkv")[5] == Fraction(9, 10)  # a tenth of a second may overlap
    assert len(packets_of(tmp_path / "all.mkv", 1)) in (19, 20)


def test_data_and_subtitles_go_on_and_may_begin_later(tmp_path: Path) -> None:
    plain = write_clip(tmp_path / "a.mp4", frames=10)
    tracked = write_clip(tmp_path / "b.mp4", frames=10, data=["bin_data"])
    joined(tmp_path / "all.mp4", plain, tracked, tracked)
    with av.open(str(tmp_path / "all.mp4")) as file:
        assert [s.type for s in file.streams if not is_made_anew(s)] == ["video", "data"]
    own = packets_of(tracked, 1)
    assert packets_of(tmp_path / "all.mp4", 1) == [
        (time + Fraction(shift, 25), content) for shift in (10, 20) for time, content in own
    ]
    texts = write_clip(tmp_path / "c.mkv", frames=25, subtitles=["subrip"], time_base=Fraction(1, 1000))
    joined(tmp_path / "all.mkv", texts, texts)
    assert [time for time, _ in packets_of(tmp_path / "all.mkv", 1)] == [Fraction(n, 2) for n in range(4)]


def test_each_clip_is_a_chapter_or_has_its_own(tmp_path: Path) -> None:
    one = write_clip(tmp_path / "one.mp4", frames=25, tags={"title": "a drive"})
    two = write_clip(tmp_path / "two.mp4", frames=25, chapters=[(0, 0.4, "in"), (0.4, 1, "out")])
    joined(tmp_path / "all.mp4", one, two, one)
    with av.open(str(tmp_path / "all.mp4")) as file:
        chapters: list[Any] = list(file.chapters())
        assert file.metadata["title"] == "a drive"
    found = [(c["metadata"]["title"], c["start"] * c["time_base"], c["end"] * c["time_base"]) for c in chapters]
    assert found == [
        ("one", 0, 1),
        ("in", 1, Fraction(7, 5)),
        ("out", Fraction(7, 5), 2),
        ("one", 2, 3),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"width": 64}, "64x32 pixels, not 48x32"),
        ({"rotation": 90}, "turned by 270 degrees, not 0"),
        ({"rate": Fraction(50)}, "50 frames a second, not 25"),
        ({"audio": []}, "sound is none, not aac, 48000 Hz, stereo"),
        ({"audio": ["aac", "aac"]}, "sound is aac"),
        ({"codec": "mpeg4", "options": {}}, "coded as mpeg4 yuv420p, not h264 yuv420p"),
        ({"options": {"preset": "ultrafast", "crf": "12", "bf": "0"}}, "coded with other settings"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    first = layout_of(write_clip(tmp_path / "a.mp4", audio=["aac"]))
    other = layout_of(write_clip(tmp_path / "b.mp4", **({"audio": ["aac"]} | changes)))
    assert words in str(difference(first, other))
    assert difference(first, first) is None


def test_the_work_can_be_stopped(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=30)
    shares: list[float] = []

    def tick(share: float) -> None:
        shares.append(share)
        if share > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        join([Piece(path, "a")] * 4, tmp_path / "all.mp4", ".mp4", tick)
    assert max(shares) < 0.9
