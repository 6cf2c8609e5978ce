"""Clips for pipes: all frames arrive, raw ones without loss, unsupported tracks are reported."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from derain_cli.media.clip.streams import STREAMS, send
from tests.sample_clips import Pipe, write_clip


def lossless(path: Path, pix_fmt: str, frames: int = 4) -> list[np.ndarray]:
    """A clip of noise in FFV1; its planes."""
    planes = []
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 24, pix_fmt
        for _ in range(frames):
            rgb = rng.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pix_fmt)
            planes.append(frame.to_ndarray())
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return planes


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le"])
def test_raw_frames_are_the_same_numbers(tmp_path: Path, pix_fmt: str) -> None:
    planes = lossless(tmp_path / "a.mkv", pix_fmt)
    pipe = Pipe()
    assert send(tmp_path / "a.mkv", pipe, STREAMS["y4m"]) == []
    with av.open(io.BytesIO(bytes(pipe.data))) as sent:
        assert sent.streams.video[0].average_rate == 25
        there = [frame.to_ndarray() for frame in sent.decode(video=0)]
    assert len(there) == len(planes)
    assert all(np.array_equal(a, b) for a, b in zip(there, planes, strict=True))


def test_packets_are_copied_with_their_sound(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", frames=10, audio=["aac"])
    pipe = Pipe()
    assert send(path, pipe, STREAMS["ts"]) == []
    with av.open(io.BytesIO(bytes(pipe.data)), format="mpegts") as sent, av.open(str(path)) as was:
        assert sorted(stream.codec.name for stream in sent.streams) == ["aac", "h264"]
        ours, theirs = ([f.to_ndarray() for f in c.decode(video=0)] for c in (sent, was))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_tracks_that_raw_frames_have_no_room_for_are_named(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mkv", codec="ffv1", options={}, audio=["aac"])
    assert send(path, Pipe(), STREAMS["y4m"]) == ["y4m supports only the picture: 1 other track left out"]
