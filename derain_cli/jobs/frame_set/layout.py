"""File layout of a data set made by `derain frames`, and the list of rejected pictures that its user writes."""

from __future__ import annotations

import re
from pathlib import Path

from derain_cli.errors import InputError

__all__ = ["MANIFEST", "REJECT", "SHEETS", "TEST", "TRAIN", "WORK", "read_rejected"]

MANIFEST, REJECT, SHEETS, WORK = "manifest.csv", "reject.txt", "sheets", ".derain-frames"
TRAIN, TEST = "train", "test"


def read_rejected(out: Path) -> frozenset[str]:
    """Names of rejected pictures from the user's list, without folder and suffix.

    Raises:
        InputError: the list cannot be read.
    """
    try:
        text = (out / REJECT).read_bytes().decode("utf-8-sig", "replace")
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise InputError(f"cannot read the file: {error.strerror}", path=out / REJECT) from error
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    names = (re.split(r"[\\/]", line)[-1] for line in lines if line)
    return frozenset(name.removesuffix(".png") for name in names)
