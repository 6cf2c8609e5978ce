"""The results of `derain eval` as tables for the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from derain_cli.errors import printable

__all__ = ["tables"]


def tables(document: Mapping[str, Any]) -> list[str]:
    """The document as lines of text."""
    from derain_cli.evaluation.report_tables import identical_in_words

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
    from derain_cli.evaluation.report_tables import place_in_words, published_after

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
    note = "no ground truth: means of figures that describe change, not quality"
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
    """A table as lines; the first `texts` columns are text, the others numbers."""
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
    # As wide as necessary: truncated numbers are useless, and files and pipes have no width.
    text = io.StringIO()
    Console(file=text, width=1000, color_system=None).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines() if line.strip()]
