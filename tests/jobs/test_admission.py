"""Admission by memory: limits, order, no starvation."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.jobs.admission import AdmissionQueue, Closed, Cost


@settings(max_examples=30, deadline=None)
@given(
    shares=st.lists(st.builds(Cost, st.integers(1, 9), st.integers(0, 200)), max_size=25),
    limit=st.builds(Cost, st.integers(1, 20), st.integers(0, 300)),
    threads=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_a_queue_keeps_its_limits_and_its_order_and_nobody_waits_forever(
    shares: list[Cost], limit: Cost, threads: int, seed: int
) -> None:
    queue, lock = AdmissionQueue(limit), threading.Lock()
    inside: dict[int, Cost] = {}
    came: list[int] = []
    wrong: list[dict[int, Cost]] = []
    waits = np.random.default_rng(seed).uniform(0, 0.002, len(shares))

    def visit(number: int) -> None:
        queue.acquire(number, shares[number])
        with lock:
            came.append(number)
            inside[number] = shares[number]
            places, size = (sum(getattr(s, name) for s in inside.values()) for name in ("places", "size"))
            if len(inside) > 1 and (places > limit.places or size > limit.size):
                wrong.append(dict(inside))
        time.sleep(waits[number])
        with lock:
            del inside[number]
        queue.release(number)
        queue.release(number)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(visit, number) for number in range(len(shares))]:
            done.result(timeout=30)
    assert not wrong
    assert sorted(came) == list(range(len(shares)))


def test_closing_a_queue_releases_waiting_threads() -> None:
    queue = AdmissionQueue(Cost(1, 10))
    queue.acquire(0, Cost(1, 99))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(queue.acquire, 1, Cost(1, 0))
        time.sleep(0.01)
        assert not waiting.done()
        queue.close()
        with pytest.raises(Closed):
            waiting.result(timeout=30)
