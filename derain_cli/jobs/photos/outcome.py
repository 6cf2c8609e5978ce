"""The result for a photo."""

from __future__ import annotations

from dataclasses import dataclass

from derain_cli.jobs.items import Item
from derain_cli.jobs.outcome import Outcome

__all__ = ["PhotoOutcome"]


@dataclass(frozen=True)
class PhotoOutcome(Outcome[Item]):
    """The result for one photo.

    Attributes:
        width, height: pixels; 0 if it could not be read.
        seconds: for reading, restoring and writing, without waiting.
        companions: additional pictures written.
        skipped: another run wrote the same output in the meantime.
    """

    width: int = 0
    height: int = 0
    seconds: float = 0.0
    companions: tuple[str, ...] = ()
    skipped: bool = False
