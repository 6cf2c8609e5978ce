"""Options for reading and writing photos."""

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
        encode: how outputs are encoded.
        max_pixels: larger photos are refused.
        overwrite: replace existing outputs.
        record: of how outputs were made; None keeps no record.
        companions: additional pictures to write, from `COMPARE` and `LAYERS`.
        jobs: reader threads, and as many writer threads, alongside the network; 0 processes one photo at a time.
        fail_fast: stop after the first failure.
    """

    encode: EncodeOptions = field(default_factory=EncodeOptions)
    max_pixels: int = DEFAULT_MAX_PIXELS
    overwrite: bool = False
    record: MadeRecord | None = None
    companions: tuple[Companion, ...] = ()
    jobs: int = 1
    fail_fast: bool = False
