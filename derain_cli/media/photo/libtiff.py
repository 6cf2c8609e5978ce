"""What libtiff says while it decodes. Pillow passes its errors over, and by itself libtiff writes them on the terminal.

A fax whose code words are damaged decodes "well" for Pillow: what libtiff says is all there is to know it by.
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
    """The errors that libtiff meets in this thread inside the block, in the words of its own format strings.

    Where Pillow's libtiff cannot be reached (Windows, where it is linked into Pillow), the list stays empty. Warnings
    are not heard: Pillow takes their handler away.
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


_handler = _HANDLER(_on_error)  # libtiff keeps its address: it must live on


@functools.cache
def _take_over() -> None:
    """Puts our handler in the place of libtiff's, for the process; the symbol is looked up through Pillow's module."""
    try:
        setter = ctypes.CDLL(importlib.import_module("PIL._imaging").__file__).TIFFSetErrorHandler
    except (AttributeError, ImportError, OSError, TypeError):
        return
    setter.restype = ctypes.c_void_p
    setter(_handler)
