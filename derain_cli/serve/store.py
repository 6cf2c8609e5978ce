"""The private temporary folder of a server with all uploads and results; deleted when the server ends.

The folder of a killed server is deleted at the next start. A lock, which the system releases when the process ends,
marks the folders of running servers.
"""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import stat
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from filelock import FileLock, Timeout

from derain_cli.errors import ResourceError, resource_error_from
from derain_cli.system.locks import LOCK

__all__ = ["Store"]

_WAIT = 10.0
"""Seconds to wait for another server that is starting."""


@dataclass
class Store:
    """The private folder, as a context manager.

    Attributes:
        root: folder for the folders of servers; None uses a private one in the system's temporary folder.

    Raises:
        ResourceError: the folder cannot be created.
    """

    root: Path | None = None
    _place: Path | None = None
    _held: ExitStack = field(default_factory=ExitStack)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def __enter__(self) -> Self:
        try:
            root = self.root or _own_root()
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(root / LOCK, timeout=_WAIT):  # no clean-up between creating and locking a folder
                _delete_leftovers(root)
                self._place = Path(tempfile.mkdtemp(prefix="server-", dir=root))  # mode 0700
                self._held.enter_context(FileLock(self._place / LOCK, timeout=0))
        except (OSError, Timeout) as error:
            full = resource_error_from(error, self.root)
            raise full or ResourceError(f"cannot create a temporary folder: {error}") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()
        shutil.rmtree(self.place, ignore_errors=True)

    @property
    def place(self) -> Path:
        """The folder itself."""
        assert self._place is not None, "outside the block"
        return self._place

    def new_folder(self) -> Path:
        """Create a new subfolder."""
        folder = self.place / f"{next(self._numbers):06d}"
        folder.mkdir()
        return folder

    def free(self) -> int:
        """Bytes free on the disk."""
        return shutil.disk_usage(self.place).free


def _own_root() -> Path:
    """A folder in the shared temporary folder that no other user can access."""
    user = os.getuid() if hasattr(os, "getuid") else None
    root = Path(tempfile.gettempdir()) / ("derain-serve" if user is None else f"derain-serve-{user}")
    root.mkdir(mode=0o700, exist_ok=True)
    status = root.lstat()
    private = user is None or (status.st_uid == user and stat.S_IMODE(status.st_mode) & 0o077 == 0)
    if stat.S_ISDIR(status.st_mode) and private:
        return root
    return root.with_name(f"{root.name}-{secrets.token_hex(8)}")  # the name belongs to another user


def _delete_leftovers(root: Path) -> None:
    for folder in root.glob("server-*"):
        try:
            with FileLock(folder / LOCK, timeout=0):
                pass
        except (Timeout, OSError):
            continue
        shutil.rmtree(folder, ignore_errors=True)
