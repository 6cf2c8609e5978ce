"""Models as folders, and their publication on a Hub on this machine."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from derain_cli import Restorer
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.pretrained import files_of_weights, write_pretrained
from derain_cli.checkpoints.weight_file import load_weights, save_weights
from derain_cli.config import ModelConfig
from derain_cli.errors import DestinationError, UsageError, WeightsError
from derain_cli.model.fold import fold
from tests.conftest import make_network, make_picture
from tests.fake_hub import READER, WRITER, FakeHub

FILES = ["README.md", "config.json", "model.safetensors"]
CARD = Card(name="mine", licence="MIT", scores={"SetA": {"y": {"input": [1.0, 0.1], "output": [2.0, 0.2]}}})


@pytest.fixture
def restorer() -> Restorer:
    return Restorer(make_network(ModelConfig(width=4, blocks=1)), card=CARD)


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> None:
    """The user has a token that may write."""
    monkeypatch.setenv("HF_TOKEN", WRITER)


def same(one: Restorer, other: Restorer) -> bool:
    picture = make_picture(24, 32)
    return np.array_equal(one(picture), other(picture)) and one.card == other.card


def test_a_folder_that_was_saved_is_loaded(restorer: Restorer, tmp_path: Path) -> None:
    restorer.save_pretrained(tmp_path / "a" / "mine")
    assert sorted(each.name for each in (tmp_path / "a" / "mine").iterdir()) == FILES
    again = Restorer.from_pretrained(tmp_path / "a" / "mine")
    assert same(again, restorer)
    config = json.loads((tmp_path / "a" / "mine" / "config.json").read_text())
    assert config["network"]["width"] == 4
    assert config["sha256"] == load_weights(tmp_path / "a" / "mine" / "model.safetensors").sha256
    again.save_pretrained(tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "b" / name).read_bytes() == (tmp_path / "a" / "mine" / name).read_bytes()


def test_nothing_is_replaced_unless_asked(restorer: Restorer, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(DestinationError, match="exists"):
        restorer.save_pretrained(tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["README.md"]
    restorer.save_pretrained(tmp_path, overwrite=True)
    assert same(Restorer.from_pretrained(tmp_path), restorer)
    with pytest.raises(DestinationError):
        restorer.save_pretrained(tmp_path / "README.md" / "x")


def test_what_was_folded_cannot_be_saved(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not folded"):
        Restorer(fold(make_network(ModelConfig(width=4, blocks=1)))).save_pretrained(tmp_path)


def test_weight_files_are_published_unchanged_with_the_card_beside_them(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_weights(path, make_network(ModelConfig(width=4, blocks=1)), CARD)
    path.with_suffix(".md").write_text("# By hand\n", encoding="utf-8")
    _, files = files_of_weights(path)
    assert files["model.safetensors"] == path.read_bytes() and files["README.md"].endswith(b"# By hand\n")
    write_pretrained(tmp_path / "out", files)
    _, again = files_of_weights(tmp_path / "out" / "model.safetensors")
    assert again == files, "a folder keeps its README.md"


def test_damaged_weights_are_never_published(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    save_weights(path, make_network(ModelConfig(width=4, blocks=1)), CARD)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(WeightsError, match="checksum"):
        files_of_weights(path)


def test_what_was_pushed_is_loaded_by_name(hub: FakeHub, restorer: Restorer, writer: None) -> None:
    commit = restorer.push_to_hub("owner/mine", private=True)
    repository = hub.repositories["owner/mine"]
    assert repository.private and repository.refs["main"] == commit
    assert set(FILES) <= set(repository.commits[commit])
    assert "Weights mine, SHA-256 " in repository.messages[-1]
    assert b"derain models pull owner/mine" in repository.commits[commit]["README.md"]
    assert same(Restorer.from_pretrained("owner/mine"), restorer)
    assert same(Restorer.from_pretrained("owner/mine", revision=commit), restorer)


def test_pushing_again_changes_only_what_changed(hub: FakeHub, restorer: Restorer, writer: None) -> None:
    first = restorer.push_to_hub("owner/mine")
    assert restorer.push_to_hub("owner/mine") == first, "nothing to commit"
    hub.repositories["owner/mine"].commit({"photo.jpg": b"kept"})
    other = Restorer(make_network(ModelConfig(width=4, blocks=1), seed=1), card=CARD)
    other.push_to_hub("owner/mine", revision="next")
    repository = hub.repositories["owner/mine"]
    assert repository.commits[repository.refs["next"]]["photo.jpg"] == b"kept"
    assert (
        repository.commits[repository.refs["main"]]["model.safetensors"]
        == repository.commits[first]["model.safetensors"]
    )
    assert same(Restorer.from_pretrained("owner/mine", revision="next"), other)
    assert same(Restorer.from_pretrained("owner/mine"), restorer)


def refused(restorer: Restorer, hub: FakeHub, **options: bool) -> str:
    before = {name: dict(each.refs) for name, each in hub.repositories.items()}
    with pytest.raises(DestinationError) as caught:
        restorer.push_to_hub("owner/mine", **options)
    assert {name: dict(each.refs) for name, each in hub.repositories.items()} == before
    message = str(caught.value)
    assert "cannot publish owner/mine on the Hub: " in message and "\n" not in message
    return message


def test_without_a_token_nothing_is_sent(hub: FakeHub, restorer: Restorer) -> None:
    assert "there is no token (set HF_TOKEN" in refused(restorer, hub)
    assert hub.requests == []


def test_without_the_right_nothing_is_published(
    hub: FakeHub, restorer: Restorer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", READER)
    assert "gives no right" in refused(restorer, hub)
    hub.add("owner/mine", {"a": b""})
    assert "gives no right" in refused(restorer, hub)
    monkeypatch.setenv("HF_TOKEN", "hf_expired")
    assert "does not accept the token" in refused(restorer, hub)


def test_private_weights_never_go_to_a_public_repository(hub: FakeHub, restorer: Restorer, writer: None) -> None:
    hub.add("owner/mine", {"a": b""})
    assert "is public" in refused(restorer, hub, private=True)


@pytest.mark.parametrize("status", [500, 503])
def test_a_hub_at_fault(hub: FakeHub, restorer: Restorer, writer: None, status: int) -> None:
    hub.status = status
    assert f"({status})" in refused(restorer, hub)


def test_a_hub_that_is_not_there(
    hub: FakeHub, restorer: Restorer, writer: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no server is listening
    assert "cannot be reached" in refused(restorer, hub)


def test_wrong_names(hub: FakeHub, restorer: Restorer, writer: None) -> None:
    with pytest.raises(UsageError):
        restorer.push_to_hub("mine")
    assert hub.requests == []
