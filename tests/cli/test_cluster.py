"""`derain FOLDER --ray`: the command, on workers in this process."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import derain_cli.jobs.cluster.ray_cluster
from derain_cli.cli import route
from derain_cli.config.cluster import ClusterOptions
from derain_cli.errors import DerainError
from derain_cli.jobs.cluster.options import AboutWorker, WorkerOptions
from derain_cli.jobs.cluster.pool import WorkerPool
from derain_cli.jobs.cluster.worker import PhotoWorker
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.outcome import PhotoOutcome
from tests.cli.conftest import Derain, photo, snapshot


class WorkerHere:
    """A worker in a thread of this process."""

    def __init__(self, options: WorkerOptions):
        self.worker = PhotoWorker()
        about = self.worker.begin(options)
        if isinstance(about, Exception):
            raise about
        self.about: AboutWorker = about

    def restore(self, items: Sequence[Item], stop: threading.Event) -> tuple[PhotoOutcome, ...]:
        return self.worker.restore(items)

    def end(self) -> None:
        pass


@pytest.fixture
def clusters(monkeypatch: pytest.MonkeyPatch) -> list[ClusterOptions]:
    """The clusters that were asked for; each has two workers in this process instead."""
    asked: list[ClusterOptions] = []

    @contextlib.contextmanager
    def workers(cluster: ClusterOptions, options: WorkerOptions) -> Iterator[WorkerPool]:
        asked.append(cluster)
        with WorkerPool(lambda stop: WorkerHere(options), 2) as pool:
            yield pool

    monkeypatch.setattr(derain_cli.jobs.cluster.ray_cluster, "ray_workers", workers)
    monkeypatch.setattr(derain_cli.jobs.cluster.ray_cluster, "require_ray", lambda: None)
    return asked


def make_photos() -> None:
    for number in range(25):
        photo(f"in/{number:02}.png", number)
    photo("in/x/a.jpg")
    Path("in/bad.png").write_bytes(b"nonsense")
    Path("in/notes.txt").touch()


@pytest.mark.usefixtures("clusters")
def test_results_and_records_are_those_of_one_machine(derain: Derain) -> None:
    make_photos()
    here = derain("in", "-r", "-o", "here", "--engine", "torch", "--compare", "--json")
    there = derain("in", "-r", "-o", "there", "--engine", "torch", "--compare", "--json", "--ray")
    assert here.code == there.code == 3
    assert {k.removeprefix("here/"): v for k, v in snapshot("here").items()} == {
        k.removeprefix("there/"): v for k, v in snapshot("there").items()
    }

    def comparable(text: str) -> list[dict[str, object]]:
        records = [json.loads(line) for line in text.replace('"there/', '"here/').splitlines()]
        return sorted(({**record, "seconds": 0} for record in records), key=lambda each: str(each.get("input", "~")))

    assert comparable(there.out) == comparable(here.out)
    made = [json.loads(line) for line in Path("there/.derain.jsonl").read_text().splitlines()]
    before = [json.loads(line) for line in Path("here/.derain.jsonl").read_text().splitlines()]
    assert sorted(made, key=str) == sorted(before, key=str)


def test_finished_photos_are_skipped_without_a_cluster(derain: Derain, clusters: list[ClusterOptions]) -> None:
    for number in range(3):
        photo(f"in/{number}.png", number)
    first = derain("in", "-o", "out", "--ray", "auto", "--ray-cpus", "2", "--json")
    assert first.code == 0 and first.records[-1]["ok"] == 3
    Path("out/1.png").unlink()
    again = derain("in", "-o", "out", "--ray=head:6379", "--json")
    assert (again.code, again.records[-1]["ok"], again.records[-1]["skipped"]) == (0, 1, 2)
    done = derain("in", "-o", "out", "--ray")
    assert done.code == 0 and "3 skipped" in done.err
    assert clusters == [ClusterOptions("auto", 2), ClusterOptions("head:6379")]
    other = derain("in", "-o", "out", "--strength", "0.5", "--ray")
    assert other.code == 7 and len(other.errors) == 3


@pytest.mark.usefixtures("clusters")
@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["in", "-o", "out"], 4, "no images found"),
        (["none", "-o", "out"], 4, "no such file"),
        (["bad.png", "-o", "out/"], 3, "not a readable image"),
        (["a.png", "-m", "none.safetensors"], 5, "none.safetensors"),
        (["a.png", "-o", "a.png"], 7, "the output is the input"),
        (["-", "-o", "out.png"], 2, "does not support pipes"),
        (["a.png", "--ray=nonsense"], 2, "--ray must be"),
    ],
)
def test_exit_codes_are_those_of_one_machine(derain: Derain, words: list[str], code: int, line: str) -> None:
    Path("in").mkdir()
    photo("a.png")
    Path("bad.png").write_bytes(b"nonsense")
    ended = derain(*words, *([] if "--ray=nonsense" in words else ["--ray"]))
    assert ended.code == code and line in ended.err and len(ended.errors) == 1


def test_without_ray_the_way_to_it_is_one_line(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    photo("a.png")
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "ray" else find(name, *rest))
    ended = derain("a.png", "--ray")
    assert ended.code == 2
    assert ended.errors == ["derain: error: this needs Ray, which is not installed (pip install 'derain-cli[ray]')"]


@pytest.mark.usefixtures("clusters")
def test_a_plan_needs_no_cluster(derain: Derain) -> None:
    photo("in/a.png")
    ended = derain("in", "-o", "out", "--ray", "--dry-run")
    assert ended.code == 0 and ended.out == "in/a.png -> out/a.png\n"


def test_workers_that_cannot_be_used_are_an_error_of_the_job(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def workers(cluster: ClusterOptions, options: WorkerOptions) -> Iterator[WorkerPool]:
        def start(stop: threading.Event) -> WorkerHere:
            raise DerainError("unusable")

        with WorkerPool(start, 2) as pool:
            yield pool

    monkeypatch.setattr(derain_cli.jobs.cluster.ray_cluster, "ray_workers", workers)
    photo("in/a.png")
    ended = derain("in", "--ray", "--json")
    assert ended.code == 1 and ended.errors == ["derain: error: unusable"]
    assert ended.records[-1]["not_tried"] == 1


@pytest.mark.parametrize(
    ("words", "routed"),
    [
        (["photos", "--ray"], ["derain", "photos", "--ray=local"]),
        (["--ray", "photos"], ["derain", "--ray=local", "photos"]),
        (["--ray", "-r", "photos"], ["derain", "--ray=local", "-r", "photos"]),
        (["photos", "--ray", "auto"], ["derain", "photos", "--ray", "auto"]),
        (["photos", "--ray", "head:6379", "-r"], ["derain", "photos", "--ray", "head:6379", "-r"]),
        (["photos", "--ray=auto"], ["derain", "photos", "--ray=auto"]),
        (["--", "--ray"], ["derain", "--", "--ray"]),
    ],
)
def test_the_address_may_be_left_out(words: list[str], routed: list[str]) -> None:
    assert route(words) == routed


def test_a_file_named_like_an_address_is_a_file() -> None:
    Path("auto").touch()
    assert route(["--ray", "auto"]) == ["derain", "--ray=local", "auto"]
