"""Scores of a restorer on pairs: means of per-picture values by group; failures are counted."""

from __future__ import annotations

import itertools
import threading
import warnings
from pathlib import Path
from statistics import fmean

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.pairs import Pair, PairGroup
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import InputError, NothingToDoError, ResourceError
from derain_cli.evaluation import scores
from derain_cli.evaluation.scores import Evaluation, evaluate, evaluate_unpaired
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.metrics import PROTOCOLS, Score, score_levels
from derain_cli.model import build


@pytest.fixture(scope="module")
def identity() -> Restorer:
    model = build(ModelConfig(width=2, blocks=1))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return Restorer(model, RestoreOptions(device="cpu", precision="fp32"))


@pytest.fixture(scope="module")
def changing(network) -> Restorer:
    return Restorer(network(ModelConfig(width=4, blocks=1)), RestoreOptions(device="cpu", precision="fp32"))


def test_scores_are_those_of_the_pictures_as_written(pair_folder, changing):
    (group,) = find_pairs(pair_folder).groups
    results = []
    found = evaluate(changing, [group], results.append)
    assert [r.name for r in results] == [pair.name for pair in group.pairs]
    for result, pair in zip(results, group.pairs, strict=True):
        rainy, clean = read_rgb(pair.rainy), read_rgb(pair.clean)
        assert np.array_equal(result.rainy, rainy)
        assert np.array_equal(result.clean, clean)
        assert np.array_equal(result.restored, changing(rainy))
        for measured, shown in ((result.before, rainy), (result.after, result.restored)):
            assert measured["rgb"].psnr == pytest.approx(
                peak_signal_noise_ratio(clean, shown, data_range=255), abs=1e-6
            )
            expected = structural_similarity(clean, shown, channel_axis=2, data_range=255)
            assert measured["rgb"].ssim == pytest.approx(expected, abs=1e-6)
    for protocol in PROTOCOLS:
        for place, rows in ((found.before, [r.before for r in results]), (found.after, [r.after for r in results])):
            assert place[group.name][protocol].psnr == pytest.approx(fmean(r[protocol].psnr for r in rows), abs=1e-9)
            assert place[group.name][protocol].ssim == pytest.approx(fmean(r[protocol].ssim for r in rows), abs=1e-9)
    assert found.count == {group.name: 6}
    assert found.failed == ()
    assert found.megapixels == pytest.approx(6 * 48 * 56 / 1e6)
    assert found.seconds > 0


def test_a_restorer_that_changes_nothing_scores_as_the_input(pair_folder, identity):
    found = evaluate(identity, find_pairs(pair_folder).groups)
    assert found.before == found.after


def test_truth_as_input_counts_as_100_db(tmp_path, identity, picture):
    path = tmp_path / "a.png"
    write_rgb(path, picture(20, 20))
    found = evaluate(identity, [PairGroup("same", (Pair(path, path),))])
    assert found.after["same"]["rgb"] == Score(100.0, pytest.approx(1.0))
    assert found.mean_psnr() == 100.0


def test_each_group_counts_the_same_in_the_mean():
    scores = lambda value: {"rgb": Score(value, 0.5), "y": Score(value + 1, 0.5)}  # noqa: E731
    found = Evaluation({}, {"large": scores(20.0), "small": scores(40.0)}, {"large": 99, "small": 1}, 1.0, 1.0, ())
    assert found.mean_psnr() == 30.0
    assert found.mean_psnr("y") == 31.0


def test_groups_are_kept_apart(tmp_path, identity, pairs):
    pairs(tmp_path / "one", count=2)
    pairs(tmp_path / "two", count=3, height=30)
    found = evaluate(identity, find_pairs(tmp_path).groups)
    assert found.count == {"one": 2, "two": 3}
    for name in ("one", "two"):
        alone = evaluate(identity, find_pairs(tmp_path / name).groups)
        assert found.before[name] == alone.before[name]


def test_pairs_that_cannot_be_scored_are_listed_and_the_others_are(tmp_path, identity, pairs, picture):
    folder = pairs(tmp_path, count=5)
    (folder / "rain" / "000.png").write_bytes(b"")
    write_rgb(folder / "norain" / "001.png", picture(40, 40))
    write_rgb(folder / "rain" / "002.png", picture(8, 9))
    write_rgb(folder / "norain" / "002.png", picture(8, 9, 1))
    found = evaluate(identity, find_pairs(folder).groups)
    assert found.count == {folder.name: 2}
    assert len(found.failed) == 3
    reasons = [str(error) for error in found.failed]
    assert "empty file" in reasons[0]
    assert "sizes differ: 56x48, its clean partner 40x40" in reasons[1]
    assert "at least" in reasons[2]


