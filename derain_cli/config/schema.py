"""Converts nested mappings to option objects and back. Unknown keys and wrong types are usage errors."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import json
import math
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal, TypeVar

from derain_cli.errors import UsageError

__all__ = ["differing_keys", "from_mapping", "require", "require_option", "to_mapping"]

T = TypeVar("T")


def require(condition: bool, message: str) -> None:
    """Raise a `UsageError` with `message` unless `condition` holds."""
    if not condition:
        raise UsageError(message)


def require_option(condition: bool, option: str, requirement: str) -> None:
    """Raise a `UsageError` about an option, such as "tile must be ...", unless `condition` holds.

    Args:
        condition: what must hold.
        option: the field's name; front ends replace it by their own name for it.
        requirement: the rest of the sentence.
    """
    if not condition:
        raise UsageError(f"{option} {requirement}", option=option)


def _nearest(name: str, known: Iterable[str], where: str) -> str | None:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {where + '.' if where else ''}{near[0]}?" if near else None


def _below(name: str, hints: Mapping[str, Any]) -> str | None:
    """A hint if a nested table has an option of that name."""
    tables = [table for table, hint in hints.items() if dataclasses.is_dataclass(hint)]
    found = [f"{table}.{name}" for table in tables if name in _type_hints(hints[table])]
    return f"did you mean {' or '.join(found)}?" if found else None


def _convert(value: Any, hint: Any, where: str) -> Any:
    """`value` converted to the annotated type `hint`: only integers to floats and lists to tuples."""
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        require(isinstance(value, Mapping), f"{where} is a table, not {value!r}")
        return from_mapping(typing.cast(type[Any], hint), value, where)
    if origin is Literal:
        choices = typing.get_args(hint)
        require(value in choices, f"{where} must be one of {', '.join(map(str, choices))}, not {value!r}")
        return value
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            try:
                return _convert(value, option, where)
            except UsageError:
                continue
        raise UsageError(f"{where} cannot be {value!r}")
    if origin is tuple:
        require(isinstance(value, list | tuple), f"{where} is a list, not {value!r}")
        return tuple(_convert(item, typing.get_args(hint)[0], where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    right = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    require(right, f"{where} must be {hint.__name__}, not {value!r}")
    require(not (isinstance(value, float) and not math.isfinite(value)), f"{where} must be finite")
    return value


@functools.lru_cache
def _type_hints(cls: type[Any]) -> Mapping[str, Any]:
    return typing.get_type_hints(cls)


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """An instance of `cls` (a frozen dataclass) from nested mappings.

    Raises:
        UsageError: an unknown key (the hint suggests a similar one), a wrong type or a value out of range.
    """
    hints = _type_hints(typing.cast(Any, cls))
    for key in values:
        if key not in hints:
            name = f"{where}.{key}" if where else key
            raise UsageError(f"unknown option {name}", hint=_below(key, hints) or _nearest(key, hints, where))
    return cls(**{k: _convert(v, hints[k], f"{where}.{k}" if where else k) for k, v in values.items()})


def to_mapping(options: Any) -> dict[str, Any]:
    """The inverse of `from_mapping`, ready for JSON (tuples become lists)."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(options))))


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any], where: str = "") -> list[str]:
    """Dotted names of the keys whose values differ between two nested mappings."""
    names: list[str] = []
    for key in sorted(set(one) | set(other)):
        a, b = one.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            names += differing_keys(a, b, f"{where}{key}.")
        elif a != b:
            names.append(f"{where}{key}")
    return names
