"""Engines without a network, and one clip through the whole chain."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from derain_cli.config import VideoOptions
from derain_cli.jobs.clips.frame_restorer import FrameRestorer
from derain_cli.jobs.clips.outcome import ClipOutcome
from derain_cli.jobs.clips.run import restore_clips
from derain_cli.jobs.items import Item
from derain_cli.media.clip.reader import open_clip

IDENTITY = FrameRestorer(lambda pictures: pictures, "identity")
QUICK: dict[str, Any] = {"temporal": "off", "segment": 5, "preset": "ultrafast"}


def each(function: Callable[[Any], Any], name: str = "some", **more: Any) -> FrameRestorer:
    """An engine that applies the same function to every picture."""
    return FrameRestorer(lambda pictures: [function(one) for one in pictures], name, **more)


def restore(source: Path, target: Path, engine: FrameRestorer = IDENTITY, **options: Any) -> ClipOutcome:
    """Restore one clip in this process, without temporal filter, in segments of five frames."""
    told: list[ClipOutcome] = []
    wanted = VideoOptions(**(QUICK | options))
    restore_clips([Item(str(source), str(target))], engine, wanted, report=told.append)
    return told[0]


def good(outcome: ClipOutcome) -> ClipOutcome:
    if outcome.error is not None:
        raise outcome.error
    assert not outcome.stopped and not outcome.incomplete
    return outcome


def mean_difference(a: Path, b: Path) -> float:
    """Over all frames of two clips of equal length, levels of 255."""
    gaps = []
    with open_clip(a) as one, open_clip(b) as other:
        for first, second in zip(one, other, strict=True):
            scale = 255 / np.iinfo(first.pixels.dtype).max
            gaps.append(np.abs(first.pixels.astype(float) - second.pixels).mean() * scale)
    return float(np.mean(gaps))


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.startswith(".derain")]


def failing_after(count: int) -> tuple[FrameRestorer, list[int]]:
    """An engine that fails after a number of frames, and the number it has processed."""
    done = [0]

    def run(pixels: Any) -> Any:
        if done[0] == count:
            raise RuntimeError("broke down")
        done[0] += 1
        return 255 - pixels

    return each(run, "inverse"), done
