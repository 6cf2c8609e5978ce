"""Recipes: TOML files with the tables and keys of `TrainConfig`, and overrides of single keys."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from derain_cli.config.schema import require_option
from derain_cli.errors import UsageError

__all__ = ["RECIPES", "apply_overrides", "load_recipe", "parse_overrides", "recipe_names"]

RECIPES = Path(__file__).parents[1] / "recipes"


def recipe_names() -> list[str]:
    """Names of the recipes shipped with the program."""
    return sorted(p.stem for p in RECIPES.glob("*.toml"))


def load_recipe(name_or_path: str) -> dict[str, Any]:
    """The tables of a recipe: a name from `recipe_names`, or the path of a TOML file.

    Raises:
        UsageError: no such recipe, or one that cannot be read: invalid TOML, unreadable.
    """
    path = RECIPES / f"{name_or_path}.toml"
    if name_or_path not in recipe_names():
        path = Path(name_or_path)
        if not path.is_file():
            raise UsageError(f"no recipe {name_or_path!r}", hint=f"known: {', '.join(recipe_names())}, or a TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # also numbers too long for Python, tables nested too deep
        raise UsageError(f"not a usable recipe: {error}", path=path) from error


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """`["optim.lr=1e-4", "model.se=false"]` as nested tables; values are TOML, bare words are strings.

    Raises:
        UsageError: not of the form table.key=value.
    """
    tables: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        parts = key.strip().split(".")
        require_option(bool(equals) and all(parts), "set", f"takes table.key=value, not {pair!r}")
        try:
            read = tomllib.loads(f"v = {text.strip()}")
        except (ValueError, RecursionError):
            read = {}
        value = read["v"] if len(read) == 1 else text.strip()
        table = tables
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            require_option(isinstance(table, dict), "set", f"{pair!r}: {part} is not a table")
        table[parts[-1]] = value
    return tables


def apply_overrides(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` overridden by the values of `over`, table by table; neither is modified."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            apply_overrides(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged
