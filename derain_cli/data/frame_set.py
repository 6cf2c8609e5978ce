"""Data sets of real rain from clips: rainy, sharp, unlike each other, split by clip.

First every clip is looked at, and what was measured is kept in a hidden folder of the data set: a run that was
stopped goes on with the next clip, and a run with other numbers or further clips looks at what is new only. Then the
choice is made from the measures alone, and last the chosen frames are decoded once more and written.

Clips go by their content, not by where they lie: the same clips give the same names, the same split and the same
files, in whatever order they are named and by however many threads.
"""

from __future__ import annotations

import csv
import hashlib
import io
import itertools
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.atomic import atomic_bytes, atomic_text, make_folder
from derain_cli.config import FramesOptions
from derain_cli.data.fingerprint import picture_hash
from derain_cli.data.threads import in_order
from derain_cli.errors import (
    DerainError,
    DestinationError,
    InputError,
    NothingToDoError,
    ResourceError,
    UsageError,
    resource_error_from,
)
from derain_cli.frames.images import READABLE_SUFFIXES, probe_photo, read_rgb, to_uint8, write_rgb
from derain_cli.frames.select import (
    Measured,
    count_for_test,
    divided,
    measured_frames,
    measured_photo,
    near_duplicates,
    reason_against,
    spread,
    steadied,
    taken,
)
from derain_cli.frames.sheets import contact_sheet, thumbnail
from derain_cli.frames.video import READABLE_CLIPS, open_clip
from derain_cli.worklist import Rules, plan

__all__ = [
    "MANIFEST",
    "REJECT",
    "SHEETS",
    "WORK",
    "Choice",
    "Chosen",
    "FrameSetPlan",
    "Outcome",
    "Source",
    "Study",
    "choose",
    "plan_frame_set",
    "read_rejected",
    "study_sources",
    "write_frame_set",
]

MANIFEST, REJECT, SHEETS, WORK = "manifest.csv", "reject.txt", "sheets", ".derain-frames"
TRAIN, TEST = "train", "test"

_MEASURES = 1
"""Goes up when frames are measured in another way: what was kept of earlier runs is measured again."""

_COLUMNS, _ROWS = 5, 6
_REJECT_HEAD = """\
# Names of pictures that are not wanted, one a line, as they are in train/, in test/ and under the pictures in sheets/.
# Run the same command again: they are taken away, others take their places, and they do not come back.
"""


@dataclass(frozen=True)
class Source:
    """A clip or a photo, by its path."""

    path: str
    is_clip: bool = True


@dataclass(frozen=True)
class FrameSetPlan:
    """What a data set is made from.

    Attributes:
        out: its folder.
        sources: clips and photos.
        failed: what cannot be used, each with its path.
        notes: path and remark.
    """

    out: Path
    sources: tuple[Source, ...]
    failed: tuple[DerainError, ...] = ()
    notes: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Study:
    """What was measured of a source.

    Attributes:
        source: the clip or photo.
        key: hexadecimal digits that stand for its content.
        size: width and height, pixels.
        frames: frames of the clip that were seen; 1 for a photo.
        measured: one for each frame measured, in order.
        hashes: (N, 8), their perceptual hashes.
        ended: why the rest of the clip could not be seen; None when all was.
    """

    source: Source
    key: str
    size: tuple[int, int]
    frames: int
    measured: tuple[Measured, ...]
    hashes: NDArray[np.uint8]
    ended: str | None = None

    def name(self, place: int) -> str:
        """What the picture of `measured[place]` is called, without suffix: safe on any disk and in any list."""
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(self.source.path).stem).strip("._-")[:32] or "clip"
        # The content is part of the name: two clips of one name do not meet, and a name never means another picture.
        head = f"{stem}-{self.key[:6]}"
        return f"{head}-{self.measured[place].index:06d}" if self.source.is_clip else head


