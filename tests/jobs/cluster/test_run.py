"""Photos on workers that die, fail or refuse: order, retries, bounds, endings."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from derain_cli.errors import DeviceLostError, InputError, ResourceError, UsageError, WorkerDiedError
from derain_cli.jobs.cluster import pool as pools
from derain_cli.jobs.cluster.pool import WorkerLostError, WorkerPool
from derain_cli.jobs.cluster.run import ATTEMPTS, grouped, restore_photos_with
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.outcome import PhotoOutcome
from derain_cli.system.signals import Interrupted
from tests.jobs.cluster.fakes import FakeCluster, FakeWorker, done, items


def restored(
    cluster: FakeCluster, wanted: Iterable[Item], size: int = 2, *, fail_fast: bool = False
) -> tuple[list[PhotoOutcome], list[str]]:
    outcomes: list[PhotoOutcome] = []
    notes: list[str] = []
    with cluster.pool(size) as pool:
        restore_photos_with(pool, wanted, report=outcomes.append, note=notes.append, fail_fast=fail_fast)
    assert all(worker.ended for worker in cluster.workers)
    return outcomes, notes


@settings(max_examples=20)
@given(st.integers(0, 90), st.integers(1, 5), st.sets(st.integers(0, 89)))
def test_every_item_is_reported_once_in_order_whoever_dies_once(count: int, size: int, deadly: set[int]) -> None:
    tried: Counter[Item] = Counter()

    def work(item: Item, worker: FakeWorker) -> PhotoOutcome:
        tried[item] += 1
        if int(Path(item.source).stem) in deadly and tried[item] == 1:
            raise WorkerLostError("bad luck")
        return done(item, worker)

    wanted = items(count)
    outcomes, _ = restored(FakeCluster(work), wanted, size)
    assert [outcome.item for outcome in outcomes] == wanted
    assert not any(outcome.error for outcome in outcomes if int(Path(outcome.item.source).stem) not in deadly)


def test_an_item_that_kills_every_worker_fails_alone_with_a_clear_line() -> None:
    deaths = 0

    def work(item: Item, worker: FakeWorker) -> PhotoOutcome:
        nonlocal deaths
        if item.source == "in/20.png":
            deaths += 1
            raise WorkerLostError("out of memory")
        return done(item, worker)

    outcomes, notes = restored(FakeCluster(work), items(40))
    (failed,) = [outcome for outcome in outcomes if outcome.error]
    assert len(outcomes) == 40 and not failed.fatal
    assert isinstance(failed.error, WorkerDiedError) and deaths == ATTEMPTS == len(notes)
    line = str(failed.error)
    assert line.startswith("in/20.png: 3 workers died of it") and "out of memory" in line and "\n" not in line


def test_what_a_dead_worker_has_written_counts_as_done() -> None:
    written: set[Item] = set()

    def work(item: Item, worker: FakeWorker) -> PhotoOutcome:
        skipped = item in written
        written.add(item)
        if item.source == "in/0.png" and not skipped:
            raise WorkerLostError("died after writing it")
        return PhotoOutcome(item, skipped=skipped)

    outcomes, _ = restored(FakeCluster(work), items(3))
    assert not any(outcome.skipped or outcome.error for outcome in outcomes)


def test_temporary_files_of_a_dead_worker_are_removed(tmp_path: Path) -> None:
    kept = tmp_path / f".derain-00000009-7-{'a' * 12}.tmp"
    kept.touch()

    def work(item: Item, worker: FakeWorker) -> PhotoOutcome:
        if worker.number == 0:
            (tmp_path / f".derain-{worker.about.owner}-{'b' * 12}.tmp").touch()
            raise WorkerLostError("killed")
        return done(item, worker)

    restored(FakeCluster(work), [Item("a.png", str(tmp_path / "a.png"))], 1)
    assert list(tmp_path.iterdir()) == [kept]


def test_a_lost_device_costs_its_worker_only() -> None:
    def work(item: Item, worker: FakeWorker) -> PhotoOutcome:
        if worker.number == 0:
            return PhotoOutcome(item).failed(DeviceLostError("the device failed"))
        return done(item, worker)

    cluster = FakeCluster(work)
    outcomes, _ = restored(cluster, items(9), 1)
    assert len(outcomes) == 9 and not any(outcome.error for outcome in outcomes)
    assert len(cluster.workers) == 2


def test_a_full_disk_ends_the_run_and_a_bad_photo_does_not() -> None:
    def work(item: Item, worker: FakeWorker) -> PhotoOutcome:
        number = int(Path(item.source).stem)
        if number == 3:
            return PhotoOutcome(item).failed(InputError("broken"))
        if number == 50:
            return PhotoOutcome(item).failed(ResourceError("no space left on the disk"))
        return done(item, worker)

    outcomes, _ = restored(FakeCluster(work), items(300), 1)
    assert [outcome.item.source for outcome in outcomes if outcome.error] == ["in/3.png", "in/50.png"]
    assert outcomes[-1].fatal and len(outcomes) == 51


def test_fail_fast() -> None:
    def work(item: Item, worker: FakeWorker) -> PhotoOutcome:
        return PhotoOutcome(item).failed(InputError("broken")) if item.source == "in/0.png" else done(item, worker)

    outcomes, _ = restored(FakeCluster(work), items(100), 1, fail_fast=True)
    assert len(outcomes) == 1


@pytest.mark.parametrize("size", [1, 3])
def test_items_are_found_as_workers_become_free(size: int) -> None:
    found = told = most = 0

    def finding() -> Iterator[Item]:
        nonlocal found, most
        for item in items(2000):
            found += 1
            most = max(most, found - told)
            yield item

    def report(outcome: PhotoOutcome) -> None:
        nonlocal told
        told += 1

    with FakeCluster().pool(size) as pool:
        restore_photos_with(pool, finding(), report=report, note=print)
    assert told == found == 2000 and most <= 32 * (size + 1)


def test_groups_grow_and_hold_a_bounded_amount(tmp_path: Path) -> None:
    sizes = [len(group) for group in grouped(items(1000), 4)]
    assert sizes[:6] == [1, 1, 1, 1, 2, 2] and max(sizes) == 16 and sum(sizes) == 1000
    large = tmp_path / "large"
    with large.open("wb") as file:
        file.truncate(20 << 20)
    assert {len(group) for group in grouped([Item(str(large), "out")] * 50, 1)} == {1}


def test_workers_that_cannot_be_used_end_the_run_with_their_reason() -> None:
    def start(stop: threading.Event) -> FakeWorker:
        raise UsageError("another version is installed there")

    notes: list[str] = []
    with WorkerPool(start, 3) as pool, pytest.raises(UsageError, match="another version"):
        restore_photos_with(pool, items(3), report=lambda outcome: None, note=notes.append)
    assert notes == ["one worker less: another version is installed there"]


def test_starting_is_tried_again_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = 0

    def start(stop: threading.Event) -> FakeWorker:
        nonlocal starts
        starts += 1
        raise WorkerLostError("its machine is gone")

    with WorkerPool(start, 1) as pool, pytest.raises(ResourceError, match="its machine is gone"):
        restore_photos_with(pool, items(3), report=lambda outcome: None, note=print)
    assert starts == pools._STARTS


def test_one_bad_machine_does_not_stop_the_others() -> None:
    cluster = FakeCluster()

    def start(stop: threading.Event) -> FakeWorker:
        worker = cluster.start(stop)
        if worker.number == 1:
            raise InputError("not there", path="/data")
        return worker

    outcomes: list[PhotoOutcome] = []
    with WorkerPool(start, 3) as pool:
        restore_photos_with(pool, items(50), report=outcomes.append, note=print)
    assert len(outcomes) == 50 and len(pool.seen) == 2


def test_a_signal_stops_the_workers_and_what_is_done_is_reported() -> None:
    begun = threading.Event()

    class Slow(FakeWorker):
        def restore(self, items: object, stop: threading.Event) -> tuple[PhotoOutcome, ...]:
            (item,) = list(items)[:1]  # type: ignore[call-overload]
            if item.source == "in/1.png":
                begun.set()
                assert stop.wait(20)
                return ()
            return (done(item, self),)

    def finding() -> Iterator[Item]:
        yield from items(2)
        assert begun.wait(20)
        raise Interrupted(2)

    outcomes: list[PhotoOutcome] = []
    with WorkerPool(lambda stop: Slow(done, 0), 2) as pool, pytest.raises(Interrupted):
        restore_photos_with(pool, finding(), report=outcomes.append, note=print)
    assert [outcome.item.source for outcome in outcomes] == ["in/0.png"]


def test_a_long_wait_for_the_first_worker_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "_PATIENCE", 0.3)
    cluster, notes = FakeCluster(), []

    def start(stop: threading.Event) -> FakeWorker:
        assert not stop.wait(1)
        return cluster.start(stop)

    with WorkerPool(start, 2) as pool:
        restore_photos_with(pool, items(9), report=lambda outcome: None, note=notes.append)
    assert notes == ["still waiting for the first worker: the cluster may be busy"]
