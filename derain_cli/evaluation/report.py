"""An evaluation as a self-contained HTML page: one folder, no scripts, nothing from the network.

    DIR/index.html      tables, pictures, settings
    DIR/pictures/       the pictures on the page, lossless PNG

The page is generated from the JSON document of the evaluation, so both agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import DestinationError, printable, resource_error_from
from derain_cli.media.photo import write_rgb
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_text

__all__ = ["ERROR_GAIN", "Report", "Shown", "error_picture", "identical_in_words", "place_in_words", "published_after"]

Picture = NDArray[np.uint8]

ERROR_GAIN = 4
"""Amplification of the difference in error pictures."""


def error_picture(restored: Picture, truth: Picture) -> Picture:
    """The absolute difference per channel, amplified by `ERROR_GAIN`; black where both agree."""
    difference = np.abs(restored.astype(np.int16) - truth.astype(np.int16)) * ERROR_GAIN
    picture: Picture = np.minimum(difference, 255).astype(np.uint8)
    return picture


def place_in_words(dataset: str, group: str | None) -> str:
    """Display name of a group of a data set, without repeating parts."""
    if not group or group == dataset:
        return dataset
    return group if group.startswith(f"{dataset}/") else f"{dataset}/{group}"


def published_after(
    results: Sequence[Mapping[str, Any]], published: Sequence[Mapping[str, Any]], index: int
) -> list[Mapping[str, Any]]:
    """The published results to list below `results[index]`, the last result of their data set."""

    def last(dataset: str) -> int:
        return max((i for i, r in enumerate(results) if dataset in (r["dataset"], r["group"])), default=-1)

    return [entry for entry in published if last(entry["dataset"]) == index]


def identical_in_words(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Readable notes on pictures identical to the ground truth, whose PSNR would be infinite."""
    notes = []
    for result in results:
        place = place_in_words(result["dataset"], result["group"])
        for what, count in (("inputs", "identical_inputs"), (f"outputs of {result['model']}", "identical")):
            if result[count]["rgb"] and (count == "identical_inputs" or result["model"] != "input"):
                same = "identical to the ground truth and count as 100 dB"
                notes.append(f"{place}: {result[count]['rgb']} of {result['pictures']} {what} are {same}")
    return list(dict.fromkeys(notes))


@dataclass(frozen=True)
class Shown:
    """One row of pictures on the page: its heading, and captions with their files."""

    dataset: str
    group: str
    model: str
    text: str
    pictures: tuple[tuple[str, str], ...]


class Report:
    """Writes a report: pictures as they come, the page at the end.

    Args:
        folder: of the report; created if missing.
        overwrite: replace an existing report.

    Raises:
        DestinationError: a report exists already, or the folder cannot be created.
    """

    def __init__(self, folder: Path, *, overwrite: bool = False):
        self.folder, self.page = folder, folder / "index.html"
        if self.page.exists() and not overwrite:
            raise DestinationError("a report already exists", path=self.page, remedy=Remedy.REPLACE)
        try:
            (folder / "pictures").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reason = f"cannot create the folder: {error.strerror}"
            raise resource_error_from(error, folder) or DestinationError(reason, path=folder) from error
        self.shown: list[Shown] = []
        self._files: dict[tuple[str, str, str, str], str] = {}

    def add(
        self,
        key: tuple[str, str, str],
        model: str,
        text: str,
        rainy: Picture,
        restored: Picture,
        clean: Picture | None,
        captions: Sequence[str] = (),
    ) -> None:
        """Add a picture to the page.

        Args:
            key: data set, group and name of the picture; input and ground truth are written once for all models.
            model: the model that produced the output.
            text: the heading.
            rainy, restored, clean: uint8 HxWx3; `clean` is None without ground truth.
            captions: the scores of input and output, if any.
        """
        of_input, of_output = (f", {caption}" for caption in captions) if captions else ("", "")
        pictures = [
            (f"input{of_input}", self._write(key, "input", rainy)),
            (f"output of {model}{of_output}", self._write(key, f"output {model}", restored)),
        ]
        if clean is None:
            removed = f"removed, amplified {ERROR_GAIN} times"
            pictures.append((removed, self._write(key, f"removed {model}", error_picture(restored, rainy))))
        else:
            wrong = f"error, amplified {ERROR_GAIN} times"
            pictures.append(("ground truth", self._write(key, "truth", clean)))
            pictures.append((wrong, self._write(key, f"error {model}", error_picture(restored, clean))))
        self.shown.append(Shown(key[0], key[1], model, text, tuple(pictures)))

    def finish(self, document: Mapping[str, Any]) -> Path:
        """Write the page; returns its path."""
        atomic_text(self.page, _page(document, self.shown), overwrite=True)
        return self.page

    def _write(self, key: tuple[str, str, str], role: str, picture: Picture) -> str:
        known = self._files.get((*key, role))
        if known is None:
            # Numbered, since names of data sets and models may contain any characters.
            kind = role.split()[0]
            known = self._files[(*key, role)] = f"pictures/{len(self._files) + 1:04d}-{kind}.png"
            write_rgb(self.folder / known, picture, overwrite=True)
        return known


