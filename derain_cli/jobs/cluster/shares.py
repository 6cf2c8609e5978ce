"""How the machines of a cluster are cut into workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from derain_cli.config import RestoreOptions
from derain_cli.config.cluster import ClusterOptions
from derain_cli.errors import ResourceError, UsageError
from derain_cli.remedies import Remedy

__all__ = ["Share", "shares_of"]


@dataclass(frozen=True)
class Share:
    """What each worker gets: numbers of processors and GPUs."""

    cpus: int
    gpus: int = 0


def shares_of(
    machines: Sequence[Mapping[str, float]], cluster: ClusterOptions, restore: RestoreOptions
) -> tuple[int, Share]:
    """The number of workers, and what each gets: a GPU, or on a cluster without any `ray_cpus` processors.

    Args:
        machines: `CPU` and `GPU` of each machine.
        cluster: how many processors a worker gets.
        restore: the device asked for.

    Raises:
        ResourceError: there is no such device, or no processor.
        UsageError: the device is one of a single machine.
    """
    if restore.device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"a cluster has no device {restore.device}", remedy=Remedy.CLUSTER_DEVICE)
    cuts = [(int(each.get("CPU", 0)), int(each.get("GPU", 0))) for each in machines]
    with_gpu = [(cpus, gpus) for cpus, gpus in cuts if gpus and cpus >= gpus]
    if restore.device != "cpu" and with_gpu:
        cpus = min(cpus // gpus for cpus, gpus in with_gpu)
        return sum(gpus for _, gpus in with_gpu), Share(min(cpus, cluster.ray_cpus), 1)
    if restore.device == "cuda":
        raise ResourceError("the cluster has no GPU", remedy=Remedy.OTHER_DEVICE)
    sizes = [cpus for cpus, _ in cuts if cpus]
    if not sizes:
        raise ResourceError("the cluster has no processors for workers")
    share = Share(min(cluster.ray_cpus, *sizes))
    return sum(cpus // share.cpus for cpus in sizes), share
