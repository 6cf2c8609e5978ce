"""Options for spreading work over a cluster."""

from __future__ import annotations

import re
from dataclasses import dataclass

from derain_cli.config.schema import require_option

__all__ = ["LOCAL", "ClusterOptions", "is_address"]

LOCAL = "local"
"""In place of an address: processes on this machine."""

_ADDRESS = re.compile(r"auto|local|(ray://)?([\w.-]+|\[[0-9a-fA-F:]+\]):[0-9]{1,5}")


def is_address(word: str) -> bool:
    """Whether `word` is `local`, `auto`, `HOST:PORT` or `ray://HOST:PORT`."""
    return _ADDRESS.fullmatch(word) is not None


@dataclass(frozen=True)
class ClusterOptions:
    """Which cluster to use, and how its workers are cut.

    Attributes:
        ray: the address of a Ray cluster; `auto` for the one this machine belongs to, `local` for one that is started
            on this machine and ends with the job.
        ray_cpus: processors of each worker; fewer where a machine has fewer. On machines with GPUs there is a worker
            for each GPU instead, with at most so many processors.

    Raises:
        UsageError: not an address, or no processors.
    """

    ray: str = LOCAL
    ray_cpus: int = 4

    def __post_init__(self) -> None:
        require_option(is_address(self.ray), "ray", f"must be auto, HOST:PORT or ray://HOST:PORT, not {self.ray!r}")
        require_option(self.ray_cpus >= 1, "ray_cpus", f"must be at least 1, not {self.ray_cpus}")
