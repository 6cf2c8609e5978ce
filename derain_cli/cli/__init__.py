"""The command line: commands by name, the default command, and what each way to end is called.

A command's module is imported when the command is used, and it imports torch only when it starts to work.
"""

# Arguments are strings, and mostly no paths.
# ruff: noqa: PTH110, PTH112, PTH113, PTH122

from __future__ import annotations

import difflib
import importlib
import itertools
import os
import re
import sys
import warnings
from collections.abc import MutableMapping, Sequence
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from derain_cli import __version__
from derain_cli.cli.console import as_derain_error, debug_wanted, print_data, print_error
from derain_cli.cli.options import SETTINGS, new_app
from derain_cli.cli.pipes import PIPE
from derain_cli.errors import DerainError, UsageError
from derain_cli.system.signals import Interrupted, signals

__all__ = ["COMMANDS", "DEFAULT_COMMAND", "app", "main", "route"]


class Command(NamedTuple):
    """Where a command is: a function, or a Typer application with commands of its own."""

    module: str
    name: str
    summary: str


DEFAULT_COMMAND = "derain"
COMMANDS = {
    "derain": Command("derain_cli.cli.derain", "derain", "Take the rain out of photos and folders (the default)."),
    "video": Command("derain_cli.cli.video", "video", "Take the rain out of clips; sound and all else stay."),
    "watch": Command("derain_cli.cli.watch", "watch", "Take the rain out of what arrives in a folder."),
    "frames": Command("derain_cli.cli.frames", "frames", "Build a data set of real rain from clips."),
    "eval": Command("derain_cli.cli.eval", "evaluate", "Measure networks on data sets: PSNR, SSIM, a report."),
    "train": Command("derain_cli.cli.train", "train", "Train a network on pairs of rainy and clean pictures."),
    "finetune-real": Command(
        "derain_cli.cli.finetune_real", "finetune_real", "Adapt a network to your own photos in real rain."
    ),
    "synth": Command("derain_cli.cli.synth", "synth", "Put rain on clean photos: pairs to train and test with."),
    "models": Command("derain_cli.cli.models", "app", "List, describe and verify the installed weights."),
    "info": Command("derain_cli.cli.info", "info", "Versions, devices, and what `auto` picks and why."),
}
_TURNS = "1000"
"""Of GNU's OpenMP, about 10 microseconds; more slow down on a busy machine, fewer on an idle one."""
_ROOT_FLAGS = ("--help", "-h", "--version")
_OTHER_WORDS = {"help": "--help", "version": "--version"}
"""What people type for the flags of the root."""
_PIPED = ("derain", "video")
"""Commands for which - is standard input or output."""
_SWITCHES = {"-q", "--quiet", "-v", "--verbose", "--json", "--debug", "--dry-run", "-r", "--recursive", "--overwrite"}
"""Flags without a value that may stand before a command."""

# Typer carries a Click of its own since 0.26: its usage error is reached through what Typer itself gives out.
_ClickUsageError: type[Exception] = typer.BadParameter.__mro__[1]


class _LazyGroup(TyperGroup):
    """Knows its commands by the table; imports the one that is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = COMMANDS.get(cmd_name)
        if command is None:
            return None
        target = getattr(importlib.import_module(command.module), command.name)
        if not isinstance(target, typer.Typer):
            lone = new_app()
            lone.command(cmd_name, context_settings=SETTINGS)(target)
            target = lone
        return typer.main.get_command(target)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])


app = new_app(cls=_LazyGroup)


def _show_version(wanted: bool) -> None:
    if wanted:
        print_data(f"derain {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the rain out of photos, offline.

    `derain PATH...` is `derain derain PATH...`; `derain derain --help` shows its options.
    """


