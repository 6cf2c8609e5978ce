"""Locks that allow one process at a time to work in a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from filelock import FileLock, Timeout

from derain_cli.errors import DestinationError

__all__ = ["LOCK", "lock_file", "locked"]

LOCK = "lock"
"""Name of the lock file in the folder; it is not removed."""


@contextmanager
def locked(folder: Path, target: Path) -> Iterator[None]:
    """Lock `folder` for this process; the lock is released if the process dies.

    On disks that report no support for locks (some network disks), filelock falls back to lock files; if locking
    fails in another way, work continues without a lock.

    Args:
        folder: created if missing.
        target: what is produced in it, for the error message.

    Raises:
        DestinationError: another process holds the lock.
    """
    lock = FileLock(folder / LOCK)
    try:
        held = lock.acquire(timeout=0)
    except Timeout as error:
        raise DestinationError("another process is working on it", path=target) from error
    except OSError:
        held = None
    with held or nullcontext():
        yield


def lock_file(handle: int) -> None:
    """Lock an open file against other processes until it is closed, on systems and disks that support it.

    On network disks, appending is only safe with a lock: their clients learn the end of the file when they get it.

    Args:
        handle: a file descriptor, open for writing.
    """
    try:
        import fcntl
    except ImportError:  # Windows, where appending needs none
        return
    with contextlib.suppress(OSError):
        fcntl.lockf(handle, fcntl.LOCK_EX)
