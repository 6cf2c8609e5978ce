"""docs/derain.1 is what the parser says now, and man can read it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from derain_cli.errors import DerainError
from scripts import man_page
from tests.cli.test_help import ALL, EXAMPLES


def exit_codes(error: type[DerainError]) -> set[int]:
    return {error.exit_code}.union(*map(exit_codes, error.__subclasses__()))


def test_the_page_is_up_to_date() -> None:
    assert man_page.PAGE.read_text(encoding="utf-8") == man_page.man_page(), "run: make man"


def test_every_exit_code_is_explained() -> None:
    assert {str(code) for code in exit_codes(DerainError)} <= man_page._CODES.keys()


@pytest.mark.skipif(shutil.which("man") is None, reason="needs man")
def test_man_shows_commands_options_and_examples_without_a_warning() -> None:
    shown = subprocess.run(
        ["man", "--warnings", "--encoding=UTF-8", str(man_page.PAGE)],
        env={"MANWIDTH": "200", "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MAN_KEEP_FORMATTING": ""},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stderr == ""
    for path, (command, context) in ALL.items():
        options = [each for each in command.get_params(context) if each.param_type_name == "option"]
        assert f"   {path}\n" in shown.stdout
        assert all(each.opts[0] in shown.stdout for each in options)
    for examples in EXAMPLES.values():
        assert all(line in shown.stdout for line, _ in examples)
