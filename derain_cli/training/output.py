"""Checks the output folder of a run before anything is loaded. No torch."""

from __future__ import annotations

import os
from pathlib import Path

from derain_cli.errors import DestinationError, NothingToDoError
from derain_cli.remedies import Remedy

__all__ = ["refuse_output"]


def refuse_output(out: Path, *, resume: bool) -> None:
    """Check that `out` can be the folder of a run, before anything is written.

    Args:
        out: the folder; it need not exist.
        resume: whether it must already contain a run.

    Raises:
        NothingToDoError: there is no run to resume.
        DestinationError: it contains something else, is not a folder, or is not writable.
    """
    if (out / "run.json").exists():
        if not resume:
            raise DestinationError("the folder already contains a run", path=out, remedy=Remedy.RESUME)
    elif resume:
        raise NothingToDoError("no run to resume here", path=out, remedy=Remedy.START_RUN)
    elif os.path.lexists(out) and not out.is_dir():
        raise DestinationError("not a folder", path=out, remedy=Remedy.OTHER_OUTPUT)
    elif out.exists() and any(p.name != "validation" for p in out.iterdir()):
        raise DestinationError("the folder is not empty", path=out, remedy=Remedy.OTHER_OUTPUT)
    _refuse_unwritable(out)


def _refuse_unwritable(out: Path) -> None:
    """The nearest existing folder must be writable."""
    existing = out
    while not os.path.lexists(existing) and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise DestinationError(f"{existing} is a file, not a folder", path=out, remedy=Remedy.OTHER_OUTPUT)
    if not os.access(existing, os.W_OK | os.X_OK):
        raise DestinationError(f"{existing} is not writable", path=out, remedy=Remedy.OTHER_OUTPUT)
