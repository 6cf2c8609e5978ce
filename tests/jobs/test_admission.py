"""Admission by memory: limits, order, no starvation."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.jobs.admission import Closed, Room, Share


@settings(max_examples=30, deadline=None)
@given(
    shares=st.lists(st.builds(Share, st.integers(1, 9), st.integers(0, 200)), max_size=25),
    limit=st.builds(Share, st.integers(1, 20), st.integers(0, 300)),
    threads=st.integers(1, 6),
    seed=st.integers(0, 99),
)
def test_a_room_keeps_its_limits_and_its_order_and_nobody_waits_forever(
    shares: list[Share], limit: Share, threads: int, seed: int
) -> None:
    room, lock = Room(limit), threading.Lock()
    inside: dict[int, Share] = {}
    came: list[int] = []
    wrong: list[dict[int, Share]] = []
    waits = np.random.default_rng(seed).uniform(0, 0.002, len(shares))

    def visit(number: int) -> None:
        room.enter(number, shares[number])
        with lock:
            came.append(number)
            inside[number] = shares[number]
            places, size = (sum(getattr(s, name) for s in inside.values()) for name in ("places", "size"))
            if len(inside) > 1 and (places > limit.places or size > limit.size):
                wrong.append(dict(inside))
        time.sleep(waits[number])
        with lock:
            del inside[number]
        room.leave(number)
        room.leave(number)

    with ThreadPoolExecutor(threads) as pool:
        for done in [pool.submit(visit, number) for number in range(len(shares))]:
            done.result(timeout=30)
    assert not wrong
    assert sorted(came) == list(range(len(shares)))


def test_a_closed_room_lets_go_who_waits() -> None:
    room = Room(Share(1, 10))
    room.enter(0, Share(1, 99))
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(room.enter, 1, Share(1, 0))
        time.sleep(0.01)
        assert not waiting.done()
        room.close()
        with pytest.raises(Closed):
            waiting.result(timeout=30)
