"""The folder a run writes to, looked at before anything is loaded: no torch here."""

from __future__ import annotations

import os
from pathlib import Path

from derain_cli.errors import DestinationError, NothingToDoError
from derain_cli.remedies import Remedy

__all__ = ["refuse_output"]


def refuse_output(out: Path, *, resume: bool) -> None:
    """See that `out` may be the folder of a run, before anything is written.

    Args:
        out: the folder; it need not exist.
        resume: a run is to be in it already.

    Raises:
        NothingToDoError: there is no run to resume.
        DestinationError: it holds something else, is no folder, or cannot be written to.
    """
    if (out / "run.json").exists():
        if not resume:
            raise DestinationError("there is a run here already", path=out, remedy=Remedy.RESUME)
    elif resume:
        raise NothingToDoError("no run to resume here", path=out, remedy=Remedy.START_RUN)
    elif os.path.lexists(out) and not out.is_dir():
        raise DestinationError("not a folder", path=out, remedy=Remedy.OTHER_OUTPUT)
    elif out.exists() and any(p.name != "validation" for p in out.iterdir()):
        raise DestinationError("the folder is not empty", path=out, remedy=Remedy.OTHER_OUTPUT)
    _refuse_unwritable(out)


def _refuse_unwritable(out: Path) -> None:
    """The nearest folder there is must let files be made in it."""
    there = out
    while not os.path.lexists(there) and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise DestinationError(f"{there} is a file, not a folder", path=out, remedy=Remedy.OTHER_OUTPUT)
    if not os.access(there, os.W_OK | os.X_OK):
        raise DestinationError(f"{there} cannot be written to", path=out, remedy=Remedy.OTHER_OUTPUT)
