"""The log file of `--log-file`: one JSON record per line, with the time.

Every line is appended by a single unbuffered write, so a crash loses nothing and several programs can share a file.
There is one log per process, like the standard streams, since errors are reported where no options are known.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from derain_cli import __version__
from derain_cli.errors import DestinationError, printable

__all__ = ["log", "log_session", "open_log"]

_HEAD = b'{"time": "'
"""How every line begins; a file that begins otherwise is not one of our logs."""


@dataclass
class _Session:
    """The log of a call of the program; `file` is the descriptor once the log is open."""

    arguments: Sequence[str] = ()
    path: str = ""
    file: int | None = None


_session = _Session()


@contextlib.contextmanager
def log_session(arguments: Sequence[str]) -> Iterator[None]:
    """Whatever log is opened inside is closed at the end; `arguments` go into its first line."""
    global _session
    before, _session = _session, _Session(arguments)
    try:
        yield
    finally:
        if _session.file is not None:
            os.close(_session.file)
        _session = before


def open_log(path: str) -> None:
    """Append what follows to a log; creates the file, but not its folder.

    Raises:
        DestinationError: it cannot be written, or is a file of another kind, such as a photo.
    """
    if _session.file is not None:
        return
    try:
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NONBLOCK", 0), 0o666)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DestinationError(f"cannot write the log: {reason}", path=path) from error
    if not _is_ours(path, file):
        os.close(file)
        raise DestinationError("not a log of derain, not appended to", path=path, hint="choose another name")
    _session.path, _session.file = path, file
    command = [printable(argument) for argument in ("derain", *_session.arguments)]
    log("start", command=command, version=__version__, process=os.getpid(), folder=_folder())


def _folder() -> str | None:
    """The current folder, which relative paths refer to; None if it has been deleted."""
    try:
        return printable(Path.cwd())
    except OSError:
        return None


def _is_ours(path: str, file: int) -> bool:
    status = os.fstat(file)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        return True
    try:
        with open(path, "rb") as written:  # noqa: PTH123  (paths are strings here)
            return written.read(len(_HEAD)) == _HEAD
    except OSError as error:  # writable, not readable
        return error.errno == errno.EACCES


def log(kind: str, **values: Any) -> None:
    """Append a line, if there is a log.

    A log that can no longer be written, such as on a full disk, is given up with one line on stderr.

    Args:
        kind: start, message, detail, error, output (a line on stdout), record (of an item, or the summary) or end.
        values: what JSON can hold.
    """
    if _session.file is None:
        return
    now = datetime.fromtimestamp(time.time()).astimezone().isoformat(timespec="milliseconds")
    line = json.dumps({"time": now, "kind": kind} | values).encode() + b"\n"
    try:
        while line:
            line = line[os.write(_session.file, line) :]
    except OSError as error:
        os.close(_session.file)
        _session.file = None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"derain: note: {printable(_session.path)}: the log ends here: {error.strerror}\n")
            sys.stderr.flush()
