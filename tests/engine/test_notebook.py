"""What a notebook shows: restorers, and pictures under a slider."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derain_cli import Restorer
from derain_cli.checkpoints.card import Card
from derain_cli.engine.notebook import BeforeAfter, table
from derain_cli.errors import InputError
from tests.conftest import make_network

NOTEBOOK = Path(__file__).parents[2] / "docs/notebook.ipynb"


def pictures(height: int = 40, width: int = 60, dtype: type = np.uint8) -> tuple[np.ndarray, np.ndarray]:
    top = np.iinfo(dtype).max
    return np.full((height, width, 3), top // 4, dtype), np.full((height, width, 3), top // 2, dtype)


def embedded(page: str) -> list[Image.Image]:
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    return [Image.open(io.BytesIO(base64.b64decode(data))) for data in found]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_both_pictures_are_in_the_page_and_nothing_is_loaded_from_elsewhere(dtype: type) -> None:
    page = BeforeAfter(*pictures(dtype=dtype))._repr_html_()
    before, after = embedded(page)
    assert before.size == after.size == (60, 40)
    assert abs(np.asarray(before).mean() - 63) < 3 and abs(np.asarray(after).mean() - 127) < 3
    assert 'type="range"' in page and "http" not in page


def test_large_pictures_are_shown_smaller() -> None:
    shown = BeforeAfter(*pictures(3000, 2000))
    assert max(embedded(shown._repr_html_())[0].size) == 1200
    assert shown.side_by_side().shape == (3000, 4004, 3)
    assert max(Image.open(io.BytesIO(shown._repr_png_())).size) <= 2400


def test_pictures_that_differ_are_refused() -> None:
    before, after = pictures()
    with pytest.raises(InputError, match="alike"):
        BeforeAfter(before, after[:, :50])
    with pytest.raises(InputError, match="alike"):
        BeforeAfter(before, after.astype(np.uint16))


def test_a_restorer_shows_its_card_and_where_it_runs() -> None:
    restorer = Restorer(make_network(), card=Card(name="<mine>", patches=12_345))
    page = restorer._repr_html_()
    assert "&lt;mine&gt;" in page and "<mine>" not in page and "12,345 patches" in page and "cpu" in page
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    shown = restorer.compare(picture)
    assert np.array_equal(shown.before, picture) and np.array_equal(shown.after, restorer(picture))


def test_table_escapes_names_and_values() -> None:
    assert "<script>" not in table("<script>", {"<script>": "<script>"})


@pytest.mark.slow
def test_the_notebook_of_the_documentation_runs(tmp_path: Path) -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not committed"
    samples = NOTEBOOK.parents[1] / "samples"
    (tmp_path / "samples").symlink_to(samples, target_is_directory=True)
    done = nbclient.NotebookClient(notebook, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pages = [
        output["data"]["text/html"]
        for cell in done.cells
        for output in cell.get("outputs", ())
        if "text/html" in output.get("data", {})
    ]
    assert sum('type="range"' in page for page in pages) >= 2
    assert any("licence of the weights" in page for page in pages)
