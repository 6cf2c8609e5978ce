"""Folders that one process at a time works in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from derain_cli.errors import DestinationError

__all__ = ["LOCK", "locked"]

LOCK = "lock"
"""Name of the file in the folder that is locked; it stays."""


@contextmanager
def locked(folder: Path, target: Path) -> Iterator[None]:
    """Hold `folder` for this process; a process that dies lets go.

    Where the disk knows no locks (some network disks), filelock's own stand in for them if the disk says so; if it
    fails in another way, work goes on without.

    Args:
        folder: made if it is missing.
        target: what is made in it, for the error.

    Raises:
        DestinationError: another process works in it.
    """
    lock = FileLock(folder / LOCK)
    try:
        held = lock.acquire(timeout=0)
    except Timeout as error:
        raise DestinationError("another process is at work on it", path=target) from error
    except OSError:
        held = None
    with held or nullcontext():
        yield
