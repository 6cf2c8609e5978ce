"""Output of a command: messages, progress bar and errors on stderr, JSON records on stdout."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from derain_cli.cli.console import debug_wanted, is_terminal, log_error, print_json, print_message
from derain_cli.cli.hints import line_of
from derain_cli.cli.log_file import log
from derain_cli.errors import DerainError, printable

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

__all__ = ["Bar", "Reporter"]


def _can_show_bar(stream: TextIO | None) -> bool:
    return is_terminal(stream) and os.environ.get("TERM") not in ("dumb", "unknown")


@dataclass
class Bar:
    """Progress bar; shows nothing without a terminal."""

    _progress: Progress | None = None
    _task: TaskID | None = None

    def update(self, done: float, text: str, total: int | None = None, pace: str = "") -> None:
        """Set the number of items done (may be fractional), the current item, the total if it changed, and the pace
        (`Reporter.bar(own_pace=True)`)."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=done, description=text, total=total, pace=pace)


class Reporter:
    """Output of a command.

    Args:
        json: write records to stdout.
        quiet: print errors only.
        verbose: also print details.
        debug: print the traceback of errors.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False, debug: bool = False):
        self.json = json
        self.quiet = quiet
        self.verbose = verbose and not quiet
        self.debug = debug or debug_wanted()
        self._bar: Progress | None = None
        self._names: dict[str, str] = {}

    def rename(self, path: str, name: str) -> None:
        """Print `name` instead of `path` from now on."""
        self._names[path] = name

    @property
    def shows_bar(self) -> bool:
        """Whether a bar is on the screen."""
        return self._bar is not None

    def say(self, text: str) -> None:
        """One line, unless quiet; always in the log."""
        self._tell("message", text, shown=not self.quiet)

    def note(self, text: str, path: str | None = None) -> None:
        """A note, on a file if `path` is given, unless quiet."""
        self.say(f"derain: note: {'' if path is None else f'{path}: '}{text}")

    def detail(self, text: str) -> None:
        """One line, if verbose; always in the log."""
        self._tell("detail", text, shown=self.verbose)

    def error(self, error: DerainError) -> None:
        """One line, always; preceded by the traceback if `debug`."""
        log_error(error)
        if self.debug:
            self._line("".join(traceback.format_exception(error)).rstrip())
        self._line(f"derain: error: {line_of(error)}")

    def record(self, **values: Any) -> None:
        """A JSON record on stdout, if `json`; always in the log."""
        named = {
            key: self._names.get(value, value) if isinstance(value, str) else value for key, value in values.items()
        }
        if self.json:
            print_json(named)
        else:
            log("record", record=named)

    @contextmanager
    def bar(self, total: int | None, *, own_pace: bool = False) -> Iterator[Bar]:
        """A bar with the time left on stderr, if that is a terminal.

        Args:
            total: number of items; None if unknown.
            own_pace: show a percentage instead of the number of items, and the `pace` of `Bar.update` instead of the
                time left.
        """
        if self.quiet or not _can_show_bar(sys.stderr):
            yield Bar()
            return
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            ProgressColumn,
            TextColumn,
            TimeRemainingColumn,
        )
        from rich.table import Column

        name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, ratio=1))
        columns: tuple[ProgressColumn, ...] = (name, BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        if own_pace:
            pace = TextColumn("{task.fields[pace]}", markup=False)
            columns = (name, BarColumn(20), TextColumn("{task.percentage:>3.0f} %"), pace)
        # Without redirect_stdout=False, Rich would send stdout to its own console.
        with Progress(
            *columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False
        ) as progress:
            self._bar = progress
            try:
                yield Bar(progress, progress.add_task("", total=total, pace=""))
            finally:
                self._bar = None

    def _tell(self, kind: str, text: str, *, shown: bool) -> None:
        log(kind, text=self._renamed(printable(text)))
        if shown:
            self._line(printable(text))

    def _renamed(self, text: str) -> str:
        for path, name in self._names.items():
            text = text.replace(path, name)
        return text

    def _line(self, text: str) -> None:
        text = self._renamed(text)
        if self._bar is None:
            print_message(text)
        else:
            self._bar.console.print(text, markup=False, highlight=False, soft_wrap=True)
