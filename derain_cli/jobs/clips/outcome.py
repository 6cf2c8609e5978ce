"""What is told of a clip: how far it is, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass

from derain_cli.jobs.items import Item
from derain_cli.jobs.outcome import Outcome

__all__ = ["ClipOutcome", "Pace"]


@dataclass(frozen=True)
class Pace:
    """How far a clip is.

    Attributes:
        done: frames, those of an earlier run too.
        total: frames expected; None when the file does not say.
        rate: frames per second of this run; 0 before the first.
    """

    done: int
    total: int | None
    rate: float

    @property
    def left(self) -> float | None:
        """Seconds still to go, as far as can be told."""
        return None if self.total is None or not self.rate else max(0, self.total - self.done) / self.rate


@dataclass(frozen=True)
class ClipOutcome(Outcome[Item]):
    """What became of one clip.

    Attributes:
        unusable: whether the input is no clip at all.
        incomplete: the output ends where the damaged input does.
        stopped: the work was stopped; there may be a part (`partial`).
        frames: of the output.
        resumed: how many of them an earlier run had made.
        width, height: of the picture, pixels.
        duration: of the output, seconds.
        seconds: of work.
        codec: of the output.
        partial: what was written of a stopped clip.
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
