"""The Hugging Face Hub's own client: its address, its progress bars, and its errors in words."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator

__all__ = ["bars", "first_line", "hub_address", "is_transport", "quiet_client"]

_LIBRARIES = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "hf_xet", "ssl", "socket"}
"""Of the client, in any version; it does not wrap their errors."""


def hub_address() -> str:
    """The address of the Hub: HF_ENDPOINT, or that of the client.

    The client reads the variable only when imported; a program that embeds this one may set it later.
    """
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def quiet_client() -> None:
    """Silence the client's warnings: errors tell what users need to know."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)


@contextlib.contextmanager
def bars(shown: bool) -> Iterator[None]:
    """Within the block, the client shows its progress bars on stderr only if `shown`."""
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    was_off = are_progress_bars_disabled()
    if not shown:
        disable_progress_bars()
    try:
        yield
    finally:
        if not shown and not was_off:
            enable_progress_bars()


def is_transport(error: BaseException) -> bool:
    """Whether the error is one of the network or of the client, which are not all OSErrors in every version."""
    libraries = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or bool(libraries & (_LIBRARIES | {"huggingface_hub"}))


def first_line(error: BaseException) -> str:
    """The first line of its message that is not empty, or else its class."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
