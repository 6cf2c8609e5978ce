"""Captures libtiff's errors during decoding, which Pillow ignores and libtiff prints to the terminal.

Pillow "successfully" decodes a fax with damaged code words: libtiff's messages are the only sign of the damage.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["listening"]

_HANDLER = ctypes.CFUNCTYPE(None, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p)
_here = threading.local()


@contextmanager
def listening() -> Iterator[list[str]]:
    """The errors that libtiff reports in this thread within the context, as its unformatted format strings.

    If Pillow's libtiff is not accessible (on Windows it is linked into Pillow), the list stays empty. Warnings are not
    captured, since Pillow removes their handler.
    """
    _take_over()
    before, _here.errors = getattr(_here, "errors", None), list[str]()
    try:
        yield _here.errors
    finally:
        _here.errors = before


def _on_error(module: bytes | None, words: bytes | None, values: Any) -> None:
    errors = getattr(_here, "errors", None)
    if errors is not None:
        errors.append((words or b"").decode("ascii", "replace"))


_handler = _HANDLER(_on_error)  # must stay alive: libtiff keeps its address


@functools.cache
def _take_over() -> None:
    """Replace libtiff's error handler for the process; the symbol is looked up through Pillow's module."""
    try:
        setter = ctypes.CDLL(importlib.import_module("PIL._imaging").__file__).TIFFSetErrorHandler
    except (AttributeError, ImportError, OSError, TypeError):
        return
    setter.restype = ctypes.c_void_p
    setter(_handler)
