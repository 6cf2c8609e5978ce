"""What became of an item."""

from __future__ import annotations

from dataclasses import dataclass

from derain_cli.errors import DerainError, ResourceError, resource_error_from
from derain_cli.jobs.items import Item

__all__ = ["Outcome", "device_is_lost", "failure"]


@dataclass(frozen=True)
class Outcome:
    """What became of one item.

    Attributes:
        item: input and output.
        error: why there is no output; None when all went well. What is no `DerainError` is a bug of ours.
        fatal: whether the error would meet all other items too (a full disk, a lost device).
        width, height: of the photo, pixels; 0 when it could not be read.
        seconds: reading, restoring and writing, waiting left out.
        companions: further pictures written.
        notes: one-line remarks.
    """

    item: Item
    error: Exception | None = None
    fatal: bool = False
    width: int = 0
    height: int = 0
    seconds: float = 0.0
    companions: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def failure(item: Item, error: Exception, size: tuple[int, ...], *, fatal: bool) -> Outcome:
    known = error if isinstance(error, DerainError) else resource_error_from(error)
    if known is None and fatal:
        first = (str(error).strip().splitlines() or [""])[0]
        known = ResourceError(f"the device failed: {first}", hint="--device cpu")
    if known is not None and known is not error:
        known.__cause__ = error
    return Outcome(item, known or error, fatal, size[1], size[0])


def device_is_lost(error: Exception) -> bool:
    """Whether an accelerator gave up; what ran out of memory is told by the restorer as a `ResourceError`."""
    known = isinstance(error, DerainError)
    return not known and (type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error))
