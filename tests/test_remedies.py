"""Errors contain no flags: each front end words the hints."""

from __future__ import annotations

import ast
import pickle
import re
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

import derain_cli
from derain_cli.cli.hints import FLAGS, hint_of, line_of
from derain_cli.config import RestoreOptions
from derain_cli.errors import DerainError, DestinationError, InputError, NothingToDoError, UsageError
from derain_cli.jobs.frame_set.options import FramesOptions
from derain_cli.remedies import Remedy

PACKAGE = Path(derain_cli.__file__).parent
FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z-]+|-[a-z](?= [A-Z]| folder|$))")


def fields(sentence: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(sentence) if name}


def below_the_command_line() -> Iterator[Path]:
    for file in sorted(PACKAGE.rglob("*.py")):
        if file.relative_to(PACKAGE).parts[0] != "cli":
            yield file


@pytest.mark.parametrize("remedy", Remedy, ids=lambda remedy: remedy.name)
def test_the_command_line_has_words_for_every_way_out_and_from_the_same_facts(remedy: Remedy) -> None:
    assert fields(FLAGS[remedy]) == fields(remedy.value)
    assert not FLAG.search(remedy.value)


def test_every_way_out_is_taken_somewhere() -> None:
    text = "".join(file.read_text(encoding="utf-8") for file in below_the_command_line())
    assert not [remedy.name for remedy in Remedy if not re.search(rf"Remedy\.{remedy.name}\b", text)]


def strings(file: Path) -> Iterator[tuple[int, str]]:
    """Text of a module that may be shown to users, without docstrings."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.lineno, node.value


@pytest.mark.parametrize("file", list(below_the_command_line()), ids=lambda file: str(file.relative_to(PACKAGE)))
def test_no_text_below_the_command_line_names_a_flag(file: Path) -> None:
    if file.name == "provenance.py":  # calls git
        return
    assert not [(line, text) for line, text in strings(file) if FLAG.search(text)]


def test_a_way_out_is_worded_twice() -> None:
    error = InputError("no frame", path="a.mp4", remedy=Remedy.END_EARLIER, seconds="12.50")
    assert str(error) == "a.mp4: no frame (the part before 12.50 s can be used)"
    assert line_of(error) == "a.mp4: no frame (--end 12.50 uses the part before)"
    plain = InputError("no frame", hint="convert it to RGB")
    assert str(plain) == line_of(plain) == "no frame (convert it to RGB)"
    assert hint_of(InputError("no frame")) is None


def test_an_option_goes_by_its_flag_on_the_command_line() -> None:
    with pytest.raises(UsageError) as caught:
        FramesOptions(per_clip=0)
    assert str(caught.value) == "per_clip must be at least 1, not 0"
    assert line_of(caught.value) == "--per-clip must be at least 1, not 0"
    with pytest.raises(UsageError, match=r"^tile must be"):
        RestoreOptions(tile=3)


def test_an_error_of_another_kind_says_the_same() -> None:
    error = DestinationError("not a folder", path="a", remedy=Remedy.ONE_OF_CODECS, codecs="h264")
    other = NothingToDoError.like(error)
    assert (str(other), line_of(other), other.exit_code) == (str(error), line_of(error), 4)
    assert NothingToDoError.like(InputError("gone"), path="b").path == Path("b")
    assert str(NothingToDoError.like(InputError("gone", hint="look for it"))) == "gone (look for it)"


def test_an_error_crosses_to_another_process_whole() -> None:
    error = InputError("too large", path="a.png", remedy=Remedy.END_EARLIER, seconds=3)
    other: DerainError = pickle.loads(pickle.dumps(error))
    assert (line_of(other), other.path) == (line_of(error), error.path)
