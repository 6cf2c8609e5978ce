"""Many photos: memory use, shared passes, order, failures."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import derain_cli.jobs.photos.run
import derain_cli.jobs.photos.writing
from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import InputError
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.options import BatchOptions
from derain_cli.jobs.photos.outcome import PhotoOutcome
from derain_cli.jobs.photos.run import restore_photos
from derain_cli.media.photo import Photo, PhotoInfo, read_photo, write_photo
from tests.conftest import make_network, make_picture

Pixels = NDArray[Any]


# --- photos of any size -----------------------------------------------------------------------------------------


class Ledger:
    """Replaces the files: sizes by name, and the peak memory."""

    def __init__(self, sizes: Sequence[tuple[int, int]]):
        self.sizes = sizes
        self.lock = threading.Lock()
        self.held: dict[str, int] = {}
        self.most: list[list[int]] = []
        self.written: list[str] = []

    def probe(self, path: str, **_: object) -> PhotoInfo:
        height, width = self.sizes[int(path)]
        return PhotoInfo("JPEG", width, height)

    def read(self, path: str, **_: object) -> Photo:
        height, width = self.sizes[int(path)]
        with self.lock:
            self.held[str(path)] = height * width
            self.most.append(list(self.held.values()))
        if height == 13:
            with self.lock:
                del self.held[str(path)]
            raise InputError("unlucky")
        return Photo(np.full((height, width, 3), int(path) % 251, np.uint8))

    def write(self, photo: Photo, path: Path, **_: object) -> tuple[str, ...]:
        assert photo.pixels.shape[:2] == self.sizes[int(path.name)]
        assert (photo.pixels == int(path.name) % 251).all()
        with self.lock:
            self.written.append(path.name)
            del self.held[path.name]
        return ()


class Copying:
    """Replaces the restorer: returns every picture unchanged."""

    device = SimpleNamespace(type="cpu")
    same_together = True

    def __init__(self, small: int = 0, at_once: int = 1):
        self.small, self.most = small, at_once
        self.notes: list[str] = []
        self.passes: list[int] = []

    def at_once(self, height: int, width: int) -> int:
        return self.most if height * width <= self.small else 1

    def __call__(self, image: Pixels, progress: Any = None) -> Pixels:
        self.passes.append(1)
        progress(1.0)
        return image.copy()

    def batch(self, images: Sequence[Pixels]) -> list[Pixels]:
        assert len({image.shape for image in images}) == 1
        assert len(images) <= self.most
        assert images[0].shape[0] * images[0].shape[1] <= self.small
        self.passes.append(len(images))
        return [image.copy() for image in images]


@contextmanager
def standing_for_files(files: Ledger, budget: int) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(derain_cli.jobs.photos.run, "probe_photo", files.probe)
        patch.setattr(derain_cli.jobs.photos.run, "read_photo", files.read)
        patch.setattr(derain_cli.jobs.photos.writing, "write_photo", files.write)
        patch.setattr(derain_cli.jobs.photos.writing, "make_folder", lambda folder: None)
        patch.setattr(derain_cli.jobs.photos.run, "_PHOTO_BYTES", 12 * budget)
        yield


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.tuples(st.integers(10, 14), st.sampled_from([10, 20, 40, 400])), min_size=1, max_size=40),
    jobs=st.integers(0, 5),
    budget=st.integers(0, 10_000),
    at_once=st.integers(1, 40),
)
def test_photos_of_any_size_stay_within_the_budget_and_come_in_order(
    sizes: list[tuple[int, int]], jobs: int, budget: int, at_once: int
) -> None:
    files, restorer = Ledger(sizes), Copying(small=300, at_once=at_once)
    items = [Item(str(number), f"out/{number}") for number in range(len(sizes))]
    told: list[PhotoOutcome] = []
    shares: list[float] = []
    with standing_for_files(files, budget):
        options = BatchOptions(jobs=jobs)
        restore_photos(items, restorer, options, report=told.append, progress=shares.append)  # type: ignore[arg-type]
    assert [outcome.item for outcome in told] == items
    assert [outcome.error is not None for outcome in told] == [height == 13 for height, _ in sizes]
    assert sorted(files.written, key=int) == [o.item.source for o in told if o.error is None]
    assert not files.held
    assert shares == sorted(shares)
    assert shares[-1] == len(sizes)
    for held in files.most:
        assert len(held) == 1 or sum(held) <= budget
        assert sum(size > 300 for size in held) <= jobs + 1
        assert len(held) <= (jobs + 1) * (64 // (64 // at_once) if jobs else 1)
    assert len(restorer.passes) <= sum(height != 13 for height, _ in sizes)


@pytest.mark.parametrize(("budget", "most"), [(1_900_000, 1), (2_000_000, 2), (3_500_000, 3)])
def test_large_photos_are_in_memory_together_only_within_the_budget(budget: int, most: int) -> None:
    files = Ledger([(1000, 1000)] * 6)
    items = [Item(str(number), f"out/{number}") for number in range(6)]
    with standing_for_files(files, budget):
        restore_photos(items, Copying(), BatchOptions(jobs=4), report=lambda outcome: None)  # type: ignore[arg-type]
    assert max(map(len, files.most)) <= most


# --- passes that are shared -------------------------------------------------------------------------------------


def folder(place: Path, count: int, size: tuple[int, int] = (24, 40)) -> list[Item]:
    (place / "in").mkdir(parents=True)
    items = []
    for number in range(count):
        source = place / "in" / f"{number:02d}.png"
        write_photo(Photo(make_picture(*size, number) // (1 + number % 3)), source)
        items.append(Item(str(source), str(place / "out" / source.name)))
    return items


def restored(
    items: Sequence[Item], restorer: Restorer, jobs: int, slow: float = 0.0, **more: Any
) -> list[PhotoOutcome]:
    """Results of a run whose network is not called until some photos are read."""
    told: list[PhotoOutcome] = []
    with pytest.MonkeyPatch.context() as patch:
        reading = derain_cli.jobs.photos.run._PhotoRun._next_group

        def late(self: Any) -> Any:
            time.sleep(slow)
            return reading(self)

        patch.setattr(derain_cli.jobs.photos.run._PhotoRun, "_next_group", late)
        restore_photos(items, restorer, BatchOptions(jobs=jobs, **more), report=told.append)
    return told


def spying(restorer: Restorer) -> list[int]:
    """Record how many pictures each pass of the network has."""
    seen: list[int] = []
    net = restorer.engine.net

    def call(rainy: Any, gates: Any = None) -> Any:
        seen.append(len(rainy))
        return net(rainy, gates)

    restorer.engine.__dict__["net"] = call
    return seen


@pytest.fixture
def small() -> Restorer:
    model = make_network(ModelConfig(width=8, blocks=2, unshuffle=2), 3)
    return Restorer(model, RestoreOptions(device="cpu", precision="fp32"))


def test_small_photos_share_passes_and_files_are_those_of_one_by_one(tmp_path: Path, small: Restorer) -> None:
    alone = folder(tmp_path / "alone", 12)
    assert all(outcome.error is None for outcome in restored(alone, small, jobs=0))
    if not small.same_together:  # kernels of this machine round differently: then passes are not shared
        pytest.skip("no kernels that round alike")
    for jobs in (1, 3):
        seen = spying(small)
        items = folder(tmp_path / str(jobs), 12)
        told = restored(items, small, jobs=jobs, slow=0.1)
        assert [outcome.item for outcome in told] == items
        assert max(seen) > 1
        assert sum(seen) == 12
        for ours, theirs in zip(items, alone, strict=True):
            assert Path(ours.target).read_bytes() == Path(theirs.target).read_bytes()


def test_photos_of_another_shape_or_depth_have_passes_of_their_own(tmp_path: Path, small: Restorer) -> None:
    items = folder(tmp_path, 6)
    write_photo(Photo(make_picture(40, 24, 1)), items[2].source, overwrite=True)
    write_photo(Photo(make_picture(24, 40, 1).astype(np.uint16) * 257), items[4].source, overwrite=True)
    told = restored(items, small, jobs=1, slow=0.1)
    assert [(o.height, o.width) for o in told] == [(24, 40)] * 2 + [(40, 24)] + [(24, 40)] * 3
    assert read_photo(items[4].target).pixels.dtype == np.uint16


@pytest.mark.parametrize("error", [InputError("the network returned non-finite values"), ValueError("a bug")])
def test_a_photo_that_fails_does_not_take_its_pass_down(
    tmp_path: Path, small: Restorer, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    items = folder(tmp_path, 8)
    bad = read_photo(items[3].source).pixels
    run, batch = Restorer.__call__, Restorer.batch

    def call(self: Restorer, image: Any, progress: Any = None) -> Any:
        if np.array_equal(image, bad):
            raise error
        return run(self, image, progress)

    def together(self: Restorer, images: Sequence[Pixels]) -> list[Pixels]:
        if any(np.array_equal(image, bad) for image in images):
            raise error
        return batch(self, images)

    monkeypatch.setattr(Restorer, "__call__", call)
    monkeypatch.setattr(Restorer, "batch", together)
    told = restored(items, small, jobs=1, slow=0.1)
    assert [outcome.error for outcome in told] == [None] * 3 + [error] + [None] * 4
    again = folder(tmp_path / "again", 8)
    told = restored(again, small, jobs=1, slow=0.1, fail_fast=True)
    assert [outcome.error for outcome in told] == [None] * 3 + [error]
    assert len(list((tmp_path / "again" / "out").iterdir())) == 3


def test_notes_of_a_shared_pass_say_so(tmp_path: Path, small: Restorer, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = Restorer.batch

    def noted(self: Restorer, images: Sequence[Pixels]) -> list[Pixels]:
        found = batch(self, images)
        self.notes.append("redone")
        return found

    monkeypatch.setattr(Restorer, "batch", noted)
    if not small.same_together:
        pytest.skip("no kernels that round alike")
    told = restored(folder(tmp_path, 6), small, jobs=1, slow=0.1)
    notes = {note for outcome in told for note in outcome.notes}
    assert notes
    assert all(note.startswith("redone (one of ") for note in notes)


def test_what_a_signal_raises_ends_a_run_with_many_photos_waiting(tmp_path: Path, small: Restorer) -> None:
    class Signal(BaseException):
        pass

    items = folder(tmp_path, 30)
    told: list[PhotoOutcome] = []

    def report(outcome: PhotoOutcome) -> None:
        told.append(outcome)
        if len(told) == 4:
            raise Signal

    with pytest.raises(Signal):
        restore_photos(items, small, BatchOptions(jobs=2), report=report)
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert told[3] is told[4], "its telling was broken off"
    assert written == [Path(outcome.item.target).name for outcome in [*told[:3], *told[4:]]]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("derain-")]


def test_an_outcome_is_told_again_if_a_signal_broke_its_telling_off(tmp_path: Path, small: Restorer) -> None:
    items, told = folder(tmp_path, 6), list[PhotoOutcome]()

    def report(outcome: PhotoOutcome) -> None:
        if not told:
            told.append(outcome)
            raise KeyboardInterrupt
        told.append(outcome)

    with pytest.raises(KeyboardInterrupt):
        restore_photos(items, small, BatchOptions(jobs=2), report=report)
    assert told[0] is told[1], "its own telling was broken off"
    assert {outcome.item.target for outcome in told} == {i.target for i in items if Path(i.target).exists()}
