"""Every flag that commands share, spelled once: alone, as the type of a field of a command's flags, or in a group."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from derain_cli.cli.reporter import Reporter
from derain_cli.config import RestoreOptions
from derain_cli.errors import UsageError
from derain_cli.system.finder import Selection, is_pattern

__all__ = [
    "SETTINGS",
    "Answer",
    "Compare",
    "Computing",
    "Debug",
    "Device",
    "DryRun",
    "Exclude",
    "FailFast",
    "Files",
    "FollowSymlinks",
    "Format",
    "Include",
    "Jobs",
    "Json",
    "MaxPixels",
    "Messages",
    "Model",
    "Output",
    "Overwrite",
    "Precision",
    "Quality",
    "Quiet",
    "Recursive",
    "SaveLayers",
    "Strength",
    "Suffix",
    "Talk",
    "Tile",
    "Verbose",
    "new_app",
    "refuse_output_as_input",
]

SETTINGS = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command."""


def new_app(**settings: Any) -> typer.Typer:
    """A Typer application as all of ours are: plain help, errors left to `derain_cli.cli.main`."""
    settings |= {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
    return typer.Typer(context_settings=SETTINGS, **settings)


# Inputs and outputs
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        help="A file, or a folder (made if missing). Without it results lie beside the inputs.",
    ),
]
Recursive = Annotated[bool, typer.Option("--recursive", "-r", help="Look into sub-folders; their tree is mirrored.")]
FollowSymlinks = Annotated[
    bool, typer.Option("--follow-symlinks", help="Follow symbolic links found in folders (named ones always are).")
]
Include = Annotated[
    list[str] | None, typer.Option("--include", metavar="GLOB", help="Take only names that match; repeatable.")
]
Exclude = Annotated[
    list[str] | None,
    typer.Option("--exclude", metavar="GLOB", help="Leave out names, and whole folders, that match; repeatable."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that exist instead of skipping them.")]
Suffix = Annotated[
    str | None,
    typer.Option(
        "--suffix", metavar="TEXT", help="Put behind output names; beside the inputs it is _derained by itself."
    ),
]
Format = Annotated[
    str | None, typer.Option("--format", metavar="png|jpg|webp|tiff|...", help="Output format; the input's by itself.")
]
Quality = Annotated[
    int, typer.Option("--quality", metavar="N", min=1, max=100, help="Of JPEG, WebP, AVIF and HEIF outputs.")
]
MaxPixels = Annotated[int, typer.Option("--max-pixels", metavar="N", min=1, help="Refuse larger pictures.")]
Compare = Annotated[bool, typer.Option("--compare", help="Also write NAME_compare: before and after, side by side.")]
SaveLayers = Annotated[
    bool,
    typer.Option("--save-layers", help="Also write NAME_rain.png and NAME_detail.png: taken out, and repaired."),
]

# The network
Model = Annotated[
    str,
    typer.Option("--model", "-m", metavar="NAME|FILE|hf:ORG/REPO", envvar="DERAIN_MODEL", help="Weights to use."),
]
Device = Annotated[
    str,
    typer.Option("--device", "-d", metavar="auto|cpu|cuda[:N]|mps", envvar="DERAIN_DEVICE", help="Where to compute."),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"], typer.Option("--precision", help="What to compute in; auto is safe.")
]
Tile = Annotated[
    str, typer.Option("--tile", metavar="auto|0|N", help="Side of the tiles in pixels; 0 takes pictures whole.")
]
Strength = Annotated[
    float, typer.Option("--strength", metavar="0..1", min=0.0, max=1.0, help="How much of the rain found is taken out.")
]

# The run
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=0,
        max=64,
        help="Threads that read, and as many that write, meanwhile; 0 is one at a time.",
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first input that fails.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, write nothing.")]
Json = Annotated[bool, typer.Option("--json", help="One JSON record per item on stdout, a summary last.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Say more.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks (also DERAIN_DEBUG=1).")]


def refuse_output_as_input(paths: Sequence[str], output: str | None, writable: frozenset[str]) -> None:
    """`derain photo.jpg clean.jpg`, as one copies files.

    Raises:
        UsageError: of two paths the second one is not there and would do as an output.
    """
    if len(paths) != 2 or output is not None or not Path(paths[0]).exists() or os.path.lexists(paths[1]):
        return
    if Path(paths[1]).suffix.lower() in writable and not is_pattern(paths[1]):
        raise UsageError(f"{paths[1]} is not there", hint=f"-o {paths[1]} for an output of that name")


# Flags that go together


@dataclass(frozen=True)
class Computing:
    """What computes, and how much of the rain goes."""

    device: Device = RestoreOptions.device
    precision: Precision = RestoreOptions.precision
    tile: Tile = str(RestoreOptions.tile)
    strength: Strength = RestoreOptions.strength

    def restore_options(self) -> RestoreOptions:
        """The same as the restorer takes it.

        Raises:
            UsageError: one is out of range.
        """
        if self.tile != "auto" and not self.tile.isdecimal():
            raise UsageError(f"--tile must be auto, 0 (whole picture) or a number of pixels, not {self.tile!r}")
        side: int | Literal["auto"] = "auto" if self.tile == "auto" else int(self.tile)
        return RestoreOptions(self.device, self.precision, side, self.strength)


@dataclass(frozen=True)
class Files:
    """Which files are taken in folders."""

    recursive: Recursive = False
    include: Include = None
    exclude: Exclude = None
    follow_symlinks: FollowSymlinks = False

    def selection(self, readable: frozenset[str]) -> Selection:
        """The same as the finder takes it; `readable` are the suffixes of files that are taken at all."""
        return Selection(
            readable,
            depth=None if self.recursive else 0,
            file_links=self.follow_symlinks,
            folder_links=self.follow_symlinks,
            include=tuple(self.include or ()),
            exclude=tuple(self.exclude or ()),
        )


@dataclass(frozen=True)
class Answer:
    """How a command answers that only looks something up."""

    json: Json = False
    debug: Debug = False


@dataclass(frozen=True)
class Talk:
    """How a command talks."""

    json: Json = False
    quiet: Quiet = False
    debug: Debug = False

    def reporter(self) -> Reporter:
        return Reporter(json=self.json, quiet=self.quiet, debug=self.debug)


@dataclass(frozen=True)
class Messages(Talk):
    """How a command talks that has more to say than most want to hear."""

    verbose: Verbose = False

    def reporter(self) -> Reporter:
        return Reporter(json=self.json, quiet=self.quiet, verbose=self.verbose, debug=self.debug)
