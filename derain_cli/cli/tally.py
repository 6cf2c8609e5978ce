"""Results of a command: counts, records, summary, exit code."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from derain_cli.cli.console import as_derain_error
from derain_cli.cli.hints import hint_of, reason_of
from derain_cli.cli.reporter import Reporter
from derain_cli.errors import DerainError
from derain_cli.system.signals import Interrupted

if TYPE_CHECKING:
    from derain_cli.jobs.outcome import Outcome

__all__ = ["Tally"]


@dataclass
class Tally:
    """Counts and reports the results of a command's inputs. Base class; each command has its own.

    Attributes:
        reporter: output of the command.
        dry_run: nothing is done; planned inputs count as ok.
        total: number of inputs, once the plan is known.
        ok: number of finished inputs.
        skipped: number of inputs whose output already existed.
        codes: exit codes of the failed inputs.
        stopped_by: exit code of the failure that ended the run.
    """

    reporter: Reporter
    dry_run: bool = False
    total: int = 0
    ok: int = 0
    skipped: int = 0
    codes: list[int] = field(default_factory=list)
    stopped_by: int | None = None
    started: float = field(default_factory=time.perf_counter)
    _last: Outcome[Any] | None = None

    @property
    def exit_code(self) -> int:
        """1 after an internal error, 3 if some inputs failed; if all failed with the same code, that code."""
        if self.stopped_by is not None:
            return self.stopped_by
        if 1 in self.codes:
            return 1
        if self.codes and not self.ok and not self.skipped and len(set(self.codes)) == 1:
            return self.codes[0]
        return 3 if self.codes else 0

    @property
    def tried(self) -> int:
        """Number of inputs with a result."""
        return self.ok + self.skipped + len(self.codes)

    @contextmanager
    def summary_on_exit(self) -> Iterator[None]:
        """Write the summary when the block ends, also by an exception."""
        try:
            yield
        except Interrupted as stop:
            self._finish(stop.exit_code, error="interrupted")
            raise
        except DerainError as error:
            self._finish(error.exit_code, error=reason_of(error))
            raise
        self._finish(self.exit_code)

    def is_repeated(self, outcome: Outcome[Any]) -> bool:
        """Whether this outcome has just been reported: it is delivered twice if a signal interrupts its report."""
        repeated, self._last = outcome is self._last, outcome
        return repeated

    def failed(self, error: DerainError, **values: Any) -> None:
        """Report a failed input; `values` go into its record."""
        self.codes.append(error.exit_code)
        self.reporter.error(error)
        self.reporter.record(
            **values, status="failed", error=reason_of(error), hint=hint_of(error), code=error.exit_code
        )

    def failed_by(self, outcome: Outcome[Any], source: str, **values: Any) -> None:
        """Report an outcome with an error; unexpected exceptions become internal errors."""
        assert outcome.error is not None
        known = as_derain_error(outcome.error, source)
        if outcome.fatal:
            self.stopped_by = known.exit_code
        self.failed(known, input=source, **values)

    def record(self, status: str, **values: Any) -> None:
        """Write the record of an input that did not fail."""
        self.reporter.record(**values, status=status, error=None, code=0)

    def counts(self) -> str:
        """The counts for the last line."""
        return f"{self.ok} ok, {self.skipped} skipped, {len(self.codes)} failed"

    def summary_values(self) -> dict[str, Any]:
        """Values that a command adds to the summary record."""
        return {}

    def _finish(self, code: int, error: str | None = None) -> None:
        """Write the last line and the summary record."""
        left = max(0, self.total - self.tried)
        tail = f", {left} not tried" if left else ""
        done = "planned" if self.dry_run else "done"
        single = len(self.codes) == self.total == 1  # the error message is enough
        if not single and (self.tried or error in (None, "interrupted")):
            self.reporter.say(f"{done}: {self.counts()}{tail}")
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
