"""`derain models pull` and `push`, and pulled models in other commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import load_weights, save_weights
from derain_cli.config import ModelConfig
from tests.cli.conftest import Derain, Ended, heed_signals, photo
from tests.conftest import make_network
from tests.fake_hub import WRITER, FakeHub


def only_line(ended: Ended, code: int) -> str:
    assert (ended.code, ended.out, ended.err.count("\n")) == (code, "", 1), ended.err
    return ended.errors[0]


@pytest.fixture
def published(hub: FakeHub, weights: Path) -> FakeHub:
    hub.add("owner/name", {"model.safetensors": weights.read_bytes()})
    return hub


def test_pull_then_derain_without_network(derain: Derain, published: FakeHub, weights: Path) -> None:
    ended = derain("models", "pull", "owner/name")
    assert ended.code == 0
    assert f"owner/name: SHA-256 {load_weights(weights).sha256}" in ended.out
    assert "use it with -m owner/name" in ended.out and "licence of the weights: not stated" in ended.out
    published.requests.clear()
    photo("a.jpg")
    assert derain("a.jpg", "-m", "owner/name").code == 0
    assert Path("a_derained.jpg").exists()
    shown = derain("models", "show", "owner/name", "--json").records[0]
    assert shown["name"] == "same"
    assert derain("models", "verify", "owner/name").code == 0
    assert published.requests == []


def test_pull_as_json(derain: Derain, published: FakeHub, weights: Path) -> None:
    (told,) = derain("models", "pull", "hf:owner/name@main", "--json").records
    assert (told["name"], told["sha256"]) == ("owner/name@main", load_weights(weights).sha256)
    assert Path(told["path"]).read_bytes() == weights.read_bytes()


@pytest.mark.parametrize(
    ("name", "code", "words"),
    [
        ("name", 2, "not the name of a model"),
        ("owner/name@../x", 2, "not the name of a model"),
        ("owner/none", 5, "no such repository"),
        ("owner/name@v9", 5, "no revision v9"),
    ],
)
def test_pulls_that_fail(derain: Derain, published: FakeHub, name: str, code: int, words: str) -> None:
    assert words in only_line(derain("models", "pull", name), code)


def test_a_model_of_another_program_is_refused_and_not_kept(derain: Derain, hub: FakeHub) -> None:
    hub.add("owner/name", {"model.safetensors": b"\x02\0\0\0\0\0\0\0{}"})
    for _ in range(2):
        line = only_line(derain("models", "pull", "owner/name"), 5)
        assert "owner/name is no usable derain model: not a usable weights file" in line
    assert len(hub.asked("GET /cdn")) == 2


def test_a_damaged_download_is_code_5(derain: Derain, published: FakeHub) -> None:
    published.wrong = True
    assert "damaged" in only_line(derain("models", "pull", "owner/name"), 5)
    photo("a.jpg")
    assert "damaged" in only_line(derain("a.jpg", "-m", "hf:owner/name"), 5)


def test_push_and_pull(derain: Derain, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(name="mine", licence="CC0", trained_on=("photos",))
    save_weights(Path("mine.safetensors"), make_network(ModelConfig(width=4, blocks=1)), card)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    ended = derain("models", "push", "mine.safetensors", "owner/mine", "--private")
    assert ended.code == 0, ended.err
    repository = hub.repositories["owner/mine"]
    assert f"owner/mine: commit {repository.refs['main']}, new private repository" in ended.out
    assert WRITER not in ended.out + ended.err
    assert repository.commits[repository.refs["main"]]["model.safetensors"] == Path("mine.safetensors").read_bytes()
    ended = derain("models", "push", "mine.safetensors", "owner/mine", "--revision", "v1", "--json")
    told = json.loads(ended.out)
    assert (told["name"], told["created"], told["private"]) == ("owner/mine@v1", False, True)
    assert set(told["files"]) == {"model.safetensors", "config.json", "README.md"}
    assert derain("models", "pull", "owner/mine@v1").code == 0


def test_pushes_that_fail(derain: Derain, hub: FakeHub, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "there is no token" in only_line(derain("models", "push", weights, "owner/name"), 7)
    monkeypatch.setenv("HF_TOKEN", WRITER)
    assert "gone" in only_line(derain("models", "push", "gone.safetensors", "owner/name"), 5)
    assert "not the name" in only_line(derain("models", "push", weights, "name"), 2)
    both = derain("models", "push", weights, "owner/name@a", "--revision", "b")
    assert "two branches" in only_line(both, 2)
    Path("evil.pt").write_bytes(b"cos\nsystem\n(S'touch canary'\ntR.")
    assert "not a usable weights file" in only_line(derain("models", "push", "evil.pt", "owner/name"), 5)
    assert not Path("canary").exists() and hub.requests == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_pull_that_is_stopped_leaves_nothing_that_would_be_used(
    derain: Derain, published: FakeHub, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    published.hold = threading.Event()
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_XET": "1"}
    program = [sys.executable, "-m", "derain_cli", "models", "pull", "owner/name"]
    with subprocess.Popen(
        program, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=heed_signals
    ) as running:
        end = time.monotonic() + 60
        while not published.asked("GET /cdn"):
            assert time.monotonic() < end and running.poll() is None
            time.sleep(0.02)
        running.send_signal(number)
        _, told = running.communicate(timeout=60)
    published.hold.set()
    assert running.returncode == code and "Traceback" not in told
    published.status = 503
    assert "(503)" in only_line(derain("models", "verify", "hf:owner/name"), 5)
    published.status = 200
    assert derain("models", "pull", "owner/name").code == 0
