"""Clips and the engines that they are restored by."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.engine.restorer import Restorer
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.parts import engine_begun_with
from tests.conftest import make_network
from tests.jobs.clips.conftest import good, restore
from tests.sample_clips import write_clip

CLIP = ModelConfig(width=8, blocks=2, unshuffle=4, frames=5, detail="none")
"""The shape of the recipe `clip`, narrower."""


def frame_restorer(engine: str, broken_after: int | None = None) -> FrameRestorer:
    """A network for clips on an engine; it breaks down after so many frames."""
    restorer = Restorer(make_network(CLIP), RestoreOptions(engine=engine, device="cpu", precision="fp32"))  # type: ignore[arg-type]
    made = FrameRestorer.of(restorer)
    done = [0]

    def run(windows: Any) -> Any:
        done[0] += 1
        if broken_after is not None and done[0] > broken_after:
            raise RuntimeError("broke down")
        return restorer.batch(windows)

    return FrameRestorer(run, made.identity, made.batch, made.frames, made.notes, made.name)


@pytest.fixture(params=["openvino", "onnx"])
def engine(request: pytest.FixtureRequest) -> str:
    pytest.importorskip("onnx", reason="an extra")
    pytest.importorskip({"openvino": "openvino", "onnx": "onnxruntime"}[request.param], reason="an extra")
    return str(request.param)


def test_a_clip_that_goes_on_with_its_engine_is_that_of_an_unbroken_run(engine: str, tmp_path: Path) -> None:
    source, whole, target = write_clip(tmp_path / "a.mkv", frames=14), tmp_path / "whole.mkv", tmp_path / "b.mkv"
    good(restore(source, whole, frame_restorer(engine), codec="ffv1", preset=None))
    assert restore(source, target, frame_restorer(engine, 9), codec="ffv1", preset=None).error is not None
    assert engine_begun_with([str(whole), str(target)]) == engine
    outcome = good(restore(source, target, frame_restorer(engine), codec="ffv1", preset=None))
    assert outcome.resumed == 5
    assert target.read_bytes() == whole.read_bytes()
    assert engine_begun_with([str(target)]) is None


def test_a_clip_that_another_engine_began_starts_anew_and_says_so(engine: str, tmp_path: Path) -> None:
    source, target = write_clip(tmp_path / "a.mkv", frames=14), tmp_path / "b.mkv"
    assert restore(source, target, frame_restorer(engine, 9), codec="ffv1", preset=None).error is not None
    outcome = good(restore(source, target, frame_restorer("torch"), codec="ffv1", preset=None))
    assert outcome.resumed == 0
    assert any("starts anew" in note for note in outcome.notes)
    alone = good(restore(source, tmp_path / "c.mkv", frame_restorer("torch"), codec="ffv1", preset=None))
    assert not alone.notes
    assert target.read_bytes() == (tmp_path / "c.mkv").read_bytes()


def test_frames_are_within_one_level_of_torch(engine: str) -> None:
    rng = np.random.default_rng(0)
    window = rng.integers(0, 256, (47, 66, 15), np.uint8)
    (ours,), (other,) = frame_restorer("torch").restore([window]), frame_restorer(engine).restore([window])
    assert np.abs(ours.astype(int) - other).max() <= 1
    assert frame_restorer("torch").identity != frame_restorer(engine).identity
