"""The result of processing an item."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Generic, Self, TypeVar

from derain_cli.errors import expected, is_fatal

__all__ = ["Outcome"]

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome(Generic[T]):
    """The result of processing one item; each job has a subclass with further details.

    Attributes:
        item: the processed item.
        error: why it failed; None on success. Anything but a `DerainError` is a bug in derain.
        fatal: whether the error would affect all other items too (`derain_cli.errors.is_fatal`).
        notes: one-line remarks.
    """

    item: T
    error: Exception | None = None
    fatal: bool = False
    notes: tuple[str, ...] = ()

    def failed(self, error: Exception, path: str | os.PathLike[str] | None = None) -> Self:
        """This outcome, failed with `error`.

        Args:
            error: any exception; library errors for a full disk or a lost device are recognised.
            path: the file to name if disk space or memory ran out.
        """
        known = expected(error, path) or error
        return replace(self, error=known, fatal=is_fatal(known))
