"""Photos on a Ray cluster: `derain FOLDER --ray`."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from derain_cli import __version__
from derain_cli.cli.photos import PhotoJob, PhotoTally, other_kinds
from derain_cli.config.cluster import LOCAL, ClusterOptions
from derain_cli.jobs.cluster.options import AboutWorker, WorkerOptions
from derain_cli.jobs.items import Item, WorkList
from derain_cli.jobs.made import MadeRecord, settled
from derain_cli.jobs.outputs import plan_in_parts

if TYPE_CHECKING:
    from derain_cli.checkpoints.header import Head

__all__ = ["restore_on_cluster"]

_PASSED_ON = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
"""Environment variables for the workers, which the command sets for itself (`derain_cli.cli`)."""


def restore_on_cluster(job: PhotoJob, cluster: ClusterOptions, tally: PhotoTally) -> None:
    """Restore the photos of a job on a cluster while they are being found.

    Args:
        job: what to do.
        cluster: where.
        tally: for the results.

    Raises:
        UsageError: Ray is not installed, or the weights are for clips.
        WeightsError: the weights are missing or invalid.
        ResourceError: the cluster cannot be reached, or has no such device.
        DerainError: of the plan, or of a worker that cannot be used.
    """
    from derain_cli.jobs.cluster.ray_cluster import ray_workers, require_ray
    from derain_cli.jobs.cluster.run import restore_photos_with

    require_ray()
    # The devices are those of other machines.
    head, record = tally.head_and_record(replace(job, restore=replace(job.restore, device="auto")))
    tally.finding = True
    items = _found(job, record, tally)
    first = next(items, None)
    if first is None:  # everything is done: no need for a cluster
        return
    with ray_workers(cluster, _worker_options(job, head, record)) as pool, tally.reporter.bar(None) as bar:
        where = "on this machine" if cluster.ray == LOCAL else f"of the Ray cluster {cluster.ray}"
        tally.reporter.say(f"{pool.size} {'worker' if pool.size == 1 else 'workers'} {where}")
        restore_photos_with(
            pool,
            itertools.chain((first,), items),
            report=lambda outcome: tally.report_found(outcome, bar),
            note=tally.reporter.note,
            fail_fast=job.batch.fail_fast,
        )
    _tell_workers(pool.seen, job.model, tally)


def _found(job: PhotoJob, record: MadeRecord, tally: PhotoTally) -> Iterator[Item]:
    """The items of a job, as they are asked for; what else its plan says is reported."""
    last = WorkList(())
    for part in plan_in_parts(job.paths, job.selection, job.naming):
        last = settled(part, record, job.naming.companions_of)
        tally.report_part(last)
        yield from last.items
    tally.finding = False
    tally.report_end(last, ignored=other_kinds(last.unread))


def _worker_options(job: PhotoJob, head: Head, record: MadeRecord) -> WorkerOptions:
    return WorkerOptions(
        job.model,
        head.sha256,
        job.restore,
        replace(job.batch, record=record),
        os.getcwd(),  # noqa: PTH109  (paths of jobs are strings)
        __version__,
        {name: os.environ[name] for name in _PASSED_ON if name in os.environ},
    )


def _tell_workers(seen: Iterable[AboutWorker], model: str, tally: PhotoTally) -> None:
    """Report in one line what restored: the commonest kind of worker, and how many there were where."""
    kinds = Counter((each.device, each.precision, each.engine) for each in seen)
    if not kinds:
        return
    hosts = Counter(each.host for each in seen)
    (device, precision, engine), _ = kinds.most_common(1)[0]
    others = "" if len(kinds) == 1 else ", and other kinds"
    tally.tell_engine(model, device, precision, engine, f"{others}; machines: {len(hosts)}")
