"""An evaluation as a self-contained HTML page: one folder that can be moved, nothing from the network.

    DIR/index.html      tables, plots, pictures, settings; one script of its own, for sorting and comparing
    DIR/pictures/       the pictures on the page, lossless PNG

The page is generated from the JSON document of the evaluation, so both agree.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.errors import DestinationError, resource_error_from
from derain_cli.evaluation.report_gallery import SCRIPT, SCRIPT_HASH, Shown, gallery
from derain_cli.evaluation.report_pictures import pictures_of
from derain_cli.evaluation.report_tables import (
    datasets,
    figures,
    models,
    protocols,
    published,
    text_of,
)
from derain_cli.media.photo import write_rgb
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_text

if TYPE_CHECKING:
    from derain_cli.evaluation.document import PhotoRow, Row

__all__ = ["ERROR_GAIN", "Report", "error_picture"]

Picture = NDArray[np.uint8]

ERROR_GAIN = 4
"""Amplification of the difference in error pictures."""


def error_picture(restored: Picture, truth: Picture) -> Picture:
    """The absolute difference per channel, amplified by `ERROR_GAIN`; black where both agree."""
    difference = np.abs(restored.astype(np.int16) - truth.astype(np.int16)) * ERROR_GAIN
    picture: Picture = np.minimum(difference, 255).astype(np.uint8)
    return picture


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
        height, width = rainy.shape[:2]
        self.shown.append(Shown(key, model, text, width, height, tuple(pictures)))

    def finish(
        self, document: Mapping[str, Any], rows: Sequence[Row] = (), photo_rows: Sequence[PhotoRow] = ()
    ) -> Path:
        """Write the page; returns its path.

        Args:
            document: the result.
            rows: of the pictures with ground truth.
            photo_rows: of the pictures without.
        """
        atomic_text(self.page, _page(document, self.shown, rows, photo_rows), overwrite=True)
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
h1, h2, h3, td.text, figcaption { overflow-wrap: anywhere; }
.wide { overflow-x: auto; } .wide td.text { min-width: 6rem; } .wide td.long { min-width: 14rem; }
th button { all: unset; cursor: pointer; } th button:focus-visible { outline: 2px solid; }
th[aria-sort="ascending"] button::after { content: " ↑"; } th[aria-sort="descending"] button::after { content: " ↓"; }
.plot { width: min(100%, 34rem); height: auto; display: block; }
.plot text { font: 13px system-ui, sans-serif; fill: currentColor; }
.compare { position: relative; max-width: 900px; overflow: hidden; margin: .3rem 0; }
.compare img { position: absolute; inset: 0; width: 100%; height: 100%; }
.compare .right { clip-path: inset(0 0 0 50%); }
.compare i { position: absolute; top: 0; bottom: 0; left: 50%; width: 2px; margin-left: -1px; }
.compare i { background: #fff; box-shadow: 0 0 5px #000; pointer-events: none; }
.compare input { position: absolute; inset: 0; width: 100%; height: 100%; margin: 0; opacity: 0; }
.compare input { cursor: ew-resize; touch-action: pan-y; } .compare:focus-within { outline: 2px solid; }
.sides { display: flex; flex-wrap: wrap; gap: .5rem 1rem; font-size: .9rem; }
.sides select { font: inherit; max-width: 16rem; }
ul { padding-left: 1.2rem; overflow-wrap: anywhere; }
pre { overflow-x: auto; background: #8881; padding: 1rem; border-radius: 6px; font-size: .8rem; }
"""


def _page(
    document: Mapping[str, Any], shown: Sequence[Shown], rows: Sequence[Row], photo_rows: Sequence[PhotoRow]
) -> str:
    settings = document["settings"]
    names = ", ".join(dataset["name"] for dataset in document["datasets"])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' data: file:; \
style-src 'unsafe-inline'; script-src '{SCRIPT_HASH}'">
<title>derain eval: {text_of(names)}</title><style>{_STYLE}</style></head><body>
<h1>derain eval: {text_of(names)}</h1>
<p>{text_of(settings["date"])}, derain {text_of(settings["versions"]["derain"])}</p>
{protocols(document)}
{published(document)}
{figures(document)}
{pictures_of(rows, photo_rows)}
{gallery(shown)}
{models(document)}
{datasets(document)}
<h2>Settings</h2>
<pre>{_text_lines(json.dumps(settings, indent=2))}</pre>
<script>{SCRIPT}</script>
</body></html>
"""


def _text_lines(text: str) -> str:
    return "\n".join(text_of(line) for line in text.splitlines())
