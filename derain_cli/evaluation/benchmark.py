"""Compares networks on data sets: the work of `derain eval`, without terminal output.

Nothing is tuned here: all settings are fixed before the first picture and are part of the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from typing import Protocol as Interface

from derain_cli.datasets.fingerprint import KnownPictures, overlap
from derain_cli.datasets.opening import DatasetView, open_dataset
from derain_cli.datasets.pairs import Pair, read_pair
from derain_cli.datasets.sides import looks_swapped
from derain_cli.errors import InputError, NothingToDoError
from derain_cli.evaluation.document import Findings, PhotoRow, Row, document_of, pair_result, photo_result
from derain_cli.evaluation.models import EvaluatedModel, open_model
from derain_cli.evaluation.options import BenchmarkOptions
from derain_cli.evaluation.scores import PhotoResult, PictureResult, Scores, evaluate, evaluate_unpaired
from derain_cli.evaluation.turns import Picture
from derain_cli.media.photo import read_rgb
from derain_cli.remedies import Remedy

R = TypeVar("R", Row, PhotoRow)

__all__ = ["Benchmark", "Exhibit", "Listener", "SilentListener", "run_benchmark"]

_NAMES = 12  # maximum number of picture names in a warning; the document lists all
_SWAP_SAMPLE = 6  # pairs compared to detect swapped folders; more would noticeably slow down a run


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A picture for the report: the `worst`, `median` or `best` of a model on a data set, with the value it was ranked
    by and, if there is one, the same value for the input."""

    dataset: str
    group: str
    model: str
    rank: str
    picture: str
    ranked_by: str
    value: float
    input_value: float | None
    rainy: Picture
    restored: Picture
    clean: Picture | None


@dataclass(frozen=True)
class Benchmark:
    """The result of a benchmark. `document` is ready for JSON; rows are per picture.

    `failed` lists pictures that could not be paired, or not be scored by every model.
    """

    document: Mapping[str, Any]
    rows: tuple[Row, ...]
    photo_rows: tuple[PhotoRow, ...]
    failed: tuple[InputError, ...]


class Listener(Interface):
    """Receives progress events, in the calling thread."""

    def started(self, pictures: int) -> None:
        """`pictures` restorations will be run in total (pictures x models)."""

    def stepped(self, done: int, text: str) -> None:
        """`done` restorations are finished."""

    def warned(self, text: str) -> None:
        """A warning about a data set as a whole."""

    def failed(self, error: InputError) -> None:
        """A picture could not be used."""

    def shown(self, exhibit: Exhibit) -> None:
        """A picture for the report, if requested; it is not kept."""


class SilentListener:
    """Ignores all events."""

    def started(self, pictures: int) -> None: ...
    def stepped(self, done: int, text: str) -> None: ...
    def warned(self, text: str) -> None: ...
    def failed(self, error: InputError) -> None: ...
    def shown(self, exhibit: Exhibit) -> None: ...


def run_benchmark(options: BenchmarkOptions, listener: Listener | None = None) -> Benchmark:
    """Evaluate every model on every data set.

    Raises:
        UsageError: an unknown data set or model.
        NothingToDoError: a data set is missing, nothing could be scored, or (strict) the data are suspicious.
        WeightsError: weights missing or damaged.
        ResourceError: out of memory, or the device is not available.
    """
    return _BenchmarkRun(options, listener or SilentListener()).run()


