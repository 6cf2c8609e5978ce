"""Selects the frames and photos of a data set from the measurements alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from derain_cli.errors import NothingToDoError
from derain_cli.jobs.frame_set.layout import REJECT, TEST, TRAIN
from derain_cli.jobs.frame_set.options import FramesOptions
from derain_cli.jobs.frame_set.sampling import (
    count_for_test,
    farthest_point_order,
    near_duplicates,
    pick,
    rejection_reason,
    running_median,
    split_by_group,
)
from derain_cli.jobs.frame_set.study import Study
from derain_cli.remedies import Remedy

__all__ = ["Choice", "Chosen", "choose"]


@dataclass(frozen=True, eq=False)
class Chosen:
    """One picture of the set: `study.measured[place]`, in `split`; `rain` is the smoothed score, nan for a photo."""

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
        refused: number of unusable measured frames, by reason.
        notes: one-line remarks on what is missing, and why.
        by_source: number of selected pictures, by source path.
        rain: median of the smoothed rain scores of a clip, by path.
    """

    pictures: tuple[Chosen, ...]
    refused: Mapping[str, int]
    notes: tuple[str, ...]
    by_source: Mapping[str, int] = field(default_factory=dict)
    rain: Mapping[str, float] = field(default_factory=dict)

    def count(self, split: str) -> int:
        """Number of pictures in a split."""
        return sum(picture.split == split for picture in self.pictures)


def choose(studies: Sequence[Study], options: FramesOptions, rejected: frozenset[str] = frozenset()) -> Choice:
    """Select the frames and photos of a set.

    Args:
        studies: from `study_sources`.
        options: number of pictures and requirements.
        rejected: names of unwanted pictures.

    Raises:
        NothingToDoError: none is usable.
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
        # Sorted by content key: arbitrary but reproducible.
        sizes = {key: min(count, limit or count) for key, count in sorted(available.items())}
        testing = split_by_group(sizes, self.options.total, self.options.test)
        wanted = {TEST: 0, TRAIN: self.options.total}
        if testing:
            wanted[TEST] = count_for_test(sum(sizes.values()), self.options.total, self.options.test)
            wanted[TRAIN] = self.options.total - self.options.test
        pictures: list[Chosen] = []
        for split in (TRAIN, TEST):
            pool = [one for one in usable if (one.study.key in testing) == (split == TEST)]
            pictures += self._taken(pool, wanted[split], split)
        if not pictures:
            reasons = self._reasons()  # without any, no frame was even measured, so lower requirements would not help
            remedy = Remedy.LOWER_DEMANDS if reasons else None
            raise NothingToDoError(f"no usable frames{reasons}", remedy=remedy)
        pictures.sort(key=lambda one: one.file)
        by_source = Counter(one.study.source.path for one in pictures)
        notes = tuple(self._notes(len(pictures), sizes, testing))
        return Choice(tuple(pictures), dict(sorted(self.refused.items())), notes, by_source, self.rain)

    def _usable(self) -> Iterator[Chosen]:
        for study in self.studies:
            shots = [m.shot for m in study.measured]
            rain = running_median([m.rain for m in study.measured], shots)
            usual = {
                shot: float(np.median([m.sharpness for m in study.measured if m.shot == shot])) for shot in set(shots)
            }
            if study.source.is_clip and rain:
                self.rain[study.source.path] = float(np.median(rain))
            for place, one in enumerate(study.measured):
                reason = rejection_reason(one, rain[place], usual[one.shot], self.options.min_rain)
                if reason is None:
                    yield Chosen(study, place, "", rain[place])
                else:
                    self.refused[reason] += 1

    def _distinct(self, usable: list[Chosen]) -> list[Chosen]:
        """One picture per group of near-duplicates across all clips: the one with the most rain."""
        usable.sort(key=lambda one: (-np.nan_to_num(one.rain), one.study.key, one.place))
        hashes = np.array([one.study.hashes[one.place] for one in usable], np.uint8).reshape(-1, 8)
        repeats = near_duplicates(hashes, self.options.similar)
        self.refused["near-duplicate"] += sum(repeat is not None for repeat in repeats)
        return [one for one, repeat in zip(usable, repeats, strict=True) if repeat is None]

    def _taken(self, pool: list[Chosen], count: int, split: str) -> list[Chosen]:
        # The rainiest comes first; after that diversity counts, not the amount of rain.
        looks = np.array([one.study.measured[one.place].look for one in pool], np.float32)
        places = pick(
            farthest_point_order(looks),
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
            yield f"only {there} of {self.options.total} pictures found{self._reasons()}"
        known = {study.name(place) for study in self.studies for place in range(len(study.measured))}
        if unknown := sorted(self.rejected - known):
            more = f" (and {len(unknown) - 1} more)" if len(unknown) > 1 else ""
            yield f"{REJECT}: these clips have no frame named {unknown[0]}{more}"
        if self.options.test and not testing:
            yield "no test split: splits share no clip, and only one clip or photo is usable"
        # Clips without a usable frame do not appear in the manifest, so they are reported here.
        for study in self.studies:
            score = self.rain.get(study.source.path)
            if study.source.is_clip and study.key not in sizes and score is not None:
                yield f"{study.source.path}: no usable frame (rain score {score:.2f})"
