"""A worker: holds the network in a process of its own and restores the photos it is given."""

from __future__ import annotations

import contextlib
import os
import pickle
import platform
import signal
import threading
import traceback
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING

from derain_cli import __version__
from derain_cli.errors import DerainError, InputError, UsageError, WeightsError
from derain_cli.jobs.cluster.options import AboutWorker, WorkerOptions
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.outcome import PhotoOutcome
from derain_cli.system.files import temporary_owner
from derain_cli.system.signals import Interrupted

if TYPE_CHECKING:
    from derain_cli.engine.restorer import Restorer
    from derain_cli.jobs.photos.writing import Writer

__all__ = ["PhotoWorker"]

_LONG = (1 << 40,)
"""Pixels of a job that is certainly long: workers live through many photos."""


class PhotoWorker:
    """Restores photos with a network that is loaded once. `stop` may be called while `restore` runs."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._restorer: Restorer | None = None
        self._writer: Writer | None = None

    def begin(self, options: WorkerOptions) -> AboutWorker | Exception:
        """Load the network; errors are returned, since not every exception survives the way back."""
        try:
            return self._begin(options)
        except Exception as error:
            return _portable(error)

    def restore(self, items: Sequence[Item]) -> tuple[PhotoOutcome, ...]:
        """Restore photos; the outcomes of those that were attempted, in order."""
        from derain_cli.jobs.photos.run import restore_photos

        assert self._restorer is not None
        assert self._writer is not None
        outcomes: list[PhotoOutcome] = []
        with contextlib.suppress(Interrupted):  # photos that were being written are finished and reported
            restore_photos(
                items,
                self._restorer,
                self._writer.options,
                report=outcomes.append,
                progress=self._check,
                writer=self._writer,
            )
        return tuple(map(_portable_outcome, outcomes))

    def stop(self) -> None:
        """Make `restore` return at the next tile."""
        self._stopping.set()

    def _begin(self, options: WorkerOptions) -> AboutWorker:
        if options.version != __version__:
            reason = f"derain {__version__} is installed on {platform.node()}, not {options.version} as here"
            raise UsageError(reason, hint="install the same version on every machine")
        try:
            os.chdir(options.folder)
        except OSError as error:
            reason = f"not there on {platform.node()}"
            raise InputError(reason, path=options.folder, hint="all machines need the same folders") from error
        for name, value in options.environment.items():
            os.environ.setdefault(name, value)  # before the libraries that read them are loaded
        from derain_cli.checkpoints.find import find_weights
        from derain_cli.checkpoints.header import read_head
        from derain_cli.engine.choice import Work, with_engine
        from derain_cli.engine.restorer import Restorer
        from derain_cli.jobs.photos.writing import Writer

        head = read_head(find_weights(options.model))
        if head.sha256 != options.sha256:
            raise WeightsError(f"{options.model} on {platform.node()} is another model than here", path=head.path)
        restore = with_engine(options.restore, Work(head.config, _LONG))
        self._restorer = Restorer.from_pretrained(options.model, **asdict(restore))
        self._writer = Writer(options.batch)
        return AboutWorker(
            platform.node(),
            temporary_owner(),
            str(self._restorer.device),
            self._restorer.precision,
            self._restorer.engine.name,
        )

    def _check(self, done: float) -> None:
        if self._stopping.is_set():
            raise Interrupted(signal.SIGTERM)


def _portable_outcome(outcome: PhotoOutcome) -> PhotoOutcome:
    return outcome if outcome.error is None else replace(outcome, error=_portable(outcome.error))


def _portable(error: Exception) -> Exception:
    """`error`, or one with the same words if it does not survive pickling; the traceback of a bug becomes a note."""
    if not isinstance(error, DerainError):
        error.add_note("".join(traceback.format_exception(error)).rstrip())
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # anything may be in there
        words = RuntimeError(f"{type(error).__name__}: {error}")
        for note in getattr(error, "__notes__", ()):
            words.add_note(note)
        return words
    return error