class _BenchmarkRun:
    def __init__(self, options: BenchmarkOptions, listener: Listener):
        self.options, self.listener = options, listener
        self.rows: list[Row] = []
        self.photo_rows: list[PhotoRow] = []
        self.failed: dict[tuple[str, str], InputError] = {}
        self.done = 0
        self.seen: dict[tuple[str, str], list[str]] = {}
        self.inputs: dict[Pair, Scores] = {}

    def run(self) -> Benchmark:
        views = self._open()
        models = [open_model(name, self.options) for name in dict.fromkeys(self.options.models)]
        warnings = {view.name: self._inspect(view, models) for view in views}
        for view in views:
            for error in view.rejected:
                self._fail(error)
        pictures = sum(len(view.pairs) + len(view.photos) for view in views)
        self.listener.started(pictures * len(models))
        results: list[dict[str, Any]] = []
        reasons: list[NothingToDoError] = []
        for view in views:
            of_view: list[dict[str, Any]] = []
            for model in models:
                try:
                    of_view += self._measure(view, model)
                except NothingToDoError as error:
                    reasons.append(error)
                    if len(views) * len(models) > 1:  # otherwise it is raised at the end
                        self.listener.warned(f"{view.name}, {model.name}: {error}")
            if self.options.exhibits:
                self._exhibit(view, models)
            # Sorted by group, so that models are listed next to each other.
            order = [group.name for group in view.groups]
            results += sorted(of_view, key=lambda r: order.index(r["group"]) if r["group"] in order else len(order))
        if not results:
            raise reasons[0] if reasons else NothingToDoError("no pictures to evaluate")
        rows, photo_rows, failed = tuple(self.rows), tuple(self.photo_rows), tuple(self.failed.values())
        found = Findings(self.options, views, models, results, warnings, (*rows, *photo_rows), self.seen, failed)
        return Benchmark(document_of(found), rows, photo_rows, failed)

    def _open(self) -> list[DatasetView]:
        views: list[DatasetView] = []
        for name in dict.fromkeys(self.options.datasets):
            view = open_dataset(name, self.options.split, self.options.data_root)
            # Two folders may have the same name; results must distinguish them.
            views.append(replace(view, name=name) if any(view.name == other.name for other in views) else view)
        return views

    # --- before --------------------------------------------------------------------------------------------------

    def _inspect(self, view: DatasetView, models: Sequence[EvaluatedModel]) -> list[str]:
        """Warnings about a data set; an error if `strict`."""
        found = list(view.warnings)
        for group in view.groups:
            if looks_swapped(group.pairs, _SWAP_SAMPLE):
                found.append(f"{group.name}: the input looks cleaner than the ground truth; are the folders swapped?")
        for model in models if self.options.strict else ():
            # Otherwise it is detected during evaluation, without reading the pictures twice.
            seen = overlap(model.hashes, view.pairs)
            if seen:
                names = [item.name for item in seen]
                found.append(_overlap_in_words(view.name, model.name, names, len(view.pairs)))
        for text in found:
            self.listener.warned(text)
        if found and self.options.strict:
            raise NothingToDoError(found[0], remedy=Remedy.NOT_STRICT)
        return found

    # --- the work ------------------------------------------------------------------------------------------------

    def _measure(self, view: DatasetView, model: EvaluatedModel) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if view.groups:
            found += self._measure_pairs(view, model)
        if view.photos:
            found.append(self._measure_photos(view, model))
        return found

    def _step(self, view: DatasetView, model: EvaluatedModel) -> None:
        self.done += 1
        self.listener.stepped(self.done, f"{view.name}, {model.name}")

    def _measure_pairs(self, view: DatasetView, model: EvaluatedModel) -> list[dict[str, Any]]:
        rows: dict[str, list[Row]] = {}
        known = KnownPictures(model.hashes)
        seen = self.seen.setdefault((view.name, model.name), [])

        def each(result: PictureResult) -> None:
            if known.holds(result.clean):
                seen.append(result.name)
            height, width = result.rainy.shape[:2]
            row = Row(
                view.name, result.group, result.name, model.name, width, height, result.seconds,
                result.before, result.after, result.source,
            )  # fmt: skip
            rows.setdefault(result.group, []).append(row)
            self._step(view, model)

        evaluation = evaluate(model, view.groups, each, inputs=self.inputs)
        self.done += len(evaluation.failed)
        for error in evaluation.failed:
            self._fail(error)
        if seen:
            self.listener.warned(_overlap_in_words(view.name, model.name, seen, len(view.pairs)))
        results = []
        for of_group in rows.values():
            self.rows += of_group
            results.append(pair_result(of_group))
        return results

    def _exhibit(self, view: DatasetView, models: Sequence[EvaluatedModel]) -> None:
        """Show three pictures of each group by all models, ranked by the first one that is not the input itself.

        They are restored again: keeping all of them until they are ranked would not fit in memory.
        """
        by_name = {model.name: model for model in models}
        pairs = {pair.rainy: pair for pair in view.pairs}
        rows = [row for row in self.rows if row.dataset == view.name]
        for group in dict.fromkeys(row.group for row in rows):
            of_group = [row for row in rows if row.group == group]
            for rank, chosen in _ranked_by_first(of_group, lambda row: row.after["rgb"].psnr):
                rainy, clean = read_pair(pairs[chosen.source])
                for row in of_group:
                    if row.source == chosen.source:
                        exhibit = Exhibit(
                            row.dataset, row.group, row.model, rank, row.picture, "dB (PSNR rgb)",
                            row.after["rgb"].psnr, row.before["rgb"].psnr, rainy, by_name[row.model](rainy), clean,
                        )  # fmt: skip
                        self.listener.shown(exhibit)
        photo_rows = [row for row in self.photo_rows if row.dataset == view.name]
        for rank, picked in _ranked_by_first(photo_rows, lambda row: row.figures["streak_energy_removed"]):
            rainy = read_rgb(picked.source)
            for photo in photo_rows:
                if photo.source == picked.source:
                    exhibit = Exhibit(
                        photo.dataset, "", photo.model, rank, photo.picture, "of the streak energy removed",
                        photo.figures["streak_energy_removed"], None, rainy, by_name[photo.model](rainy), None,
                    )  # fmt: skip
                    self.listener.shown(exhibit)

    def _measure_photos(self, view: DatasetView, model: EvaluatedModel) -> dict[str, Any]:
        rows: list[PhotoRow] = []

        def each(result: PhotoResult) -> None:
            height, width = result.rainy.shape[:2]
            row = PhotoRow(
                view.name, result.name, model.name, width, height, result.seconds,
                result.figures.as_dict(), result.source,
            )  # fmt: skip
            rows.append(row)
            self._step(view, model)

        evaluation = evaluate_unpaired(model, view.photos, each)
        self.done += len(evaluation.failed)
        for error in evaluation.failed:
            self._fail(error)
        self.photo_rows += rows
        return photo_result(rows)

    def _fail(self, error: InputError) -> None:
        key = (str(error.path), error.reason)
        if key not in self.failed:
            self.failed[key] = error
            self.listener.failed(error)


def _overlap_in_words(dataset: str, model: str, names: Sequence[str], count: int) -> str:
    some = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
    return f"{dataset}: {len(names)} of {count} pictures are in the training set of {model}: {some}"


def _ranked_by_first(rows: Sequence[R], value: Callable[[R], float]) -> list[tuple[str, R]]:
    """The rows with the lowest, middle and highest value of the first model but `input`, without duplicates."""
    models = list(dict.fromkeys(row.model for row in rows))
    first = next((model for model in models if model != "input"), models[0] if models else "")
    own = sorted((row for row in rows if row.model == first), key=value)
    if not own:
        return []
    places = {len(own) - 1: "best", (len(own) - 1) // 2: "median", 0: "worst"}
    return [(places[place], own[place]) for place in sorted(places)]
