"""Networks side by side on data sets: what `derain eval` does, without the talking.

Nothing is tuned here: what a run hangs on is settled before the first picture and is part of the result.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any
from typing import Protocol as Interface

import torch

from derain_cli.checkpoints.find import find_weights
from derain_cli.checkpoints.weight_file import load_weights, network
from derain_cli.config import RestoreOptions
from derain_cli.datasets.fingerprint import KnownPictures, overlap
from derain_cli.datasets.opening import DatasetView, open_dataset
from derain_cli.datasets.pairs import Pair, read_pair
from derain_cli.datasets.sides import looks_swapped
from derain_cli.engine.device import pick_device
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import InputError, NothingToDoError
from derain_cli.evaluation.peers import find_peer, is_peer
from derain_cli.evaluation.published import published_for
from derain_cli.evaluation.scores import PhotoResult, Picture, PictureResult, Scores, evaluate, examine
from derain_cli.media.photo import read_rgb
from derain_cli.metrics import DEFINITIONS, IDENTICAL_PSNR, PROTOCOLS, Protocol, Score
from derain_cli.metrics.no_reference import FIGURES
from derain_cli.model.semi_drdnet import build, macs_per_pixel
from derain_cli.system.provenance import commit, machine, versions

__all__ = [
    "Benchmark",
    "BenchmarkOptions",
    "Contender",
    "Exhibit",
    "Listener",
    "PhotoRow",
    "Row",
    "SilentListener",
    "Spread",
    "open_contender",
    "run_benchmark",
]

_SHORT = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
_NAMES = 12  # of pictures in one warning; all of them are in the document
_SWAP_SAMPLE = 6  # pairs looked at for swapped folders; more would be felt in the time a run takes


@dataclass(frozen=True)
class BenchmarkOptions:
    """What is measured, and how.

    Attributes:
        datasets: names of `DATASETS`, or folders.
        models: installed models, weight files, `hf:ORG/REPO`, or what `derain_cli.evaluation.peers` knows.
        restore: device, precision, tile and strength; the last three concern our own networks alone.
        split: part of the data sets.
        data_root: where named data sets lie.
        pad_multiple: for foreign networks; 0 asks them.
        strict: what is wrong with the data as a whole is an error.
        exhibits: pictures are to be shown.
    """

    datasets: tuple[str, ...]
    models: tuple[str, ...]
    restore: RestoreOptions = field(default_factory=RestoreOptions)
    split: str = "test"
    data_root: Path | None = None
    pad_multiple: int = 0
    strict: bool = False
    exhibits: bool = False


@dataclass(frozen=True, eq=False)
class Contender:
    """A network or a baseline that takes part: called with a picture, and what there is to know of it."""

    name: str
    kind: str
    about: str
    run: Callable[[Picture], Picture]
    device: str
    precision: str
    parameters: int | None
    macs_per_pixel: float | None
    sha256: str | None
    settings: Mapping[str, Any]
    hashes: tuple[str, ...] = ()

    def __call__(self, picture: Picture) -> Picture:
        return self.run(picture)

    def facts(self) -> dict[str, Any]:
        """All but the network, ready for JSON."""
        names = ("name", "kind", "about", "device", "precision", "parameters", "macs_per_pixel", "sha256")
        return {name: getattr(self, name) for name in names} | {"settings": dict(self.settings)}


@dataclass(frozen=True)
class Spread:
    """Mean, median and worst (lowest) of a score over pictures."""

    mean: float
    median: float
    worst: float

    @staticmethod
    def of(values: Sequence[float]) -> Spread:
        return Spread(fmean(values), median(values), min(values))


@dataclass(frozen=True)
class Row:
    """The scores of one picture by one model."""

    dataset: str
    group: str
    picture: str
    model: str
    width: int
    height: int
    seconds: float
    before: Mapping[Protocol, Score]
    after: Mapping[Protocol, Score]
    source: Path


@dataclass(frozen=True)
class PhotoRow:
    """The figures of one photo without ground truth by one model."""

    dataset: str
    picture: str
    model: str
    width: int
    height: int
    seconds: float
    figures: Mapping[str, float]
    source: Path


@dataclass(frozen=True, eq=False)
class Exhibit:
    """A picture to show: the `worst`, `median` or `best` of a model on a data set, with the number it was ranked by
    and, where there is one, the same number of the input."""

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
    """All that came out. `document` is ready for JSON; rows are per picture.

    `failed` are pictures that could not be scored by every model, or not paired.
    """

    document: Mapping[str, Any]
    rows: tuple[Row, ...]
    photo_rows: tuple[PhotoRow, ...]
    failed: tuple[InputError, ...]


class Listener(Interface):
    """Is told what happens, in the calling thread."""

    def started(self, pictures: int) -> None:
        """So many pictures, each model counted, are to be restored."""

    def stepped(self, done: int, text: str) -> None:
        """`done` of them are."""

    def warned(self, text: str) -> None:
        """Something about a data set as a whole."""

    def failed(self, error: InputError) -> None:
        """A picture could not be used."""

    def shown(self, exhibit: Exhibit) -> None:
        """A picture to show, if asked for; it is not kept."""


class SilentListener:
    """Says nothing."""

    def started(self, pictures: int) -> None: ...
    def stepped(self, done: int, text: str) -> None: ...
    def warned(self, text: str) -> None: ...
    def failed(self, error: InputError) -> None: ...
    def shown(self, exhibit: Exhibit) -> None: ...


def open_contender(name: str, options: BenchmarkOptions) -> Contender:
    """The network or baseline of this name.

    Raises:
        WeightsError: weights missing or damaged.
        UsageError: a foreign network that cannot be found.
        ResourceError: the device is not there.
    """
    device = pick_device(options.restore.device)
    if is_peer(name):
        peer = find_peer(name, device, options.pad_multiple)
        return Contender(
            name=peer.name,
            kind=peer.kind,
            about=peer.about,
            run=peer,
            device=str(peer.device),
            precision="fp32",
            parameters=peer.parameters,
            macs_per_pixel=peer.macs_per_pixel,
            sha256=peer.sha256,
            settings={"tile": 0, "pad_multiple": peer.pad_multiple},
        )
    weights = load_weights(find_weights(name))
    restorer = Restorer(network(weights), options.restore, weights.card)
    with torch.device("meta"):
        parameters = sum(p.numel() for p in build(weights.config).parameters())
    return Contender(
        name=name,
        kind="derain",
        about=weights.card.summary or weights.card.name,
        run=restorer,
        device=str(restorer.device),
        precision=_SHORT[restorer.dtype],
        parameters=parameters,
        macs_per_pixel=macs_per_pixel(weights.config),
        sha256=weights.sha256,
        settings={"tile": options.restore.tile, "strength": options.restore.strength},
        hashes=weights.card.hashes,
    )


def run_benchmark(options: BenchmarkOptions, listener: Listener | None = None) -> Benchmark:
    """Measure every model on every data set.

    Raises:
        UsageError: an unknown data set or model.
        NothingToDoError: a data set is not there, nothing could be scored, or (strict) the data are suspicious.
        WeightsError: weights missing or damaged.
        ResourceError: out of memory, or the device is not there.
    """
    return _Run(options, listener or SilentListener()).run()


class _Run:
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
        contenders = [open_contender(name, self.options) for name in dict.fromkeys(self.options.models)]
        warnings = {view.name: self._inspect(view, contenders) for view in views}
        for view in views:
            for error in view.rejected:
                self._fail(error)
        pictures = sum(len(view.pairs) + len(view.photos) for view in views)
        self.listener.started(pictures * len(contenders))
        results: list[dict[str, Any]] = []
        reasons: list[NothingToDoError] = []
        for view in views:
            found: list[dict[str, Any]] = []
            for contender in contenders:
                try:
                    found += self._measure(view, contender)
                except NothingToDoError as error:
                    reasons.append(error)
                    if len(views) * len(contenders) > 1:  # else it is what the run ends with
                        self.listener.warned(f"{view.name}, {contender.name}: {error}")
            # Models side by side; groups in their order.
            order = [group.name for group in view.groups]
            results += sorted(found, key=lambda r: order.index(r["group"]) if r["group"] in order else len(order))
        if not results:
            raise reasons[0] if reasons else NothingToDoError("no pictures to measure")
        document = self._document(views, contenders, results, warnings)
        return Benchmark(document, tuple(self.rows), tuple(self.photo_rows), tuple(self.failed.values()))

    def _open(self) -> list[DatasetView]:
        views: list[DatasetView] = []
        for name in dict.fromkeys(self.options.datasets):
            view = open_dataset(name, self.options.split, self.options.data_root)
            # Two folders may have one name: results must tell them apart.
            views.append(replace(view, name=name) if any(view.name == other.name for other in views) else view)
        return views

    # --- before --------------------------------------------------------------------------------------------------

    def _inspect(self, view: DatasetView, contenders: Sequence[Contender]) -> list[str]:
        """What is suspicious about a data set; told, and with `strict` an error."""
        found = list(view.warnings)
        for group in view.groups:
            if looks_swapped(group.pairs, _SWAP_SAMPLE):
                found.append(f"{group.name}: input looks cleaner than ground truth: are the folders swapped?")
        for contender in contenders if self.options.strict else ():
            # Otherwise it is found out on the way, and costs no second reading.
            seen = overlap(contender.hashes, view.pairs)
            if seen:
                names = [item.name for item in seen]
                found.append(_overlap_in_words(view.name, contender.name, names, len(view.pairs)))
        for text in found:
            self.listener.warned(text)
        if found and self.options.strict:
            raise NothingToDoError(found[0], hint="leave --strict out to measure all the same")
        return found

    # --- the work ------------------------------------------------------------------------------------------------

    def _measure(self, view: DatasetView, contender: Contender) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        if view.groups:
            found += self._measure_pairs(view, contender)
        if view.photos:
            found.append(self._measure_photos(view, contender))
        return found

    def _step(self, view: DatasetView, contender: Contender) -> None:
        self.done += 1
        self.listener.stepped(self.done, f"{view.name}, {contender.name}")

    def _measure_pairs(self, view: DatasetView, contender: Contender) -> list[dict[str, Any]]:
        rows: dict[str, list[Row]] = {}
        known = KnownPictures(contender.hashes)
        seen = self.seen.setdefault((view.name, contender.name), [])

        def each(result: PictureResult) -> None:
            if known.holds(result.clean):
                seen.append(result.name)
            height, width = result.rainy.shape[:2]
            row = Row(
                view.name, result.group, result.name, contender.name, width, height, result.seconds,
                result.before, result.after, result.source,
            )  # fmt: skip
            rows.setdefault(result.group, []).append(row)
            self._step(view, contender)

        evaluation = evaluate(contender, view.groups, each, inputs=self.inputs)
        self.done += len(evaluation.failed)
        for error in evaluation.failed:
            self._fail(error)
        if seen:
            self.listener.warned(_overlap_in_words(view.name, contender.name, seen, len(view.pairs)))
        results = []
        for of_group in rows.values():
            self.rows += of_group
            results.append(_pair_result(of_group))
            if self.options.exhibits:
                self._exhibit_pairs(view, contender, of_group)
        return results

    def _exhibit_pairs(self, view: DatasetView, contender: Contender, rows: Sequence[Row]) -> None:
        """Show three pictures. They are made once more: keeping them all until the ranks are known is no choice."""
        pairs = {pair.rainy: pair for pair in view.pairs}
        for rank, row in _ranked(rows, [row.after["rgb"].psnr for row in rows]):
            rainy, clean = read_pair(pairs[row.source])
            exhibit = Exhibit(
                row.dataset, row.group, row.model, rank, row.picture, "dB (PSNR rgb)", row.after["rgb"].psnr,
                row.before["rgb"].psnr, rainy, contender(rainy), clean,
            )  # fmt: skip
            self.listener.shown(exhibit)

    def _measure_photos(self, view: DatasetView, contender: Contender) -> dict[str, Any]:
        rows: list[PhotoRow] = []

        def each(result: PhotoResult) -> None:
            height, width = result.rainy.shape[:2]
            row = PhotoRow(
                view.name, result.name, contender.name, width, height, result.seconds,
                result.figures.as_dict(), result.source,
            )  # fmt: skip
            rows.append(row)
            self._step(view, contender)

        examination = examine(contender, view.photos, each)
        self.done += len(examination.failed)
        for error in examination.failed:
            self._fail(error)
        self.photo_rows += rows
        if self.options.exhibits:
            for rank, row in _ranked(rows, [row.figures["streak_energy_removed"] for row in rows]):
                rainy = read_rgb(row.source)
                exhibit = Exhibit(
                    row.dataset, "", row.model, rank, row.picture, "of the streak energy removed",
                    row.figures["streak_energy_removed"], None, rainy, contender(rainy), None,
                )  # fmt: skip
                self.listener.shown(exhibit)
        return _photo_result(rows)

    def _fail(self, error: InputError) -> None:
        key = (str(error.path), error.reason)
        if key not in self.failed:
            self.failed[key] = error
            self.listener.failed(error)

    # --- after ---------------------------------------------------------------------------------------------------

    def _document(
        self,
        views: Sequence[DatasetView],
        contenders: Sequence[Contender],
        results: list[dict[str, Any]],
        warnings: Mapping[str, list[str]],
    ) -> dict[str, Any]:
        return {
            "kind": "evaluation",
            "settings": self._settings(contenders),
            "datasets": [_facts_of(view, warnings[view.name]) for view in views],
            "models": [contender.facts() | self._speed(contender) for contender in contenders],
            "results": results,
            "seen_in_training": [
                {"dataset": view.name, "model": contender.name, "pictures": self.seen.get((view.name, contender.name))}
                for view in views
                for contender in contenders
                if contender.hashes
            ],
            "published": [
                asdict(entry)
                for view in views
                if view.record and self.options.split == "test"
                for name in dict.fromkeys((view.name, *(group.name for group in view.groups)))
                for entry in published_for(name)
            ],
            "failed": [{"path": str(e.path), "error": e.reason, "hint": e.hint} for e in self.failed.values()],
        }

    def _speed(self, contender: Contender) -> dict[str, float | None]:
        every: list[Row | PhotoRow] = [*self.rows, *self.photo_rows]
        rows = [row for row in every if row.model == contender.name]
        return {"seconds_per_megapixel": _seconds_per_megapixel(rows) if rows else None}

    def _settings(self, contenders: Sequence[Contender]) -> dict[str, Any]:
        options = self.options
        cuda = [c.device for c in contenders if c.device.startswith("cuda")]
        return {
            "protocols": dict(DEFINITIONS),
            "figures_without_truth": FIGURES,
            "identical_pictures": f"count as {IDENTICAL_PSNR:.0f} dB",
            "outputs": "rounded to 8 bits; nothing resized, no border cut; means of per-picture values",
            "timing": "median over the pictures; others are read and scored meanwhile only where cores are free",
            "split": options.split,
            "device": options.restore.device,
            "precision": options.restore.precision,
            "tile": options.restore.tile,
            "strength": options.restore.strength,
            "pad_multiple": options.pad_multiple or "the network's own, else 1",
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name(cuda[0]) if cuda else None,
            "machine": machine(),
            "versions": versions(),
            "commit": commit(),
            "date": datetime.datetime.now(datetime.UTC).replace(microsecond=0).isoformat(),
        }


def _overlap_in_words(dataset: str, model: str, names: Sequence[str], count: int) -> str:
    some = ", ".join(names[:_NAMES]) + (", ..." if len(names) > _NAMES else "")
    return f"{dataset}: {len(names)} of {count} pictures lie in the training set of {model}: {some}"


def _ranked(rows: Sequence[Any], values: Sequence[float]) -> list[tuple[str, Any]]:
    """Lowest, middle and highest; fewer where there are fewer rows."""
    order = sorted(range(len(rows)), key=lambda i: (values[i], i))
    places = dict.fromkeys((order[0], order[(len(order) - 1) // 2], order[-1]))
    names = {order[-1]: "best", order[(len(order) - 1) // 2]: "median", order[0]: "worst"}
    return [(names[i], rows[i]) for i in places]


def _timing(rows: Sequence[Any]) -> dict[str, float]:
    return {
        "seconds": sum(row.seconds for row in rows),
        "megapixels": sum(row.width * row.height for row in rows) / 1e6,
        "seconds_per_megapixel": _seconds_per_megapixel(rows),
    }


def _seconds_per_megapixel(rows: Sequence[Row | PhotoRow]) -> float:
    """The median: the first picture pays for what networks do only once."""
    return median(row.seconds / (row.width * row.height / 1e6) for row in rows)


def _pair_result(rows: Sequence[Row]) -> dict[str, Any]:
    def spreads(scores: Sequence[Mapping[Protocol, Score]]) -> dict[str, Any]:
        return {
            protocol: {
                "psnr": asdict(Spread.of([score[protocol].psnr for score in scores])),
                "ssim": asdict(Spread.of([score[protocol].ssim for score in scores])),
            }
            for protocol in PROTOCOLS
        }

    first = rows[0]

    def identical(scores: Sequence[Mapping[Protocol, Score]]) -> dict[str, int]:
        return {protocol: sum(score[protocol].psnr == IDENTICAL_PSNR for score in scores) for protocol in PROTOCOLS}

    return {
        "dataset": first.dataset,
        "group": first.group,
        "model": first.model,
        "pictures": len(rows),
        "input": spreads([row.before for row in rows]),
        "output": spreads([row.after for row in rows]),
        "identical": identical([row.after for row in rows]),
        "identical_inputs": identical([row.before for row in rows]),
        **_timing(rows),
    }


def _photo_result(rows: Sequence[PhotoRow]) -> dict[str, Any]:
    first = rows[0]

    def middle(of: Callable[[Sequence[float]], float], name: str) -> float | None:
        values = [row.figures[name] for row in rows if name in row.figures]
        return of(values) if values else None

    return {
        "dataset": first.dataset,
        "group": None,
        "model": first.model,
        "pictures": len(rows),
        "figures": {name: {"mean": middle(fmean, name), "median": middle(median, name)} for name in FIGURES},
        **_timing(rows),
    }


def _facts_of(view: DatasetView, warnings: list[str]) -> dict[str, Any]:
    paths = [str(path) for pair in view.pairs for path in (pair.rainy, pair.clean)] + [str(p) for p in view.photos]
    return {
        "name": view.name,
        "path": os.path.commonpath([str(Path(path).absolute().parent) for path in paths]),
        "groups": {group.name: len(group.pairs) for group in view.groups},
        "photos": len(view.photos),
        "not_paired": len(view.rejected),
        "licence": view.record.licence.words if view.record else None,
        "page": view.record.page if view.record else None,
        "warnings": warnings,
    }
