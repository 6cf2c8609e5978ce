"""`-` in place of a file: standard input as the photo or clip, standard output for the result.

Input is spooled to a private temporary folder until the command ends, because photos are decoded from whole files and
most clip containers need seeking. Output is sent complete or not at all.
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

from derain_cli.cli.console import is_terminal, stdout_for_bytes
from derain_cli.cli.reporter import Reporter
from derain_cli.errors import InputError, UsageError, resource_error_from

__all__ = ["PIPE", "copied", "is_piped", "through_pipes"]

PIPE = "-"

_STDIN, _STDOUT = "standard input", "standard output"
_CHUNK = 1 << 20

Flags = TypeVar("Flags", bound=Any)


def copied(path: Path, out: BinaryIO) -> Sequence[str]:
    """Copy a file unchanged; no notes."""
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
    needing_files: Sequence[str] = (),
    send: Callable[[Path, BinaryIO], Sequence[str]] = copied,
) -> int:
    """Run a command with files in place of `-`.

    Args:
        flags: flags of the command, with `paths`, `output`, `format` and `messages`.
        run: the command for files.
        suffix_of: suffix of the output by the input's content, used if `format` is not set.
        needing_files: fields of `flags` that, like `dry_run` and `json`, cannot be used with standard output.
        send: writes the finished file to standard output and returns notes for the user.

    Returns:
        The command's exit code.

    Raises:
        UsageError: more than one input, a terminal instead of a pipe, or flags that cannot be used with `-`.
        InputError: standard input is empty.
        ResourceError: the input does not fit on the disk.
        Interrupted: the reader has closed standard output.
    """
    to_stdout = flags.output == PIPE
    if len(flags.paths) != 1:
        raise UsageError("- works with a single input only", hint="one input at a time")
    (source,) = flags.paths
    if flags.output is None:
        raise UsageError("input from a pipe needs an output name", hint="-o FILE, or -o - for a pipe")
    if source == PIPE and is_terminal(sys.stdin):
        raise UsageError("standard input is a terminal", hint="derain - < photo.jpg, or use it at the end of a pipe")
    used = [name for name in (*needing_files, "dry_run") if getattr(flags, name)]
    used += ["json"] if flags.messages.json else []
    if to_stdout and used:
        raise UsageError(f"--{used[0].replace('_', '-')} needs a file as output", hint="-o FILE")
    if to_stdout and is_terminal(sys.stdout):
        raise UsageError("standard output is a terminal", hint="-o - > photo.jpg, or use it at the start of a pipe")
    if to_stdout and source != PIPE and Path(source).is_dir():
        raise UsageError("only one picture or clip can go to standard output", path=source)
    reporter = flags.messages.reporter()
    with tempfile.TemporaryDirectory(prefix="derain-") as name:
        folder = Path(name)
        if source == PIPE:
            source = str(folder / "stdin")
            reporter.rename(source, _STDIN)
            _spool(sys.stdin, Path(source))
        output = flags.output
        if to_stdout:
            output = str(folder / f"stdout{f'.{flags.format}' if flags.format else suffix_of(source)}")
            reporter.rename(output, _STDOUT)
        code = run(replace(flags, paths=[source], output=output), reporter)
        if to_stdout and os.path.exists(output):  # noqa: PTH110  (paths of commands are strings)
            with stdout_for_bytes() as out:
                notes = send(Path(output), out)
            for note in notes:
                reporter.note(note)
        return code


def _spool(stream: TextIO | None, path: Path) -> None:
    """Write all of `stream` to a file."""
    binary: BinaryIO | None = getattr(stream, "buffer", None)
    try:
        with path.open("xb") as file:
            if binary is not None:
                shutil.copyfileobj(binary, file, _CHUNK)
            length = file.tell()
    except OSError as error:
        raise resource_error_from(error, tempfile.gettempdir()) or InputError(
            f"cannot read it: {error.strerror}", path=_STDIN
        ) from error
    if not length:
        raise InputError("no data", path=_STDIN)
