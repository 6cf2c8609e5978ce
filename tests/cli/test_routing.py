"""Commands by name, the default command, usage errors, lazy imports."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from derain_cli import __version__
from derain_cli.cli import COMMANDS, main, route
from tests.cli.conftest import Derain, photo

_HEAVY = ("torch", "torchvision", "cv2", "PIL", "numpy", "av", "rich", "huggingface_hub")


def heavy_imports(argv: list[str], environment: Mapping[str, str] | None = None) -> set[str]:
    """The slow libraries that the program, run as a process, imports."""
    code = (
        "import sys; from derain_cli.cli import main; code = main();"
        f"print(*(m for m in {_HEAVY} if m in sys.modules), file=sys.stderr); sys.exit(code)"
    )
    surroundings = {**os.environ, **(environment or {})}
    ended = subprocess.run(
        [sys.executable, "-c", code, *argv], env=surroundings, capture_output=True, text=True, check=True
    )
    return set(ended.stderr.split())


@pytest.mark.parametrize(
    ("argv", "routed"),
    [
        ([], ["--help"]),
        (["a.jpg"], ["derain", "a.jpg"]),
        (["-o", "b.jpg", "a.jpg"], ["derain", "-o", "b.jpg", "a.jpg"]),
        (["--", "-rf.png"], ["derain", "--", "-rf.png"]),
        (["derain", "a.jpg"], ["derain", "a.jpg"]),
        (["./train"], ["derain", "./train"]),
        (["train", "--help"], ["train", "--help"]),
        (["--version"], ["--version"]),
        (["-h"], ["-h"]),
        (["-q", "train"], ["train", "-q"]),
    ],
)
def test_the_first_word_chooses_the_command(argv: list[str], routed: list[str]) -> None:
    assert route(argv) == routed


def test_options_may_stand_before_and_after_the_input(derain: Derain) -> None:
    photo("a.png")
    assert derain("-o", "b.png", "a.png").code == 0
    assert derain("a.png", "-o", "c.png").code == 0
    assert Path("b.png").read_bytes() == Path("c.png").read_bytes()


def test_a_file_named_like_a_command_is_reached_by_its_path(derain: Derain) -> None:
    photo("x.png").rename("train")
    assert derain("./train").code == 0
    assert Path("train_derained.png").is_file()


def test_help_lists_every_command_on_stdout(derain: Derain) -> None:
    for argv in ([], ["--help"], ["-h"]):
        ended = derain(*argv)
        assert ended.code == 0
        assert ended.err == ""
        assert all(name in ended.out for name in COMMANDS)
    assert "--save-layers" in derain("derain", "--help").out


def test_version(derain: Derain) -> None:
    assert derain("--version").out == f"derain {__version__}\n"


@pytest.mark.parametrize(
    "argv",
    [
        ["derain"],
        ["a.png", "--nonsense"],
        ["a.png", "--quality", "0"],
        ["a.png", "--quality", "high"],
        ["a.png", "--strength", "2"],
        ["a.png", "--strength", "nan"],
        ["a.png", "--tile", "7"],
        ["a.png", "--tile", "-1"],
        ["a.png", "--tile", "big"],
        ["a.png", "--precision", "fp8"],
        ["a.png", "--device", "tpu"],
        ["a.png", "--jobs", "-1"],
        ["a.png", "--max-pixels", "0"],
        ["a.png", "--format", "xyz"],
        ["a.png", "--suffix", "a/b"],
        ["a.png", "-o", "b.xyz"],
        ["a.png", "-o", ""],
        ["a.png", "-o"],
        ["models", "nonsense"],
        ["models", "show"],
        ["info", "extra"],
    ],
)
def test_usage_errors_are_one_line_and_2(derain: Derain, argv: list[str]) -> None:
    photo("a.png")
    ended = derain(*argv)
    assert ended.code == 2
    assert ended.out == ""
    assert len(ended.err.splitlines()) == 1
    assert ended.err.startswith("derain: error: ")


def test_a_bug_is_one_line_and_1_and_a_traceback_when_asked_for(
    derain: Derain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("line one\nline two")

    monkeypatch.setattr("derain_cli.cli.derain.plan_outputs", broken)
    ended = derain("a.png")
    assert ended.code == 1
    assert len(ended.err.splitlines()) == 1
    assert "internal error: ZeroDivisionError: line one (please report" in ended.err
    assert "Traceback" in derain("a.png", "--debug").err
    monkeypatch.setenv("DERAIN_DEBUG", "1")
    assert "Traceback" in derain("a.png").err
    monkeypatch.setenv("DERAIN_DEBUG", "0")
    assert "Traceback" not in derain("--", "a.png", "--debug").err


def test_a_full_disk_met_anywhere_is_6(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("derain_cli.cli.derain.plan_outputs", full)
    assert derain("a.png").code == 6


def test_no_memory_for_libraries_is_6(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    def large(*_: object) -> None:
        raise ImportError("libtorch_cpu.so: failed to map segment from shared object")

    monkeypatch.setattr("derain_cli.cli.derain.plan_outputs", large)
    ended = derain("a.png")
    assert ended.code == 6
    assert "not enough memory" in ended.err


def test_main_puts_signal_handlers_back() -> None:
    import signal

    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    main(["--version"])
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before


@pytest.mark.parametrize(
    "argv", [["--help"], ["derain", "--help"], ["models", "--help"], ["info", "-h"], ["--version"]]
)
def test_help_imports_nothing_heavy(argv: list[str]) -> None:
    assert heavy_imports(argv) == set()


def test_the_module_runs_too() -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "derain_cli", "--version"], capture_output=True, text=True, check=True
    )
    assert ended.stdout == f"derain {__version__}\n"
