"""Clips for pipes: all frames arrive, raw ones without loss, unsupported tracks are reported."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest

from derain_cli.media.clip.streams import STREAMS, send


class Pipe(io.RawIOBase):
    """Accepts sequential writes only."""

    def __init__(self) -> None:
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self.data += bytes(data)
        return len(data)


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
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        picture, sound = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=48000)
        picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 20 * number, np.uint8), format="rgb24")
            out.mux(picture.encode(frame))
        out.mux(picture.encode(None))
        for number in range(20):
            piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
            piece.sample_rate, piece.pts = 48000, 1024 * number
            out.mux(sound.encode(piece))
        out.mux(sound.encode(None))
    pipe = Pipe()
    assert send(path, pipe, STREAMS["ts"]) == []
    with av.open(io.BytesIO(bytes(pipe.data)), format="mpegts") as sent, av.open(str(path)) as was:
        assert sorted(stream.codec.name for stream in sent.streams) == ["aac", "h264"]
        ours, theirs = ([f.to_ndarray() for f in c.decode(video=0)] for c in (sent, was))
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


def test_tracks_that_raw_frames_have_no_room_for_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as out:
        picture, sound = out.add_stream("ffv1", rate=25), out.add_stream("aac", rate=48000)
        picture.width, picture.height, picture.pix_fmt = 32, 24, "yuv420p"
        out.mux(picture.encode(av.VideoFrame(32, 24, "yuv420p")))
        out.mux(picture.encode(None))
        piece = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        piece.sample_rate = 48000
        out.mux(sound.encode(piece))
        out.mux(sound.encode(None))
    assert send(path, Pipe(), STREAMS["y4m"]) == ["y4m supports only the picture: 1 other track left out"]