@dataclass(frozen=True)
class Outcome:
    """What became of one source, or of the pictures of one source.

    Attributes:
        source: the clip or photo.
        study: what was measured; None when nothing could be.
        error: what went wrong; of a clip that ends early both are there.
        fatal: whether the error would meet all other sources too (a full disk).
        known: whether it was measured by an earlier run.
    """

    source: Source
    study: Study | None = None
    error: Exception | None = None
    fatal: bool = False
    known: bool = False


@dataclass(frozen=True, eq=False)
class Chosen:
    """One picture of the set: `study.measured[place]`, in `split`; `rain` is the steadied score, nan of a photo."""

    study: Study
    place: int
    split: str
    rain: float

    @property
    def name(self) -> str:
        return self.study.name(self.place)

    @property
    def file(self) -> str:
        """Its path below the data set."""
        return f"{self.split}/{self.name}.png"


@dataclass(frozen=True)
class Choice:
    """The pictures of a set.

    Attributes:
        pictures: in the order of their files.
        refused: frames that were measured and cannot be used, by reason.
        notes: one-line remarks: what is short, and why.
        by_source: pictures chosen of each source's path.
        rain: by path, the median of the steadied rain scores of a clip.
    """

    pictures: tuple[Chosen, ...]
    refused: Mapping[str, int]
    notes: tuple[str, ...]
    by_source: Mapping[str, int] = field(default_factory=dict)
    rain: Mapping[str, float] = field(default_factory=dict)

    def count(self, split: str) -> int:
        """Pictures of a split."""
        return sum(picture.split == split for picture in self.pictures)


# --- planning ---------------------------------------------------------------------------------------------------


def plan_frame_set(
    clips: Sequence[str],
    out: str | os.PathLike[str],
    *,
    photos: Sequence[str] = (),
    recursive: bool = False,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
) -> FrameSetPlan:
    """What a data set is to be made from. Nothing is written.

    Args:
        clips: clips, folders of clips, patterns.
        out: the folder of the data set.
        photos: the same of photos.
        recursive: look into sub-folders.
        include, exclude: patterns of names as in `worklist.Rules`.

    Raises:
        UsageError: the output has no name.
        NothingToDoError: no clips and no photos.
        DestinationError: the output folder cannot be written to, holds what is no such data set, or its pictures are
            named as inputs.
    """
    if not os.fspath(out):
        raise UsageError("the output has no name")
    folder = Path(out)
    _refuse_output(folder)
    sources: dict[str, Source] = {}
    failed: list[DerainError] = []
    notes: list[tuple[str, str]] = []
    hint = None
    for paths, suffixes, is_clip in ((clips, READABLE_CLIPS, True), (photos, READABLE_SUFFIXES, False)):
        # One at a time: two of one name would have one output, but here their content tells them apart.
        for path in paths:
            rules = Rules(
                readable=suffixes,
                writable=suffixes | {".png"},
                output=f"{folder}{os.sep}",
                recursive=recursive,
                include=tuple(include),
                exclude=tuple(exclude),
                overwrite=True,
            )
            found = plan([path], rules)
            hint = hint or found.hint
            failed += found.failed
            notes += [note for note in found.notes if "cannot be written" not in note[1]]
            for item in found.items:
                sources.setdefault(os.path.realpath(item.source), Source(item.source, is_clip))
    if not sources:
        first = next(iter(failed), None)
        if first is not None:
            raise NothingToDoError(first.reason, path=first.path, hint=first.hint)
        raise NothingToDoError("no clips found", hint=hint or "photos are added with --photos")
    _refuse_sources(folder, sources)
    return FrameSetPlan(folder, tuple(sources.values()), tuple(failed), tuple(notes))


def _refuse_output(out: Path) -> None:
    if os.path.lexists(out) and not out.is_dir():
        raise DestinationError("the output is a file, not a folder", path=out, hint="choose another -o")
    if out.is_dir() and not (out / WORK).is_dir() and any(out.iterdir()):
        raise DestinationError("holds files that derain frames did not make", path=out, hint="choose another -o")


def _refuse_sources(out: Path, sources: Mapping[str, Source]) -> None:
    """A picture of the set as its own source would be cleared away with the set."""
    root = os.path.realpath(out) + os.sep
    for real, source in sources.items():
        if real.startswith(root):
            raise DestinationError("pictures go here, and come from here", path=source.path, hint="another -o")


