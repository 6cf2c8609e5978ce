"""Termination signals, as an exception or as a request to stop at the next safe point."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupted", "signals", "stop_requests"]


class Interrupted(BaseException):
    """The program was interrupted by signal `number`; `exit_code` is what a shell reports for it."""

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number

    @property
    def exit_code(self) -> int:
        return 128 + self.number


@contextmanager
def signals() -> Iterator[None]:
    """Within the context, the first SIGINT, SIGTERM or SIGHUP raises `Interrupted` in the main thread; a second kills.

    Signals that are already ignored (`nohup`, background jobs) stay ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {n: signal.getsignal(n) for n in numbers}
    ours = [n for n in numbers if before[n] is not signal.SIG_IGN]

    def stop(number: int, frame: FrameType | None) -> None:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)
        raise Interrupted(number)

    for number in ours:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in ours:
            # None: the handler was not installed from Python and cannot be restored.
            signal.signal(number, signal.SIG_DFL if before[number] is None else before[number])


@contextmanager
def stop_requests() -> Iterator[list[signal.Signals]]:
    """Collects SIGINT, SIGTERM and SIGHUP, so that a run can stop between steps; a second one exits immediately."""
    caught: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    watched = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    # Signals that are already ignored (`nohup`, background jobs) stay ignored.
    watched = [number for number in watched if signal.getsignal(number) is not signal.SIG_IGN]
    old = {number: signal.getsignal(number) for number in watched}

    def note(number: int, _: object) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(signal.Signals(number))

    for number in watched:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number in watched:
            signal.signal(number, old[number])
