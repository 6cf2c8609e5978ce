"""What became of an item of work."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

from derain_cli.errors import expected, is_fatal

__all__ = ["Outcome"]

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """What became of one item; each job has a subclass with what there is to say about its own kind.

    Attributes:
        item: what was worked on.
        error: why it failed; None when all went well. What is no `DerainError` is a bug of ours.
        fatal: whether the error would meet all other items too (`derain_cli.errors.is_fatal`).
        notes: one-line remarks.
    """

    item: T
    error: Exception | None = None
    fatal: bool = False
    notes: tuple[str, ...] = ()

    def failed(self, error: Exception, path: str | os.PathLike[str] | None = None) -> Self:
        """This outcome, ended by `error`.

        Args:
            error: anything that was caught; what a library raises for a full disk or a lost device is told as such.
            path: what a full disk or memory is blamed on.
        """
        known = expected(error, path) or error
        return replace(self, error=known, fatal=is_fatal(known))
