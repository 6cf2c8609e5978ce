"""Flags as one object: what Typer sees, and where defaults come from."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from derain_cli.cli.clip_flags import ClipFlags
from derain_cli.cli.derain import PhotoFlags
from derain_cli.cli.eval import EvalFlags
from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.frames import FrameFlags
from derain_cli.cli.options import Computing
from derain_cli.cli.synth import PairFlags
from derain_cli.cli.times import seconds_from
from derain_cli.config import RestoreOptions, VideoOptions
from derain_cli.errors import UsageError
from derain_cli.evaluation.options import BenchmarkOptions
from derain_cli.jobs.frame_set.options import FramesOptions
from derain_cli.jobs.photos.options import BatchOptions
from derain_cli.jobs.synth.options import SynthOptions


@dataclass(frozen=True)
class Group:
    loud: Annotated[bool, typer.Option("--loud", help="Say it loudly.")] = False
    times: Annotated[int, typer.Option("--times", min=1)] = 2


@dataclass(frozen=True, kw_only=True)
class Flags:
    word: Annotated[str, typer.Argument()]
    group: Group = field(default_factory=Group)
    needed: Annotated[str, typer.Option("--needed")]


@dataclass(frozen=True, kw_only=True)
class OtherFlags(Flags):
    needed: Annotated[str, typer.Option("--needed")] = "not any more"


def called(flags: type[Any], *arguments: str) -> tuple[int, Any]:
    seen: list[Any] = []

    @command_from_flags(flags)
    def command(flags: Any) -> int:
        """What it does."""
        seen.append(flags)
        return 0

    assert command.__doc__ == "What it does."
    app = typer.Typer()
    app.command()(command)
    code = CliRunner().invoke(app, arguments).exit_code
    return code, seen[0] if seen else None


def test_flags_arrive_as_one_object_with_their_groups() -> None:
    assert called(Flags, "hello", "--needed", "x") == (0, Flags(word="hello", group=Group(), needed="x"))
    loud = Flags(word="hello", group=Group(loud=True, times=3), needed="x")
    assert called(Flags, "hello", "--loud", "--times", "3", "--needed", "x") == (0, loud)


def test_what_is_missing_or_out_of_range_is_a_usage_error() -> None:
    assert called(Flags, "hello")[0] == 2
    assert called(Flags, "hello", "--needed", "x", "--times", "0")[0] == 2
    assert called(OtherFlags, "hello") == (0, OtherFlags(word="hello"))


def test_required_flags_come_first_and_the_others_in_the_order_of_the_fields() -> None:
    @command_from_flags(Flags)
    def command(flags: Flags) -> int:
        return 0

    assert list(inspect.signature(command).parameters) == ["word", "needed", "loud", "times"]


def flat(flags: type[Any]) -> dict[str, Any]:
    """Defaults by name, including those of groups."""
    found: dict[str, Any] = {}
    for each in fields(flags):
        if callable(each.default_factory) and is_dataclass(each.default_factory):
            found |= flat(each.default_factory)
        else:
            found[each.name] = each.default
    return found


@pytest.mark.parametrize(
    ("flags", "options"),
    [
        (Computing, RestoreOptions),
        (PhotoFlags, BatchOptions),
        (ClipFlags, VideoOptions),
        (FrameFlags, FramesOptions),
        (PairFlags, SynthOptions),
        (EvalFlags, BenchmarkOptions),
    ],
)
def test_defaults_are_those_of_the_options_that_flags_end_in(flags: type[Any], options: type[Any]) -> None:
    given = flat(flags)
    shared = [each for each in fields(options) if each.name in given and each.name != "start"]
    assert len(shared) >= 4
    for each in shared:
        assert given[each.name] == each.default


@pytest.mark.parametrize("tile", ["-1", "half", "1.5", ""])
def test_tiles_are_a_whole_number_or_auto(tile: str) -> None:
    with pytest.raises(UsageError, match="--tile"):
        Computing(tile=tile).restore_options()
    assert Computing(tile="0").restore_options().tile == 0
    assert Computing().restore_options() == RestoreOptions()


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("12.5", 12.5), ("1:02", 62), ("1:02:03.5", 3723.5)])
def test_times_are_seconds_or_clocks(text: str, seconds: float) -> None:
    assert seconds_from(text, "--start") == seconds
