"""`-` in place of a file: standard input as a photo or clip, standard output as the result.

What arrives is kept in a private temporary folder until the command ends: photos are decoded from whole files, and most
containers of clips can only be read by jumping about in them. What is sent out is complete, or nothing is sent.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, TextIO, TypeVar

from derain_cli.cli.console import stdout_for_bytes
from derain_cli.cli.reporter import Reporter
from derain_cli.errors import InputError, UsageError, resource_error_from

__all__ = ["PIPE", "copied", "is_piped", "through_pipes"]

PIPE = "-"

_STDIN, _STDOUT = "standard input", "standard output"
_CHUNK = 1 << 20

Flags = TypeVar("Flags", bound=Any)


def copied(path: Path, out: BinaryIO) -> Sequence[str]:
    """Send a file as it is; no notes."""
    with path.open("rb") as file:
        shutil.copyfileobj(file, out, _CHUNK)
    return ()


def is_piped(paths: Sequence[str], output: str | None) -> bool:
    """Whether a command reads standard input or writes standard output."""
    return PIPE in paths or output == PIPE


def through_pipes(
    flags: Flags,
    run: Callable[[Flags, Reporter], int],
    *,
    suffix_of: Callable[[str], str],
    refused: Sequence[str] = (),
    send: Callable[[Path, BinaryIO], Sequence[str]] = copied,
) -> int:
    """Run a command with files in place of `-`.

    Args:
        flags: of the command, with `paths`, `output`, `format` and `messages`.
        run: the command, for files.
        suffix_of: the suffix of what is sent, by the input's content, where `format` does not say it.
        refused: flags in use, in words, that need an output that is a file.
        send: writes the finished file to standard output; its notes are told.

    Returns:
        The command's exit code.

    Raises:
        UsageError: more than one input, a terminal instead of a pipe, or flags that cannot be used with `-`.
        InputError: nothing arrives.
        ResourceError: what arrives does not fit on the disk.
        Interrupted: nobody reads the output any more.
    """
    to_stdout = flags.output == PIPE
    if len(flags.paths) != 1:
        raise UsageError("- takes the place of the only input or output", hint="one input at a time")
    (source,) = flags.paths
    if flags.output is None:
        raise UsageError("standard input has no name for the result to follow", hint="-o FILE, or -o - for a pipe")
    if source == PIPE and _is_terminal(sys.stdin):
        raise UsageError("standard input is a terminal", hint="derain - < photo.jpg, or at the end of a pipe")
    if to_stdout and refused:
        raise UsageError(f"{refused[0]} needs an output that is a file", hint="-o FILE")
    if to_stdout and _is_terminal(sys.stdout):
        raise UsageError("standard output is a terminal", hint="-o - > photo.jpg, or at the beginning of a pipe")
    if to_stdout and source != PIPE and Path(source).is_dir():
        raise UsageError("one picture or clip at a time can go to standard output", path=source)
    reporter = flags.messages.reporter()
    with tempfile.TemporaryDirectory(prefix="derain-") as name:
        folder = Path(name)
        if source == PIPE:
            source = str(folder / "stdin")
            reporter.call(source, _STDIN)
            _spool(sys.stdin, Path(source))
        output = flags.output
        if to_stdout:
            output = str(folder / f"stdout{f'.{flags.format}' if flags.format else suffix_of(source)}")
            reporter.call(output, _STDOUT)
        code = run(replace(flags, paths=[source], output=output), reporter)
        if to_stdout and os.path.exists(output):  # noqa: PTH110  (paths of commands are strings)
            with stdout_for_bytes() as out:
                notes = send(Path(output), out)
            for note in notes:
                reporter.note(note)
        return code


def _spool(stream: TextIO | None, path: Path) -> None:
    """All of `stream`, as a file."""
    binary: BinaryIO | None = getattr(stream, "buffer", None)
    try:
        with path.open("xb") as file:
            if binary is not None:
                shutil.copyfileobj(binary, file, _CHUNK)
            length = file.tell()
    except OSError as error:
        raise resource_error_from(error, tempfile.gettempdir()) or InputError(
            f"cannot be read: {error.strerror}", path=_STDIN
        ) from error
    if not length:
        raise InputError("nothing arrived", path=_STDIN)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False
