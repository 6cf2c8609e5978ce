"""`derain eval`: evaluates networks and baselines on data sets."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from derain_cli.checkpoints.find import DEFAULT_MODEL
from derain_cli.cli import options
from derain_cli.cli.console import print_data, print_json
from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.help import MESSAGES, MODEL, OUTPUT
from derain_cli.cli.reporter import Bar, Reporter
from derain_cli.cli.score_tables import tables
from derain_cli.errors import DestinationError, InputError, UsageError, printable
from derain_cli.evaluation.options import BenchmarkOptions
from derain_cli.remedies import Remedy

if TYPE_CHECKING:
    from derain_cli.evaluation.benchmark import Benchmark, Exhibit
    from derain_cli.evaluation.report import Report

__all__ = ["evaluate"]

_DATA = "Data"

Datasets = Annotated[
    list[str],
    typer.Option(
        "--dataset",
        metavar="NAME|DIR",
        help="A known data set, or a folder of pairs or photos. Repeatable.",
        rich_help_panel=_DATA,
    ),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE|...",
        show_default="DERAIN_MODEL or fast",
        help="Weights; input, median or guided (baselines); module:function on the Python path; a TorchScript "
        "(.pt, .ts) or ONNX (.onnx) file. Repeatable.",
        rich_help_panel=MODEL,
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        metavar="DIR",
        show_default="DERAIN_DATA or ./datasets",
        help="Folder of all data sets.",
        rich_help_panel=_DATA,
    ),
]
Download = Annotated[
    bool,
    typer.Option(
        "--download",
        help="First download the named data sets that are on the Hugging Face Hub.",
        rich_help_panel=_DATA,
    ),
]
Split = Annotated[
    str, typer.Option("--split", metavar="test|train|val", help="Split of the data sets.", rich_help_panel=_DATA)
]
Csv = Annotated[
    Path | None,
    typer.Option("--csv", metavar="FILE", help="Also write one line per picture and model.", rich_help_panel=OUTPUT),
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="DIR",
        help="Also write an HTML report with the worst, median and best pictures.",
        rich_help_panel=OUTPUT,
    ),
]
PadMultiple = Annotated[
    int,
    typer.Option(
        "--pad-multiple",
        metavar="N",
        min=0,
        help="Pad pictures to multiples of N for third-party networks; 0 asks the network.",
        rich_help_panel=MODEL,
    ),
]
Strict = Annotated[
    bool,
    typer.Option(
        "--strict",
        help="Stop at suspicious data: swapped, incomplete, or seen in training.",
        rich_help_panel=_DATA,
    ),
]
JsonDocument = Annotated[
    bool,
    typer.Option("--json", help="Print one JSON document to stdout instead of tables.", rich_help_panel=MESSAGES),
]


@dataclass(frozen=True)
class DocumentTalk(options.Talk):
    """Messages of the command; its JSON is a single document."""

    json: JsonDocument = False


@dataclass(frozen=True, kw_only=True)
class EvalFlags:
    """The flags of `derain eval`."""

    dataset: Datasets
    model: Models = None
    data_root: DataRoot = BenchmarkOptions.data_root
    split: Split = BenchmarkOptions.split
    download: Download = False
    computing: options.Computing = field(default_factory=options.Computing)
    pad_multiple: PadMultiple = BenchmarkOptions.pad_multiple
    csv: Csv = None
    report: ReportFolder = None
    overwrite: options.Overwrite = False
    strict: Strict = BenchmarkOptions.strict
    talk: DocumentTalk = field(default_factory=DocumentTalk)

    def benchmark_options(self) -> BenchmarkOptions:
        """What is evaluated.

        Raises:
            UsageError: a value is out of range, or there is no data set.
        """
        restore = self.computing.restore_options()
        if not self.dataset:
            raise UsageError("--dataset is missing")
        return BenchmarkOptions(
            datasets=tuple(self.dataset),
            models=tuple(self.model or ()) or (os.environ.get("DERAIN_MODEL") or DEFAULT_MODEL,),
            restore=restore,
            split=self.split,
            data_root=self.data_root,
            pad_multiple=self.pad_multiple,
            strict=self.strict,
            exhibits=self.report is not None,
        )


@command_from_flags(EvalFlags)
def evaluate(flags: EvalFlags) -> int:
    """Evaluate networks on data sets: PSNR and SSIM, or no-reference figures when there is no ground truth.

    Two protocols are common in the literature. rgb: PSNR over RGB, SSIM with a uniform 7x7 window (scikit-image).
    y: MATLAB luma, SSIM with a Gaussian 11x11 window.
    """
    wanted = flags.benchmark_options()
    if flags.csv is not None and flags.csv.exists() and not flags.overwrite:
        raise DestinationError("already exists", path=flags.csv, remedy=Remedy.REPLACE)
    from derain_cli.evaluation.report import Report

    _check_early(wanted)
    page = None if flags.report is None else Report(flags.report, overwrite=flags.overwrite)
    reporter = flags.talk.reporter()
    if flags.download:
        from derain_cli.datasets.download import download_dataset

        for name in flags.dataset:
            if not Path(name).is_dir():
                download_dataset(name, flags.data_root, tell=reporter.say, progress=not flags.talk.quiet)
    return _run(wanted, page, flags.csv, reporter)


def _check_early(wanted: BenchmarkOptions) -> None:
    """Check the device, the data sets and our own weights before torch is loaded.

    Raises:
        ResourceError, UsageError, WeightsError: one is not available.
    """
    from derain_cli.checkpoints.find import find_weights
    from derain_cli.datasets.catalogue import find_record
    from derain_cli.evaluation.names import is_peer
    from derain_cli.system.accelerators import refuse_missing_device

    refuse_missing_device(wanted.restore.device)
    for name in wanted.datasets:
        if not Path(name).is_dir():
            find_record(name)
    for name in wanted.models:
        if not is_peer(name):
            find_weights(name)


def _run(wanted: BenchmarkOptions, page: Report | None, csv: Path | None, reporter: Reporter) -> int:
    from derain_cli.evaluation.benchmark import run_benchmark

    talk = _Listener(reporter, page)
    try:
        result = run_benchmark(wanted, talk)
    finally:
        talk.close()
    if csv is not None:
        _write_csv(csv, result)
    if page is not None:
        reporter.say(f"report: {page.finish(result.document, result.rows, result.photo_rows)}")
    if reporter.json:
        print_json(result.document)
    else:
        for line in tables(result.document):
            print_data(line)
    reporter.say(f"done: {len(result.rows) + len(result.photo_rows)} scored, {len(result.failed)} failed")
    return 3 if result.failed else 0


class _Listener:
    """Updates the bar, reports warnings and errors, passes pictures on to the report."""

    def __init__(self, reporter: Reporter, page: Report | None):
        self.reporter, self.page = reporter, page
        self._bar = Bar()
        self._context: Any = None

    def started(self, pictures: int) -> None:
        self._context = self.reporter.bar(pictures)
        self._bar = self._context.__enter__()

    def stepped(self, done: int, text: str) -> None:
        self._bar.update(done, printable(text))

    def close(self) -> None:
        if self._context is not None:
            self._context.__exit__(None, None, None)
            self._context = None

    def warned(self, text: str) -> None:
        self.reporter.say(f"derain: warning: {text}")

    def failed(self, error: InputError) -> None:
        self.reporter.error(error)

    def shown(self, exhibit: Exhibit) -> None:
        if self.page is not None:
            self.page.add(
                (exhibit.dataset, exhibit.group, exhibit.picture),
                exhibit.model,
                f"{exhibit.rank}: {exhibit.picture}, {exhibit.value:.2f} {exhibit.ranked_by} by {exhibit.model}",
                exhibit.rainy,
                exhibit.restored,
                exhibit.clean,
                () if exhibit.input_value is None else (f"{exhibit.input_value:.2f} dB", f"{exhibit.value:.2f} dB"),
            )


def _write_csv(path: Path, result: Benchmark) -> None:
    """One line per picture and model. Overwrites: an existing file was refused earlier unless --overwrite was given."""
    import csv
    import io

    from derain_cli.system.files import atomic_text

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    common = ["dataset", "group", "picture", "model", "width", "height", "seconds"]
    if result.rows:
        kinds = [(when, p) for when in ("input", "output") for p in result.rows[0].after]
        writer.writerow([*common, *(f"{w}_{n}_{p}" for w, p in kinds for n in ("psnr", "ssim"))])
        for row in result.rows:
            head = [row.dataset, row.group, row.picture, row.model, row.width, row.height, f"{row.seconds:.4f}"]
            scores = [(row.before if when == "input" else row.after)[p] for when, p in kinds]
            writer.writerow([*head, *(f"{value:.6f}" for score in scores for value in score)])
    if result.photo_rows:
        names = list(result.document["settings"]["figures_without_truth"])
        writer.writerow([*common, *names])
        for photo in result.photo_rows:
            head = [photo.dataset, "", photo.picture, photo.model, photo.width, photo.height, f"{photo.seconds:.4f}"]
            values = (photo.figures.get(name) for name in names)
            writer.writerow([*head, *("" if value is None else f"{value:.6f}" for value in values)])
    atomic_text(path, text.getvalue(), overwrite=True)
