"""The chain for multi-frame engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derain_cli.config import ModelConfig
from derain_cli.engine.restorer import Restorer
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.motion.window import REPEATS
from tests.conftest import make_network
from tests.jobs.clips.conftest import each, good, leftovers, mean_difference, restore
from tests.sample_clips import write_clip


def darkest(frames: int, fail_after: int = -1) -> tuple[FrameRestorer, list[tuple[int, ...]]]:
    """The minimum over all frames at each pixel, so that a missing neighbour shows; and the shapes of its inputs."""
    seen: list[tuple[int, ...]] = []

    def run(window: Any) -> Any:
        if len(seen) == fail_after:
            raise RuntimeError("broke down")
        seen.append(window.shape)
        return window.reshape(*window.shape[:2], frames, 3).min(2)

    return each(run, "darkest", frames=frames), seen


def test_the_engine_sees_every_frame_with_its_neighbours(tmp_path: Path) -> None:
    source = write_clip(tmp_path / "a.mp4", frames=12)
    engine, seen = darkest(5)
    good(restore(source, tmp_path / "b.mp4", engine))
    assert len(seen) == 12 and {shape[2] for shape in seen} == {15}
    middle = each(lambda window: np.ascontiguousarray(window[:, :, 6:9]), "middle", frames=5)
    good(restore(source, tmp_path / "c.mp4", middle))
    good(restore(source, tmp_path / "d.mp4"))
    assert mean_difference(tmp_path / "c.mp4", tmp_path / "d.mp4") == 0
    assert mean_difference(tmp_path / "b.mp4", tmp_path / "d.mp4") > 0


@pytest.mark.parametrize("temporal", ["off", "flow"])
def test_a_job_that_goes_on_gives_the_very_same_file(tmp_path: Path, temporal: str) -> None:
    source, target = write_clip(tmp_path / "a.mp4", frames=33), tmp_path / "b.mp4"
    good(restore(source, tmp_path / "whole.mp4", darkest(5)[0], temporal=temporal))
    assert restore(source, target, darkest(5, fail_after=19)[0], temporal=temporal).error is not None
    rest, seen = darkest(5)
    assert good(restore(source, target, rest, temporal=temporal)).resumed == 15
    # One before for the temporal filter; before that, those that its two earlier neighbours may be among.
    assert len(seen) == 33 - 15 + 1 + 2 * REPEATS
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert leftovers(tmp_path) == []


def repeating(path: Path, changes: list[int]) -> Path:
    """A clip that shows picture k `changes[k]` times; lossless, so repeats are exact."""
    import av

    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", 25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "bgr0"
        for count in changes:
            picture = rng.integers(0, 256, (48, 64, 3), np.uint8)
            for _ in range(count):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("frames", [1, 5])
def test_repeated_frames_are_restored_once(tmp_path: Path, frames: int) -> None:
    source = repeating(tmp_path / "a.mkv", [1, 2, 3, 1, 2, 3])
    engine, seen = darkest(frames)
    assert good(restore(source, tmp_path / "b.mkv", engine)).frames == 12
    assert len(seen) == 6


def test_a_job_with_repeated_frames_goes_on_with_the_very_same_file(tmp_path: Path) -> None:
    source, target = repeating(tmp_path / "a.mkv", [2, 1, 3, 5, 1, 2, 7, 2, 1, 3, 2, 4]), tmp_path / "b.mp4"
    good(restore(source, tmp_path / "whole.mp4", darkest(5)[0]))
    assert restore(source, target, darkest(5, fail_after=10)[0]).error is not None
    assert good(restore(source, target, darkest(5)[0])).resumed > 0
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()


def test_a_network_of_several_frames_restores_a_clip(tmp_path: Path) -> None:
    network = make_network(ModelConfig(width=4, blocks=1, detail="none", unshuffle=4, frames=3))
    engine = FrameRestorer.of(Restorer(network))
    assert (engine.frames, engine.batch) == (3, 1)
    outcome = good(restore(write_clip(tmp_path / "a.mp4", frames=6), tmp_path / "b.mp4", engine))
    assert outcome.error is None and mean_difference(tmp_path / "a.mp4", tmp_path / "b.mp4") > 0
