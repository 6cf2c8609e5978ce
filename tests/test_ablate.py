"""The ablation script: its rows can be built, compute is equal, finished rows are not repeated, sums are right."""

from __future__ import annotations

import csv
import json
import statistics
from dataclasses import replace

import pytest

from derain_cli.media.photo import write_rgb
from scripts import ablate
from scripts.ablate import TABLES, RunFlags, Spread, Study

TINY = ["model.width=4", "model.blocks=1", "model.unshuffle=1", "data.patch=32", "data.batch=2", "data.workers=0"]
TINY += ["optim.precision=fp32", "optim.ema=0", "loop.threads=1", "loop.log_every=1"]
TINY += ["contrast.warmup=0", "contrast.ramp=0", "contrast.max_change=255", "contrast.max_colour=255"]


@pytest.fixture
def call(tmp_path, pair_folder, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def main(*argv, settings=TINY) -> int:
        data = ["--dataset", str(pair_folder), "--device", "cpu"]
        return ablate.main(["out", *data, *(p for each in settings for p in ("--set", each)), *map(str, argv)])

    return main


def results(folder, table):
    return {path.name: json.loads(path.read_text()) for path in sorted((folder / "out/results" / table).iterdir())}


@pytest.mark.parametrize("table", list(TABLES))
def test_every_row_can_be_built_and_its_switches_are_its_own(table, tmp_path):
    study = Study(tmp_path, RunFlags(output=tmp_path))
    seen = set()
    for row in TABLES[table].rows:
        config = study.plan(table, row, 0, 5).config
        network = ablate.make_network(row, config.model, 0)
        assert (network is None) == (not row.base)
        seen.add((row.base, str(config)))
    assert len(seen) == len(TABLES[table].rows)


def test_rows_cost_the_same_in_all(tmp_path):
    study = Study(tmp_path, RunFlags(output=tmp_path), steps=1000)
    for table in ("parts", "attach"):
        steps = study.row_steps(table)
        assert min(steps.values()) == 1000
        spent = [
            steps[row.name] * ablate.cost(row, study.plan(table, row, 0, 1).config.model).macs
            for row in TABLES[table].rows
        ]
        assert max(spent) / min(spent) < 1.001
    assert set(Study(tmp_path, RunFlags(output=tmp_path), steps=7, equal="steps").row_steps("size").values()) == {7}


def test_sizes_are_all_widths_by_all_depths_with_as_many_detail_blocks(tmp_path):
    study = Study(tmp_path, RunFlags(output=tmp_path, recipe="fast"))
    assert study.flags.plan([]).config.model.detail_blocks, "a recipe that sets them is what this is about"
    for table, sizes in (
        ("size", {(m, d) for m in (16, 32, 64) for d in (8, 12, 16)}),
        ("size-small", {(m, d) for m in (8, 16, 32) for d in (2, 4, 8)}),
    ):
        models = [study.plan(table, row, 0, 5).config.model for row in TABLES[table].rows]
        assert {(model.width, model.blocks) for model in models} == sizes
        assert all(model.detail_blocks in (0, model.blocks) for model in models)


def test_given_settings_win_over_the_table_s_and_the_row_s_over_them(tmp_path):
    study = Study(tmp_path, RunFlags(output=tmp_path, set_=["model.width=7", "model.detail=msarr"]))
    attached = TABLES["attach"].rows[1]
    model = study.plan("attach", attached, 3, 5).config.model
    assert (model.width, model.blocks, model.detail) == (7, 4, "sdcab")


@pytest.mark.slow
def test_a_table_from_end_to_end_and_again(call, tmp_path, picture, capsys, monkeypatch):
    for number in range(2):
        (tmp_path / "photos").mkdir(exist_ok=True)
        write_rgb(tmp_path / "photos" / f"{number}.png", picture(40, 44, number))
    argv = (
        "--table",
        "drn",
        "--rows",
        "none",
        "sdcab",
        "--steps",
        2,
        "--seeds",
        0,
        1,
        "--examine",
        tmp_path / "photos",
    )
    assert call(*argv) == 0
    printed = capsys.readouterr().out
    assert printed.strip() == (tmp_path / "out/drn.md").read_text().strip()
    found = results(tmp_path, "drn")
    assert len(found) == 4
    assert found["none-seed0.json"]["steps"] > found["sdcab-seed0.json"]["steps"] == 2
    with (tmp_path / "out/drn.csv").open() as file:
        none, sdcab = csv.DictReader(file)
    by_seed = [[found[f"{n}-seed{s}.json"]["metrics"]["mean_psnr_rgb"] for s in (0, 1)] for n in ("none", "sdcab")]
    assert float(none["mean_psnr_rgb mean"]) == pytest.approx(statistics.fmean(by_seed[0]))
    assert float(sdcab["mean_psnr_rgb deviation"]) == pytest.approx(statistics.stdev(by_seed[1]))
    gains = [b - a for a, b in zip(*by_seed, strict=True)]
    assert float(sdcab["gain mean"]) == pytest.approx(statistics.fmean(gains))
    assert float(sdcab["gain deviation"]) == pytest.approx(statistics.stdev(gains))
    assert none["gain mean"] == ""
    assert float(none["photos/mean_change mean"]) > 0
    assert "photos mean change" in printed and "±" in printed

    monkeypatch.setattr(ablate, "train", None)
    assert call(*argv) == 0, "nothing is left to train"
    assert call(*argv, settings=[*TINY, "optim.lr=0.5"]) == 2
    assert "config.optim.lr" in capsys.readouterr().err
    assert call(*argv[:-2]) == 2, "results with other figures are another table's"
    assert "data.examined" in capsys.readouterr().err


def test_broken_off_it_goes_on_where_it_was(call, tmp_path, monkeypatch):
    argv = ("--table", "drn", "--rows", "none", "--steps", 2, "--seeds", 0)
    real, plans = ablate.train, []

    def train(plan, *rest):
        plans.append(plan)
        return real(replace(plan, minutes=0) if len(plans) < 3 else plan, *rest)

    monkeypatch.setattr(ablate, "train", train)
    for _ in range(2):
        assert call(*argv) == 0
        assert not (tmp_path / "out/results").exists()
    assert call(*argv) == 0
    assert [plan.resume for plan in plans] == [False, True, True]
    assert len(results(tmp_path, "drn")) == 1


def test_networks_of_the_literature_with_contrast(call, tmp_path, pair_folder, picture, vgg_file):
    for number in range(2):
        (tmp_path / "real").mkdir(exist_ok=True)
        write_rgb(tmp_path / "real" / f"{number}.png", picture(40, 44, number))
    argv = ("--table", "attach", "--rows", "DDN", "DDN w/ DRN w/ Dual", "--steps", 1, "--seeds", 0)
    assert call(*argv, "--real", tmp_path / "real", "--vgg", vgg_file, "--examine", tmp_path / "real") == 0
    plain, whole = results(tmp_path, "attach").values()
    if plain["row"] != "DDN":
        plain, whole = whole, plain
    assert whole["parameters"] > plain["parameters"]
    assert whole["config"]["contrast"]["mode"] == "both"
    assert {"photos/mean_change", "real/mean_change"} <= set(whole["metrics"])


def test_a_row_that_fails_does_not_stop_the_others(call, tmp_path, monkeypatch, capsys):
    from derain_cli.errors import TrainingError

    real = ablate.train

    def train(plan, *rest):
        if plan.config.model.detail == "none":
            raise TrainingError("changes too much")
        return real(plan, *rest)

    monkeypatch.setattr(ablate, "train", train)
    assert call("--table", "drn", "--rows", "none", "direct", "--steps", 1, "--seeds", 0) == 3
    assert "drn, none, seed 0 failed: changes too much" in capsys.readouterr().err
    assert list(results(tmp_path, "drn")) == ["direct-seed0.json"]


def test_a_row_that_is_not_there(call, capsys):
    assert call("--table", "drn", "--rows", "sdcap") == 2
    assert "sdcap" in capsys.readouterr().err


def test_one_seed_has_no_spread():
    assert Spread.of([1.25]).show(2) == "1.25"
    assert Spread.of([1.0, 2.0]).show(2, "+") == "+1.50 ± 0.71"
