"""Plans a frame set: finds the source clips and photos and checks the output folder. Nothing is written."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from derain_cli.errors import DerainError, DestinationError, NothingToDoError, UsageError
from derain_cli.jobs.frame_set.layout import WORK
from derain_cli.jobs.items import own_tails
from derain_cli.jobs.outputs import folder_problem
from derain_cli.media.clip.names import READABLE_CLIPS
from derain_cli.media.photo import READABLE_SUFFIXES
from derain_cli.remedies import Remedy
from derain_cli.system.finder import Finder, Selection

__all__ = ["FrameSetPlan", "Source", "plan_frame_set"]


@dataclass(frozen=True)
class Source:
    """A clip or a photo, by its path."""

    path: str
    is_clip: bool = True


@dataclass(frozen=True)
class FrameSetPlan:
    """The sources and output folder of a frame set.

    Attributes:
        out: its folder.
        sources: clips and photos.
        failed: unusable inputs, each with its path.
        notes: path and remark.
    """

    out: Path
    sources: tuple[Source, ...]
    failed: tuple[DerainError, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


def plan_frame_set(
    clips: Sequence[str],
    out: str | os.PathLike[str],
    *,
    photos: Sequence[str] = (),
    recursive: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> FrameSetPlan:
    """Find the sources of a frame set. Nothing is written.

    Args:
        clips: clips, folders of clips, patterns.
        out: the folder of the data set.
        photos: the same for photos.
        recursive: search subfolders.
        include, exclude: name patterns as in `Selection`.

    Raises:
        UsageError: the output name is empty.
        NothingToDoError: no clips and no photos.
        DestinationError: the output folder is not writable, contains other files, or its own pictures are among the
            inputs.
    """
    if not os.fspath(out):
        raise UsageError("the output name is empty")
    folder = Path(out)
    _refuse_output(folder)
    sources: dict[str, Source] = {}
    failed: list[DerainError] = []
    notes: list[tuple[str, str]] = []
    remedy = None
    for paths, suffixes, is_clip in ((clips, READABLE_CLIPS, True), (photos, READABLE_SUFFIXES, False)):
        selection = Selection(suffixes, depth=None if recursive else 0, include=tuple(include), exclude=tuple(exclude))
        finder = Finder(paths, selection, own_tails(), str(folder))
        for found in finder.find():
            sources.setdefault(os.path.realpath(found.source), Source(found.source, is_clip))
        remedy = remedy or finder.skipped.remedy()
        failed += finder.failed
        notes += finder.notes
    if not sources:
        first = next(iter(failed), None)
        if first is not None:
            raise NothingToDoError.like(first)
        raise NothingToDoError("no clips found", remedy=remedy or Remedy.PHOTOS_TOO)
    _refuse_sources(folder, sources)
    return FrameSetPlan(folder, tuple(sources.values()), tuple(failed), tuple(notes))


def _refuse_output(out: Path) -> None:
    if os.path.lexists(out) and not out.is_dir():
        raise DestinationError("the output is a file, not a folder", path=out, remedy=Remedy.OTHER_OUTPUT)
    problem = folder_problem(str(out))
    if problem is not None:
        raise problem
    if out.is_dir() and not (out / WORK).is_dir() and any(out.iterdir()):
        raise DestinationError("contains files not created by derain frames", path=out, remedy=Remedy.OTHER_OUTPUT)


def _refuse_sources(out: Path, sources: Mapping[str, Source]) -> None:
    """A picture of the set that is also a source could be removed when the set is updated."""
    root = os.path.realpath(out) + os.sep
    for real, source in sources.items():
        if real.startswith(root):
            raise DestinationError("the input is in the output folder", path=source.path, remedy=Remedy.OTHER_OUTPUT)
