"""Every fault of docs/reliability.md is tried by a test that bears its number, or the page says why not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = TESTS.parent / "docs/reliability.md"


def numbers_of(heading: str) -> list[int]:
    """First cells of the tables between headings of level two."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [int(n) for n in re.findall(r"^\| (\d+) \|", text, re.M)]


def marks_in(source: str) -> list[int]:
    """Numbers in the `pytest.mark.fault` decorators of a file of tests."""
    found: list[int] = []
    for node in ast.walk(ast.parse(source)):
        for mark in getattr(node, "decorator_list", ()):
            if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.fault":
                found += [ast.literal_eval(argument) for argument in mark.args]
    return found


def tried() -> set[int]:
    return {n for path in TESTS.rglob("test_*.py") for n in marks_in(path.read_text(encoding="utf-8"))}


def test_every_fault_has_a_test_or_a_reason():
    listed, excused = numbers_of("Faults"), numbers_of("Not tested")
    assert listed == list(range(1, len(listed) + 1)) and len(listed) > 70
    assert set(listed) - tried() == set(excused)


def test_no_test_bears_the_number_of_an_unknown_fault():
    assert tried() <= set(numbers_of("Faults"))


def test_marks_are_read_from_decorators_alone():
    assert marks_in("@pytest.mark.fault(3, 5)\ndef test_a(): pass\n# @pytest.mark.fault(7)") == [3, 5]
