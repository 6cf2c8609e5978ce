"""Completion with the Tab key: candidates of the parser, and the scripts in the shells themselves."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from derain_cli.checkpoints.find import installed_models
from derain_cli.cli import COMMANDS, app, route
from derain_cli.cli.completion import ASKED, candidates
from derain_cli.datasets.catalogue import DATASETS
from tests.cli.conftest import Derain, photo
from tests.cli.test_routing import heavy_imports


def asked(*words: str) -> list[str]:
    summaries = {name: command.summary for name, command in COMMANDS.items()}
    return list(candidates(typer.main.get_command(app), summaries, words, route))


def names(*words: str) -> list[str]:
    return [line.split("\t")[0] for line in asked(*words)]


def test_the_first_word_is_a_command_or_a_file() -> None:
    assert names("") == [*COMMANDS, ":files"]
    assert names("vi") == ["video", ":files"]
    assert asked("vid")[0] == f"video\t{COMMANDS['video'].summary}"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (("--stre",), ["--strength"]),  # of the default command
        (("video", "--tempo"), ["--temporal"]),
        (("photo.jpg", "--ov"), ["--overwrite"]),
        (("-q", "--sav"), ["--save-layers"]),
        (("models", "exp"), ["export"]),
        (("models", "export", "fast", "--to", "o"), ["onnx", "openvino"]),
        (("--ver",), ["--verbose", "--version"]),
        (("derain", "--device", ""), ["auto", "cpu", "cuda", "mps"]),
        (("derain", "--device=c"), ["--device=cpu", "--device=cuda"]),
        (("derain", "--device", "=", "c"), ["cpu", "cuda"]),
        (("derain", "--device", "="), ["auto", "cpu", "cuda", "mps"]),
        (("train", "--recipe", "paper"), ["paper", "paper-semi", ":files"]),
        (("eval", "--dataset", "Rain100"), [*(name for name in DATASETS if name.startswith("Rain100")), ":folders"]),
        (("train", "-o", ""), [":folders"]),
        (("derain", "a.jpg", "-o", ""), [":files"]),
        (("derain", "--strength", ""), []),
        (("derain", "--", "-"), [":files"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
        (("nonsense-option", "--zz"), []),
    ],
)
def test_candidates(words: tuple[str, ...], wanted: list[str]) -> None:
    assert names(*words) == wanted


@pytest.mark.parametrize("words", [("derain", "-m", ""), ("models", "show", ""), ("train", "--from", "")])
def test_installed_models_are_candidates(words: tuple[str, ...]) -> None:
    assert names(*words) == [*installed_models(), ":files"]


def test_an_option_is_offered_once_unless_it_is_repeatable() -> None:
    assert "--overwrite" not in names("a.jpg", "--overwrite", "--")
    assert "--include" in names("a.jpg", "--include", "x", "--")


@pytest.mark.parametrize(
    "words", [["--s"], ["video", "--model", ""], ["eval", "--dataset", ""], ["train", "--recipe", ""]]
)
def test_answers_do_not_import_torch(words: list[str]) -> None:
    assert not heavy_imports(words, {ASKED: "1"}) & {"torch", "torchvision", "cv2", "av", "huggingface_hub"}


@pytest.fixture
def shell_environment(tmp_path: Path) -> dict[str, str]:
    """An environment in which `derain` is this program, with a home of its own."""
    program = tmp_path / "bin/derain"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m derain_cli "$@"\n')
    program.chmod(0o755)
    root = Path(__file__).parents[2]
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "HOME": str(tmp_path), "PYTHONPATH": str(root), "TERM": "dumb"}


def run(program: str, script: str, environment: dict[str, str], *arguments: str) -> list[str]:
    if shutil.which(program) is None:
        pytest.skip(f"needs {program}")
    done = subprocess.run(
        [program, *arguments, "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stderr == ""
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("derain vid", ["video"]),
        ("derain x.png --over", ["--overwrite"]),
        ("derain video --model fa", ["fast"]),
        ("derain video --engine = open", ["openvino"]),
        ("derain models ver", ["verify"]),
        ("derain wa", ["watch", "wa ter.png"]),
        ("derain train --clean fol", ["folder"]),
    ],
)
def test_bash(words: str, wanted: list[str], shell_environment: dict[str, str]) -> None:
    photo("wa ter.png")
    Path("folder").mkdir()
    script = (
        'compopt() { :; }; eval "$(derain completion bash)"\n'
        f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _derain derain\n"
        "printf '%s\\n' \"${COMPREPLY[@]}\""
    )
    assert run("bash", script, shell_environment, "--norc") == wanted


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("derain vid", ["video"]),
        ("derain x.png --over", ["--overwrite"]),
        ("derain video --model fa", ["fast"]),
        ("derain video --engine=open", ["--engine=openvino"]),
        ("derain models ver", ["verify"]),
        ("derain video --model ", ["clip", "fast", "water.png"]),
    ],
)
def test_fish(line: str, wanted: list[str], shell_environment: dict[str, str]) -> None:
    photo("water.png")
    found = run("fish", f"derain completion fish | source; complete -C '{line}'", shell_environment, "--no-config")
    names = {each.split("\t")[0] for each in found}
    assert names >= set(wanted)
    assert all(
        "=" in name or line.split()[-1] in (*name.split(), "--model") or name.startswith(line.split()[-1])
        for name in names
    )


def test_zsh_reads_its_script(shell_environment: dict[str, str]) -> None:
    script = (
        'compdef() { print "$@"; }; eval "$(derain completion zsh)"\n'
        "_describe() { print -l -- ${(P)3}; }; _files() { print files $1; }; compset() { :; }\n"
        "words=(derain video --model ''); CURRENT=4; _derain\n"
        "words=(derain video --device c); CURRENT=4; _derain"
    )
    assert run("zsh", script, shell_environment, "-f") == [
        "_derain derain",
        "clip",
        "fast",
        "files",
        "cpu",
        "cuda",
    ]


@pytest.mark.parametrize(
    ("program", "start"),
    [
        (["bash", "--norc"], 'eval "$(derain completion bash)"'),
        (["zsh", "-f"], 'autoload -Uz compinit; compinit -u; eval "$(derain completion zsh)"'),
    ],
    ids=["bash", "zsh"],
)
def test_the_tab_key(program: list[str], start: str, shell_environment: dict[str, str]) -> None:
    if shutil.which(program[0]) is None:
        pytest.skip(f"needs {program[0]}")
    photo("wa ter.png")
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(program[0], program, shell_environment | {"PS1": "> "})
    try:
        os.write(terminal, f"{start}; echo rea''dy\n".encode())
        wait_for(terminal, "ready")
        for keys, shown in (
            ("derain x.png --stre\t", "--strength "),
            ("derain video --model=fa\t", "st "),
            ("derain models ver\t", "verify "),
            ("derain video wa\t", "wa\\ ter.png "),
        ):
            os.write(terminal, keys.encode())
            wait_for(terminal, shown)
            os.write(terminal, b"\x15")
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(terminal)


def wait_for(terminal: int, shown: str) -> None:
    """Read until the terminal shows something."""
    text, deadline = "", time.monotonic() + 30
    while shown not in text:
        assert time.monotonic() < deadline, text
        if select.select([terminal], [], [], 0.1)[0]:
            text += os.read(terminal, 4096).decode(errors="replace")


def test_an_unknown_shell_is_refused(derain: Derain) -> None:
    assert derain("completion", "powershell").code == 2
