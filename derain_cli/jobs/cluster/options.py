"""What a worker needs to know, and what is known of a worker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from derain_cli.config import RestoreOptions
from derain_cli.jobs.photos.options import BatchOptions

__all__ = ["AboutWorker", "WorkerOptions"]


@dataclass(frozen=True)
class WorkerOptions:
    """What every worker is told once.

    Attributes:
        model: the weights, by a name or path that is valid on every machine.
        sha256: of these weights: a machine with others is not used.
        restore: how pictures are restored.
        batch: how photos are read and written.
        folder: current folder of the program, to which paths are relative.
        version: of the program: a machine with another one is not used.
        environment: environment variables that are set on each worker unless they are set there.
    """

    model: str
    sha256: str
    restore: RestoreOptions
    batch: BatchOptions
    folder: str
    version: str
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AboutWorker:
    """What is known of a worker that is ready.

    Attributes:
        host: name of its machine.
        owner: of its temporary files (`derain_cli.system.files.sweep_owned`).
        device, precision, engine: what it computes with, in words.
    """

    host: str
    owner: str
    device: str = ""
    precision: str = ""
    engine: str = ""
