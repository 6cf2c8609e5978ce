"""Flags shared by commands, defined once: single ones as field types, related ones as dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

import typer

from derain_cli.cli.help import FILES, MESSAGES, MODEL, OUTPUT, RUN
from derain_cli.cli.log_file import open_log
from derain_cli.cli.reporter import Reporter
from derain_cli.config import DEFAULT_MAX_PIXELS, RestoreOptions
from derain_cli.config.cluster import ClusterOptions
from derain_cli.config.restore import EngineName
from derain_cli.errors import UsageError
from derain_cli.system.finder import Selection

__all__ = [
    "SETTINGS",
    "Answer",
    "Cluster",
    "Compare",
    "Computing",
    "Debug",
    "Device",
    "DryRun",
    "Engine",
    "Exclude",
    "FailFast",
    "Files",
    "FollowSymlinks",
    "Format",
    "Include",
    "Jobs",
    "Json",
    "JsonAnswer",
    "LogFile",
    "MaxPixels",
    "Messages",
    "Model",
    "Output",
    "Overwrite",
    "Precision",
    "Quality",
    "Quiet",
    "Ray",
    "RayCpus",
    "Recursive",
    "SaveLayers",
    "Strength",
    "Suffix",
    "Talk",
    "Tile",
    "Verbose",
    "new_app",
]

SETTINGS = {"help_option_names": ["-h", "--help"]}
"""Context settings of every command."""


def new_app(**settings: Any) -> typer.Typer:
    """A Typer application with our settings: plain help, errors left to `derain_cli.cli.main`."""
    settings |= {"add_completion": False, "rich_markup_mode": None, "pretty_exceptions_enable": False}
    return typer.Typer(context_settings=SETTINGS, **settings)


# Inputs and outputs
Output = Annotated[
    str | None,
    typer.Option(
        "--output",
        "-o",
        metavar="OUT",
        show_default="next to the input",
        help="File or folder for the results; created if missing.",
        rich_help_panel=OUTPUT,
    ),
]
Recursive = Annotated[
    bool,
    typer.Option("--recursive", "-r", help="Search subfolders; the output mirrors their tree.", rich_help_panel=FILES),
]
FollowSymlinks = Annotated[
    bool,
    typer.Option(
        "--follow-symlinks",
        help="Follow symbolic links in folders (links given by name always are).",
        rich_help_panel=FILES,
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option("--include", metavar="GLOB", help="Only names that match. Repeatable.", rich_help_panel=FILES),
]
Exclude = Annotated[
    list[str] | None,
    typer.Option(
        "--exclude", metavar="GLOB", help="Skip names and whole folders that match. Repeatable.", rich_help_panel=FILES
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace existing outputs instead of skipping them.", rich_help_panel=OUTPUT),
]
Suffix = Annotated[
    str | None,
    typer.Option(
        "--suffix",
        metavar="TEXT",
        show_default="_derained when writing next to the input",
        help="Text appended to output names.",
        rich_help_panel=OUTPUT,
    ),
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="png|jpg|webp|tiff|...",
        show_default="same as the input",
        help="Output format.",
        rich_help_panel=OUTPUT,
    ),
]
Quality = Annotated[
    int,
    typer.Option(
        "--quality",
        metavar="N",
        min=1,
        max=100,
        help="Quality of JPEG, WebP, AVIF and HEIF output.",
        rich_help_panel=OUTPUT,
    ),
]
MaxPixels = Annotated[
    int,
    typer.Option(
        "--max-pixels",
        metavar="N",
        min=1,
        show_default=f"{DEFAULT_MAX_PIXELS:,}, about {DEFAULT_MAX_PIXELS / 1e6:.0f} MP",
        help="Refuse pictures with more than N pixels.",
        rich_help_panel=FILES,
    ),
]
Compare = Annotated[
    bool,
    typer.Option("--compare", help="Also write NAME_compare: before and after, side by side.", rich_help_panel=OUTPUT),
]
SaveLayers = Annotated[
    bool,
    typer.Option(
        "--save-layers",
        help="Also write the removed rain as NAME_rain.png and the repaired detail as NAME_detail.png.",
        rich_help_panel=OUTPUT,
    ),
]

# The network
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE|OWNER/NAME",
        envvar="DERAIN_MODEL",
        help="Weights to use: an installed model, a file, or a model on the Hugging Face Hub.",
        rich_help_panel=MODEL,
    ),
]
OtherModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE|OWNER/NAME",
        envvar="DERAIN_MODEL",
        show_default="fast for photos, clip for clips",
        help="Weights to use for both: an installed model, a file, or a model on the Hugging Face Hub.",
        rich_help_panel=MODEL,
    ),
]
Device = Annotated[
    str,
    typer.Option(
        "--device",
        "-d",
        metavar="auto|cpu|cuda[:N]|mps",
        envvar="DERAIN_DEVICE",
        help="Device to compute on.",
        rich_help_panel=MODEL,
    ),
]
Precision = Annotated[
    Literal["auto", "fp32", "bf16", "fp16"],
    typer.Option(
        "--precision",
        help="Numeric precision; auto picks bf16 where the hardware supports it.",
        rich_help_panel=MODEL,
    ),
]
Engine = Annotated[
    EngineName,
    typer.Option(
        "--engine",
        envvar="DERAIN_ENGINE",
        help="Library that runs the network; auto picks OpenVINO, if installed, for long CPU jobs.",
        rich_help_panel=MODEL,
    ),
]
Tile = Annotated[
    str,
    typer.Option(
        "--tile",
        metavar="auto|0|N",
        help="Tile size in pixels; 0 processes whole pictures.",
        rich_help_panel=MODEL,
    ),
]
Strength = Annotated[
    float,
    typer.Option(
        "--strength",
        metavar="0..1",
        min=0.0,
        max=1.0,
        help="Fraction of the detected rain to remove.",
        rich_help_panel=MODEL,
    ),
]

# Run
Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=0,
        max=64,
        help="Reader threads, and as many writer threads, running alongside the network; 0 processes one picture at "
        "a time.",
        rich_help_panel=RUN,
    ),
]
FailFast = Annotated[bool, typer.Option("--fail-fast", help="Stop at the first failure.", rich_help_panel=RUN)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done; write nothing.", rich_help_panel=RUN)]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="[ADDRESS]",
        help="Spread the photos over a Ray cluster: auto for the one of this machine, HOST:PORT or ray://HOST:PORT; "
        "without an address, over processes of this machine.",
        rich_help_panel=RUN,
    ),
]
RayCpus = Annotated[
    int,
    typer.Option(
        "--ray-cpus", metavar="N", min=1, help="Processors of each worker on a Ray cluster.", rich_help_panel=RUN
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON record per item and a summary to stdout.", rich_help_panel=MESSAGES),
]
JsonAnswer = Annotated[
    bool, typer.Option("--json", help="Print JSON to stdout instead of text.", rich_help_panel=MESSAGES)
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print errors only.", rich_help_panel=MESSAGES)]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print more detail.", rich_help_panel=MESSAGES)]
Debug = Annotated[
    bool, typer.Option("--debug", help="Show tracebacks (also DERAIN_DEBUG=1).", rich_help_panel=MESSAGES)
]


def _start_log(context: typer.Context, path: str | None) -> str | None:
    if path is not None and not context.resilient_parsing:
        open_log(path)
    return path


LogFile = Annotated[
    str | None,
    typer.Option(
        "--log-file",
        metavar="FILE",
        is_eager=True,  # before the others, whose errors belong into the log
        callback=_start_log,
        help="Append messages and results, also those not shown, to FILE as JSON lines with the time.",
        rich_help_panel=MESSAGES,
    ),
]


# Related flags


@dataclass(frozen=True)
class Computing:
    """Device, precision, tiles and strength."""

    device: Device = RestoreOptions.device
    precision: Precision = RestoreOptions.precision
    tile: Tile = str(RestoreOptions.tile)
    strength: Strength = RestoreOptions.strength
    engine: Engine = RestoreOptions.engine

    def restore_options(self) -> RestoreOptions:
        """Convert to the options of the restorer.

        Raises:
            UsageError: a value is out of range.
        """
        if self.tile != "auto" and not self.tile.isdecimal():
            raise UsageError(f"--tile must be auto, 0 (whole picture) or a number of pixels, not {self.tile!r}")
        side: int | Literal["auto"] = "auto" if self.tile == "auto" else int(self.tile)
        return RestoreOptions(self.device, self.precision, side, self.strength, self.engine)


@dataclass(frozen=True)
class Cluster:
    """Whether work is spread over a cluster, and how."""

    ray: Ray = None
    ray_cpus: RayCpus = ClusterOptions.ray_cpus

    def options(self) -> ClusterOptions | None:
        """Convert to the options of the job; None for this machine alone.

        Raises:
            UsageError: not an address.
        """
        return None if self.ray is None else ClusterOptions(self.ray, self.ray_cpus)


@dataclass(frozen=True)
class Files:
    """Which files in folders are processed."""

    recursive: Recursive = False
    include: Include = None
    exclude: Exclude = None
    follow_symlinks: FollowSymlinks = False

    def selection(self, readable: frozenset[str]) -> Selection:
        """Convert to the options of the finder; `readable` are the suffixes of readable files."""
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
    """Messages of a command that only looks something up."""

    json: JsonAnswer = False
    debug: Debug = False


@dataclass(frozen=True)
class Talk:
    """Messages of a command."""

    json: Json = False
    quiet: Quiet = False
    debug: Debug = False
    log_file: LogFile = None

    def reporter(self) -> Reporter:
        return Reporter(json=self.json, quiet=self.quiet, debug=self.debug)


@dataclass(frozen=True)
class Messages(Talk):
    """Messages of a command that also has --verbose."""

    verbose: Verbose = False

    def reporter(self) -> Reporter:
        return Reporter(json=self.json, quiet=self.quiet, verbose=self.verbose, debug=self.debug)
