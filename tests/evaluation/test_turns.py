"""Helper threads alongside or in turns with a restorer: same results, in order, few pictures in memory."""

from __future__ import annotations

import gc
import itertools
import threading
import time
import weakref

import numpy as np
import pytest

from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.pairs import PairGroup
from derain_cli.evaluation import scores, turns
from derain_cli.evaluation.scores import evaluate
from derain_cli.metrics import score_levels


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
    """Choose how reading and scoring alternate with the restorer, regardless of this machine and the restorer."""
    monkeypatch.setattr(turns, "_cores", lambda: 2)
    monkeypatch.setattr(turns, "_ENOUGH", {"in turns": 1e9, "side by side": -1e9}[request.param])
    monkeypatch.setattr(turns, "_LEAST_SECONDS", 0.0)
    return request.param


def test_few_pictures_are_in_memory_at_a_time(tmp_path, pairs, together):
    """Inputs of the restorer are freed once unused: the number of live ones does not grow."""
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
    """How many pictures were read or scored during each call of the restorer."""
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
    """A restorer that waits, as for a GPU: from the third picture on, reading and scoring overlap with it."""
    (group,) = find_pairs(pairs(tmp_path, count=12)).groups

    def waiting(picture):
        time.sleep(0.03)
        return picture

    during = _during(group, waiting, monkeypatch)
    assert sum(during[2:]) > 12


def test_helpers_take_turns_with_a_restorer_that_needs_all_cores(tmp_path, pairs, monkeypatch):
    """A restorer that uses all cores has them to itself: nothing is read or scored meanwhile."""
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
