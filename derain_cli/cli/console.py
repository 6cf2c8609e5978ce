"""Standard streams: data and JSON lines on stdout, messages and errors on stderr.

A stream that is closed, full or unable to encode a character does not stop the work; only a reader that closes stdout
does.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from derain_cli.cli.hints import hint_of, line_of, reason_of
from derain_cli.cli.log_file import log
from derain_cli.errors import DerainError, ResourceError, expected, printable
from derain_cli.system.signals import Interrupted

__all__ = [
    "as_derain_error",
    "can_be_asked",
    "debug_wanted",
    "is_terminal",
    "log_error",
    "print_data",
    "print_error",
    "print_json",
    "print_message",
    "stdout_for_bytes",
]

_OUT_OF_MEMORY = ("failed to map segment", "Cannot allocate memory", "cannot allocate memory")
"""Messages of the dynamic loader when a library does not fit into memory."""

_SIGPIPE = int(getattr(signal, "SIGPIPE", 13))


def debug_wanted(arguments: list[str] | None = None) -> bool:
    """Whether to show tracebacks: `--debug` is given, or DERAIN_DEBUG is set and not 0."""
    options = arguments or []
    options = options[: options.index("--")] if "--" in options else options
    return "--debug" in options or os.environ.get("DERAIN_DEBUG", "0") not in ("", "0")


def as_derain_error(error: Exception, path: str | os.PathLike[str] | None = None) -> DerainError:
    """Convert any exception to a `DerainError`; unexpected ones become internal errors. `path` fills a missing path."""
    known = expected(error, path)
    if known is None and isinstance(error, ImportError) and any(words in str(error) for words in _OUT_OF_MEMORY):
        known = ResourceError("not enough memory to load torch", hint="close other programs, or raise the limit")
    if known is None:
        first = (str(error).strip().splitlines() or [""])[0]
        known = DerainError(
            f"internal error: {type(error).__name__}: {first}", hint="please report this; --debug shows the traceback"
        )
    if known is not error:
        known.__cause__ = error
    if known.path is None and path is not None:
        known.path = Path(path)
    return known


def print_data(text: str) -> None:
    """One line on stdout.

    Raises:
        Interrupted: the reader has closed stdout.
        OSError: writing fails for another reason, such as a full disk.
    """
    log("output", text=text)
    _print_data(text)


def _print_data(text: str) -> None:
    try:
        _write_line(sys.stdout, text)
    except BrokenPipeError as error:
        _drop_stdout()
        raise Interrupted(_SIGPIPE) from error
    except OSError as error:
        if error.errno != errno.EBADF:  # stdout was closed before we started; ignore
            raise


def print_json(record: Mapping[str, Any]) -> None:
    """One JSON record on one line of stdout; undecodable bytes in file names appear as Python surrogate escapes.

    Raises:
        as `print_data`.
    """
    text = json.dumps(record, allow_nan=False)
    log("record", record=record)
    _print_data(text)


@contextlib.contextmanager
def stdout_for_bytes() -> Iterator[BinaryIO]:
    """Standard output for binary data.

    Raises:
        Interrupted: the reader has closed stdout.
        OSError: writing fails for another reason, such as a full disk.
    """
    stream: Any = sys.stdout.buffer
    if isinstance(stream, io.RawIOBase):  # with PYTHONUNBUFFERED; raw writes can be partial without raising
        stream = io.BufferedWriter(stream)
    try:
        yield stream
        stream.flush()
        if stream is not sys.stdout.buffer:
            stream.detach()
    except BrokenPipeError as error:
        _drop_stdout()
        raise Interrupted(_SIGPIPE) from error


def is_terminal(stream: TextIO | None) -> bool:
    """Whether somebody reads or types at the other end."""
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False


def can_be_asked() -> bool:
    """Whether a user at a terminal can answer a question."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def print_error(error: DerainError, *, debug: bool = False) -> None:
    """`derain: error: PATH: REASON (HINT)` on stderr, preceded by the traceback if `debug`."""
    log_error(error)
    if debug:
        print_message("".join(traceback.format_exception(error)).rstrip())
    print_message(f"derain: error: {line_of(error)}")


def log_error(error: DerainError) -> None:
    """An error in the log, with the traceback if it is a bug in derain."""
    trace = {"traceback": "".join(traceback.format_exception(error))} if type(error) is DerainError else {}
    path = None if error.path is None else printable(error.path)
    log("error", path=path, error=reason_of(error), hint=hint_of(error), code=error.exit_code, **trace)


def print_message(text: str) -> None:
    """One line on stderr, not in the log; write errors are ignored."""
    with contextlib.suppress(OSError, ValueError):
        _write_line(sys.stderr, text)


def _write_line(stream: TextIO | None, text: str) -> None:
    if stream is None:
        return
    try:
        stream.write(text + "\n")
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")
    stream.flush()


def _drop_stdout() -> None:
    """Redirect stdout to the null device, or the rest of the buffer would raise again at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
