"""The flags of a command as one frozen dataclass whose fields carry Typer annotations.

Related flags form a dataclass of their own, used as a field; similar commands share flags by inheritance. Defaults come
from the options objects that the flags are converted to.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

__all__ = ["command_from_flags", "options_from"]

F = TypeVar("F")
Options = TypeVar("Options")


def command_from_flags(flags: type[F]) -> Callable[[Callable[[F], int]], Callable[..., int]]:
    """Turn a function of one flags object into a Typer command with one parameter per flag.

    Args:
        flags: the dataclass; help lists its fields in order, required ones first.
    """

    def decorate(command: Callable[[F], int]) -> Callable[..., int]:
        @functools.wraps(command)
        def call(**values: Any) -> int:
            return command(_made(flags, values))

        parameters = sorted(_parameters(flags), key=lambda each: each.default is not inspect.Parameter.empty)
        call.__signature__ = inspect.Signature(parameters, return_annotation=int)  # type: ignore[attr-defined]
        call.__annotations__ = {each.name: each.annotation for each in parameters} | {"return": int}
        return call

    return decorate


def options_from(options: type[Options], flags: object, **changed: Any) -> Options:
    """Build an options object from the flags of the same names.

    Args:
        options: the dataclass; fields without a flag keep their defaults.
        flags: the flags of a command.
        changed: fields to set to other values than the flag's.

    Raises:
        UsageError: a value is out of range.
    """
    names = {each.name for each in fields(options)} - changed.keys()  # type: ignore[arg-type]
    return options(**{name: getattr(flags, name) for name in names if hasattr(flags, name)}, **changed)


def _parameters(flags: type[Any]) -> Iterator[inspect.Parameter]:
    hints = typing.get_type_hints(flags, include_extras=True)
    for each in fields(flags):
        if is_dataclass(hints[each.name]):
            yield from _parameters(hints[each.name])
        else:
            default = inspect.Parameter.empty if each.default is MISSING else each.default
            yield inspect.Parameter(
                each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[each.name]
            )


def _made(flags: type[F], values: Mapping[str, Any]) -> F:
    hints = typing.get_type_hints(flags)
    parts = {
        each.name: _made(hints[each.name], values) if is_dataclass(hints[each.name]) else values[each.name]
        for each in fields(flags)  # type: ignore[arg-type]
    }
    return flags(**parts)
