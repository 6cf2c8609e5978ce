"""The command line: command table, default command, exit codes.

A command's module is imported when the command is used; torch only when the work starts.
"""

# Arguments are strings, most of them not paths.
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
from derain_cli.cli.completion import ASKED, candidates
from derain_cli.cli.console import as_derain_error, debug_wanted, print_data, print_error
from derain_cli.cli.help import HelpfulCommand, write_examples
from derain_cli.cli.log_file import log, log_session
from derain_cli.cli.options import SETTINGS, new_app
from derain_cli.cli.pipes import PIPE
from derain_cli.config.cluster import LOCAL, is_address
from derain_cli.errors import DerainError, UsageError
from derain_cli.system.signals import Interrupted, signals

__all__ = ["COMMANDS", "DEFAULT_COMMAND", "app", "main", "route"]


class Command(NamedTuple):
    """Where a command is defined: a function, or a Typer application with subcommands."""

    module: str
    name: str
    summary: str


DEFAULT_COMMAND = "derain"
COMMANDS = {
    "derain": Command("derain_cli.cli.derain", "derain", "Remove rain from photos and folders (the default)."),
    "video": Command("derain_cli.cli.video", "video", "Remove rain from clips; sound and metadata are kept."),
    "watch": Command("derain_cli.cli.watch", "watch", "Remove rain from files as they arrive in a folder."),
    "serve": Command("derain_cli.cli.serve", "serve", "Remove rain in your browser; files stay on this machine."),
    "frames": Command("derain_cli.cli.frames", "frames", "Build a data set of real rain from clips."),
    "eval": Command("derain_cli.cli.eval", "evaluate", "Evaluate networks on data sets: PSNR, SSIM, a report."),
    "train": Command("derain_cli.cli.train", "train", "Train a network on pairs of rainy and clean pictures."),
    "finetune-real": Command(
        "derain_cli.cli.finetune_real", "finetune_real", "Adapt a network to your own photos in real rain."
    ),
    "synth": Command("derain_cli.cli.synth", "synth", "Add rain to clean photos: pairs for training and tests."),
    "models": Command("derain_cli.cli.models", "app", "List, describe, verify, average, export and share weights."),
    "completion": Command("derain_cli.cli.completion", "completion", "Print the script for the Tab key of your shell."),
    "info": Command("derain_cli.cli.info", "info", "Show versions, devices, and what `auto` picks and why."),
}
_TURNS = "1000"
"""Spin count of GNU OpenMP, about 10 microseconds; more is slower on a busy machine, less on an idle one."""
_ROOT_FLAGS = ("--help", "-h", "--version")
_OTHER_WORDS = {"help": "--help", "version": "--version"}
"""Words people type in place of the root flags."""
_PIPED = ("derain", "video")
"""Commands that accept - for standard input or output."""
_SWITCHES = {"-q", "--quiet", "-v", "--verbose", "--json", "--debug", "--dry-run", "-r", "--recursive", "--overwrite"}
"""Flags without a value that may precede a command."""

# Typer vendors Click since 0.26; its usage error is reached through a class that Typer exports.
_ClickUsageError: type[Exception] = typer.BadParameter.__mro__[1]


