"""Items produced in a separate thread."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from derain_cli.jobs.prefetch import prefetch


def test_items_made_ahead_are_the_same_and_few(tmp_path: Path) -> None:
    made: list[int] = []

    def count() -> Iterator[int]:
        for number in range(50):
            made.append(number)
            yield number

    stream = prefetch(count(), depth=2)
    first = next(stream)
    time.sleep(0.05)
    assert first == 0 and len(made) <= 5
    assert list(stream) == list(range(1, 50))


def test_an_error_of_the_maker_comes_out_and_closing_ends_the_thread() -> None:
    def bad() -> Iterator[int]:
        yield 1
        raise ValueError("no more")

    stream = prefetch(bad())
    assert next(stream) == 1
    with pytest.raises(ValueError, match="no more"):
        next(stream)

    before = threading.active_count()
    endless = prefetch(iter(int, 1))
    next(endless)
    close: Callable[[], None] = endless.close  # type: ignore[attr-defined]
    close()
    assert threading.active_count() == before
