"""What is told, and where: data and JSON lines on stdout; lines, bar and errors on stderr.

Both streams may be closed, full, or unable to show a character; none of that may stop the work, except that
nobody reads stdout any more.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from derain_cli.errors import DerainError, ResourceError, printable, resource_error_from
from derain_cli.system.signals import Interrupted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "Reporter", "Tally", "as_derain_error", "debug_wanted", "print_data", "print_error", "print_json"]

_NO_ROOM = ("failed to map segment", "Cannot allocate memory", "cannot allocate memory")
"""What the dynamic loader says when a library does not fit into the memory left."""

_SIGPIPE = int(getattr(signal, "SIGPIPE", 13))


def debug_wanted(arguments: list[str] | None = None) -> bool:
    """Whether tracebacks are to be shown: `--debug` among the options, or DERAIN_DEBUG set to something but 0."""
    options = arguments or []
    options = options[: options.index("--")] if "--" in options else options
    return "--debug" in options or os.environ.get("DERAIN_DEBUG", "0") not in ("", "0")


def as_derain_error(error: Exception, path: str | os.PathLike[str] | None = None) -> DerainError:
    """The error to tell: as it is, as what it stands for, or as a bug of ours; about `path` if it names none."""
    known = error if isinstance(error, DerainError) else resource_error_from(error, path)
    if known is None and isinstance(error, ImportError) and any(words in str(error) for words in _NO_ROOM):
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
        Interrupted: nobody reads it any more.
        OSError: it cannot be written for another reason, such as a full disk.
    """
    try:
        _write_line(sys.stdout, text)
    except BrokenPipeError as error:
        _drop_stdout()
        raise Interrupted(_SIGPIPE) from error
    except OSError as error:
        if error.errno != errno.EBADF:  # closed from the start: nobody wants it
            raise


def print_json(record: Mapping[str, Any]) -> None:
    """One JSON record on one line of stdout; undecodable bytes of names come as Python's surrogate escapes."""
    print_data(json.dumps(record, allow_nan=False))


def print_error(error: DerainError, *, debug: bool = False) -> None:
    """`derain: error: PATH: REASON (HINT)` on stderr, with `debug` the traceback before it."""
    if debug:
        _say("".join(traceback.format_exception(error)).rstrip())
    _say(f"derain: error: {error}")


def _say(text: str) -> None:
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
    """What is left in the buffer would raise once more when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") not in ("dumb", "unknown")
    except (OSError, ValueError):
        return False


@dataclass
class Bar:
    """How far the work is. Without a terminal it shows nothing."""

    _progress: Progress | None = None
    _task: TaskID | None = None

    def update(self, done: float, text: str, total: int | None = None) -> None:
        """Set the number of items done (fractions count), what is worked on, and the total where that is new."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, description=text, total=total)