_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 1500px; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { margin-top: 2.5rem; } h3 { margin: 1.5rem 0 .3rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .7rem; text-align: right; border-bottom: 1px solid #8884; white-space: nowrap; }
th { white-space: normal; vertical-align: bottom; }
th.text, td.text { text-align: left; } td.long { white-space: normal; max-width: 40rem; }
tr.published td { opacity: .7; font-style: italic; }
.row { display: grid; grid-template-columns: repeat(auto-fit, minmax(280px, 1fr)); gap: .6rem; }
figure { margin: 0; } figure img { width: 100%; height: auto; display: block; }
figcaption { font-size: .85rem; opacity: .8; } .warn { color: #b45309; }
pre { overflow-x: auto; background: #8881; padding: 1rem; border-radius: 6px; font-size: .8rem; }
"""


def _text(value: object) -> str:
    return escape(printable(str(value)))


def _cell(value: object, kind: str = "") -> str:
    return f'<td class="{kind}">{_text(value)}</td>' if kind else f"<td>{_text(value)}</td>"


def _table(titles: Sequence[str], rows: Sequence[str], texts: Sequence[int]) -> str:
    """`texts` are the indices of text columns; all others are numeric."""
    heads = "".join(
        f'<th class="text">{escape(t)}</th>' if i in texts else f"<th>{escape(t)}</th>" for i, t in enumerate(titles)
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>\n{chr(10).join(rows)}\n</tbody></table>"


def _scores(document: Mapping[str, Any]) -> str:
    titles = ("data set", "model", "protocol", "pictures", "PSNR input", "PSNR mean", "median", "worst",
              "SSIM input", "SSIM mean", "median", "worst")  # fmt: skip
    rows = []
    scored = [result for result in document["results"] if "output" in result]
    for index, result in enumerate(scored):
        for protocol, after in result["output"].items():
            before = result["input"][protocol]
            place = place_in_words(result["dataset"], result["group"])
            cells = [_cell(place, "text"), _cell(result["model"], "text")]
            cells += [_cell(protocol, "text"), _cell(result["pictures"])]
            cells += [_cell(f"{before['psnr']['mean']:.2f}")]
            cells += [_cell(f"{after['psnr'][name]:.2f}") for name in ("mean", "median", "worst")]
            cells += [_cell(f"{before['ssim']['mean']:.4f}")]
            cells += [_cell(f"{after['ssim'][name]:.4f}") for name in ("mean", "median", "worst")]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        rows += [_published_row(entry) for entry in published_after(scored, document["published"], index)]
    return _table(titles, rows, (0, 1, 2)) if rows else ""


def _published_row(entry: Mapping[str, Any]) -> str:
    cells = [_cell(entry["dataset"], "text"), _cell(entry["network"], "text")]
    cells += [_cell("published", "text"), _cell(""), _cell(""), _cell(f"{entry['psnr']:.2f}"), _cell(""), _cell("")]
    cells += [_cell(""), _cell(f"{entry['ssim']:.4f}"), _cell(""), _cell("")]
    return f'<tr class="published">{"".join(cells)}</tr>'


def _protocols(document: Mapping[str, Any]) -> str:
    scored = [result for result in document["results"] if "output" in result]
    if not scored:
        return ""
    lines = [f"<b>{_text(name)}</b>: {_text(text)}" for name, text in document["settings"]["protocols"].items()]
    lines += [_text(note) for note in identical_in_words(scored)]
    return f"<h2>Scores</h2>{_scores(document)}<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def _published(document: Mapping[str, Any]) -> str:
    lines = dict.fromkeys(f"{e['network']}: {e['source']}; {e['protocol']}." for e in document["published"])
    if not lines:
        return ""
    items = "".join(f"<li>{_text(line)}</li>" for line in lines)
    return f"<p>Published results were not measured here and may use a different protocol:</p><ul>{items}</ul>"


def _figures(document: Mapping[str, Any]) -> str:
    found = [result for result in document["results"] if "figures" in result]
    if not found:
        return ""
    names = list(found[0]["figures"])
    rows = []
    for result in found:
        cells = [_cell(result["dataset"], "text"), _cell(result["model"], "text"), _cell(result["pictures"])]
        means = [result["figures"][name]["mean"] for name in names]
        cells += [_cell("-" if mean is None else f"{mean:.3f}") for mean in means]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    titles = ["data set", "model", "pictures", *(name.replace("_", " ") for name in names)]
    meanings = "".join(
        f"<li>{_text(name.replace('_', ' '))}: {_text(text)}</li>"
        for name, text in document["settings"]["figures_without_truth"].items()
    )
    note = "<p>No ground truth: these figures describe change, not quality (means over the pictures).</p>"
    return f"<h2>Without ground truth</h2>{note}{_table(titles, rows, (0, 1))}<ul>{meanings}</ul>"


def _models(document: Mapping[str, Any]) -> str:
    rows = []
    for model in document["models"]:
        parameters, macs, seconds = model["parameters"], model["macs_per_pixel"], model["seconds_per_megapixel"]
        cells = [_cell(model["name"], "text"), _cell(model["about"], "text long"), _cell(model["device"], "text")]
        cells += [_cell(model["precision"], "text")]
        cells += [_cell("-" if parameters is None else f"{parameters:,}")]
        cells += [_cell("-" if macs is None else f"{macs:,.0f}")]
        cells += [_cell("-" if seconds is None else f"{seconds:.3f}")]
        cells += [_cell((model["sha256"] or "-")[:16], "text")]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    titles = ("model", "", "device", "precision", "parameters", "MAC per pixel", "s per megapixel", "SHA-256")
    return f"<h2>Models</h2>{_table(titles, rows, (0, 1, 2, 3, 7))}"


def _datasets(document: Mapping[str, Any]) -> str:
    parts = []
    for dataset in document["datasets"]:
        counts = ", ".join(f"{name}: {count} pairs" for name, count in dataset["groups"].items())
        if dataset["photos"]:
            counts += f"{', ' if counts else ''}{dataset['photos']} photos without ground truth"
        parts.append(f"<li>{_text(dataset['name'])} ({_text(dataset['path'])}): {_text(counts)}")
        parts += [f'<div class="warn">{_text(line)}</div>' for line in dataset["warnings"]]
        parts.append("</li>")
    failed = [f"<li>{_text(entry['path'])}: {_text(entry['error'])}</li>" for entry in document["failed"]]
    tail = f"<p>Not scored: {len(failed)}</p><ul>{''.join(failed)}</ul>" if failed else ""
    return f"<h2>Data</h2><ul>{''.join(parts)}</ul>{tail}"


def _gallery(shown: Sequence[Shown]) -> str:
    parts, heading = [], ""
    for row in shown:
        title = f"{place_in_words(row.dataset, row.group)}: {row.model}"
        if title != heading:
            parts.append(f"<h2>{_text(title)}</h2>")
            heading = title
        figures = "".join(
            f'<figure><a href="{file}"><img src="{file}" alt="{_text(caption)}" loading="lazy"></a>'
            f"<figcaption>{_text(caption)}</figcaption></figure>"
            for caption, file in row.pictures
        )
        parts.append(f'<h3>{_text(row.text)}</h3><div class="row">{figures}</div>')
    return "\n".join(parts)


def _page(document: Mapping[str, Any], shown: Sequence[Shown]) -> str:
    settings = document["settings"]
    names = ", ".join(dataset["name"] for dataset in document["datasets"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' data: file:; \
style-src 'unsafe-inline'">
<title>derain eval: {_text(names)}</title><style>{_STYLE}</style></head><body>
<h1>derain eval: {_text(names)}</h1>
<p>{_text(settings["date"])}, derain {_text(settings["versions"]["derain"])}</p>
{_protocols(document)}
{_published(document)}
{_figures(document)}
{_models(document)}
{_datasets(document)}
{_gallery(shown)}
<h2>Settings</h2>
<pre>{_text_lines(json.dumps(settings, indent=2))}</pre>
</body></html>
"""


def _text_lines(text: str) -> str:
    return "\n".join(_text(line) for line in text.splitlines())
