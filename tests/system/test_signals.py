"""Signals that end the program, as an exception or as a request to stop."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


@pytest.mark.fault(46)
def test_a_second_signal_ends_at_once_and_ignored_ones_stay_ignored() -> None:
    code = """
import os, signal, sys, time
from derain_cli.system.signals import Interrupted, signals
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
with signals():
    os.kill(os.getpid(), signal.SIGHUP)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
    except Interrupted as stop:
        print(stop.exit_code, flush=True)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(10)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert ended.stdout == "130\n"
    assert ended.returncode == -signal.SIGINT
