"""How photos are read and written."""

from __future__ import annotations

from dataclasses import dataclass, field

from derain_cli.config import DEFAULT_MAX_PIXELS, EncodeOptions
from derain_cli.jobs.items import Companion
from derain_cli.jobs.made import MadeRecord

__all__ = ["BatchOptions"]


@dataclass(frozen=True)
class BatchOptions:
    """How photos are read and written.

    Attributes:
        encode: how outputs are coded.
        max_pixels: larger photos are refused.
        overwrite: replace outputs that exist.
        record: what is known of how outputs were made; None keeps no record.
        companions: further pictures to write, of `COMPARE` and `LAYERS`.
        jobs: threads that read, and as many that write, while the network works; 0 does one thing at a time.
        fail_fast: stop after the first failure.
    """

    encode: EncodeOptions = field(default_factory=EncodeOptions)
    max_pixels: int = DEFAULT_MAX_PIXELS
    overwrite: bool = False
    record: MadeRecord | None = None
    companions: tuple[Companion, ...] = ()
    jobs: int = 1
    fail_fast: bool = False