class _LazyGroup(TyperGroup):
    """Lists commands from the table and imports only the one that is used."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        command = COMMANDS.get(cmd_name)
        if command is None:
            return None
        target = getattr(importlib.import_module(command.module), command.name)
        if not isinstance(target, typer.Typer):
            single = new_app()
            single.command(cmd_name, cls=HelpfulCommand, context_settings=SETTINGS)(target)
            target = single
        return typer.main.get_command(target)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in COMMANDS.items()])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        write_examples(ctx, formatter)


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
    """Remove rain from photos and clips, offline.

    `derain PATH...` is short for `derain derain PATH...`; its options: `derain derain --help`.
    """


def route(arguments: Sequence[str]) -> list[str]:
    """Prepend the command that `arguments` are meant for, unless they start with a command or a root flag.

    Raises:
        UsageError: the first word is neither a command nor a file but resembles a command, or an argument would be
            misread by the parser.
    """
    if not arguments:
        return ["--help"]
    _refuse_odd_arguments(arguments)
    arguments = _with_ray_address(arguments)
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
            raise UsageError(f"no command or file named {word!r}", hint=hint)
    return ["video" if _are_clips(arguments) else DEFAULT_COMMAND, *arguments]


def _with_ray_address(arguments: Sequence[str]) -> list[str]:
    """`--ray` without an address gets the one of this machine: the parser has no options with an optional value."""
    flags = list(itertools.takewhile(lambda argument: argument != "--", arguments))
    for index, (flag, value) in enumerate(itertools.pairwise([*flags, ""])):
        if flag == "--ray" and (not is_address(value) or os.path.lexists(value)):
            flags[index] = f"--ray={LOCAL}"
    return [*flags, *arguments[len(flags) :]]


def _nearest_command(word: str) -> str | None:
    if not re.fullmatch(r"[A-Za-z][A-Za-z-]*", word):
        return None
    return next(iter(difflib.get_close_matches(word.lower(), COMMANDS, n=1, cutoff=0.7)), None)


def _are_clips(arguments: Sequence[str]) -> bool:
    """Whether the files among the arguments are clips, judging by their names, with no photo or folder among them."""
    from derain_cli.media.clip.names import READABLE_CLIPS
    from derain_cli.media.clip.streams import STREAMS

    if PIPE in arguments:  # standard input has no name; the requested output format tells photo from clip
        wanted = {f".{word}".lower() for word in (*STREAMS, *(suffix[1:] for suffix in READABLE_CLIPS))}
        return any(f".{re.split('[.=]', argument)[-1]}".lower() in wanted for argument in arguments)
    paths = [argument for argument in arguments if not argument.startswith("-") and os.path.exists(argument)]
    clips = [path for path in paths if os.path.splitext(path)[1].lower() in READABLE_CLIPS and os.path.isfile(path)]
    return bool(clips) and not any(os.path.isdir(path) or _is_photo(path) for path in paths)


def _is_photo(path: str) -> bool:
    from derain_cli.media.photo import READABLE_SUFFIXES

    return os.path.splitext(path)[1].lower() in READABLE_SUFFIXES


def _refuse_odd_arguments(arguments: Sequence[str]) -> None:
    """Refuse arguments that the parser would misread.

    Raises:
        UsageError: a file name begins with a dash, or - is given to a command that does not support pipes.
    """
    for argument in itertools.takewhile(lambda argument: argument != "--", arguments):
        if argument == PIPE and arguments[0] in COMMANDS and arguments[0] not in _PIPED:
            raise UsageError(
                f"derain {arguments[0]} does not support pipes", hint="give file names; write ./- for a file named -"
            )
        if argument != PIPE and argument.startswith("-") and os.path.lexists(argument):
            raise UsageError(f"{argument} begins with a dash", hint=f"write ./{argument} if you mean the file")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; exceptions of commands are reported, never raised.

    Args:
        argv: the arguments after the program name; None uses those of the process.
    """
    if argv is None:
        _open_standard_streams()
        _limit_spinning(os.environ)
        if ASKED in os.environ:
            return _complete(sys.argv[1:])
    given = sys.argv[1:] if argv is None else argv
    with log_session(given):
        code = _run(given)
        log("end", code=code)
        return code


def _complete(words: Sequence[str]) -> int:
    """Answer a completion script; words that make no command have no candidates."""
    try:
        summaries = {name: command.summary for name, command in COMMANDS.items()}
        for line in candidates(typer.main.get_command(app), summaries, words, route):
            print_data(line)
    except (DerainError, Interrupted):
        return 1
    return 0


def _run(given: Sequence[str]) -> int:
    debug = debug_wanted(list(given))
    try:
        arguments = route(given)
        with signals(), warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")  # library warnings are for developers
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
    """The error to report; usage errors of Typer are converted."""
    if not isinstance(error, _ClickUsageError):
        return as_derain_error(error)
    context = getattr(error, "ctx", None)
    hint = f"see {context.command_path} --help" if context else None
    return UsageError(" ".join(error.format_message().split()).rstrip("."), hint=hint)  # type: ignore[attr-defined]


def _limit_spinning(environment: MutableMapping[str, str]) -> None:
    """Make waiting OpenMP threads sleep early. Call before torch is imported, which reads the setting once.

    By default GNU OpenMP threads spin for milliseconds while they wait. If another program occupies one of the cores,
    they take time from the thread they wait for: measured 23 times slower (docs/performance.md). A user's own setting
    is kept.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", _TURNS)


def _open_standard_streams() -> None:
    """Open closed standard streams on the null device; otherwise the next opened file would get their descriptor."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
