"""Measures the overhead of the `derain video` pipeline: its rate with an identity network, relative to decoding and
encoding alone, in the same run.

    python scripts/bench_video.py [--frames 60] [--size 1920x1080] [--temporal off]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np

from derain_cli.config import VideoOptions
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.outcome import ClipOutcome
from derain_cli.jobs.clips.run import restore_clips
from derain_cli.jobs.items import Item
from derain_cli.media.clip.encoding import choose_encoding
from derain_cli.media.clip.reader import open_clip


def make(path: Path, frames: int, width: int, height: int) -> None:
    """A clip of moving texture with slight camera-like noise."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[0:height, 0 : width + 4 * frames]
    still = 110 + 40 * np.sin(rows / 17 + columns / 29) + 30 * np.sin(rows / 5 - columns / 11)
    noise = rng.normal(0, 3, still.shape)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=30, options={"preset": "ultrafast", "crf": "20"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            seen = still[:, 4 * number : 4 * number + width] + noise[:, rng.integers(4 * frames) :][:, :width]
            grey = np.clip(seen, 0, 255).astype(np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(np.dstack([grey] * 3), format="rgb24")))
        out.mux(stream.encode(None))


def plain(source: Path, target: Path, options: VideoOptions) -> int:
    """Decode and encode frame by frame, with nothing in between."""
    with open_clip(source) as reader:
        encoding = choose_encoding(reader.info, ".mp4", options)
    with av.open(str(source)) as file, av.open(str(target), "w") as out:
        stream = out.add_stream(encoding.encoder, rate=30, options=dict(encoding.options))
        given = file.streams.video[0]
        given.thread_type = "AUTO"
        stream.width, stream.height, stream.pix_fmt = given.width, given.height, encoding.pix_fmt
        count = 0
        for frame in file.decode(given):
            out.mux(stream.encode(frame))
            count += 1
        out.mux(stream.encode(None))
    return count


def rate(work: Callable[[], int]) -> float:
    """Frames per second."""
    start = time.perf_counter()
    return work() / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--size", default="1920x1080")
    parser.add_argument("--temporal", default="off", choices=["off", "median", "flow"])
    parser.add_argument("--preset", default=None)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    width, height = map(int, asked.size.split("x"))
    options = VideoOptions(temporal=asked.temporal, preset=asked.preset)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        source = place / "source.mp4"
        make(source, asked.frames, width, height)

        def piped() -> int:
            told: list[ClipOutcome] = []
            engine = FrameRestorer(lambda pictures: pictures, "nothing")
            item = Item(str(source), str(place / "piped.mp4"))
            restore_clips([item], engine, options, overwrite=True, report=told.append)
            if told[0].error is not None:
                raise told[0].error
            return told[0].frames

        for _ in range(asked.rounds):
            alone = rate(lambda: plain(source, place / "alone.mp4", options))
            whole = rate(piped)
            print(f"{asked.size}: decode+encode {alone:.2f} fps, pipeline {whole:.2f} fps, ratio {whole / alone:.2f}")


if __name__ == "__main__":
    main()
