"""Pictures of a report: each by all models, two of them at a time under a slider."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from derain_cli.evaluation.report_tables import place_in_words, text_of

__all__ = ["SCRIPT", "SCRIPT_HASH", "Shown", "gallery"]

SCRIPT = """
for (const part of document.querySelectorAll(".comparison")) {
  const box = part.querySelector(".compare"), range = box.querySelector("input");
  const [left, right] = part.querySelectorAll("select");
  const [under, over] = box.querySelectorAll("img");
  const place = () => {
    over.style.clipPath = `inset(0 0 0 ${range.value}%)`;
    box.querySelector("i").style.left = range.value + "%";
  };
  const show = (image, select) => { image.src = select.value; image.alt = select.selectedOptions[0].text; };
  range.addEventListener("input", place);
  left.addEventListener("change", () => show(under, left));
  right.addEventListener("change", () => show(over, right));
  show(under, left); show(over, right); place();
  part.hidden = false;
}
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement, body = head.closest("table").tBodies[0];
    const column = head.cellIndex, up = head.getAttribute("aria-sort") !== "ascending";
    for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const value = (row) => row.cells[column].textContent;
    const number = /^[+-]?\\d+(\\.\\d+)?$/;
    const compare = (a, b) => {
      const [x, y] = [value(a), value(b)];
      if ((x === "-") !== (y === "-")) return x === "-" ? 1 : -1;  // what is missing comes last
      const both = number.test(x) && number.test(y);
      const order = both ? Number(x) - Number(y) : x.localeCompare(y, undefined, { numeric: true });
      return up ? order : -order;
    };
    body.append(...[...body.rows].sort(compare));
  });
}
"""

SCRIPT_HASH = "sha256-" + base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
"""For the page's Content-Security-Policy: no other script runs, whatever names of files contain."""


@dataclass(frozen=True)
class Shown:
    """A picture by one model: its heading, and captions with their files.

    Attributes:
        key: data set, group and name of the picture.
        model: that restored it.
        text: heading.
        width, height: in pixels.
        pictures: captions and files; input first, then the output.
    """

    key: tuple[str, str, str]
    model: str
    text: str
    width: int
    height: int
    pictures: tuple[tuple[str, str], ...]


def gallery(shown: Sequence[Shown]) -> str:
    """The pictures, those of all models together."""
    parts, heading = [], ""
    for key in dict.fromkeys(each.key for each in shown):
        of_picture = [each for each in shown if each.key == key]
        title = place_in_words(key[0], key[1])
        if title != heading:
            parts.append(f"<h2>{text_of(title)}</h2>")
            heading = title
        # Pictures are ranked by the first model that is not the input itself.
        ranked = next((each for each in of_picture if each.model != "input"), of_picture[0])
        parts.append(f"<h3>{text_of(ranked.text)}</h3>{_comparison(of_picture)}")
        parts.append(f'<div class="row">{_figures(of_picture)}</div>')
    return "\n".join(parts)


def _comparison(of_picture: Sequence[Shown]) -> str:
    """Two of the pictures, chosen by the reader, under a slider; hidden without the script."""
    first = of_picture[0]
    known = dict.fromkeys(picture for each in of_picture for picture in each.pictures)
    whole = [(caption, file) for caption, file in known if "amplified" not in caption]

    def options(chosen: str) -> str:
        return "".join(
            f'<option value="{file}"{" selected" if file == chosen else ""}>{text_of(caption)}</option>'
            for caption, file in whole
        )

    # With several models, the first two of them that restored it; else before and after.
    outputs = [each.pictures[1][1] for each in of_picture if each.model != "input"]
    left, right = (
        (outputs[0], outputs[1]) if len(outputs) > 1 else (first.pictures[0][1], of_picture[-1].pictures[1][1])
    )
    return (
        '<div class="comparison" hidden><div class="sides">'
        f"<label>left <select>{options(left)}</select></label>"
        f"<label>right <select>{options(right)}</select></label></div>"
        f'<div class="compare" style="aspect-ratio: {first.width} / {first.height}">'
        '<img alt=""><img alt="" class="right"><i></i>'
        '<input type="range" min="0" max="100" step="any" value="50" aria-label="Position of the divider"></div></div>'
    )


def _figures(of_picture: Sequence[Shown]) -> str:
    pictures = dict.fromkeys(picture for each in of_picture for picture in each.pictures)
    return "".join(
        f'<figure><a href="{file}"><img src="{file}" alt="{text_of(caption)}" loading="lazy"></a>'
        f"<figcaption>{text_of(caption)}</figcaption></figure>"
        for caption, file in pictures
    )
