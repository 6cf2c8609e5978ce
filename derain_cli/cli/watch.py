"""`derain watch`: processes photos and clips as they arrive in folders."""

# Paths are strings here: see `jobs.items`.
# ruff: noqa: PTH112, PTH118

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated

import typer

from derain_cli.checkpoints.find import DEFAULT_CLIP_MODEL, DEFAULT_MODEL
from derain_cli.cli import options
from derain_cli.cli.clip_flags import ClipFlags
from derain_cli.cli.console import as_derain_error
from derain_cli.cli.derain import PhotoFlags, restore_photo_files
from derain_cli.cli.flags import command_from_flags, options_from
from derain_cli.cli.help import FILES, OUTPUT
from derain_cli.cli.hints import line_of
from derain_cli.cli.items import LoadedModels
from derain_cli.cli.reporter import Reporter
from derain_cli.cli.video import restore_clip_files
from derain_cli.config import EncodeOptions
from derain_cli.errors import DerainError, NothingToDoError, ResourceError, UsageError, WeightsError
from derain_cli.jobs.items import own_tails
from derain_cli.jobs.outputs import folder_problem
from derain_cli.system.finder import Finder, Selection, identity_of

__all__ = ["watch"]

_SCANS_PER_SETTLING = 2
_SCANNING_SHARE = 0.1
"""Maximum share of time spent on scanning folders; large trees are scanned less often."""

Settle = Annotated[
    float,
    typer.Option(
        "--settle",
        metavar="SECONDS",
        min=0.1,
        help="A file is complete when it has not changed for this long.",
        rich_help_panel=FILES,
    ),
]


@dataclass(frozen=True, kw_only=True)
class WatchFlags:
    """The flags of `derain watch`."""

    folders: Annotated[list[str], typer.Argument(metavar="FOLDER...", help="Folders to watch.")]
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            help="Folder for the results; created if missing.",
            rich_help_panel=OUTPUT,
        ),
    ]
    quality: options.Quality = EncodeOptions.quality
    overwrite: options.Overwrite = False
    model: options.OtherModel = None
    computing: options.Computing = field(default_factory=options.Computing)
    files: options.Files = field(default_factory=options.Files)
    settle: Settle = 3.0
    messages: options.Messages = field(default_factory=options.Messages)


@command_from_flags(WatchFlags)
def watch(flags: WatchFlags) -> int:
    """Remove rain from photos and clips as they arrive in folders, until Ctrl-C.

    Existing files are processed first. A file is processed when it is complete; after a failure it is tried again when
    it changes. After a restart, finished files are skipped.
    """
    from derain_cli.jobs.arrivals import Arrivals
    from derain_cli.media.clip.libraries import require_clip_libraries
    from derain_cli.media.clip.names import READABLE_CLIPS
    from derain_cli.media.photo import READABLE_SUFFIXES

    _refuse(flags)
    reporter = flags.messages.reporter()
    readable = READABLE_SUFFIXES | READABLE_CLIPS
    try:
        require_clip_libraries()
    except UsageError as error:
        reporter.note(f"clips are ignored: {line_of(error)}")
        readable = READABLE_SUFFIXES
    selection = flags.files.selection(readable)
    models = LoadedModels()
    are_photos, arrivals = Selection(READABLE_SUFFIXES), Arrivals(flags.settle)
    reporter.say(f"watching {', '.join(flags.folders)}; press Ctrl-C to stop")
    while True:
        began = time.monotonic()
        subfolders = dict(_files_in(flags, selection))
        scanned = time.monotonic()
        for subfolder, paths in _by_subfolder(arrivals.take(subfolders, scanned), subfolders).items():
            photos = [path for path in paths if are_photos.is_readable(path)]
            clips = [path for path in paths if not are_photos.is_readable(path)]
            output = os.path.join(flags.output, subfolder, "")
            if photos:
                batch = options_from(PhotoFlags, flags, paths=photos, output=output, model=flags.model or DEFAULT_MODEL)
                _survive(reporter, partial(restore_photo_files, batch, reporter, models))
            if clips:
                job = options_from(
                    ClipFlags, flags, paths=clips, output=output, model=flags.model or DEFAULT_CLIP_MODEL
                )
                _survive(reporter, partial(restore_clip_files, job, reporter, models))
        time.sleep(max(flags.settle / _SCANS_PER_SETTLING, (scanned - began) / _SCANNING_SHARE))


def _refuse(flags: WatchFlags) -> None:
    for folder in flags.folders:
        if not os.path.isdir(folder):
            reason = "not a folder" if os.path.lexists(folder) else "no such folder"
            raise (UsageError if os.path.lexists(folder) else NothingToDoError)(reason, path=folder)
        if identity_of(folder) == identity_of(flags.output):
            raise UsageError("the output folder is one of the watched folders", path=folder, hint="-o ANOTHER_FOLDER")
    if (problem := folder_problem(flags.output)) is not None:
        raise problem


def _files_in(flags: WatchFlags, selection: Selection) -> Iterator[tuple[str, str]]:
    """All photos and clips, each with its subfolder relative to the watched folder."""
    finder = Finder(flags.folders, selection, own_tails(), flags.output)
    return ((found.source, found.below) for found in finder.find())


def _by_subfolder(paths: Iterable[str], subfolders: dict[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for path in paths:
        grouped.setdefault(subfolders[path], []).append(path)
    return grouped


def _survive(reporter: Reporter, run: Callable[[], int]) -> None:
    """Run a batch; errors of its files are reported, and watching continues.

    Raises:
        WeightsError: the weights are unusable.
        ResourceError: no space, memory or device; the next batch would fail in the same way.
    """
    try:
        code = run()
    except (WeightsError, ResourceError):
        raise
    except DerainError as error:
        reporter.error(error)
    except Exception as error:
        reporter.error(as_derain_error(error))
    else:
        if code == ResourceError.exit_code:
            raise ResourceError("stopped because of the error above")
