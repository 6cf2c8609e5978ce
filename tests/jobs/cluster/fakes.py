"""Workers without processes: what they do is a function of the item."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from derain_cli.jobs.cluster.options import AboutWorker
from derain_cli.jobs.cluster.pool import WorkerPool
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.outcome import PhotoOutcome

Work = Callable[[Item, "FakeWorker"], PhotoOutcome]


def done(item: Item, worker: FakeWorker) -> PhotoOutcome:
    return PhotoOutcome(item, width=3, height=2)


@dataclass
class FakeWorker:
    """Applies `work` to each item; raises what it raises."""

    work: Work
    number: int
    about: AboutWorker = field(init=False)
    ended: bool = False

    def __post_init__(self) -> None:
        self.about = AboutWorker(f"host{self.number}", f"0000000{self.number % 10}-{self.number + 1}")

    def restore(self, items: Sequence[Item], stop: threading.Event) -> tuple[PhotoOutcome, ...]:
        assert not self.ended
        found: list[PhotoOutcome] = []
        for item in items:
            if stop.is_set():
                break
            found.append(self.work(item, self))
            if found[-1].fatal:
                break
        return tuple(found)

    def end(self) -> None:
        self.ended = True


@dataclass
class FakeCluster:
    """Starts workers, and keeps all that there ever were."""

    work: Work = done
    workers: list[FakeWorker] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def start(self, stop: threading.Event) -> FakeWorker:
        worker = FakeWorker(self.work, next(self._numbers))
        self.workers.append(worker)
        return worker

    def pool(self, size: int = 2) -> WorkerPool:
        return WorkerPool(self.start, size)


def items(count: int) -> list[Item]:
    return [Item(f"in/{number}.png", f"out/{number}.png") for number in range(count)]