def route(arguments: Sequence[str]) -> list[str]:
    """`arguments` with the command in front that they are for, unless they begin with one or with a flag of the root.

    Raises:
        UsageError: no command or file goes by the first word, but a command nearly does; or an argument can't be meant.
    """
    if not arguments:
        return ["--help"]
    _refuse_odd_arguments(arguments)
    first, *rest = arguments
    if first in COMMANDS or first in _ROOT_FLAGS:
        return list(arguments)
    flags = list(itertools.takewhile(lambda argument: argument in _SWITCHES, arguments))
    word = arguments[len(flags)] if len(flags) < len(arguments) else ""
    if not os.path.lexists(word):
        if first in _OTHER_WORDS:
            return [*(each for each in rest if each in COMMANDS), _OTHER_WORDS[first]]
        if word in COMMANDS:
            return [word, *flags, *arguments[len(flags) + 1 :]]
        if near := _nearest_command(word):
            hint = f"did you mean derain {near}? See derain --help"
            raise UsageError(f"no command or file is called {word!r}", hint=hint)
    return ["video" if _are_clips(arguments) else DEFAULT_COMMAND, *arguments]


def _nearest_command(word: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z-]*", word):
        return None
    return next(iter(difflib.get_close_matches(word.lower(), COMMANDS, n=1, cutoff=0.7)), None)


def _are_clips(arguments: Sequence[str]) -> bool:
    """Whether the files among the arguments are clips by their names, and none is a photo or a folder."""
    from derain_cli.media.clip.names import READABLE_CLIPS
    from derain_cli.media.clip.streams import STREAMS

    if PIPE in arguments:  # what comes in has no name: only what it is to become says what it is
        wanted = {f".{word}".lower() for word in (*STREAMS, *(suffix[1:] for suffix in READABLE_CLIPS))}
        return any(f".{re.split('[.=]', argument)[-1]}".lower() in wanted for argument in arguments)
    there = [argument for argument in arguments if not argument.startswith("-") and os.path.exists(argument)]
    clips = [path for path in there if os.path.splitext(path)[1].lower() in READABLE_CLIPS and os.path.isfile(path)]
    return bool(clips) and not any(os.path.isdir(path) or _is_photo(path) for path in there)


def _is_photo(path: str) -> bool:
    from derain_cli.media.photo import READABLE_SUFFIXES

    return os.path.splitext(path)[1].lower() in READABLE_SUFFIXES


def _refuse_odd_arguments(arguments: Sequence[str]) -> None:
    """What the parser would take for something else.

    Raises:
        UsageError: a file whose name begins with a dash, or a dash alone where nothing is piped.
    """
    for argument in itertools.takewhile(lambda argument: argument != "--", arguments):
        if argument == PIPE and arguments[0] in COMMANDS and arguments[0] not in _PIPED:
            raise UsageError(
                f"derain {arguments[0]} does not read or write pipes", hint="name files; ./- is one called -"
            )
        if argument != PIPE and argument.startswith("-") and os.path.lexists(argument):
            raise UsageError(f"{argument} begins with a dash", hint=f"write ./{argument} for the file")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program; returns its exit code and never raises for what a command does.

    Args:
        argv: what follows the program's name; None takes the process's own.
    """
    if argv is None:
        _open_standard_streams()
        _wait_asleep(os.environ)
    given = sys.argv[1:] if argv is None else argv
    debug = debug_wanted(list(given))
    try:
        arguments = route(given)
        with signals(), warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")  # libraries warn their callers; what a user must know we say
            code = typer.main.get_command(app).main(args=arguments, prog_name="derain", standalone_mode=False)
            return code if isinstance(code, int) else 0
    except Interrupted as stop:
        return stop.exit_code
    except KeyboardInterrupt:
        return 130
    except typer.Exit as end:
        return int(end.exit_code)
    except typer.Abort:
        return 130
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 1
    except Exception as error:
        known = _expected(error)
        print_error(known, debug=debug)
        return known.exit_code


def _expected(error: Exception) -> DerainError:
    """The error to tell, usage errors of Typer included."""
    if not isinstance(error, _ClickUsageError):
        return as_derain_error(error)
    context = getattr(error, "ctx", None)
    hint = f"see {context.command_path} --help" if context else None
    return UsageError(" ".join(error.format_message().split()).rstrip("."), hint=hint)  # type: ignore[attr-defined]


def _wait_asleep(environment: MutableMapping[str, str]) -> None:
    """Threads of a network that wait for each other are to sleep soon; before torch is imported, which reads this once.

    GNU's OpenMP has them turn in circles for some milliseconds first. With another program on one of the cores they
    then keep each other from working: 23 times as slow, measured (docs/performance.md). A user's own setting stays.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", _TURNS)


def _open_standard_streams() -> None:
    """A standard stream that is closed would give its number to the next file opened: to an output, say."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
