"""`derain eval`: networks and baselines side by side on data sets."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from derain_cli.checkpoints.find import DEFAULT_MODEL
from derain_cli.cli import options
from derain_cli.cli.console import print_data, print_json
from derain_cli.cli.flags import takes
from derain_cli.cli.reporter import Bar, Reporter
from derain_cli.errors import DestinationError, InputError, UsageError, printable
from derain_cli.evaluation.options import BenchmarkOptions
from derain_cli.remedies import Remedy

if TYPE_CHECKING:
    from derain_cli.evaluation.benchmark import Benchmark, Exhibit
    from derain_cli.evaluation.report import Report

__all__ = ["evaluate"]

Datasets = Annotated[
    list[str],
    typer.Option("--dataset", metavar="NAME|DIR", help="A known data set, or a folder of pairs or photos; repeatable."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model",
        "-m",
        metavar="NAME|FILE|...",
        help="Repeatable. Weights as everywhere; input, median or guided; module:function from your own Python path; "
        "a TorchScript (.pt, .ts) or ONNX (.onnx) file.",
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option("--data-root", metavar="DIR", help="Where data sets lie (DERAIN_DATA, else ./datasets)."),
]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch named data sets from the Hugging Face Hub first, where it has them.")
]
Split = Annotated[str, typer.Option("--split", metavar="test|train|val", help="Part of the data sets.")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Also write one line per picture and model.")]
ReportFolder = Annotated[
    Path | None,
    typer.Option("--report", metavar="DIR", help="Also write a page with the worst, median and best pictures."),
]
PadMultiple = Annotated[
    int,
    typer.Option("--pad-multiple", metavar="N", min=0, help="Pad pictures for foreign networks; 0 asks the network."),
]
Strict = Annotated[bool, typer.Option("--strict", help="Suspicious data (swapped, incomplete, seen in training) end the run.")]  # fmt: skip  # noqa: E501
JsonDocument = Annotated[bool, typer.Option("--json", help="One JSON document on stdout instead of the table.")]


@dataclass(frozen=True)
class DocumentTalk(options.Talk):
    """How the command talks, with one document at the end."""

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
        """What is measured.

        Raises:
            UsageError: one is out of range, or there is no data set.
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


@takes(EvalFlags)
def evaluate(flags: EvalFlags) -> int:
    """Measure networks on data sets: PSNR and SSIM in both protocols of the field, or what changed without truth.

    Protocol rgb: PSNR over RGB, SSIM uniform 7x7 (scikit-image). Protocol y: MATLAB luma, SSIM gaussian 11x11.
    """
    wanted = flags.benchmark_options()
    if flags.csv is not None and flags.csv.exists() and not flags.overwrite:
        raise DestinationError("there is a file already", path=flags.csv, remedy=Remedy.REPLACE)
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
    """See that devices, data sets and weights of our own can be had, before torch is loaded.

    Raises:
        ResourceError, UsageError, WeightsError: one cannot.
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
        reporter.say(f"report: {page.finish(result.document)}")
    if reporter.json:
        print_json(result.document)
    else:
        for line in _tables(result.document):
            print_data(line)
    reporter.say(f"done: {len(result.rows) + len(result.photo_rows)} scored, {len(result.failed)} failed")
    return 3 if result.failed else 0


class _Listener:
    """Moves the bar, tells what is wrong, passes pictures on to the report."""

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
                f"{exhibit.rank}: {exhibit.picture}, {exhibit.value:.2f} {exhibit.ranked_by}",
                exhibit.rainy,
                exhibit.restored,
                exhibit.clean,
                () if exhibit.input_value is None else (f"{exhibit.input_value:.2f} dB", f"{exhibit.value:.2f} dB"),
            )


def _write_csv(path: Path, result: Benchmark) -> None:
    """One line per picture and model; existing files were refused before the work, unless they may be replaced."""
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


# --- tables on the terminal -------------------------------------------------------------------------------------------


def _tables(document: Mapping[str, Any]) -> list[str]:
    """The document in lines of text."""
    from derain_cli.evaluation.report import identical_in_words

    lines: list[str] = []
    scored = [result for result in document["results"] if "output" in result]
    if scored:
        lines += _score_table(scored, document["published"])
    lines += _figure_table([result for result in document["results"] if "figures" in result])
    lines += _model_table(document)
    lines += [f"protocol {name}: {words}" for name, words in document["settings"]["protocols"].items() if scored]
    sources = dict.fromkeys(f"{e['network']}: {e['source']}; {e['protocol']}" for e in document["published"])
    lines += [f"published, not measured here: {source}" for source in sources]
    return [*lines, *(f"note: {note}" for note in identical_in_words(scored))]


def _score_table(scored: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]]) -> list[str]:
    from derain_cli.evaluation.report import place_in_words, published_after

    titles = ["data set", "model", "protocol", "pictures", "PSNR in", "mean", "median", "worst",
              "SSIM in", "mean", "median", "worst"]  # fmt: skip
    rows: list[list[str]] = []
    for index, result in enumerate(scored):
        place = place_in_words(result["dataset"], result["group"])
        for protocol, after in result["output"].items():
            before = result["input"][protocol]
            rows.append(
                [place, result["model"], protocol, str(result["pictures"])]
                + [f"{before['psnr']['mean']:.2f}"]
                + [f"{after['psnr'][kind]:.2f}" for kind in ("mean", "median", "worst")]
                + [f"{before['ssim']['mean']:.4f}"]
                + [f"{after['ssim'][kind]:.4f}" for kind in ("mean", "median", "worst")]
            )
        for entry in published_after(scored, published, index):
            row = [entry["dataset"], entry["network"], "published", "", "", f"{entry['psnr']:.2f}", "", ""]
            rows.append([*row, "", f"{entry['ssim']:.4f}", "", ""])
    return _render(titles, rows, texts=3)


def _figure_table(found: Sequence[Mapping[str, Any]]) -> list[str]:
    if not found:
        return []
    names = list(found[0]["figures"])
    titles = ["data set", "model", "pictures", *(name.replace("_", " ") for name in names)]
    rows = [
        [result["dataset"], result["model"], str(result["pictures"])]
        + ["-" if (mean := result["figures"][name]["mean"]) is None else f"{mean:.3f}" for name in names]
        for result in found
    ]
    note = "no ground truth: means of figures that say what changed, not how good it is"
    return [*_render(titles, rows, texts=2), note]


def _model_table(document: Mapping[str, Any]) -> list[str]:
    titles = ["model", "kind", "device", "precision", "parameters", "MAC per pixel", "s per megapixel"]
    rows = []
    for model in document["models"]:
        parameters, macs, seconds = model["parameters"], model["macs_per_pixel"], model["seconds_per_megapixel"]
        words = [model[name] for name in ("name", "kind", "device", "precision")]
        counts = ["-" if value is None else f"{value:,.0f}" for value in (parameters, macs)]
        rows.append([*words, *counts, "-" if seconds is None else f"{seconds:.3f}"])
    return _render(titles, rows, texts=4)


def _render(titles: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> list[str]:
    """A table as lines; the first `texts` columns are words, the others figures."""
    import io
    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    unicode = "utf" in (sys.stdout.encoding or "").lower() if sys.stdout else False
    table = Table(box=box.SIMPLE_HEAD if unicode else box.ASCII2, pad_edge=False)
    for index, title in enumerate(titles):
        table.add_column(title, justify="left" if index < texts else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
    # As wide as it needs: figures that are cut off help nobody, and files and pipes have no width.
    text = io.StringIO()
    Console(file=text, width=1000, color_system=None).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
