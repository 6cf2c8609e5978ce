"""Plans which pairs to make, before any is written."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derain_cli import __version__
from derain_cli.datasets.layouts import pair_key
from derain_cli.errors import DestinationError, NothingToDoError, UsageError
from derain_cli.jobs.items import own_tails
from derain_cli.jobs.outputs import folder_problem
from derain_cli.jobs.synth.manifest import read_manifest, refuse_other_kind
from derain_cli.jobs.synth.options import SynthOptions
from derain_cli.jobs.synth.pairs import PairTask, PhotoTask, SynthPlan, pair_folders
from derain_cli.media.photo import READABLE_SUFFIXES
from derain_cli.rain import PROFILES
from derain_cli.remedies import Remedy
from derain_cli.system.finder import Finder, Selection

__all__ = ["plan_synthesis"]


def plan_synthesis(
    paths: Sequence[str], out: str | os.PathLike[str], options: SynthOptions, *, recursive: bool = False
) -> SynthPlan:
    """Plan the pairs for folders of photos (single photos and patterns work too). Nothing is written.

    Raises:
        UsageError: the output name is empty.
        NothingToDoError: no photos.
        DestinationError: the output folder is an input, is not writable, contains pairs of another kind, or two photos
            would have the same name in it.
    """
    if not os.fspath(out):
        raise UsageError("the output name is empty")
    return _Planner(paths, Path(out), options, recursive).plan()


@dataclass
class _Planner:
    paths: Sequence[str]
    out: Path
    options: SynthOptions
    recursive: bool

    def plan(self) -> SynthPlan:
        self._refuse_output()
        selection = Selection(READABLE_SUFFIXES, depth=None if self.recursive else 0)
        finder = Finder(self.paths, selection, own_tails(), str(self.out))
        tasks = list(self._tasks(finder))
        if not tasks:
            raise _nothing(finder)
        manifest = read_manifest(self.out, self.options)
        known = refuse_other_kind(manifest, self.out, self.options)
        self._refuse_sources(tasks)
        self._refuse_clashes(tasks, known)
        return self._settled(tasks, finder, known, manifest)

    def _settled(
        self, tasks: list[PhotoTask], finder: Finder, known: Mapping[str, str], manifest: Mapping[str, Any] | None
    ) -> SynthPlan:
        items, done, notes = [], [], list(finder.notes)
        if manifest is not None and manifest.get("version") != __version__:
            remark = f"was started with version {manifest.get('version')}, whose rain may look different"
            notes.append((str(self.out), remark))
        sources = dict(known)
        start = os.path.realpath(self.out)
        for task in tasks:
            source = os.path.relpath(os.path.realpath(task.source), start).replace(os.sep, "/")
            if sources.setdefault(task.name, source) != source:
                if not self.options.overwrite:
                    notes.append((task.source, f"pairs with this name were made from {sources[task.name]}"))
                sources[task.name] = source
            missing = tuple(pair for pair in task.pairs if self.options.overwrite or not pair.is_there)
            if missing:
                items.append(PhotoTask(task.source, task.relative, missing))
            else:
                done.append(task)
        return SynthPlan(self.out, tuple(items), tuple(done), tuple(finder.failed), tuple(notes), sources)

    def _tasks(self, finder: Finder) -> Iterator[PhotoTask]:
        seen = set()
        for photo in finder.find():
            bare = PhotoTask(photo.source, Path(photo.below, Path(photo.source).name).as_posix(), ())
            if photo.identity is not None and (photo.identity, bare.relative) in seen:
                finder.notes.append((photo.source, "was given twice"))
                continue
            seen.add((photo.identity, bare.relative))
            yield PhotoTask(bare.source, bare.relative, tuple(self._pairs(bare.name)))

    def _pairs(self, name: str) -> Iterator[PairTask]:
        for profile in self.options.profiles:
            folder = self.options.folder(self.out, profile)
            for variant, stem in enumerate(self.options.stems(name), start=1):
                yield PairTask(profile, variant, folder, f"{stem}.{self.options.format}")

    def _refuse_output(self) -> None:
        if os.path.lexists(self.out) and not self.out.is_dir():
            raise DestinationError("the output is a file, not a folder", path=self.out, remedy=Remedy.OTHER_OUTPUT)
        problem = folder_problem(str(self.out))
        if problem is not None:
            raise problem
        for folder in map(Path, self.paths):
            if folder.is_dir() and self.out.is_dir() and folder.samefile(self.out):
                raise DestinationError("the output folder is an input", path=folder, remedy=Remedy.OTHER_OUTPUT)

    def _refuse_sources(self, tasks: list[PhotoTask]) -> None:
        """No photo may be where pairs are written: it would be replaced, or get more rain in every run."""
        places = {place.resolve() for place in pair_folders(self.out, *PROFILES)}
        for folder in {Path(task.source).parent for task in tasks}:
            real = folder.resolve()
            if real == self.out.resolve():
                raise DestinationError("the output folder is an input", path=folder, remedy=Remedy.OTHER_OUTPUT)
            if not places.isdisjoint((real, *real.parents)):
                raise DestinationError(
                    "the input folder is also an output folder", path=folder, remedy=Remedy.OTHER_OUTPUT
                )
        for path in (path for task in tasks for pair in task.pairs for path in (pair.rainy, pair.clean)):
            if path.is_symlink():
                raise DestinationError("the destination is a symbolic link", path=path, remedy=Remedy.OTHER_OUTPUT)

    def _refuse_clashes(self, tasks: list[PhotoTask], known: Mapping[str, str]) -> None:
        """No two photos may have the same name, as compared when searching for pairs."""
        takers: dict[str, str] = {}
        for name in known:
            takers.update((self._key(stem), name) for stem in self.options.stems(name))
        sources = dict(known)
        planned: set[str] = set()
        for task in tasks:
            for stem in self.options.stems(task.name):
                other = takers.setdefault(self._key(stem), task.name)
                if other != task.name or task.name in planned:
                    raise DestinationError(
                        f"two photos would have the same pair: {sources[other]} and {task.source}",
                        path=task.pairs[0].rainy,
                        remedy=Remedy.RENAME_OR_OTHER_FOLDER,
                    )
            sources[task.name] = task.source
            planned.add(task.name)

    def _key(self, stem: str) -> str:
        return pair_key(Path(f"{stem}.{self.options.format}"))


def _nothing(finder: Finder) -> NothingToDoError:
    """The error if there is nothing to do: the first failure, if any."""
    first = next(iter(finder.failed), None)
    if first is None:
        return NothingToDoError("no photos found", remedy=finder.skipped.remedy())
    return NothingToDoError.like(first)
