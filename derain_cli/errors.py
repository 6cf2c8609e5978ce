"""The exception tree. Every expected failure is a `DerainError` and knows its exit code.

The command line prints one line for each (`derain: error: PATH: REASON (HINT)`) and ends with
`exit_code`; a traceback means a bug of ours (exit code 1). Errors name no flags: a way out that hangs on the front end
is a `Remedy`, which each front end words.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Self

from derain_cli.remedies import Remedy

__all__ = [
    "DerainError",
    "DestinationError",
    "DeviceLostError",
    "InputError",
    "NothingToDoError",
    "OutOfMemoryError",
    "ResourceError",
    "TrainingError",
    "UsageError",
    "WeightsError",
    "expected",
    "is_fatal",
    "printable",
    "resource_error_from",
]


def printable(text: str | os.PathLike[str]) -> str:
    """One printable line for any file name: control characters, line breaks and undecodable bytes escaped."""
    raw = os.fsdecode(os.fspath(text))
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in raw)


class DerainError(Exception):
    """An expected failure.

    Args:
        reason: what is wrong, one line, no full stop.
        path: the file or folder it is about.
        hint: the way out, one line, where it is the same for all front ends.
        remedy: the way out, where each front end has words of its own; without `hint`.
        facts: what goes into the braces of the remedy's sentence; `option` is the name of the option that the reason
            begins with.

    Attributes:
        hint: for callers from Python, one line: as given, or the remedy's sentence.
    """

    exit_code = 1

    def __init__(
        self,
        reason: str,
        *,
        path: str | os.PathLike[str] | None = None,
        hint: str | None = None,
        remedy: Remedy | None = None,
        **facts: object,
    ):
        super().__init__(reason)
        self.reason = reason
        self.path = None if path is None else Path(path)
        self.remedy, self.facts = remedy, facts
        self.hint = hint if remedy is None else remedy.format_map(facts)

    @classmethod
    def like(cls, error: DerainError, *, path: str | os.PathLike[str] | None = None) -> Self:
        """The same failure as one of this kind; about `path` if it names none."""
        hint = error.hint if error.remedy is None else None
        return cls(error.reason, path=error.path or path, hint=hint, remedy=error.remedy, **error.facts)

    def line(self, reason: str, hint: str | None) -> str:
        """`PATH: REASON (HINT)`, one printable line, in a front end's words."""
        head = "" if self.path is None else f"{printable(self.path)}: "
        tail = f" ({printable(hint)})" if hint else ""
        return f"{head}{printable(reason)}{tail}"

    def __str__(self) -> str:
        return self.line(self.reason, self.hint)


class UsageError(DerainError):
    """The command or an option is wrong (2)."""

    exit_code = 2


class InputError(DerainError):
    """One input cannot be used; the others go on (3)."""

    exit_code = 3


class NothingToDoError(DerainError):
    """No usable input at all (4)."""

    exit_code = 4


class WeightsError(DerainError):
    """Weights are missing, damaged, or of another network (5)."""

    exit_code = 5


class ResourceError(DerainError):
    """Out of disk or memory, or the asked-for device is not there (6)."""

    exit_code = 6


class OutOfMemoryError(ResourceError):
    """Out of memory with this input; a smaller one may still fit (6)."""


class DeviceLostError(ResourceError):
    """An accelerator gave up in the middle of the work (6)."""


class DestinationError(DerainError):
    """The place to write to is refused: it exists, is the input, or collides (7)."""

    exit_code = 7


class TrainingError(DerainError):
    """Training cannot go on: the loss stays non-finite, or too much of the data is unusable (3)."""

    exit_code = 3


_FULL = {errno.ENOSPC: "no space left on the disk", errno.EDQUOT: "disk quota exceeded", errno.EIO: "disk error"}
_FULL_WORDS = ("os error 28", "No space left on device", "PytorchStreamWriter failed writing", ". unexpected pos ")


def resource_error_from(error: BaseException, path: str | os.PathLike[str] | None = None) -> ResourceError | None:
    """The `ResourceError` that `error` stands for, or None when it is something else.

    Libraries report a full disk in several ways: `OSError` with an errno (Pillow, PyAV), or a
    message without one (torch and safetensors).
    """
    if isinstance(error, ResourceError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemoryError("out of memory", path=path, remedy=Remedy.SMALLER_TILES)
    if isinstance(error, OSError) and error.errno in _FULL:
        return ResourceError(_FULL[error.errno], path=path, hint="free some space or choose another folder")
    text = str(error)
    if any(words in text for words in _FULL_WORDS):
        return ResourceError(_FULL[errno.ENOSPC], path=path, hint="free some space or choose another folder")
    return None


def expected(error: Exception, path: str | os.PathLike[str] | None = None) -> DerainError | None:
    """The expected failure that `error` is or stands for; None for a bug of ours.

    Args:
        error: anything that was caught. It becomes the cause of what is made from it.
        path: what a full disk or memory is blamed on.
    """
    known = error if isinstance(error, DerainError) else resource_error_from(error, path) or _lost_device(error)
    if known is not None and known is not error:
        known.__cause__ = error
    return known


def _lost_device(error: Exception) -> DeviceLostError | None:
    # By name and words: torch is not imported here. Out of memory has a class of its own there and is told otherwise.
    if type(error).__name__ != "AcceleratorError" and "CUDA error" not in str(error):
        return None
    first = (str(error).strip().splitlines() or [""])[0]
    return DeviceLostError(f"the device failed: {first}", remedy=Remedy.USE_CPU)


def is_fatal(error: Exception) -> bool:
    """Whether an error that one input met would meet every other one too: a full disk, a lost device."""
    return isinstance(error, ResourceError) and not isinstance(error, OutOfMemoryError)
