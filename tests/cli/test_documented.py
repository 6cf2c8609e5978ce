"""Every command line in the documentation is understood by the parser, and every flag it names exists."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from derain_cli.cli import app, route
from tests.cli.test_help import ALL, parsed

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "weights").glob("*.md")),
    ROOT / "samples/README.md",
]
_FENCE = re.compile(r"^[ ]*```\w*\n(.*?)^[ ]*```$", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(derain [^`]+)`")


def blocks(page: Path) -> Iterator[str]:
    """Fenced code with continued lines joined."""
    for block in _FENCE.findall(page.read_text(encoding="utf-8")):
        yield re.sub(r"\\\n\s*", " ", block)


def commands(page: Path) -> Iterator[list[str]]:
    """The calls of derain in the code of a page, as lists of words, also those in pipelines."""
    for block in blocks(page):
        for line in block.splitlines():
            if "derain " not in line:
                continue
            shell = shlex.shlex(line, posix=True, punctuation_chars="|&;<>()")
            shell.whitespace_split = True
            words: list[str] = []
            for word in [*shell, ";"]:
                if not set(word) <= set("|&;<>()"):
                    words.append(word)
                    continue
                if words[:1] == ["derain"] and words[1:]:
                    yield words
                words = []


LINES = sorted({shlex.join(words) for page in PAGES for words in commands(page)})
NAMED = sorted({text for page in PAGES for text in _INLINE.findall(page.read_text(encoding="utf-8"))})


def test_commands_are_found() -> None:
    assert len(LINES) > 50


@pytest.mark.parametrize("line", LINES)
def test_command_lines_are_understood(line: str) -> None:
    arguments = shlex.split(line)[1:]
    if not {"--help", "--version"} & {*arguments}:  # these end the program
        assert parsed(typer.main.get_command(app), "derain", route(arguments)) in ALL


@pytest.mark.parametrize("text", NAMED)
def test_commands_and_flags_named_in_sentences_exist(text: str) -> None:
    _, *words = text.split()
    routed = route(words)
    path = max((path for path in ALL if f"derain {' '.join(routed)} ".startswith(f"{path} ")), key=len)
    command, context = ALL[path]
    known = {name for each in command.get_params(context) for name in each.opts}
    assert path != "derain" or routed[0].startswith("-")
    assert {word.split("=")[0] for word in routed if re.match(r"--?[a-z]", word)} <= known
