"""Progress and result of a clip."""

from __future__ import annotations

from dataclasses import dataclass

from derain_cli.jobs.items import Item
from derain_cli.jobs.outcome import Outcome

__all__ = ["ClipOutcome", "Pace"]


@dataclass(frozen=True)
class Pace:
    """Progress of a clip.

    Attributes:
        done: finished frames, including those of an earlier run.
        total: expected frames; None if the file does not declare it.
        rate: frames per second of this run; 0 before the first.
        resumed: how many frames of `done` an earlier run had made.
    """

    done: int
    total: int | None
    rate: float
    resumed: int = 0


@dataclass(frozen=True)
class ClipOutcome(Outcome[Item]):
    """Result of one clip.

    Attributes:
        unusable: the input is not a clip.
        incomplete: the input is damaged and the output ends where it does.
        stopped: the job was interrupted; `partial` may be set.
        frames: frames of the output.
        resumed: how many of them an earlier run had made.
        width, height: picture size in pixels.
        duration: duration of the output in seconds.
        seconds: processing time.
        codec: codec of the output.
        partial: path of the partial output of an interrupted job.
    """

    unusable: bool = False
    incomplete: bool = False
    stopped: bool = False
    frames: int = 0
    resumed: int = 0
    width: int = 0
    height: int = 0
    duration: float = 0.0
    seconds: float = 0.0
    codec: str = ""
    partial: str | None = None
