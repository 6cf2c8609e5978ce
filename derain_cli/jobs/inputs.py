"""Which inputs there are in files, folders and patterns."""

# Paths are strings here: a hundred thousand `Path` objects take ten times the memory, and a slash at the end or a
# `./` at the front, which `Path` drops, have a meaning.
# ruff: noqa: PTH116

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "Found",
    "Identity",
    "PassedOver",
    "any_matches",
    "bytewise",
    "has_magic",
    "identity_of",
    "is_folder",
    "is_pattern",
    "matches",
]

Identity = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Found:
    """An input: its output's folder, what is put behind the output's name, and who the input is on the disk."""

    source: str
    folder: str
    tag: str
    identity: Identity | None


@dataclass
class PassedOver:
    """How many things in folders were left out, by reason."""

    folders: int = 0
    links: int = 0
    outputs: int = 0
    filtered: int = 0

    def hint(self) -> str | None:
        if self.folders:
            return "-r looks into sub-folders"
        if self.links:
            return "--follow-symlinks follows the links found"
        if self.filtered:
            return "--include and --exclude left all out"
        return "only earlier outputs are there" if self.outputs else None


def identity_of(path: str) -> Identity | None:
    """Who a file is on the disk, links followed; None where nothing is."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def bytewise(entry: os.DirEntry[str]) -> bytes:
    # Names may hold bytes that are no text; the order must not hang on the locale either.
    return os.fsencode(entry.name)


def has_magic(part: str) -> bool:
    return any(c in part for c in "*?[")


def is_pattern(path: str) -> bool:
    """Whether a shell would have taken this for a pattern; a file of that very name comes first."""
    return has_magic(path) and not os.path.lexists(path)


def matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(matches(parts[i:], wanted[1:]) for i in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatch(parts[0], wanted[0]) and matches(parts[1:], wanted[1:])


def any_matches(path: str, name: str, patterns: Sequence[str]) -> bool:
    """A pattern with a slash is for the path below the folder, one without for the name."""
    slashed = path.replace(os.sep, "/")
    return any(fnmatch.fnmatch(slashed if "/" in pattern else name, pattern) for pattern in patterns)
