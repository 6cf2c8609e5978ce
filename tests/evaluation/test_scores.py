"""Scores of a restorer on pairs: means of per-picture values, kept apart by group, failures counted."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import warnings
import weakref
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
from derain_cli.evaluation import scores, turns
from derain_cli.evaluation.scores import Evaluation, evaluate, examine
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


def test_results_come_in_order_and_in_this_thread_whatever_takes_long(pair_folder):
    (group,) = find_pairs(pair_folder).groups
    calls, threads = [], set()

    def slow_at_first(picture):
        threads.add(threading.get_ident())
        calls.append(len(calls))
        if len(calls) < 3:
            time.sleep(0.05)
        return picture

    results = []
    evaluate(slow_at_first, [group], lambda r: (results.append(r.name), threads.add(threading.get_ident())))
    assert results == [pair.name for pair in group.pairs]
    assert threads == {threading.get_ident()}


@pytest.fixture(params=["in turns", "side by side"])
def together(request, monkeypatch) -> str:
    """How reading and scoring go with the restorer, whatever this machine and the restorer are like."""
    monkeypatch.setattr(turns, "_cores", lambda: 2)
    monkeypatch.setattr(turns, "_ENOUGH", {"in turns": 1e9, "side by side": -1e9}[request.param])
    monkeypatch.setattr(turns, "_LEAST_SECONDS", 0.0)
    return request.param


def test_few_pictures_are_in_memory_at_a_time(tmp_path, pairs, together):
    """What the restorer has been given and nobody holds any more is gone: the number alive does not grow."""
    (group,) = find_pairs(pairs(tmp_path, count=40, height=24, width=24)).groups
    alive, most, numbers = set(), 0, itertools.count()

    class Held(np.ndarray):
        pass

    def restore(picture):
        nonlocal most
        restored, number = picture.copy().view(Held), next(numbers)
        alive.add(number)
        weakref.finalize(restored, alive.discard, number)
        most = max(most, len(alive))
        return restored

    evaluate(restore, [group])
    gc.collect()
    assert most <= {"in turns": 10, "side by side": 8}[together]
    assert not alive


def test_both_ways_give_the_same_results(tmp_path, pairs, together):
    folder = pairs(tmp_path, count=13)
    (folder / "rain" / "005.png").write_bytes(b"")
    groups = find_pairs(folder).groups
    rows = []
    found = evaluate(lambda picture: 255 - picture, groups, rows.append)
    assert [row.name for row in rows] == [pair.name for pair in groups[0].pairs if pair.name != "005"]
    for row in rows:
        assert row.after == score_levels(255 - row.rainy, row.clean)
        assert row.before == score_levels(row.rainy, row.clean)
    assert [error.reason for error in found.failed] == ["empty file"]


def _during(group: PairGroup, restore, monkeypatch) -> list[int]:
    """How many pictures were read or scored while the restorer was at work, by call."""
    working, inside = threading.Event(), []

    def seen(function):
        def watched(*args):
            if working.is_set():
                inside[-1] += 1
            return function(*args)

        return watched

    monkeypatch.setattr(scores, "read_pair", seen(scores.read_pair))
    monkeypatch.setattr(scores, "score_levels", seen(scores.score_levels))

    def watched_restore(picture):
        inside.append(0)
        working.set()
        try:
            return restore(picture)
        finally:
            working.clear()

    evaluate(watched_restore, [group])
    return inside


def test_helpers_work_beside_a_restorer_that_leaves_cores_free(tmp_path, pairs, monkeypatch):
    """One that waits, as for a GPU: by the third picture reading and scoring are hidden in that time."""
    (group,) = find_pairs(pairs(tmp_path, count=12)).groups

    def waiting(picture):
        time.sleep(0.03)
        return picture

    during = _during(group, waiting, monkeypatch)
    assert sum(during[2:]) > 12


def test_helpers_take_turns_with_a_restorer_that_needs_all_cores(tmp_path, pairs, monkeypatch):
    """One that keeps every core busy has them for itself: nothing is read or scored while it works."""
    (group,) = find_pairs(pairs(tmp_path, count=12)).groups
    monkeypatch.setattr(turns, "_cores", lambda: 1)

    def working(picture):
        end = time.thread_time() + 0.01
        while time.thread_time() < end:
            pass
        return picture

    assert _during(group, working, monkeypatch) == [0] * 12


def test_turns_are_short_where_pictures_are_large_or_take_long():
    def turn(seconds: float, side: int) -> int:
        picture = np.empty((side, side, 3), np.uint8)
        return turns._pictures_in_turn([turns._Restored(None, picture, seconds)], 2)

    assert turn(0.01, 400) == 8
    assert turn(0.3, 400) == 3
    assert turn(20.0, 400) == 1
    assert turn(0.01, 2000) == 2
    assert turn(0.01, 5000) == 1


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
    found = examine(identity, photos, rows.append)
    assert (found.count, found.failed) == (6, ())
    assert [row.name for row in rows] == [photo.stem for photo in photos]
    assert found.mean.mean_change == 0
    assert found.mean.streak_energy_removed == 0
    assert found.mean.gradient_energy_kept == 1


def test_unreadable_photos_are_listed(tmp_path, identity, picture):
    write_rgb(tmp_path / "a.png", picture(40, 40))
    (tmp_path / "b.png").write_bytes(b"")
    found = examine(identity, [tmp_path / "a.png", tmp_path / "b.png"])
    assert (found.count, len(found.failed)) == (1, 1)
    with pytest.raises(NothingToDoError, match="empty file"):
        examine(identity, [tmp_path / "b.png"])
