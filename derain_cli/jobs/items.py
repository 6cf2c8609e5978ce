"""What is to be done: inputs with their outputs, and what these are called."""

# Paths are strings here: a hundred thousand `Path` objects take ten times the memory, and a slash at the end or a
# `./` at the front, which `Path` drops, have a meaning.
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
"""What is put behind the name of an input when its output lies beside it."""

Companion = tuple[str, str | None]
"""A further picture written beside an output: what is put behind the output's name, and its suffix (None: the same)."""

COMPARE: Companion = ("_compare", None)
LAYERS: tuple[Companion, ...] = (("_rain", ".png"), ("_detail", ".png"))


def companion_path(target: str, companion: Companion) -> str:
    """Where a further picture of the output `target` lies."""
    tag, suffix = companion
    stem, own = os.path.splitext(target)
    return f"{stem}{tag}{suffix or own}"


def own_tails(suffix: str = DEFAULT_SUFFIX) -> tuple[str, ...]:
    """What ends the names, without suffix, of outputs that `derain` writes beside their inputs."""
    return tuple(f"{suffix}{tag}" for tag in ("", *(tag for tag, _ in (COMPARE, *LAYERS)))) if suffix else ()


@dataclass(frozen=True)
class Naming:
    """What outputs are called, and where they lie.

    Attributes:
        writable: suffixes an output may have.
        fallback: suffix of the output where the input's own cannot be written.
        output: as given with `-o`: a file, a folder, or None for results beside the inputs.
        suffix: put behind names; None is `DEFAULT_SUFFIX` beside the inputs and nothing inside an output folder.
        format: suffix of all outputs, without dot; None keeps the input's.
        suffix_of: looks into an input whose own suffix cannot be written, for one that suits its content.
        overwrite: outputs that exist are replaced, not passed over.
        companions: further pictures written with each output.

    Raises:
        UsageError: a suffix or format that cannot be used.
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
            raise UsageError(f"a suffix is part of a file name: {self.suffix!r} cannot be used")
        if self.output == "":
            raise UsageError("the output has no name")
        if self.format is not None and f".{self.format.lower().lstrip('.')}" not in self.writable:
            raise UsageError(f"cannot write {self.format!r}", hint=f"one of {listed(self.writable)}")

    def companions_of(self, target: str) -> tuple[str, ...]:
        """Paths of the further pictures of the output `target`, in the order of `companions`."""
        return tuple(companion_path(target, companion) for companion in self.companions)


@dataclass(frozen=True, slots=True)
class Item:
    """One input and its output.

    Attributes:
        source, target: their paths.
        note: a remark on the choice of the output.
        stays: the output is there and right; only further pictures beside it are wanted.
    """

    source: str
    target: str
    note: str = ""
    stays: bool = False


@dataclass(frozen=True)
class WorkList:
    """A settled plan.

    Attributes:
        items: what is to be done, in order.
        done: inputs whose output is there already.
        failed: what cannot be done, each with its path.
        notes: path and remark on what was passed over.
        unread: files in folders whose names are not of the kind looked for, counted by suffix (lower case).
        remedy: how more inputs could be found, for a list that is empty.
    """

    items: tuple[Item, ...]
    done: tuple[Item, ...] = ()
    failed: tuple[DerainError, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    unread: Mapping[str, int] = field(default_factory=dict)
    remedy: Remedy | None = None

    def nothing_found(self, what: str = "images", hint: str | None = None) -> NothingToDoError:
        """The error for a list without anything to do; `hint` is what was found instead."""
        if hint:
            return NothingToDoError(f"no {what} found", hint=hint)
        return NothingToDoError(f"no {what} found", remedy=self.remedy)


def listed(suffixes: frozenset[str]) -> str:
    return " ".join(sorted(suffixes))
