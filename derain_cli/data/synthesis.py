"""Pairs to train and test with: clean photos, and the same photos with generated rain on them.

The rain of a pair hangs on the seed, the photo's path below its folder, the profile and the number of the variant,
and on nothing else: a run can be stopped, repeated, spread over threads, and extended by photos, profiles or
variants without a change to the pairs that are there. The manifest beside them says what they were made with, so
that pairs of another seed never come between them unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from derain_cli import __version__
from derain_cli.atomic import atomic_text, make_folder
from derain_cli.data.registry import pair_key
from derain_cli.data.threads import in_order
from derain_cli.errors import (
    DerainError,
    DestinationError,
    NothingToDoError,
    ResourceError,
    UsageError,
    resource_error_from,
)
from derain_cli.frames.images import (
    DEFAULT_MAX_PIXELS,
    READABLE_SUFFIXES,
    Metadata,
    Photo,
    read_photo,
    to_uint8,
    write_photo,
)
from derain_cli.rain import PROFILES, add_rain
from derain_cli.worklist import Item, Rules, WorkList, plan

__all__ = [
    "FORMATS",
    "MANIFEST",
    "PairTask",
    "PhotoTask",
    "SynthOptions",
    "SynthOutcome",
    "SynthPlan",
    "plan_synthesis",
    "synthesize",
]

FORMATS: Mapping[str, bool] = {"png": True, "webp": True, "tiff": True, "jpg": False}
"""Formats of the pairs, and whether the pixels come back from them as they were."""

MANIFEST = "synth.json"
"""Name of the manifest in the output folder."""

_RAINY, _CLEAN = "rain", "norain"


@dataclass(frozen=True)
class SynthOptions:
    """What pairs are made, and how.

    Attributes:
        profiles: kinds of rain, of `PROFILES`. One lies straight in the output folder, several in a folder each.
        variants: pairs for each photo and profile.
        seed: start of all random choices.
        target: the clean partner for the profile `real`: the photo with the same veil, exposure and noise
            (`streak-free`), or the photo itself (`clean`).
        format: of `FORMATS`.
        max_side: photos with a longer side, in pixels, are made smaller first; None keeps all sizes.
        max_pixels: larger photos are refused.
        jobs: photos worked on at once.
        overwrite: make pairs again that are there.

    Raises:
        UsageError: an unknown name, or a number out of range.
    """

    profiles: tuple[str, ...] = ("real",)
    variants: int = 1
    seed: int = 0
    target: Literal["streak-free", "clean"] = "streak-free"
    format: str = "png"
    max_side: int | None = None
    max_pixels: int = DEFAULT_MAX_PIXELS
    jobs: int = 1
    overwrite: bool = False

    def __post_init__(self) -> None:
        for name in self.profiles:
            _require_known(name, PROFILES, "rain profile")
        if not self.profiles:
            raise UsageError("no rain profile", hint=f"there are {', '.join(PROFILES)}")
        if len(set(self.profiles)) < len(self.profiles):
            raise UsageError("a rain profile is named twice", hint="--variants makes more than one of each photo")
        _require_known(self.target, ("streak-free", "clean"), "target")
        _require_known(self.format, FORMATS, "format of pairs")
        if self.max_side is not None and self.max_side < 1:
            raise UsageError(f"a longest side of {self.max_side} pixels is not possible")
        if self.variants < 1 or self.jobs < 1:
            raise UsageError("variants and jobs are counted from 1")

    @property
    def is_lossless(self) -> bool:
        """Whether the pixels come back as they were made."""
        return FORMATS[self.format]

    @property
    def has_groups(self) -> bool:
        """Whether each profile has a folder of its own."""
        return len(self.profiles) > 1

    def folder(self, out: Path, profile: str) -> Path:
        """Where the pairs of a profile lie."""
        return out / profile if self.has_groups else out

    def stems(self, name: str) -> tuple[str, ...]:
        """Names, without suffix, of all pairs of a photo in one profile; numbered where there are several."""
        return (name,) if self.variants == 1 else tuple(f"{name}-{number + 1}" for number in range(self.variants))


@dataclass(frozen=True, slots=True)
class PairTask:
    """One pair to make: which rain, and the two files: of one name, in two sub-folders of `folder`."""

    profile: str
    variant: int
    folder: Path
    file: str

    @property
    def rainy(self) -> Path:
        return self.folder / _RAINY / self.file

    @property
    def clean(self) -> Path:
        return self.folder / _CLEAN / self.file

    @property
    def is_there(self) -> bool:
        """Whether both files are."""
        return self.rainy.is_file() and self.clean.is_file()


@dataclass(frozen=True, slots=True)
class PhotoTask:
    """One photo and its pairs; `relative` is its path below the folder it was found in, with slashes."""

    source: str
    relative: str
    pairs: tuple[PairTask, ...]

    @property
    def name(self) -> str:
        """What its pairs are called. Pairs are told apart by file name alone, so folders become part of the name."""
        stem = self.relative.removesuffix(PurePosixPath(self.relative).suffix)
        # Hidden files are not looked at when pairs are searched.
        return stem.replace("/", "__").lstrip(".") or "_"


@dataclass(frozen=True)
class SynthPlan:
    """A settled plan.

    Attributes:
        out: the output folder.
        items: photos with the pairs that are to be made.
        done: photos whose pairs are all there.
        failed: what cannot be used, each with its path.
        notes: path and remark.
        sources: path of the photo, seen from the output folder, by name; those of earlier runs included.
    """

    out: Path
    items: tuple[PhotoTask, ...]
    done: tuple[PhotoTask, ...] = ()
    failed: tuple[DerainError, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class SynthOutcome:
    """What became of one photo.

    Attributes:
        task: the photo.
        error: why pairs are missing; None when all went well. What is no `DerainError` is a bug of ours.
        fatal: whether the error would meet all other photos too (a full disk).
        width, height: of its pairs, pixels; 0 when it could not be read.
        notes: one-line remarks.
    """

    task: PhotoTask
    error: Exception | None = None
    fatal: bool = False
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()


def plan_synthesis(
    paths: Sequence[str], out: str | os.PathLike[str], options: SynthOptions, *, recursive: bool = False
) -> SynthPlan:
    """What is to be made of folders of photos (single photos and patterns work, too). Nothing is written.

    Raises:
        UsageError: the output has no name.
        NothingToDoError: no photos.
        DestinationError: the output folder is an input, cannot be written to, holds pairs of another kind, or two
            photos would have one name in it.
    """
    if not os.fspath(out):
        raise UsageError("the output has no name")
    return _Planner(paths, Path(out), options, recursive).plan()


def synthesize(
    todo: SynthPlan,
    options: SynthOptions,
    *,
    report: Callable[[SynthOutcome], None],
    progress: Callable[[int], None] | None = None,
) -> bool:
    """Make the pairs of a plan, and the manifest. A failure concerns its own photo, unless it is fatal.

    Files are written by helper threads only, so what a signal handler raises in the calling thread never
    hits a half-written pair: what is being written is finished and told, the rest is dropped.

    Args:
        todo: a settled plan.
        options: those the plan was made with.
        report: called once for each photo that was tried, in order, in this thread.
        progress: called with the number of photos done.

    Returns:
        Whether all pairs of the plan are there now.

    Raises:
        DestinationError: the output folder or the manifest cannot be made.
        ResourceError: the disk is full when the manifest is written.
    """
    return _Run(todo, options, report, progress or (lambda done: None)).run()


def _require_known(name: str, known: Mapping[str, Any] | Sequence[str], what: str) -> None:
    if name not in known:
        raise UsageError(f"unknown {what} {name!r}", hint=f"there are {', '.join(known)}")


# --- planning ---------------------------------------------------------------------------------------------------


@dataclass
class _Planner:
    paths: Sequence[str]
    out: Path
    options: SynthOptions
    recursive: bool

    def plan(self) -> SynthPlan:
        # The slash says that this is a folder; the list's own targets serve to refuse what cannot be, no more.
        rules = Rules(
            readable=READABLE_SUFFIXES,
            writable=READABLE_SUFFIXES,
            output=f"{self.out}{os.sep}",
            recursive=self.recursive,
            overwrite=True,
        )
        self._refuse_output()
        found = plan(self.paths, rules)
        if not found.items:
            raise _nothing(found)
        manifest = _read_manifest(self.out, self.options)
        known = _refuse_other_kind(manifest, self.out, self.options)
        tasks = [self._task(item) for item in found.items]
        self._refuse_sources(tasks)
        self._refuse_clashes(tasks, known)
        return self._settled(tasks, found, known, manifest)

    def _settled(
        self, tasks: list[PhotoTask], found: WorkList, known: Mapping[str, str], manifest: Mapping[str, Any] | None
    ) -> SynthPlan:
        items, done, notes = [], [], list(found.notes)
        if manifest is not None and manifest.get("version") != __version__:
            made = f"was begun with version {manifest.get('version')}, whose rain may look different"
            notes.append((str(self.out), made))
        sources = dict(known)
        start = os.path.realpath(self.out)
        for task in tasks:
            source = os.path.relpath(os.path.realpath(task.source), start).replace(os.sep, "/")
            if sources.setdefault(task.name, source) != source:
                if not self.options.overwrite:
                    notes.append((task.source, f"pairs of this name were begun with {sources[task.name]}"))
                sources[task.name] = source
            missing = tuple(pair for pair in task.pairs if self.options.overwrite or not pair.is_there)
            if missing:
                items.append(PhotoTask(task.source, task.relative, missing))
            else:
                done.append(task)
        return SynthPlan(self.out, tuple(items), tuple(done), found.failed, tuple(notes), sources)

    def _task(self, item: Item) -> PhotoTask:
        # The target lies below the output folder as the photo lies below its own.
        target = Path(item.target).relative_to(self.out)
        bare = PhotoTask(item.source, target.with_name(Path(item.source).name).as_posix(), ())
        return PhotoTask(bare.source, bare.relative, tuple(self._pairs(bare.name)))

    def _pairs(self, name: str) -> Iterator[PairTask]:
        for profile in self.options.profiles:
            folder = self.options.folder(self.out, profile)
            for variant, stem in enumerate(self.options.stems(name), start=1):
                yield PairTask(profile, variant, folder, f"{stem}.{self.options.format}")

    def _refuse_output(self) -> None:
        if os.path.lexists(self.out) and not self.out.is_dir():
            raise DestinationError("the output is a file, not a folder", path=self.out, hint="choose another -o")
        for folder in map(Path, self.paths):
            if folder.is_dir() and self.out.is_dir() and folder.samefile(self.out):
                raise DestinationError("the output folder is an input", path=folder, hint="choose another -o")

    def _refuse_sources(self, tasks: list[PhotoTask]) -> None:
        """No photo may lie where pairs go: it would be replaced, or rained on once more at every run."""
        places = {place.resolve() for place in _pair_folders(self.out, *PROFILES)}
        for folder in {Path(task.source).parent for task in tasks}:
            real = folder.resolve()
            if not places.isdisjoint((real, *real.parents)):
                raise DestinationError("pairs go here, and photos come from here", path=folder, hint="another -o")
        for path in (path for task in tasks for pair in task.pairs for path in (pair.rainy, pair.clean)):
            if path.is_symlink():
                raise DestinationError("the destination is a symbolic link", path=path, hint="choose another -o")

    def _refuse_clashes(self, tasks: list[PhotoTask], known: Mapping[str, str]) -> None:
        """No two photos may have one name, in the way in which names are compared when pairs are looked for."""
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
                        f"two photos would be one pair: {sources[other]} and {task.source}",
                        path=task.pairs[0].rainy,
                        hint="rename one, or run them with different -o folders",
                    )
            sources[task.name] = task.source
            planned.add(task.name)

    def _key(self, stem: str) -> str:
        return pair_key(Path(f"{stem}.{self.options.format}"))


def _nothing(found: WorkList) -> DerainError:
    """Why there is nothing to do: the first reason if there are any."""
    first = next(iter(found.failed), None)
    if first is None:
        return found.nothing_found("photos")
    return first if isinstance(first, DestinationError) else NothingToDoError(first.reason, path=first.path)


def _pair_folders(out: Path, *groups: str) -> Iterator[Path]:
    for folder in (out, *(out / group for group in groups)):
        yield from (folder / _RAINY, folder / _CLEAN)


# --- the manifest -----------------------------------------------------------------------------------------------


def _layout(options: SynthOptions) -> dict[str, Any]:
    """What files are called. Pairs that differ here must not share a folder: they would not be found, or twice."""
    return {"format": options.format, "folder_per_profile": options.has_groups, "numbered": options.variants > 1}


def _rain(options: SynthOptions) -> dict[str, Any]:
    """What pairs of one name have in common. Pairs that differ here may only replace each other."""
    same = {"seed": options.seed, "target": options.target, "max_side": options.max_side}
    return same if options.has_groups else {"profile": options.profiles[0], **same}


def _read_manifest(out: Path, options: SynthOptions) -> dict[str, Any] | None:
    path = out / MANIFEST
    try:
        manifest = json.loads(path.read_bytes())
        if not isinstance(manifest["sources"], dict) or not isinstance(manifest["layout"], dict):
            raise TypeError
        return {**manifest, "rain": dict(manifest["rain"])}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        if options.overwrite:
            return None
        raise DestinationError(
            "not a manifest of derain synth", path=path, hint="another -o, or --overwrite makes all pairs again"
        ) from error


def _refuse_other_kind(manifest: Mapping[str, Any] | None, out: Path, options: SynthOptions) -> dict[str, str]:
    """The sources of earlier runs.

    Raises:
        DestinationError: what lies in the output folder and the pairs to be made cannot be kept apart.
    """
    if manifest is None:
        for place in _pair_folders(out, *(options.profiles if options.has_groups else ())):
            in_the_way = options.has_groups and place.parent == out  # would hide the folders of the profiles
            if (in_the_way or not options.overwrite) and place.is_dir() and any(place.iterdir()):
                raise DestinationError("holds files that derain synth did not make", path=place, hint="another -o")
        return {}
    for part, wanted, may_replace in (("layout", _layout(options), False), ("rain", _rain(options), True)):
        there = manifest[part]
        differing = [key for key in wanted if there.get(key) != wanted[key]]
        if differing and not (may_replace and options.overwrite):
            key = differing[0]
            raise DestinationError(
                f"holds pairs with {key.replace('_', ' ')} {there.get(key)!r}, not {wanted[key]!r}",
                path=out,
                hint="another -o" + (", or --overwrite" if may_replace else ""),
            )
    return {str(name): str(source) for name, source in manifest["sources"].items()}


def _write_manifest(todo: SynthPlan, options: SynthOptions, *, complete: bool, without: Collection[str] = ()) -> None:
    content = {
        "made_by": "derain synth",
        "version": __version__,
        "complete": complete,
        "layout": _layout(options),
        "rain": _rain(options),
        "profiles": list(options.profiles),
        "variants": options.variants,
        "sources": {name: source for name, source in sorted(todo.sources.items()) if name not in without},
    }
    path, text = todo.out / MANIFEST, json.dumps(content, indent=1) + "\n"
    if not (path.is_file() and path.read_bytes() == text.encode()):  # a run with nothing to do changes nothing
        atomic_text(path, text)


# --- making -----------------------------------------------------------------------------------------------------


class _Stop(Exception):
    """No further photo is to be tried."""


@dataclass
class _Run:
    todo: SynthPlan
    options: SynthOptions
    report: Callable[[SynthOutcome], None]
    progress: Callable[[int], None]
    stop: threading.Event = field(default_factory=threading.Event)
    failed: set[str] = field(default_factory=set)

    def run(self) -> bool:
        if self.todo.items:
            for folder in self._folders():
                make_folder(folder)
            # Before the first pair: whoever kills the run must not be able to mix seeds afterwards.
            _write_manifest(self.todo, self.options, complete=False)
            try:
                self._make_all()
            except _Stop:
                return False  # the disk is full: the manifest says already that pairs are missing
        complete = not self.failed and not self.todo.failed
        _write_manifest(self.todo, self.options, complete=complete, without=self.failed)
        return complete

    def _folders(self) -> Iterator[Path]:
        yield self.todo.out
        for profile in self.options.profiles:
            yield from _pair_folders(self.options.folder(self.todo.out, profile))

    def _make_all(self) -> None:
        in_order(self._make, self.todo.items, self._tell, jobs=self.options.jobs, stop=self.stop, late=self.report)

    def _tell(self, outcome: SynthOutcome, done: int) -> None:
        if outcome.error is not None:
            self.failed.add(outcome.task.name)
        self.report(outcome)
        self.progress(done)
        if outcome.fatal:
            raise _Stop

    def _make(self, task: PhotoTask) -> SynthOutcome | None:
        """All pairs of a photo; None when the run was stopped before the last."""
        # In a thread.
        size = (0, 0)
        try:
            photo = read_photo(task.source, max_pixels=self.options.max_pixels)
            base, notes = self._prepared(photo)
            size = base.pixels.shape[1], base.pixels.shape[0]
            for pair in task.pairs:
                if self.stop.is_set():
                    return None
                self._make_pair(task, pair, base)
            return SynthOutcome(task, width=size[0], height=size[1], notes=notes)
        except Exception as error:
            known = error if isinstance(error, DerainError) else resource_error_from(error, task.source)
            if known is not None and known is not error:
                known.__cause__ = error
            full = isinstance(known, ResourceError) and not isinstance(known.__cause__, MemoryError)
            return SynthOutcome(task, known or error, full, *size)

    def _prepared(self, photo: Photo) -> tuple[Photo, tuple[str, ...]]:
        """The photo as it is rained on: 8 bits, no alpha, as large as wanted. Its colour profile stays."""
        notes = list(photo.notes)
        if photo.pixels.dtype != np.uint8:
            notes.append("16-bit reduced to 8-bit")
        if photo.alpha is not None:
            notes.append("alpha dropped")
        pixels = _within(to_uint8(photo.pixels), self.options.max_side)
        # A profile of grey pixels says nothing about colours, and pairs are in colour: rain is not grey.
        icc = None if photo.grey else photo.metadata.icc_profile
        return Photo(pixels, metadata=Metadata(icc_profile=icc, lossless=True)), tuple(notes)

    def _make_pair(self, task: PhotoTask, pair: PairTask, base: Photo) -> None:
        rng = _generator(self.options.seed, task.relative, pair)
        picture = base.pixels.astype(np.float32) / np.float32(255)
        sample = add_rain(picture, pair.profile, rng, target=self.options.target)
        for path, coded in ((pair.clean, sample.clean), (pair.rainy, sample.rainy)):
            pixels = np.rint(coded * np.float32(255)).astype(np.uint8)
            write_photo(Photo(pixels, metadata=base.metadata), path, overwrite=True)


def _generator(seed: int, relative: str, pair: PairTask) -> np.random.Generator:
    """The randomness of one pair. Fields are parted by a byte that no path holds."""
    fields = [str(seed).encode(), os.fsencode(relative), pair.profile.encode(), str(pair.variant).encode()]
    return np.random.default_rng(int.from_bytes(hashlib.sha256(b"\0".join(fields)).digest()))


def _within(pixels: NDArray[np.uint8], max_side: int | None) -> NDArray[np.uint8]:
    """The picture with its longer side at most `max_side`."""
    height, width = pixels.shape[:2]
    if max_side is None or max(height, width) <= max_side:
        return pixels
    scale = max_side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