# --- looking at the sources -------------------------------------------------------------------------------------


class _Stop(Exception):
    """Nothing further is to be tried."""


def study_sources(
    todo: FrameSetPlan,
    options: FramesOptions,
    *,
    report: Callable[[Outcome], None],
    progress: Callable[[int], None] | None = None,
) -> tuple[Study, ...]:
    """Measure all clips and photos, or read what earlier runs measured.

    Args:
        todo: a settled plan.
        options: `every` and `jobs` matter here.
        report: called once for each source, in order, in this thread.
        progress: called with the number of sources done.

    Returns:
        What could be measured, each content once, in an order that does not depend on the plan's.

    Raises:
        DestinationError: the output folder cannot be made.
        ResourceError: the disk is full.
    """
    make_folder(todo.out / WORK)
    stop = threading.Event()
    found: dict[str, Study] = {}

    def tell(outcome: Outcome, done: int) -> None:
        if outcome.fatal and outcome.error is not None:
            raise outcome.error
        if outcome.study is not None:
            study = found.setdefault(outcome.study.key, outcome.study)
            if os.fsencode(outcome.study.source.path) < os.fsencode(study.source.path):
                found[study.key] = outcome.study  # which of several names counts must not depend on their order
        report(outcome)
        if progress is not None:
            progress(done)

    def work(source: Source) -> Outcome | None:
        try:
            return _studied(source, todo.out / WORK, options.every, stop)
        except _Stop:
            return None
        except Exception as error:
            return _failure(source, error)

    with _single_threads():
        in_order(work, todo.sources, tell, jobs=options.jobs, stop=stop, late=report)
    return tuple(found[key] for key in sorted(found))


@contextmanager
def _single_threads() -> Iterator[None]:
    """OpenCV without threads of its own: clips have one each, and on small pictures they cost more than they bring
    (measured on 160x120 pixels: three times the processor time)."""
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _failure(source: Source, error: Exception) -> Outcome:
    known = error if isinstance(error, DerainError) else resource_error_from(error, source.path)
    if known is not None and known is not error:
        known.__cause__ = error
    full = isinstance(known, ResourceError) and not isinstance(known.__cause__, MemoryError)
    return Outcome(source, error=known or error, fatal=full or isinstance(known, DestinationError))


def _studied(source: Source, work: Path, every: float, stop: threading.Event) -> Outcome | None:
    """In a thread."""
    if stop.is_set():
        return None
    if not source.is_clip:
        probe_photo(source.path)  # nothing but a regular file that holds a picture is opened below
        key = _content_key(source.path)
        study = _read_study(work, key, every, source)
        if study is not None:
            return Outcome(source, study, known=True)
        picture = read_rgb(source.path)
        size = picture.shape[1], picture.shape[0]
        hashes = np.frombuffer(bytes.fromhex(picture_hash(picture)), np.uint8)[None]
        study = Study(source, key, size, 1, (measured_photo(picture),), hashes)
        _keep_study(work, study, every)
        return Outcome(source, study)
    with open_clip(source.path) as clip:  # also says, each time anew, that it is a clip
        key = _content_key(source.path)
        study = _read_study(work, key, every, source)
        known = study is not None
        if study is None:
            study = _measured_clip(source, key, clip, every, stop)
            _keep_study(work, study, every)
    error = InputError(study.ended, path=source.path) if study.ended else None
    return Outcome(source, study, error, known=known)


def _measured_clip(source: Source, key: str, clip: Any, every: float, stop: threading.Event) -> Study:
    seen = itertools.count()
    measured: list[Measured] = []
    hashes: list[bytes] = []

    def pictures() -> Iterator[tuple[float, NDArray[np.uint8]]]:
        for frame in clip:
            if stop.is_set():
                raise _Stop
            next(seen)
            yield frame.seconds, to_uint8(frame.pixels)

    ended: str | None = None
    try:
        for one, picture in measured_frames(pictures(), every):
            measured.append(one)
            hashes.append(bytes.fromhex(picture_hash(picture)))
    except InputError as error:
        ended = error.reason
    if ended is None and clip.incomplete:
        ended = clip.warnings[-1] if clip.warnings else "the clip ends early"
    size = clip.info.width, clip.info.height
    table = np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 8)
    return Study(source, key, size, next(seen), tuple(measured), table, ended)


