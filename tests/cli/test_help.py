"""Help of every command: readable at 80 columns, options in named groups, examples the parser accepts."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from derain_cli.cli import COMMANDS, app, route
from derain_cli.cli.help import EXAMPLES, FILES, MESSAGES, MODEL, OUTPUT
from tests.cli.conftest import Derain


def commands(command: Any, path: str, parent: Any = None) -> Iterator[tuple[str, Any, Any]]:
    """Path, command and parsing context of `command` and of all commands below it."""
    context = command.context_class(command, parent=parent, info_name=path.split()[-1])
    yield path, command, context
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from commands(command.get_command(context, name), f"{path} {name}", context)


ALL = {path: (command, context) for path, command, context in commands(typer.main.get_command(app), "derain")}
LINES = [line for examples in EXAMPLES.values() for line, _ in examples]


def help_of(derain: Derain, path: str) -> str:
    ended = derain(*path.split()[1:], "--help")
    assert ended.code == 0
    return ended.out


def parsed(command: Any, name: str, arguments: list[str], parent: Any = None) -> str:
    """The path of the command that the arguments belong to, all of them parsed as when it is run."""
    context = command.make_context(name, arguments, parent=parent)
    if not hasattr(command, "resolve_command") or not context._protected_args:
        return str(context.command_path)
    sub, found, rest = command.resolve_command(context, [*context._protected_args, *context.args])
    return parsed(found, sub, rest, context)


def test_every_command_has_two_or_three_examples() -> None:
    assert set(EXAMPLES) == set(ALL)
    assert {f"derain {name}" for name in COMMANDS} < set(ALL)
    assert all(2 <= len(examples) <= 3 for examples in EXAMPLES.values())


@pytest.mark.parametrize("line", LINES)
def test_examples_are_understood_by_the_parser(line: str) -> None:
    program, *arguments = shlex.split(line)
    assert program == "derain"
    routed = route(arguments)
    path = parsed(typer.main.get_command(app), "derain", list(routed))
    owners = [owner for owner, examples in EXAMPLES.items() if line in [command for command, _ in examples]]
    assert path in owners


@pytest.mark.parametrize("line", ["derain frames clips/", "derain models show", "derain a.jpg --no-such-option"])
def test_the_parser_of_these_tests_refuses_wrong_examples(line: str) -> None:
    with pytest.raises(typer.BadParameter.__mro__[1]):
        parsed(typer.main.get_command(app), "derain", route(shlex.split(line)[1:]))


@pytest.mark.parametrize("path", ALL)
def test_help_fits_80_columns_and_ends_with_the_examples(derain: Derain, path: str) -> None:
    text = help_of(derain, path)
    _, examples = text.split("\nExamples:\n")
    assert all(len(line) <= 80 for line in text.splitlines())
    assert [line.strip() for line in examples.splitlines() if line.startswith("  derain ")] == [
        command for command, _ in EXAMPLES[path]
    ]


@pytest.mark.parametrize("path", [path for path in ALL if path != "derain"])
def test_every_option_is_in_a_named_group_and_explained(derain: Derain, path: str) -> None:
    command, context = ALL[path]
    text = help_of(derain, path)
    assert "\nOptions:\n" not in text
    for parameter in command.get_params(context):
        if parameter.param_type_name == "option":
            assert re.search(rf"^  .*{parameter.opts[0]}\b", text, re.MULTILINE), parameter.opts
            assert parameter.help, parameter.opts


@pytest.mark.parametrize("name", ["derain", "video"])
def test_groups_of_the_main_commands(derain: Derain, name: str) -> None:
    titles = re.findall(r"^(\w[\w ]*):$", help_of(derain, f"derain {name}"), re.MULTILINE)
    assert titles[0] == "Arguments"
    assert titles[-2:] == [MESSAGES, "Examples"]
    assert {OUTPUT, MODEL, FILES} < set(titles)
    assert ("Video" in titles) == (name == "video")
