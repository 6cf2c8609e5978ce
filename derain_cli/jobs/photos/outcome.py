"""What became of a photo."""

from __future__ import annotations

from dataclasses import dataclass

from derain_cli.jobs.items import Item
from derain_cli.jobs.outcome import Outcome

__all__ = ["PhotoOutcome"]


@dataclass(frozen=True)
class PhotoOutcome(Outcome[Item]):
    """What became of one photo.

    Attributes:
        width, height: pixels; 0 when it could not be read.
        seconds: reading, restoring and writing, waiting left out.
        companions: further pictures written.
        skipped: the output came into being meanwhile, as this run would have made it.
    """

    width: int = 0
    height: int = 0
    seconds: float = 0.0
    companions: tuple[str, ...] = ()
    skipped: bool = False
