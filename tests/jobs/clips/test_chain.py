"""The chain for multi-frame engines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derain_cli.config import ModelConfig
from derain_cli.engine.restorer import Restorer
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
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
    assert len(seen) == 33 - 15 + 3  # one before for the temporal filter, two before that for its window
    assert target.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert leftovers(tmp_path) == []


def test_a_network_of_several_frames_restores_a_clip(tmp_path: Path) -> None:
    network = make_network(ModelConfig(width=4, blocks=1, detail="none", unshuffle=4, frames=3))
    engine = FrameRestorer.of(Restorer(network))
    assert (engine.frames, engine.batch) == (3, 1)
    outcome = good(restore(write_clip(tmp_path / "a.mp4", frames=6), tmp_path / "b.mp4", engine))
    assert outcome.error is None and mean_difference(tmp_path / "a.mp4", tmp_path / "b.mp4") > 0
