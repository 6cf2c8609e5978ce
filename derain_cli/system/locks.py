"""Folders that one process at a time works in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from derain_cli.errors import DestinationError

__all__ = ["locked"]


@contextmanager
def locked(folder: Path, target: Path) -> Iterator[None]:
    """Hold `folder` for this process; a process that dies lets go.

    Raises:
        DestinationError: another process works on it.
    """
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            import fcntl
        except ImportError:  # no such locks on Windows
            pass
        else:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise DestinationError("another process is making this clip", path=target) from error
            except OSError:
                pass  # a network disk without locks
        yield
    finally:
        os.close(handle)
