"""The tables of a report, as HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from derain_cli.errors import printable

__all__ = [
    "cell",
    "datasets",
    "figures",
    "identical_in_words",
    "models",
    "place_in_words",
    "protocols",
    "published",
    "published_after",
    "table",
    "text_of",
]


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


def text_of(value: object) -> str:
    return escape(printable(str(value)))


def cell(value: object, kind: str = "") -> str:
    return f'<td class="{kind}">{text_of(value)}</td>' if kind else f"<td>{text_of(value)}</td>"


def table(titles: Sequence[str], rows: Sequence[str], texts: Sequence[int]) -> str:
    """`texts` are the indices of text columns; all others are numeric."""
    heads = "".join(
        f'<th class="text">{escape(t)}</th>' if i in texts else f"<th>{escape(t)}</th>" for i, t in enumerate(titles)
    )
    return (
        f'<div class="wide"><table><thead><tr>{heads}</tr></thead><tbody>\n{chr(10).join(rows)}\n</tbody></table></div>'
    )


def _scores(document: Mapping[str, Any]) -> str:
    titles = ("data set", "model", "protocol", "pictures", "PSNR input", "PSNR mean", "median", "worst",
              "SSIM input", "SSIM mean", "median", "worst")  # fmt: skip
    rows = []
    scored = [result for result in document["results"] if "output" in result]
    for index, result in enumerate(scored):
        for protocol, after in result["output"].items():
            before = result["input"][protocol]
            place = place_in_words(result["dataset"], result["group"])
            cells = [cell(place, "text"), cell(result["model"], "text")]
            cells += [cell(protocol, "text"), cell(result["pictures"])]
            cells += [cell(f"{before['psnr']['mean']:.2f}")]
            cells += [cell(f"{after['psnr'][name]:.2f}") for name in ("mean", "median", "worst")]
            cells += [cell(f"{before['ssim']['mean']:.4f}")]
            cells += [cell(f"{after['ssim'][name]:.4f}") for name in ("mean", "median", "worst")]
            rows.append(f"<tr>{''.join(cells)}</tr>")
        rows += [_published_row(entry) for entry in published_after(scored, document["published"], index)]
    return table(titles, rows, (0, 1, 2)) if rows else ""


def _published_row(entry: Mapping[str, Any]) -> str:
    cells = [cell(entry["dataset"], "text"), cell(entry["network"], "text")]
    cells += [cell("published", "text"), cell(""), cell(""), cell(f"{entry['psnr']:.2f}"), cell(""), cell("")]
    cells += [cell(""), cell(f"{entry['ssim']:.4f}"), cell(""), cell("")]
    return f'<tr class="published">{"".join(cells)}</tr>'


def protocols(document: Mapping[str, Any]) -> str:
    scored = [result for result in document["results"] if "output" in result]
    if not scored:
        return ""
    lines = [f"<b>{text_of(name)}</b>: {text_of(text)}" for name, text in document["settings"]["protocols"].items()]
    lines += [text_of(note) for note in identical_in_words(scored)]
    return f"<h2>Scores</h2>{_scores(document)}<ul>{''.join(f'<li>{line}</li>' for line in lines)}</ul>"


def published(document: Mapping[str, Any]) -> str:
    lines = dict.fromkeys(f"{e['network']}: {e['source']}; {e['protocol']}." for e in document["published"])
    if not lines:
        return ""
    items = "".join(f"<li>{text_of(line)}</li>" for line in lines)
    return f"<p>Published results were not measured here and may use a different protocol:</p><ul>{items}</ul>"


def figures(document: Mapping[str, Any]) -> str:
    found = [result for result in document["results"] if "figures" in result]
    if not found:
        return ""
    names = list(found[0]["figures"])
    rows = []
    for result in found:
        cells = [cell(result["dataset"], "text"), cell(result["model"], "text"), cell(result["pictures"])]
        means = [result["figures"][name]["mean"] for name in names]
        cells += [cell("-" if mean is None else f"{mean:.3f}") for mean in means]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    titles = ["data set", "model", "pictures", *(name.replace("_", " ") for name in names)]
    meanings = "".join(
        f"<li>{text_of(name.replace('_', ' '))}: {text_of(text)}</li>"
        for name, text in document["settings"]["figures_without_truth"].items()
    )
    note = "<p>No ground truth: these figures describe change, not quality (means over the pictures).</p>"
    return f"<h2>Without ground truth</h2>{note}{table(titles, rows, (0, 1))}<ul>{meanings}</ul>"


def models(document: Mapping[str, Any]) -> str:
    rows = []
    for model in document["models"]:
        parameters, macs, seconds = model["parameters"], model["macs_per_pixel"], model["seconds_per_megapixel"]
        cells = [cell(model["name"], "text"), cell(model["about"], "text long"), cell(model["device"], "text")]
        cells += [cell(model["precision"], "text")]
        cells += [cell("-" if parameters is None else f"{parameters:,}")]
        cells += [cell("-" if macs is None else f"{macs:,.0f}")]
        cells += [cell("-" if seconds is None else f"{seconds:.3f}")]
        cells += [cell((model["sha256"] or "-")[:16], "text")]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    titles = ("model", "", "device", "precision", "parameters", "MAC per pixel", "s per megapixel", "SHA-256")
    return f"<h2>Models</h2>{table(titles, rows, (0, 1, 2, 3, 7))}"


def datasets(document: Mapping[str, Any]) -> str:
    parts = []
    for dataset in document["datasets"]:
        counts = ", ".join(f"{name}: {count} pairs" for name, count in dataset["groups"].items())
        if dataset["photos"]:
            counts += f"{', ' if counts else ''}{dataset['photos']} photos without ground truth"
        parts.append(f"<li>{text_of(dataset['name'])} ({text_of(dataset['path'])}): {text_of(counts)}")
        parts += [f'<div class="warn">{text_of(line)}</div>' for line in dataset["warnings"]]
        parts.append("</li>")
    failed = [f"<li>{text_of(entry['path'])}: {text_of(entry['error'])}</li>" for entry in document["failed"]]
    tail = f"<p>Not scored: {len(failed)}</p><ul>{''.join(failed)}</ul>" if failed else ""
    return f"<h2>Data</h2><ul>{''.join(parts)}</ul>{tail}"
