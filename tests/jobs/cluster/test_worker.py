"""A worker in this process: what it refuses, what it returns."""

from __future__ import annotations

import pickle
import traceback
from dataclasses import replace
from pathlib import Path

import pytest

import derain_cli.jobs.photos.writing
from derain_cli import __version__
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.header import read_head
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import InputError, UsageError, WeightsError
from derain_cli.jobs.cluster.options import AboutWorker, WorkerOptions
from derain_cli.jobs.cluster.worker import PhotoWorker
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.options import BatchOptions
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.system.files import sweep_owned
from tests.conftest import make_network, make_picture


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WorkerOptions:
    monkeypatch.chdir(tmp_path)
    save_weights(tmp_path / "net.safetensors", make_network(ModelConfig(width=8, blocks=1)), Card())
    Path("in").mkdir()
    for number in range(3):
        write_rgb(Path(f"in/{number}.png"), make_picture(20, 30, number))
    restore = RestoreOptions(device="cpu", engine="torch")
    sha256 = read_head(Path("net.safetensors")).sha256
    return WorkerOptions("net.safetensors", sha256, restore, BatchOptions(), str(tmp_path), __version__)


ITEMS = [Item(f"in/{number}.png", f"out/{number}.png") for number in range(3)]


def test_it_restores_as_this_machine_does_and_says_what_it_computes_with(options: WorkerOptions) -> None:
    worker = PhotoWorker()
    about = worker.begin(pickle.loads(pickle.dumps(options)))
    assert isinstance(about, AboutWorker) and (about.device, about.engine) == ("cpu", "torch")
    outcomes = worker.restore(ITEMS)
    assert [(outcome.item, outcome.error) for outcome in outcomes] == [(item, None) for item in ITEMS]
    expected = Restorer.from_pretrained("net.safetensors", device="cpu")(make_picture(20, 30, 1))
    assert (read_rgb(Path("out/1.png")) == expected).all()


def test_it_refuses_what_would_give_other_results(options: WorkerOptions, tmp_path: Path) -> None:
    for changed, kind, words in (
        (replace(options, version="0.0.1"), UsageError, "not 0.0.1 as here"),
        (replace(options, folder=str(tmp_path / "none")), InputError, "not there on"),
        (replace(options, sha256="0" * 64), WeightsError, "another model"),
        (replace(options, model="none.safetensors"), WeightsError, "none.safetensors"),
    ):
        error = PhotoWorker().begin(changed)
        assert isinstance(error, kind) and words in str(error)


def test_it_stops_between_photos(options: WorkerOptions) -> None:
    worker = PhotoWorker()
    worker.begin(options)
    worker.stop()
    assert worker.restore(ITEMS) == ()
    assert not Path("out").exists()


def test_errors_survive_the_way_back(options: WorkerOptions, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Exception):
        def __init__(self) -> None:
            super().__init__("odd")
            self.held = open("in/0.png")  # noqa: PTH123, SIM115  (cannot be pickled)

    def fail(*_: object, **__: object) -> None:
        raise Odd

    monkeypatch.setattr(derain_cli.jobs.photos.writing, "write_photo", fail)
    Path("in/0.png.bad").write_bytes(b"nonsense")
    worker = PhotoWorker()
    worker.begin(options)
    bad, bug = pickle.loads(pickle.dumps(worker.restore([Item("in/0.png.bad", "out/bad.png"), ITEMS[0]])))
    assert isinstance(bad.error, InputError) and str(bad.error).startswith("in/0.png.bad: ")
    assert str(bug.error) == "Odd: odd" and "raise Odd" in "".join(traceback.format_exception(bug.error))


def test_only_temporary_files_of_that_process_are_swept(tmp_path: Path) -> None:
    own, other = f".derain-00000001-23-{'a' * 12}.tmp", f".derain-00000001-234-{'a' * 12}.tmp"
    for name in (own, other, ".derain-00000001-23-notes.txt"):
        (tmp_path / name).touch()
    sweep_owned(tmp_path, "00000001-23")
    sweep_owned(tmp_path / "none", "00000001-23")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([other, ".derain-00000001-23-notes.txt"])
