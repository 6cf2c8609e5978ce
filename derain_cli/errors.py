"""The exception hierarchy. Every expected failure is a `DerainError` with an exit code.

The command line prints one line for each (`derain: error: PATH: REASON (HINT)`) and exits with `exit_code`; a traceback
means a bug in derain (exit code 1). Errors name no flags: advice that depends on the front end is a `Remedy`, which
each front end puts into words.
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
    "WorkerDiedError",
    "expected",
    "is_fatal",
    "printable",
    "resource_error_from",
]


_OPTIONAL = {
    "torch": ("PyTorch", Remedy.INSTALL_FULL),
    "torchvision": ("PyTorch", Remedy.INSTALL_FULL),
    "cv2": ("OpenCV", Remedy.INSTALL_VIDEO),
    "av": ("PyAV", Remedy.INSTALL_VIDEO),
}
"""Libraries that restoring photos does without, and the installation that has them."""


def printable(text: str | os.PathLike[str]) -> str:
    """Any file name as one printable line, with control characters, line breaks and undecodable bytes escaped."""
    raw = os.fsdecode(os.fspath(text))
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in raw)


class DerainError(Exception):
    """An expected failure.

    Args:
        reason: what is wrong, one line, no full stop.
        path: the file or folder concerned.
        hint: what to do about it, one line, if it is the same for all front ends.
        remedy: what to do about it, if each front end words it differently; replaces `hint`.
        facts: values for the placeholders of the remedy's sentence; `option` is the name of the option that the reason
            starts with.

    Attributes:
        hint: for Python callers, one line: as given, or the remedy's sentence.
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
        """The same failure as an error of this class; `path` is used if it has none."""
        hint = error.hint if error.remedy is None else None
        return cls(error.reason, path=error.path or path, hint=hint, remedy=error.remedy, **error.facts)

    def line(self, reason: str, hint: str | None) -> str:
        """`PATH: REASON (HINT)` as one printable line, with the front end's wording."""
        head = "" if self.path is None else f"{printable(self.path)}: "
        tail = f" ({printable(hint)})" if hint else ""
        return f"{head}{printable(reason)}{tail}"

    def __str__(self) -> str:
        return self.line(self.reason, self.hint)


class UsageError(DerainError):
    """The command or an option is wrong (2)."""

    exit_code = 2


class InputError(DerainError):
    """One input cannot be used; the others are processed (3)."""

    exit_code = 3


class NothingToDoError(DerainError):
    """No usable input at all (4)."""

    exit_code = 4


class WeightsError(DerainError):
    """Weights are missing, damaged, or belong to a different network (5)."""

    exit_code = 5


class ResourceError(DerainError):
    """Out of disk space or memory, or the requested device is not available (6)."""

    exit_code = 6


class OutOfMemoryError(ResourceError):
    """Out of memory for this input; a smaller one may still fit (6)."""


class DeviceLostError(ResourceError):
    """An accelerator failed during processing (6)."""


class WorkerDiedError(ResourceError):
    """The processes that worked on this input died; others may fare better (6)."""


class DestinationError(DerainError):
    """The output path is refused: it exists, is the input, or collides with another output (7)."""

    exit_code = 7


class TrainingError(DerainError):
    """Training cannot continue: the loss stays non-finite, or too much of the data is unusable (3)."""

    exit_code = 3


_FULL = {errno.ENOSPC: "no space left on the disk", errno.EDQUOT: "disk quota exceeded", errno.EIO: "disk error"}
_FULL_WORDS = ("os error 28", "No space left on device", "PytorchStreamWriter failed writing", ". unexpected pos ")


def resource_error_from(error: BaseException, path: str | os.PathLike[str] | None = None) -> ResourceError | None:
    """The `ResourceError` equivalent to `error`, or None if it is something else.

    Libraries report a full disk in several ways: as `OSError` with an errno (Pillow, PyAV), or only in
    the message (torch and safetensors).
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
    """The expected failure equivalent to `error`; None for a bug in derain.

    Args:
        error: any exception; it becomes the cause of a newly created error.
        path: the file to name if disk space or memory ran out.
    """
    if isinstance(error, DerainError):
        return error
    known = resource_error_from(error, path) or _lost_device(error) or _missing_library(error)
    if known is not None:
        known.__cause__ = error
    return known


def _lost_device(error: Exception) -> DeviceLostError | None:
    # By class name and message, since torch is not imported here. Out of memory has its own class and is handled above.
    if type(error).__name__ != "AcceleratorError" and "CUDA error" not in str(error):
        return None
    first = (str(error).strip().splitlines() or [""])[0]
    return DeviceLostError(f"the device failed: {first}", remedy=Remedy.USE_CPU)


def _missing_library(error: Exception) -> UsageError | None:
    if not isinstance(error, ModuleNotFoundError) or error.name not in _OPTIONAL:
        return None
    name, remedy = _OPTIONAL[error.name]
    return UsageError(f"this needs {name}, which is not installed", remedy=remedy)


def is_fatal(error: Exception) -> bool:
    """Whether an error would affect all other inputs too: a full disk, a lost device."""
    return isinstance(error, ResourceError) and not isinstance(error, OutOfMemoryError | WorkerDiedError)
