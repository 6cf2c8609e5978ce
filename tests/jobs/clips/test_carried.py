"""Everything besides the picture: in formats that support it, and in others."""

from __future__ import annotations

import io
import itertools
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from tests.jobs.clips.conftest import good, restore
from tests.sample_clips import packets_of, picture, times_of, write_clip

MS = Fraction(1, 1000)


def coded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture(3)).save(buffer, kind)
    return buffer.getvalue()


def with_cover(path: Path, kind: str) -> Path:
    """A clip with sound and a cover picture."""
    plain = write_clip(path.with_name(f"plain{path.suffix}"), audio=["aac"])
    codec, data = {"JPEG": "mjpeg", "PNG": "png"}[kind], coded(kind)
    with av.open(str(plain)) as source, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream, opaque=True) for stream in source.streams}
        if path.suffix == ".mkv":
            ending = {"JPEG": "jpg", "PNG": "png"}[kind]
            out.add_attachment(f"cover.{ending}", f"image/{kind.lower()}", data)
        else:
            with av.open(io.BytesIO(data)) as image:
                cover = out.add_stream_from_template(image.streams.video[0], opaque=True)
            cover.disposition = av.stream.Disposition.attached_pic
            assert cover.codec_context.name == codec
        out.start_encoding()
        if path.suffix != ".mkv":
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.time_base = cover, 0, 0, MS
            out.mux(packet)
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                out.mux(packet)
    return path


def covers_in(path: Path) -> list[Any]:
    with av.open(str(path)) as file:
        return [
            (stream.codec_context.name, stream.codec_context.width, stream.codec_context.height)
            for stream in file.streams.video
            if stream.disposition & av.stream.Disposition.attached_pic
        ]


@pytest.mark.parametrize(("before", "after"), list(itertools.product(["mp4", "mkv"], ["mp4", "mkv", "mov", "m4v"])))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_covers_stay_covers(tmp_path: Path, kind: str, before: str, after: str) -> None:
    source, target = with_cover(tmp_path / f"a.{before}", kind), tmp_path / f"b.{after}"
    assert good(restore(source, target)).notes == ()
    assert covers_in(target) == covers_in(source) != []
    assert coded(kind) in target.read_bytes()
    assert len(times_of(target)) == 12


def test_a_cover_that_is_not_held_is_named(tmp_path: Path) -> None:
    outcome = good(restore(with_cover(tmp_path / "a.mkv", "PNG"), tmp_path / "b.webm", preset="8"))
    assert any("cover picture (png) cannot be stored in this format" in note for note in outcome.notes)


# --- sound ------------------------------------------------------------------------------------------------------------


def samples(path: Path) -> tuple[Fraction, Any]:
    """Start of the sound in seconds, and its samples, mono, from -1 to 1."""
    with av.open(str(path)) as file:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=48000)
        frames = list(file.decode(audio=0))
        begin = frames[0].pts * frames[0].time_base
        return begin, np.concatenate([f.to_ndarray()[0] for each in (*frames, None) for f in resampler.resample(each)])


@pytest.mark.parametrize(
    ("before", "codec", "after", "becomes"),
    [
        ("avi", "adpcm_ms", "mp4", "aac"),
        ("avi", "pcm_u8", "mp4", "aac"),
        ("wmv", "adpcm_ms", "mkv", "flac"),
        ("mp4", "aac", "webm", "opus"),
    ],
)
def test_sound_that_is_not_held_is_converted_and_told(
    tmp_path: Path, before: str, codec: str, after: str, becomes: str
) -> None:
    older: dict[str, Any] = {"codec": "mpeg4", "options": {"qscale": "2"}, "time_base": Fraction(1, 25)}
    source = write_clip(tmp_path / f"a.{before}", frames=25, audio=[codec], **({} if before == "mp4" else older))
    target = tmp_path / f"b.{after}"
    outcome = good(restore(source, target, preset="8"))
    assert any(f"audio track 1 ({codec}) cannot be stored in .{after}" in note for note in outcome.notes)
    with av.open(str(target)) as file:
        assert file.streams.audio[0].codec_context.name.removeprefix("lib") == becomes
    (was_at, was), (now_at, now) = samples(source), samples(target)
    length = min(len(was), len(now)) - 4096
    assert abs(was_at - now_at) < 0.03 and abs(len(was) - len(now)) < 3000
    # The same tone, equally loud, nearly in sync.
    assert np.std(now[4096:length]) == pytest.approx(np.std(was[4096:length]), rel=0.1)


@pytest.mark.parametrize(
    ("codec", "suffix"), [("aac", "mov"), ("libopus", "mp4"), ("flac", "mkv"), ("pcm_s16le", "mkv")]
)
def test_sound_that_is_held_is_copied(tmp_path: Path, codec: str, suffix: str) -> None:
    source = write_clip(tmp_path / "a.mkv", audio=[codec], time_base=MS)
    assert good(restore(source, tmp_path / f"b.{suffix}")).notes == ()
    was, now = packets_of(source, 1), packets_of(tmp_path / f"b.{suffix}", 1)
    assert b"".join(content for _, content in was) == b"".join(content for _, content in now) != b""


# --- subtitles --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["mkv", "mp4"])
def test_a_part_has_the_subtitle_that_is_on_the_screen_where_it_begins(tmp_path: Path, after: str) -> None:
    source = write_clip(
        tmp_path / "a.mkv", frames=50, subtitles=["subrip"], time_base=MS
    )  # each half second, for 0.4 s
    target = tmp_path / f"b.{after}"
    good(restore(source, target, start=0.2, end=1.2))
    with av.open(str(target)) as file:
        stream = file.streams.subtitles[0]
        lines = [
            (float(p.pts * p.time_base), float(p.duration * p.time_base), bytes(p))
            for p in file.demux(stream)
            if p.size > 2
        ]
    assert [round(begin, 2) for begin, _, _ in lines] == [0, 0.3, 0.8]
    assert [round(length, 2) for _, length, _ in lines] == [0.2, 0.4, 0.2]
    assert [content[-11:] for _, _, content in lines] == [b"line at 0.0", b"line at 0.5", b"line at 1.0"]


def test_text_is_converted_where_its_kind_is_not_held(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mkv", frames=30, subtitles=["subrip"], time_base=MS)
    outcome = good(restore(source, tmp_path / "b.mp4"))
    assert any("converted to mov_text" in note for note in outcome.notes)
    assert [content[2:] for _, content in packets_of(tmp_path / "b.mp4", 1) if len(content) > 2] == [
        b"line at 0.0",
        b"line at 0.5",
        b"line at 1.0",
    ]


# --- time codes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["h264", "prores"])
@pytest.mark.parametrize(("start", "code"), [(0.0, "01:02:03:04"), (0.2, "01:02:03:09")])
def test_time_codes_stay_and_count_on(tmp_path: Path, codec: Any, start: float, code: str) -> None:
    source = write_clip(tmp_path / "a.mov", frames=25, tags={"timecode": "01:02:03:04"})
    good(restore(source, tmp_path / "b.mov", codec=codec, start=start, preset=None))
    with av.open(str(tmp_path / "b.mov")) as file:
        assert {s.metadata["timecode"] for s in file.streams if "timecode" in s.metadata} == {code}
