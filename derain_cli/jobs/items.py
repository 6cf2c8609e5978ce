"""Work items: inputs with their outputs, and how outputs are named."""

# Paths are strings here: a hundred thousand `Path` objects take ten times the memory, and a trailing slash or a
# leading `./`, which `Path` drops, is significant.
# ruff: noqa: PTH122

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from derain_cli.errors import DerainError, NothingToDoError, UsageError
from derain_cli.remedies import Remedy
from derain_cli.system.finder import separators

__all__ = [
    "COMPARE",
    "DEFAULT_SUFFIX",
    "LAYERS",
    "Companion",
    "Item",
    "Naming",
    "WorkList",
    "companion_path",
    "listed",
    "own_tails",
]

DEFAULT_SUFFIX = "_derained"
"""Text appended to the name of an output next to its input."""

Companion = tuple[str, str | None]
"""An additional picture next to an output: text appended to the output's name, and file suffix (None: the same)."""

COMPARE: Companion = ("_compare", None)
LAYERS: tuple[Companion, ...] = (("_rain", ".png"), ("_detail", ".png"))


def companion_path(target: str, companion: Companion) -> str:
    """Path of a companion of the output `target`."""
    tag, suffix = companion
    stem, own = os.path.splitext(target)
    return f"{stem}{tag}{suffix or own}"


def own_tails(suffix: str = DEFAULT_SUFFIX) -> tuple[str, ...]:
    """Name endings, without file suffix, of outputs that `derain` writes next to their inputs."""
    return tuple(f"{suffix}{tag}" for tag in ("", *(tag for tag, _ in (COMPARE, *LAYERS)))) if suffix else ()


@dataclass(frozen=True)
class Naming:
    """Names and locations of outputs.

    Attributes:
        writable: file suffixes an output may have.
        fallback: suffix of the output if the input's cannot be written.
        output: as given with `-o`: a file, a folder, or None for outputs next to the inputs.
        suffix: text appended to names; None means `DEFAULT_SUFFIX` next to the inputs and nothing in an output folder.
        format: file suffix of all outputs, without dot; None keeps the input's.
        suffix_of: returns a suffix that suits the content of an input whose own suffix cannot be written.
        overwrite: replace existing outputs instead of skipping them.
        companions: additional pictures written with each output.

    Raises:
        UsageError: an invalid suffix or format.
    """

    writable: frozenset[str]
    fallback: str = ".png"
    output: str | None = None
    suffix: str | None = None
    format: str | None = None
    suffix_of: Callable[[str], str | None] | None = None
    overwrite: bool = False
    companions: tuple[Companion, ...] = ()

    def __post_init__(self) -> None:
        if self.suffix is not None and any(c in self.suffix for c in separators() + "\0"):
            raise UsageError(f"the suffix is part of a file name and cannot be {self.suffix!r}")
        if self.output == "":
            raise UsageError("the output name is empty")
        if self.format is not None and f".{self.format.lower().lstrip('.')}" not in self.writable:
            raise UsageError(f"cannot write {self.format!r}", hint=f"one of {listed(self.writable)}")

    def companions_of(self, target: str) -> tuple[str, ...]:
        """Paths of the companions of the output `target`, in the order of `companions`."""
        return tuple(companion_path(target, companion) for companion in self.companions)


@dataclass(frozen=True, slots=True)
class Item:
    """One input and its output.

    Attributes:
        source, target: their paths.
        note: a remark on the choice of the output.
        stays: the output is up to date; only companions are missing.
        further: more inputs of the same output, following `source`.
    """

    source: str
    target: str
    note: str = ""
    stays: bool = False
    further: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[str, ...]:
        """All inputs, in order."""
        return (self.source, *self.further)


@dataclass(frozen=True)
class WorkList:
    """A settled plan.

    Attributes:
        items: items to process, in order.
        done: inputs whose output exists already.
        failed: unusable inputs and outputs, each with its path.
        notes: path and remark for skipped files.
        unread: number of files of other kinds in folders, by suffix (lower case).
        remedy: what would include more inputs, for an empty list.
    """

    items: tuple[Item, ...]
    done: tuple[Item, ...] = ()
    failed: tuple[DerainError, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)
    remedy: Remedy | None = None

    def nothing_found(self, what: str = "images", hint: str | None = None) -> NothingToDoError:
        """The error for an empty list; `hint` says what was found instead."""
        if hint:
            return NothingToDoError(f"no {what} found", hint=hint)
        return NothingToDoError(f"no {what} found", remedy=self.remedy)


def listed(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))
