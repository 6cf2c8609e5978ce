"""`derain eval`: document, tables, files, exit codes."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import load_weights, network, save_weights
from derain_cli.datasets.fingerprint import hash_files
from derain_cli.media.photo import read_rgb, write_rgb
from tests.cli.conftest import Derain, Ended, snapshot, unchanging
from tests.conftest import make_pairs, make_picture


@pytest.fixture
def folder() -> Path:
    return make_pairs(Path("pairs"), count=4)


def document(ended: Ended) -> dict:
    assert len(ended.out.splitlines()) == 1
    return json.loads(ended.out)


# --- scores -----------------------------------------------------------------------------------------------------------


def test_one_document_with_both_protocols_for_every_model(derain: Derain, folder: Path, weights: Path) -> None:
    ended = derain("eval", "--dataset", folder, "-m", "input", "-m", "median", "-m", "guided", "-m", weights, "--json")
    assert ended.code == 0
    found = document(ended)
    assert [r["model"] for r in found["results"]] == ["input", "median", "guided", str(weights)]
    for result in found["results"]:
        assert result["pictures"] == 4
        assert set(result["input"]) == set(result["output"]) == {"rgb", "y"}
        for scores in result["output"].values():
            assert scores["psnr"]["worst"] <= min(scores["psnr"]["mean"], scores["psnr"]["median"])
        assert result["seconds_per_megapixel"] >= 0
    nothing, _, _, same = found["results"]
    assert nothing["input"] == nothing["output"] == same["output"]


def test_the_default_model_is_the_users(derain: Derain, folder: Path, weights: Path) -> None:
    found = document(derain("eval", "--dataset", folder, "--json"))
    assert [model["name"] for model in found["models"]] == [str(weights)]
    model = found["models"][0]
    assert model["sha256"] == load_weights(weights).sha256
    assert model["parameters"] == sum(p.numel() for p in network(load_weights(weights)).parameters())
    assert model["macs_per_pixel"] > 0
    assert (model["device"], model["kind"]) == ("cpu", "derain")


def test_settings_are_in_the_output(derain: Derain, folder: Path) -> None:
    ended = derain("eval", "--dataset", folder, "--tile", "64", "--strength", "0.5", "--precision", "fp32", "--json")
    found = document(ended)
    settings = found["settings"]
    assert (settings["tile"], settings["strength"], settings["precision"]) == (64, 0.5, "fp32")
    assert set(settings["protocols"]) == {"rgb", "y"}
    for name in ("threads", "machine", "versions", "commit", "date", "device"):
        assert name in settings
    (dataset,) = found["datasets"]
    assert dataset["groups"] == {"pairs": 4}
    assert dataset["path"] == str(folder.resolve())


def test_repeated_runs_agree(derain: Derain, folder: Path) -> None:
    runs = [document(derain("eval", "--dataset", folder, "-m", "median", "--json")) for _ in range(2)]
    assert runs[0]["results"][0]["output"] == runs[1]["results"][0]["output"]


def test_the_table_names_protocols_and_speaks_plainly(derain: Derain, folder: Path) -> None:
    ended = derain("eval", "--dataset", folder, "-m", "input")
    assert ended.code == 0
    for words in ("protocol rgb:", "protocol y:", "SSIM in", "worst", "s per megapixel", "parameters"):
        assert words in ended.out
    assert "done: 4 scored, 0 failed" in ended.err


def test_published_numbers_stand_beside_ours_and_say_so(derain: Derain) -> None:
    make_pairs(Path("data/Rain200L/test"), count=2)
    ended = derain("eval", "--dataset", "rain200l", "--data-root", "data", "-m", "input")
    assert ended.code == 0
    assert re.search(r"Rain200L\s+Semi-DRDNet\s+published\s+40\.66\s+0\.9885", ended.out)
    assert "published, not measured here" in ended.out
    assert "protocol unstated" in ended.out
    assert "2 pairs found, 200 expected" in ended.err


def test_published_numbers_of_the_parts_of_a_set_stand_beside_ours(derain: Derain) -> None:
    make_pairs(Path("data/Rain13K/test/Rain100H"), count=1, names=("input", "target"))
    ended = derain("eval", "--dataset", "Rain13K", "--data-root", "data", "-m", "input")
    assert ended.code == 0
    assert re.search(r"Rain13K/Rain100H\s+input\s+rgb", ended.out)
    assert re.search(r"Rain100H\s+Restormer \(clearview\)\s+published\s+27\.78\s+0\.8680", ended.out)
    assert "36.04" not in ended.out


def test_published_numbers_follow_the_rows_of_their_set(derain: Derain) -> None:
    for name in ("Rain200L", "Rain800"):
        make_pairs(Path(f"data/{name}/test"), count=1)
    names = ("--dataset", "Rain200L", "--dataset", "Rain800")
    ended = derain("eval", *names, "--data-root", "data", "-m", "input", "-m", "median", "--report", "page")
    assert ended.code == 0
    for text in (ended.out, Path("page/index.html").read_text()):
        places = [text.index(words) for words in ("40.66", "27.73")]
        assert places[0] < text.index("Rain800", text.index("median")) < places[1]


def test_each_model_has_its_speed_over_all_pictures(derain: Derain) -> None:
    for name in ("one", "two"):
        make_pairs(Path(name), count=3)
    ended = derain("eval", "--dataset", "one", "--dataset", "two", "-m", "median", "--csv", "rows.csv", "--json")
    with Path("rows.csv").open(newline="") as file:
        rows = [float(row["seconds"]) / (int(row["width"]) * int(row["height"]) / 1e6) for row in csv.DictReader(file)]
    (model,) = document(ended)["models"]
    assert len(rows) == 6
    assert model["seconds_per_megapixel"] == pytest.approx(float(np.median(rows)), abs=0.05 / (48 * 56 / 1e6) / 1e3)


def test_groups_are_kept_apart_and_folders_of_one_name_too(derain: Derain) -> None:
    make_pairs(Path("one/val/light"), count=2)
    make_pairs(Path("one/val/heavy"), count=1)
    make_pairs(Path("one/val/other"), count=3)
    make_pairs(Path("two/val/light"), count=2)
    found = document(derain("eval", "--dataset", "one/val", "--dataset", "two/val", "-m", "input", "--json"))
    places = [(r["dataset"], r["group"], r["pictures"]) for r in found["results"]]
    assert len(set(places)) == 4
    assert {d["name"] for d in found["datasets"]} == {"one/val", "two/val"}


@pytest.mark.fault(38)
def test_identical_pictures_count_as_100_db_with_a_note(derain: Derain, folder: Path) -> None:
    shutil.copytree(folder / "norain", folder / "rain", dirs_exist_ok=True)
    ended = derain("eval", "--dataset", folder)
    assert "identical to the ground truth and count as 100 dB" in ended.out
    found = document(derain("eval", "--dataset", folder, "--json"))
    assert found["results"][0]["output"]["y"]["psnr"]["mean"] == 100.0
    assert found["results"][0]["identical"] == {"rgb": 4, "y": 4}
    for model in ("input", "median"):
        ended = derain("eval", "--dataset", folder, "-m", model, "--report", f"page-{model}")
        for text in (ended.out, Path(f"page-{model}/index.html").read_text()):
            assert "pairs: 4 of 4 inputs are identical to the ground truth and count as 100 dB" in text
            assert "inf" not in re.findall(r"\b\w+\b", text)


def test_photos_without_truth_have_figures_named_as_what_they_are(derain: Derain) -> None:
    for number in range(3):
        Path("photos").mkdir(exist_ok=True)
        write_rgb(Path(f"photos/{number}.png"), make_picture(40, 50, number))
    ended = derain("eval", "--dataset", "photos", "-m", "median", "--csv", "rows.csv", "--report", "page")
    assert ended.code == 0
    assert "streak energy removed" in ended.out
    assert "describe change, not quality" in ended.out
    assert "PSNR" not in ended.out
    assert len(Path("rows.csv").read_text().splitlines()) == 4
    assert len(list(Path("page/pictures").iterdir())) == 9
    assert re.search(r"niqe input\s+niqe output", ended.out)


def test_named_sets_are_fetched_when_asked_for_and_folders_never(
    derain: Derain, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetch(name: str, data_root: Path | None, **_: object) -> Path:
        asked.append((name, data_root))
        return make_pairs(Path("data/Rain200L/test"), count=2)

    monkeypatch.setattr("derain_cli.datasets.download.download_dataset", fetch)
    arguments = ("eval", "--dataset", "Rain200L", "--dataset", folder, "--data-root", "data", "-m", "input")
    assert derain(*arguments).code == 4
    assert asked == []
    assert derain(*arguments, "--download").code == 0
    assert asked == [("Rain200L", Path("data"))]


# --- files ------------------------------------------------------------------------------------------------------------


def test_csv_has_a_line_per_picture_and_model(derain: Derain, folder: Path) -> None:
    assert derain("eval", "--dataset", folder, "-m", "input", "-m", "median", "--csv", "rows.csv").code == 0
    with Path("rows.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert {row["model"] for row in rows} == {"input", "median"}
    assert rows[0]["input_psnr_rgb"] == rows[0]["output_psnr_rgb"]
    before = snapshot()
    again = derain("eval", "--dataset", folder, "-m", "input", "--csv", "rows.csv")
    assert again.code == 7
    assert snapshot() == before
    assert derain("eval", "--dataset", folder, "-m", "input", "--csv", "rows.csv", "--overwrite").code == 0


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for name, value in attrs if name in ("src", "href") and value]
        if tag not in ("meta", "img", "br", "input"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_report_stands_by_itself(derain: Derain, folder: Path) -> None:
    ended = derain("eval", "--dataset", folder, "-m", "input", "-m", "median", "--report", "page")
    assert ended.code == 0
    text = Path("page/index.html").read_text()
    page = _Links()
    page.feed(text)
    assert page.open == []
    assert page.links
    for link in page.links:
        assert not re.match(r"\w+:|//", link)
        assert (Path("page") / link).is_file()
    # One script, of its own; no other runs, whatever names contain.
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in text and text.count("<script") == 1
    for words in (
        "worst:",
        "median:",
        "best:",
        "ground truth",
        "error, amplified 4 times",
        "&quot;threads&quot;",
        "rgb",
    ):
        assert words in text
    # Three pictures per model: input and ground truth once, output and error for each.
    shown = {read_rgb(p).tobytes() for p in Path("page/pictures").iterdir()}
    assert {read_rgb(p).tobytes() for p in Path("page/pictures").glob("*-truth.png")} <= {
        read_rgb(p).tobytes() for p in (folder / "norain").iterdir()
    }
    assert len(shown) > 6
    assert derain("eval", "--dataset", folder, "-m", "input", "--report", "page").code == 7
    assert derain("eval", "--dataset", folder, "-m", "input", "--report", "page", "--overwrite").code == 0


def test_every_picture_of_the_report_is_shown_by_all_models_and_stands_in_its_table(derain: Derain) -> None:
    folder = make_pairs(Path("pairs"), count=4)
    ended = derain(
        "eval", "--dataset", folder, "-m", "input", "-m", "median", "-m", "guided", "--report", "page", "--json"
    )
    text = Path("page/index.html").read_text()
    comparisons = re.findall(r'<div class="comparison".*?</div></div>', text, re.DOTALL)
    assert len(comparisons) == 3  # worst, median, best
    for each in comparisons:
        assert "output of median" in each and "output of guided" in each and "ground truth" in each
        assert each.count(" selected") == 2
    (each_picture,) = re.findall(r"<table><thead><tr><th class=text><button>.*?</table>", text, re.DOTALL)
    assert each_picture.count("<tr>") == 1 + 4
    (result,) = [r for r in document(ended)["results"] if r["model"] == "median"]
    gain = result["output"]["rgb"]["psnr"]["mean"] - result["input"]["rgb"]["psnr"]["mean"]
    assert f"<td>{gain:+.2f}</td>" in text
    assert text.count("<circle") == 4 + 1 and text.count("h6v6h-6z") == 4 + 1  # every picture, and the legend


def test_names_in_the_report_are_text(derain: Derain) -> None:
    make_pairs(Path("a<b>&c"), count=1)
    derain("eval", "--dataset", "a<b>&c", "-m", "input", "--report", "page")
    text = Path("page/index.html").read_text()
    assert "a<b>" not in text
    assert "a&lt;b&gt;&amp;c" in text


# --- problems of the data ---------------------------------------------------------------------------------------------


@pytest.mark.fault(37)
def test_bad_pairs_fail_by_themselves(derain: Derain) -> None:
    folder = make_pairs(Path("pairs"), count=6)
    (folder / "rain/000.png").write_bytes(b"")
    write_rgb(folder / "norain/001.png", make_picture(40, 40))
    (folder / "norain/002.png").unlink()
    shutil.copy(folder / "rain/003.png", folder / "rain/003.jpg")
    ended = derain("eval", "--dataset", folder, "-m", "input", "-m", "median", "--json")
    assert ended.code == 3
    found = document(ended)
    assert [r["pictures"] for r in found["results"]] == [3, 3]
    reasons = " ".join(ended.errors)
    for words in ("empty file", "sizes differ", "partner", "003"):
        assert words in reasons
    assert len(ended.errors) == len(found["failed"]) == 4


def test_rainy_and_clean_pictures_without_one_pair_are_4(derain: Derain) -> None:
    """They are not treated as photos without ground truth."""
    folder = make_pairs(Path("pairs"), count=2)
    for number in range(2):
        (folder / f"norain/{number:03d}.png").rename(folder / f"norain/other{number}.png")
    ended = derain("eval", "--dataset", folder, "-m", "input")
    assert ended.code == 4
    assert "no pairs found: 4 pictures without a partner, first pairs/" in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("dataset", "code", "words"),
    [("Rain200X", 2, "did you mean Rain200"), ("Rain200L", 4, "not found"), ("empty", 4, "no pairs found")],
)
def test_data_sets_that_are_not_there(derain: Derain, dataset: str, code: int, words: str) -> None:
    Path("empty").mkdir()
    ended = derain("eval", "--dataset", dataset, "-m", "input")
    assert ended.code == code
    assert words in ended.err
    assert ended.out == ""


@pytest.mark.fault(37)
def test_nothing_that_can_be_scored_is_4(derain: Derain) -> None:
    folder = make_pairs(Path("pairs"), count=2)
    for path in (folder / "rain").iterdir():
        path.write_bytes(b"no picture")
    assert derain("eval", "--dataset", folder, "-m", "input").code == 4


@pytest.mark.parametrize(
    ("model", "code"),
    [("no_such_module_at_all:net", 2), ("none.pt", 5), ("none.safetensors", 5), ("nosuchmodel", 5)],
)
def test_models_that_are_not_there(derain: Derain, folder: Path, model: str, code: int) -> None:
    ended = derain("eval", "--dataset", folder, "-m", model)
    assert ended.code == code
    assert len(ended.errors) == 1


@pytest.mark.fault(37)
def test_swapped_folders_are_noticed(derain: Derain) -> None:
    # `looks_swapped` checks pictures in folders whose names define the sides.
    folder = make_pairs(Path("pairs"), count=6, height=96, width=96, names=("norain", "rain"))
    ended = derain("eval", "--dataset", folder, "-m", "input")
    assert ended.code == 0
    assert "swapped" in ended.err
    strict = derain("eval", "--dataset", folder, "-m", "input", "--strict")
    assert strict.code == 4
    assert strict.out == ""


@pytest.mark.fault(66)
def test_test_pictures_in_the_training_set_are_counted_and_named(derain: Derain, folder: Path) -> None:
    hashes = hash_files([folder / "norain/001.png", folder / "norain/003.png"])
    save_weights(Path("seen.safetensors"), unchanging(), Card(hashes=hashes))
    ended = derain("eval", "--dataset", folder, "-m", "seen.safetensors", "--json")
    assert ended.code == 0
    assert "2 of 4 pictures are in the training set of seen.safetensors: 001, 003" in ended.err
    assert document(ended)["seen_in_training"] == [
        {"dataset": "pairs", "model": "seen.safetensors", "pictures": ["001", "003"]}
    ]
    strict = derain("eval", "--dataset", folder, "-m", "seen.safetensors", "--strict")
    assert strict.code == 4
    assert "001, 003" in strict.err


def test_a_foreign_network_passes_through_the_same_scoring(derain: Derain, folder: Path) -> None:
    Path("peer_for_eval.py").write_text("def half(x):\n    return x * 0.5\n")
    found = document(derain("eval", "--dataset", folder, "-m", "peer_for_eval:half", "--csv", "rows.csv", "--json"))
    rainy, clean = (read_rgb(folder / name / "000.png").astype(np.float64) for name in ("rain", "norain"))
    restored = np.rint((rainy / 255).astype(np.float32) * np.float32(0.5) * 255)
    with Path("rows.csv").open(newline="") as file:
        first = next(csv.DictReader(file))
    expected = 10 * np.log10(255**2 / np.mean((restored - clean) ** 2))
    assert float(first["output_psnr_rgb"]) == pytest.approx(expected, abs=0.01)
    assert found["models"][0]["kind"] == "python"


def test_inputs_are_left_alone(derain: Derain, folder: Path) -> None:
    before = snapshot(folder)
    derain("eval", "--dataset", folder, "-m", "median", "--report", "page")
    assert snapshot(folder) == before