def test_nothing_that_can_be_scored_is_an_error_that_says_why(tmp_path, identity):
    missing = Pair(tmp_path / "a.png", Path(tmp_path / "b.png"))
    with pytest.raises(NothingToDoError, match="no such file") as caught:
        evaluate(identity, [PairGroup("x", (missing,))])
    assert caught.value.exit_code == 4
    with pytest.raises(NothingToDoError):
        evaluate(identity, [])


def test_evaluation_prints_no_warnings(pair_folder, identity):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        evaluate(identity, find_pairs(pair_folder).groups)


def test_evaluation_repeats(pair_folder, changing):
    groups = find_pairs(pair_folder).groups
    first, second = evaluate(changing, groups), evaluate(changing, groups)
    assert (first.before, first.after) == (second.before, second.after)


# --- side by side -----------------------------------------------------------------------------------------------------


def test_anything_that_restores_pictures_can_be_measured(pair_folder):
    groups = find_pairs(pair_folder).groups
    found = evaluate(lambda picture: picture, groups)
    assert found.before == found.after


def test_inputs_are_scored_once_for_several_restorers(pair_folder, monkeypatch):
    groups = find_pairs(pair_folder).groups
    alone = evaluate(lambda picture: picture, groups)
    scored, inputs = [], {}
    count = lambda *pictures: scored.append(1) or score_levels(*pictures)  # noqa: E731
    monkeypatch.setattr(scores, "score_levels", count)
    first = evaluate(lambda picture: picture, groups, inputs=inputs)
    assert len(scored) == 12
    second = evaluate(lambda picture: 255 - picture, groups, inputs=inputs)
    assert len(scored) == 18
    assert first.before == second.before == alone.before
    assert set(inputs) == set(groups[0].pairs)


@pytest.mark.parametrize("bad", ["size", "depth"])
def test_an_output_of_another_kind_is_a_failure_not_resized(pair_folder, bad):
    groups = find_pairs(pair_folder).groups
    change = {"size": lambda p: p[:-1], "depth": lambda p: p.astype(np.uint16)}[bad]
    with pytest.raises(NothingToDoError, match="the output is"):
        evaluate(change, groups)


def test_what_the_restorer_says_is_wrong_is_about_the_picture(pair_folder):
    (group,) = find_pairs(pair_folder).groups
    count = itertools.count()

    def moody(picture):
        if next(count) == 2:
            raise InputError("too dull")
        return picture

    found = evaluate(moody, [group])
    assert found.count == {group.name: 5}
    assert [(str(error.path), error.reason) for error in found.failed] == [(str(group.pairs[2].rainy), "too dull")]


@pytest.mark.parametrize("error", [ResourceError("out of memory"), KeyboardInterrupt(), ZeroDivisionError()])
def test_other_errors_end_the_run_at_once(pair_folder, error):
    before = threading.active_count()

    def restore(picture):
        raise error

    with pytest.raises(type(error)):
        evaluate(restore, find_pairs(pair_folder).groups)
    assert threading.active_count() == before


# --- photos without ground truth --------------------------------------------------------------------------------------


def test_photos_without_truth_have_figures(pair_folder, identity):
    photos = [pair.rainy for pair in find_pairs(pair_folder).pairs]
    rows = []
    found = evaluate_unpaired(identity, photos, rows.append)
    assert (found.count, found.failed) == (6, ())
    assert [row.name for row in rows] == [photo.stem for photo in photos]
    assert found.mean.mean_change == 0
    assert found.mean.streak_energy_removed == 0
    assert found.mean.gradient_energy_kept == 1


def test_unreadable_photos_are_listed(tmp_path, identity, picture):
    write_rgb(tmp_path / "a.png", picture(40, 40))
    (tmp_path / "b.png").write_bytes(b"")
    found = evaluate_unpaired(identity, [tmp_path / "a.png", tmp_path / "b.png"])
    assert (found.count, len(found.failed)) == (1, 1)
    with pytest.raises(NothingToDoError, match="empty file"):
        evaluate_unpaired(identity, [tmp_path / "b.png"])
