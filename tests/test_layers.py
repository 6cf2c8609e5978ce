"""The layers of the package: a module imports only from lower rows, and modules in a row don't know each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import derain_cli

PACKAGE = Path(derain_cli.__file__).parent
ROWS = [
    {"config", "errors", "system"},
    {"media", "model", "losses", "rain", "metrics"},
    {"data", "datasets", "checkpoints"},
    {"engine"},
    {"evaluation", "jobs"},
    {"training"},
    {"cli"},
]
FREE = {
    "config": {"errors"},
    "system": {"errors"},
    "data": {"datasets"},
    "datasets": {"checkpoints"},
}
"""What a module may import from its own row."""

TOP = {"__init__", "__main__"}


def row_of(unit: str) -> int:
    return next(i for i, row in enumerate(ROWS) if unit in row)


def units() -> list[str]:
    return sorted({p.relative_to(PACKAGE).parts[0].removesuffix(".py") for p in PACKAGE.rglob("*.py")} - TOP)


def imported(unit: str) -> set[str]:
    """Units of the package that `unit` imports anywhere, inside functions too; not those for types only."""
    files = [PACKAGE / f"{unit}.py"] if (PACKAGE / f"{unit}.py").exists() else sorted((PACKAGE / unit).rglob("*.py"))
    found = set()
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
                node.body = []
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("derain_cli."):
                found.add((node.module or "").split(".")[1])
    return found - {unit}


@pytest.mark.parametrize("unit", units())
def test_a_module_imports_only_from_lower_rows(unit: str) -> None:
    allowed = set().union(*ROWS[: row_of(unit)]) | FREE.get(unit, set())
    assert imported(unit) <= allowed, f"{unit} imports {sorted(imported(unit) - allowed)}"
