"""Items processed by threads: order, limits, early end, signals."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.jobs.ordered import InOrder, map_ordered


class Signal(BaseException):
    """Raised by a signal handler."""


class Worker:
    """Takes a while per item and counts."""

    def __init__(self, seed: int = 0, seconds: float = 0.002):
        self.waits = np.random.default_rng(seed).uniform(0.0002, seconds, 1000)
        self.lock = threading.Lock()
        self.begun: list[int] = []
        self.at_work = self.most = 0

    def __call__(self, item: int) -> int:
        with self.lock:
            self.begun.append(item)
            self.at_work += 1
            self.most = max(self.most, self.at_work)
        time.sleep(self.waits[item])
        with self.lock:
            self.at_work -= 1
        return item


@settings(max_examples=30, deadline=None)
@given(count=st.integers(0, 40), jobs=st.integers(1, 5), ahead=st.integers(1, 4), seed=st.integers(0, 99))
def test_all_is_told_once_in_order_and_no_more_is_taken_than_threads_need(
    count: int, jobs: int, ahead: int, seed: int
) -> None:
    work, told = Worker(seed), list[int]()
    stop = threading.Event()

    def items() -> Iterator[int]:
        for item in range(count):
            assert item - len(told) < ahead * jobs
            yield item

    def tell(result: int, done: int) -> None:
        assert threading.current_thread() is threading.main_thread()
        told.append(result)
        assert done == len(told)

    assert map_ordered(work, items(), tell, jobs=jobs, stop=stop, ahead=ahead) is None
    assert told == list(range(count))
    assert work.most <= jobs
    assert stop.is_set()


def test_work_that_was_given_up_is_not_told_but_counts_as_done() -> None:
    told: list[tuple[int, int]] = []
    map_ordered(
        lambda item: None if item == 1 else item,
        range(3),
        lambda result, done: told.append((result, done)),
        jobs=2,
        stop=threading.Event(),
    )
    assert told == [(0, 1), (2, 3)]


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 40), end=st.integers(0, 39), jobs=st.integers(1, 5), seed=st.integers(0, 99))
def test_a_result_that_ends_the_run_comes_after_all_before_it_and_nothing_begins_behind_it(
    count: int, end: int, jobs: int, seed: int
) -> None:
    worker, told, begun_before = Worker(seed), list[int](), list[int]()

    def work(item: int) -> int:
        result = worker(item)
        if item == end:
            begun_before[:] = worker.begun
        return result

    ended = map_ordered(
        work,
        range(count),
        lambda result, done: told.append(result),
        lambda result: result == end,
        jobs=jobs,
        stop=threading.Event(),
    )
    assert ended == (end if end < count else None)
    assert told[: end + 1] == list(range(min(end + 1, count)))
    assert told == sorted(worker.begun)
    if end < count:
        assert len(worker.begun) <= len(begun_before) + jobs, "those that another thread began in that very moment"


def test_with_one_item_ahead_the_next_begins_when_the_last_one_is_told() -> None:
    seen: list[str] = []
    map_ordered(
        lambda item: seen.append(f"work {item}") or item,  # type: ignore[func-returns-value]
        range(3),
        lambda result, done: seen.append(f"tell {result} {done}"),
        jobs=1,
        stop=threading.Event(),
        ahead=1,
    )
    assert seen == ["work 0", "tell 0 1", "work 1", "tell 1 2", "work 2", "tell 2 3"]


def test_a_signal_while_a_result_is_told_has_it_told_again_with_what_is_being_done() -> None:
    work, told = Worker(seconds=0.02), list[int]()

    def tell(result: int, done: int) -> None:
        told.append(result)
        if len(told) == 3:
            raise Signal

    with pytest.raises(Signal):
        map_ordered(work, range(100), tell, jobs=2, stop=threading.Event())
    assert told[2] == told[3]
    assert told[:3] + told[4:] == sorted(work.begun)
    assert not [each for each in threading.enumerate() if each.name.startswith("derain")]


def test_a_signal_while_a_result_is_waited_for_stops_work_that_looks_for_it() -> None:
    stop, told, looks = threading.Event(), list[int](), list[int]()

    def work(item: int) -> int | None:
        return item if item == 0 else None if stop.wait(30) else -1

    def watch() -> None:
        looks.append(len(told))
        if len(looks) == 3:
            raise Signal

    start = time.monotonic()
    with pytest.raises(Signal):
        map_ordered(work, range(9), lambda result, done: told.append(result), jobs=2, stop=stop, watch=watch)
    assert told == [0]
    assert time.monotonic() - start < 10


def test_an_error_of_the_work_comes_out_where_it_was_called_from() -> None:
    def work(item: int) -> int:
        if item == 2:
            raise KeyError("a bug")
        return item

    told: list[int] = []
    with pytest.raises(KeyError, match="a bug"):
        map_ordered(work, range(9), lambda result, done: told.append(result), jobs=2, stop=threading.Event())
    assert told[:2] == [0, 1]


def test_what_is_settled_keeps_its_place_and_may_end_the_run() -> None:
    release, told = threading.Event(), list[int]()
    done: list[int] = []

    def slow(item: int) -> int:
        release.wait(30)
        return item

    with InOrder[int](2, told.append, lambda result: result == 9) as queue:
        queue.begin(partial(slow, 0)).add_done_callback(lambda _: done.append(0))
        queue.settle(1)
        queue.tell()
        assert told == [] and len(queue) == 2
        threading.Timer(0.05, release.set).start()
        queue.settle(9)
        raise AssertionError("the run has ended")
    assert told == [0, 1, 9] and queue.ending == 9 and queue.told == 3
    assert done == [0]


def test_what_is_not_begun_any_more_is_done_for_those_who_wait_for_it() -> None:
    first, released = threading.Event(), list[int]()
    told: list[int] = []

    def work(item: int) -> int:
        first.wait(30)
        return item

    with InOrder[int](1, told.append, lambda result: True) as queue:
        for item in range(4):
            queue.begin(partial(work, item)).add_done_callback(partial(released_by, released.append, item))
        first.set()
        queue.tell_all()
    assert told == [0]
    assert sorted(released) == [0, 1, 2, 3]


def released_by(note: Callable[[int], None], item: int, future: object) -> None:
    note(item)