_SAMPLE = 1 << 20


def _content_key(path: str) -> str:
    """32 hexadecimal digits that stand for a file's content: its length, and three parts of it. Hashing all of a
    clip of hours would take as long as decoding a part of it."""
    with Path(path).open("rb") as file:
        length = os.fstat(file.fileno()).st_size
        digest = hashlib.sha256(str(length).encode())
        for start in sorted({0, max(0, (length - _SAMPLE) // 2), max(0, length - _SAMPLE)}):
            file.seek(start)
            digest.update(file.read(_SAMPLE))
    return digest.hexdigest()[:32]


_NUMBERS = tuple(each.name for each in fields(Measured) if each.name != "look")


def _keep_study(work: Path, study: Study, every: float) -> None:
    about = {"measures": _MEASURES, "every": every, "size": study.size, "frames": study.frames, "ended": study.ended}
    stream = io.BytesIO()
    np.savez(
        stream,
        about=np.frombuffer(json.dumps(about).encode(), np.uint8),
        numbers=np.array([[getattr(m, name) for name in _NUMBERS] for m in study.measured], np.float64),
        looks=np.array([m.look for m in study.measured], np.float32),
        hashes=study.hashes,
    )
    atomic_bytes(work / f"{study.key}.npz", stream.getvalue())


def _read_study(work: Path, key: str, every: float, source: Source) -> Study | None:
    """What an earlier run measured; None where there is nothing that can be used."""
    try:
        with np.load(work / f"{key}.npz", allow_pickle=False) as kept:
            about = json.loads(kept["about"].tobytes())
            if about["measures"] != _MEASURES or (source.is_clip and about["every"] != every):
                return None
            hashes = kept["hashes"].astype(np.uint8).reshape(-1, 8)
            measured = []
            for row, look in zip(kept["numbers"].tolist(), kept["looks"], strict=True):
                values: dict[str, Any] = dict(zip(_NUMBERS, row, strict=True))
                values |= {"index": int(values["index"]), "shot": int(values["shot"])}
                measured.append(Measured(**values, look=look))
            if len(measured) != len(hashes):
                return None
            width, height = about["size"]
            return Study(source, key, (width, height), about["frames"], tuple(measured), hashes, about["ended"])
    except Exception:  # missing, damaged, or of another program: it is measured once more
        return None


# --- the choice -------------------------------------------------------------------------------------------------


def choose(studies: Sequence[Study], options: FramesOptions, rejected: frozenset[str] = frozenset()) -> Choice:
    """Which frames and photos make the set.

    Args:
        studies: from `study_sources`.
        options: how many, and what is good enough.
        rejected: names of pictures that are not wanted.

    Raises:
        NothingToDoError: not one can be used.
    """
    return _Chooser(studies, options, rejected).choose()


@dataclass
class _Chooser:
    studies: Sequence[Study]
    options: FramesOptions
    rejected: frozenset[str]
    refused: Counter[str] = field(default_factory=Counter)
    rain: dict[str, float] = field(default_factory=dict)

    def choose(self) -> Choice:
        usable = self._distinct(list(self._usable()))
        available = Counter(one.study.key for one in usable)
        limit = self.options.per_clip
        # By content: in no order that anybody made, and always in the same.
        sizes = {key: min(count, limit or count) for key, count in sorted(available.items())}
        testing = divided(sizes, self.options.total, self.options.test)
        wanted = {TEST: 0, TRAIN: self.options.total}
        if testing:
            wanted[TEST] = count_for_test(sum(sizes.values()), self.options.total, self.options.test)
            wanted[TRAIN] = self.options.total - self.options.test
        pictures: list[Chosen] = []
        for split in (TRAIN, TEST):
            pool = [one for one in usable if (one.study.key in testing) == (split == TEST)]
            pictures += self._taken(pool, wanted[split], split)
        if not pictures:
            raise NothingToDoError(f"no usable frames{self._reasons()}", hint="--min-rain, --every, --similar")
        pictures.sort(key=lambda one: one.file)
        by_source = Counter(one.study.source.path for one in pictures)
        notes = tuple(self._notes(len(pictures), sizes, testing))
        return Choice(tuple(pictures), dict(sorted(self.refused.items())), notes, by_source, self.rain)

    def _usable(self) -> Iterator[Chosen]:
        for study in self.studies:
            shots = [m.shot for m in study.measured]
            rain = steadied([m.rain for m in study.measured], shots)
            usual = {
                shot: float(np.median([m.sharpness for m in study.measured if m.shot == shot])) for shot in set(shots)
            }
            if study.source.is_clip and rain:
                self.rain[study.source.path] = float(np.median(rain))
            for place, one in enumerate(study.measured):
                reason = reason_against(one, rain[place], usual[one.shot], self.options.min_rain)
                if reason is None:
                    yield Chosen(study, place, "", rain[place])
                else:
                    self.refused[reason] += 1

    def _distinct(self, usable: list[Chosen]) -> list[Chosen]:
        """One of each group of near-duplicates, in all clips together: the one with the most rain."""
        usable.sort(key=lambda one: (-np.nan_to_num(one.rain), one.study.key, one.place))
        hashes = np.array([one.study.hashes[one.place] for one in usable], np.uint8).reshape(-1, 8)
        repeats = near_duplicates(hashes, self.options.similar)
        self.refused["near-duplicate"] += sum(repeat is not None for repeat in repeats)
        return [one for one, repeat in zip(usable, repeats, strict=True) if repeat is None]

    def _taken(self, pool: list[Chosen], count: int, split: str) -> list[Chosen]:
        # The rainiest is the first; from there on what is seen counts, not how much it rains.
        looks = np.array([one.study.measured[one.place].look for one in pool], np.float32)
        places = taken(
            spread(looks),
            [one.study.key for one in pool],
            count,
            per_group=self.options.per_clip,
            without={place for place, one in enumerate(pool) if one.name in self.rejected},
        )
        return [Chosen(pool[place].study, pool[place].place, split, pool[place].rain) for place in places]

    def _reasons(self) -> str:
        parts = [f"{count} {reason}" for reason, count in self.refused.most_common() if count]
        return f": {', '.join(parts)}" if parts else ""

    def _notes(self, there: int, sizes: Mapping[str, int], testing: frozenset[str]) -> Iterator[str]:
        if there < self.options.total:
            yield f"only {there} pictures of {self.options.total} are to be had{self._reasons()}"
        known = {study.name(place) for study in self.studies for place in range(len(study.measured))}
        if unknown := sorted(self.rejected - known):
            more = f", nor {len(unknown) - 1} others" if len(unknown) > 1 else ""
            yield f"{REJECT}: no frame of these clips is called {unknown[0]}{more}"
        if self.options.test and not testing:
            yield "no test: the split is by clip, and only one clip or photo is usable"
        # Across clips: a clip that nothing could be taken of has no name in the manifest to be missed by.
        for study in self.studies:
            if study.source.is_clip and study.key not in sizes:
                score = self.rain.get(study.source.path)
                why = "too short to tell" if score is None else f"its rain score is {score:.2f}"
                yield f"{study.source.path}: no frame is usable ({why})"


# --- writing ----------------------------------------------------------------------------------------------------


def read_rejected(out: Path) -> frozenset[str]:
    """Names in the list of pictures that are not wanted, without folder and suffix.

    Raises:
        InputError: the list cannot be read.
    """
    try:
        text = (out / REJECT).read_bytes().decode("utf-8-sig", "replace")
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", path=out / REJECT) from error
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    names = (re.split(r"[\\/]", line)[-1] for line in lines if line)
    return frozenset(name.removesuffix(".png") for name in names)


def write_frame_set(
    todo: FrameSetPlan,
    choice: Choice,
    options: FramesOptions,
    *,
    report: Callable[[Outcome], None],
    progress: Callable[[int], None] | None = None,
) -> tuple[Chosen, ...]:
    """Write the pictures that are not there yet, take away those that are no longer chosen, then sheets and manifest.

    Files that no run of this program wrote are left alone.

    Args:
        todo: a settled plan.
        choice: from `choose`.
        options: `jobs` matters here.
        report: called for each source whose pictures were written, with an error where some are missing.
        progress: called with the number of pictures written.

    Returns:
        The pictures that are there now.

    Raises:
        DestinationError: a folder cannot be made, or a file that is not ours is in the way.
        ResourceError: the disk is full.
    """
    return _Writer(todo.out, choice, options, report, progress or (lambda done: None)).write()


@dataclass
class _Writer:
    out: Path
    choice: Choice
    options: FramesOptions
    report: Callable[[Outcome], None]
    progress: Callable[[int], None]
    stop: threading.Event = field(default_factory=threading.Event)
    written: int = 0

    def write(self) -> tuple[Chosen, ...]:
        planned = {one.file: one for one in self.choice.pictures}
        known, sheets = self._read_record()
        for folder in {str(Path(file).parent) for file in (*planned, f"{TRAIN}/")} | {SHEETS}:
            make_folder(self.out / folder)
        # Before the first picture: what a killed run has written must be known to the next as ours.
        self._keep_record(known | planned.keys(), sheets)
        self._write_pictures([one for one in planned.values() if not (self.out / one.file).is_file()])
        for file in sorted(known - planned.keys()):
            _remove(self.out / file)
        there = tuple(one for one in self.choice.pictures if (self.out / one.file).is_file())
        new_sheets = self._write_sheets(there, sheets)
        _write_if_new(self.out / MANIFEST, _manifest(there, self.out))
        if not os.path.lexists(self.out / REJECT):
            atomic_text(self.out / REJECT, _REJECT_HEAD, overwrite=False)
        self._keep_record({one.file for one in there}, new_sheets)
        return there

    def _write_pictures(self, missing: list[Chosen]) -> None:
        by_source: dict[str, list[Chosen]] = {}
        for one in missing:
            by_source.setdefault(one.study.key, []).append(one)

        def work(group: list[Chosen]) -> Outcome | None:
            source = group[0].study.source
            try:
                self._write_group(group)
                return Outcome(source, group[0].study)
            except _Stop:
                return None
            except Exception as error:
                return _failure(source, error)

        def tell(outcome: Outcome, done: int) -> None:
            if outcome.fatal and outcome.error is not None:
                raise outcome.error
            self.report(outcome)
            self.progress(self.written)

        in_order(work, by_source.values(), tell, jobs=self.options.jobs, stop=self.stop, late=self.report)

    def _write_group(self, group: list[Chosen]) -> None:
        """The pictures of one source. In a thread."""
        study = group[0].study
        if not study.source.is_clip:
            self._write_picture(group[0], read_rgb(study.source.path))
            return
        wanted = {one.study.measured[one.place].index: one for one in group}
        with open_clip(study.source.path) as clip:
            for index, frame in enumerate(clip):
                if self.stop.is_set():
                    raise _Stop
                one = wanted.pop(index, None)
                if one is not None:
                    self._write_picture(one, to_uint8(frame.pixels))
                if not wanted:
                    return
        raise InputError("the clip has become shorter while it was worked on", path=study.source.path)

    def _write_picture(self, one: Chosen, pixels: NDArray[np.uint8]) -> None:
        write_rgb(self.out / one.file, pixels, overwrite=False)
        self.written += 1

    def _write_sheets(self, there: Sequence[Chosen], before: Mapping[str, list[str]]) -> dict[str, list[str]]:
        """Sheets of all pictures, those anew whose pictures have changed. Returns what is on each."""
        wanted: dict[str, list[Chosen]] = {}
        for split in (TRAIN, TEST):
            pictures = [one for one in there if one.split == split]
            for number, start in enumerate(range(0, len(pictures), _COLUMNS * _ROWS)):
                wanted[f"{SHEETS}/{split}-{number + 1:03d}.jpg"] = pictures[start : start + _COLUMNS * _ROWS]
        content = {file: [one.file for one in pictures] for file, pictures in wanted.items()}
        old = [file for file in wanted if before.get(file) != content[file] or not (self.out / file).is_file()]
        # While they change, the record says that they are ours and that nothing is known of what is on them.
        self._keep_record({one.file for one in there}, dict(before) | {file: [] for file in old})

        stop = threading.Event()

        def work(file: str) -> str | None:
            if stop.is_set():
                return None
            thumbs = [thumbnail(read_rgb(self.out / one.file)) for one in wanted[file]]
            captions = [(one.name, _caption(one)) for one in wanted[file]]
            write_rgb(self.out / file, contact_sheet(thumbs, captions, _COLUMNS))
            return file

        in_order(work, old, _untold, jobs=self.options.jobs, stop=stop, late=_untold)
        for file in sorted(before.keys() - wanted.keys()):
            _remove(self.out / file)
        return content

    def _read_record(self) -> tuple[set[str], dict[str, list[str]]]:
        """Files that earlier runs wrote into the set: pictures, and sheets with what is on them."""
        path = self.out / WORK / "written.json"
        try:
            record = json.loads(path.read_bytes())
            pictures = {str(file) for file in record["pictures"] if _is_ours(file, (TRAIN, TEST))}
            sheets = {str(file): list(names) for file, names in record["sheets"].items() if _is_ours(file, (SHEETS,))}
            return pictures, sheets
        except FileNotFoundError:
            return set(), {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise DestinationError("the record of what was written is damaged", path=path, hint="another -o") from error

    def _keep_record(self, pictures: set[str], sheets: Mapping[str, list[str]]) -> None:
        record = {"pictures": sorted(pictures), "sheets": dict(sorted(sheets.items()))}
        _write_if_new(self.out / WORK / "written.json", json.dumps(record, indent=1) + "\n")


def _untold(*what: object) -> None:
    """For work whose results need no telling."""


def _is_ours(file: Any, folders: tuple[str, ...]) -> bool:
    """Whether a file of the record lies where this program writes: what is removed must not hang on a list alone."""
    return isinstance(file, str) and re.fullmatch(rf"(?:{'|'.join(folders)})/[A-Za-z0-9._-]+", file) is not None


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise DestinationError(f"cannot be removed: {error.strerror}", path=path) from error


def _write_if_new(path: Path, text: str) -> None:
    """A run with nothing to do changes nothing."""
    if not (path.is_file() and path.read_bytes() == text.encode("utf-8", "surrogateescape")):
        atomic_text(path, text)


def _caption(one: Chosen) -> str:
    frame = one.study.measured[one.place]
    return f"sharp {frame.sharpness:.2f}" if np.isnan(one.rain) else f"rain {one.rain:.2f}  {frame.seconds:.2f} s"


_HEADINGS = (
    *("file", "split", "source", "frame", "seconds", "shot", "width", "height"),
    *("rain", "sharpness", "brightness", "contrast", "clipped", "hash"),
)


def _manifest(pictures: Sequence[Chosen], out: Path) -> str:
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(_HEADINGS)
    start = os.path.realpath(out)
    for one in pictures:
        frame, is_clip = one.study.measured[one.place], one.study.source.is_clip
        source = os.path.relpath(os.path.realpath(one.study.source.path), start).replace(os.sep, "/")
        where = [frame.index, f"{frame.seconds:.3f}", frame.shot] if is_clip else ["", "", ""]
        table.writerow(
            [
                *(one.file, one.split, source, *where, *one.study.size),
                f"{one.rain:.3f}" if is_clip else "",
                *(f"{value:.3f}" for value in (frame.sharpness, frame.brightness, frame.contrast, frame.clipped)),
                one.study.hashes[one.place].tobytes().hex(),
            ]
        )
    return stream.getvalue()