class Reporter:
    """How a command talks.

    Args:
        json: records go to stdout.
        quiet: only errors go to stderr.
        verbose: also what is of interest only now and then.
        debug: errors come with their traceback.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False, debug: bool = False):
        self.json = json
        self.quiet = quiet
        self.verbose = verbose and not quiet
        self.debug = debug or debug_wanted()
        self._bar: Progress | None = None

    @property
    def shows_bar(self) -> bool:
        """Whether a bar is on the screen now."""
        return self._bar is not None

    def say(self, text: str) -> None:
        """One line, unless quiet."""
        if not self.quiet:
            self._line(printable(text))

    def note(self, text: str, path: str | None = None) -> None:
        """A remark on a file, unless quiet."""
        self.say(f"derain: note: {'' if path is None else f'{path}: '}{text}")

    def detail(self, text: str) -> None:
        """One line, if verbose."""
        if self.verbose:
            self._line(printable(text))

    def error(self, error: DerainError) -> None:
        """One line, always; with `debug` the traceback before it."""
        if self.debug:
            self._line("".join(traceback.format_exception(error)).rstrip())
        self._line(f"derain: error: {error}")

    def record(self, **values: Any) -> None:
        """A JSON record on stdout, if asked for."""
        if self.json:
            print_json(values)

    @contextmanager
    def bar(self, total: int | None) -> Iterator[Bar]:
        """A bar with the time left, on stderr if that is a terminal; None is for what cannot be told beforehand."""
        if self.quiet or not _is_terminal(sys.stderr):
            yield Bar()
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
        from rich.table import Column

        name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1))
        columns = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        # Standard output stays itself: Rich would send what is printed there to its own console.
        with Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
        ) as progress:
            self._bar = progress
            try:
                yield Bar(progress, progress.add_task("", total=total))
            finally:
                self._bar = None

    def _line(self, text: str) -> None:
        if self._bar is None:
            _say(text)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)


@dataclass
class Tally:
    """Counts what became of the inputs of a command, and tells it. Commands have one of their own below it.

    Attributes:
        reporter: how it is told.
        dry_run: nothing is done; what would be counts as done.
        total: inputs there are, once the plan is known.
        ok, skipped: inputs that were done, and whose outputs were there.
        codes: exit codes of those that failed.
        stopped_by: exit code of a failure that ended the run.
    """

    reporter: Reporter
    dry_run: bool = False
    total: int = 0
    ok: int = 0
    skipped: int = 0
    codes: list[int] = field(default_factory=list)
    stopped_by: int | None = None
    started: float = field(default_factory=time.perf_counter)

    @property
    def exit_code(self) -> int:
        """3 when some failed; when nothing came out at all, and for one reason, that reason's own code."""
        if self.stopped_by is not None:
            return self.stopped_by
        if 1 in self.codes:
            return 1
        if self.codes and not self.ok and not self.skipped and len(set(self.codes)) == 1:
            return self.codes[0]
        return 3 if self.codes else 0

    @property
    def tried(self) -> int:
        """Inputs whose fate is known."""
        return self.ok + self.skipped + len(self.codes)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """The summary is told however the block ends."""
        try:
            yield
        except Interrupted as stop:
            self._finish(stop.exit_code, error="interrupted")
            raise
        except DerainError as error:
            self._finish(error.exit_code, error=error.reason)
            raise
        self._finish(self.exit_code)

    def failed(self, error: DerainError, **values: Any) -> None:
        """An input that gave nothing; `values` go into its record."""
        self.codes.append(error.exit_code)
        self.reporter.error(error)
        self.reporter.record(**values, status="failed", error=error.reason, hint=error.hint, code=error.exit_code)

    def failed_by(self, error: Exception, source: str, *, fatal: bool, **values: Any) -> None:
        """The same for what was tried: a bug of ours, too, is told as one."""
        known = as_derain_error(error, source)
        if fatal:
            self.stopped_by = known.exit_code
        self.failed(known, input=source, **values)

    def record(self, status: str, **values: Any) -> None:
        """The record of an input that did not fail."""
        self.reporter.record(**values, status=status, error=None, code=0)

    def summary_values(self) -> dict[str, Any]:
        """What a command adds to the summary's record."""
        return {}

    def _finish(self, code: int, error: str | None = None) -> None:
        """The last line and the last record."""
        left = max(0, self.total - self.tried)
        tail = f", {left} not tried" if left else ""
        done = "planned" if self.dry_run else "done"
        if self.tried or error in (None, "interrupted"):
            self.reporter.say(f"{done}: {self.ok} ok, {self.skipped} skipped, {len(self.codes)} failed{tail}")
        self.reporter.record(
            summary=True,
            ok=self.ok,
            skipped=self.skipped,
            failed=len(self.codes),
            not_tried=left,
            seconds=round(time.perf_counter() - self.started, 3),
            dry_run=self.dry_run,
            **self.summary_values(),
            error=error,
            code=code,
        )
