"""Weights from a Hub on this machine: found offline, verified, and refused in one line whatever goes wrong."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from huggingface_hub import constants

from derain_cli.checkpoints import hub as hub_module
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.find import find_weights
from derain_cli.checkpoints.hub import cached, pull
from derain_cli.checkpoints.hub_name import HubName
from derain_cli.checkpoints.weight_file import load_weights, weights_bytes
from derain_cli.config import ModelConfig
from derain_cli.errors import DerainError, ResourceError, UsageError, WeightsError
from tests.conftest import make_network
from tests.fake_hub import READER, FakeHub

NAME = HubName("owner/name")
FILE = "model.safetensors"


@pytest.fixture(scope="module")
def content() -> bytes:
    """A weight file."""
    return weights_bytes(make_network(ModelConfig(width=4, blocks=1)), Card(name="tiny"))[0]


@pytest.fixture
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pauses between attempts of the client, and pieces smaller than these files."""
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 1000)
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _: None)


def refused(name: HubName = NAME, kind: type[DerainError] = WeightsError) -> str:
    """The message of a pull that fails, after which nothing is in the cache."""
    with pytest.raises(kind) as caught:
        pull(name)
    message = str(caught.value)
    assert "\n" not in message
    assert cached(name) is None
    assert not list(Path(constants.HF_HUB_CACHE).rglob("*.incomplete"))
    return message


@pytest.mark.parametrize("plain", [False, True], ids=["lfs", "git"])
def test_what_was_pulled_is_used_without_network(hub: FakeHub, content: bytes, plain: bool) -> None:
    hub.plain = plain
    hub.add("owner/name", {FILE: content})
    path = pull(NAME)
    assert path.read_bytes() == content
    hub.requests.clear()
    for name in ("owner/name", "hf:owner/name"):
        assert find_weights(name) == path
    assert hub.requests == []
    assert load_weights(path).name == "tiny"


def test_a_model_that_was_not_pulled_is_fetched_once(hub: FakeHub, content: bytes) -> None:
    hub.add("owner/name", {FILE: content})
    assert find_weights("owner/name").read_bytes() == content
    find_weights("owner/name")
    assert len(hub.asked("GET /cdn")) == 1


def test_only_the_weights_are_downloaded(hub: FakeHub, content: bytes) -> None:
    hub.add("owner/name", {FILE: content, "pytorch_model.bin": b"cos\nsystem", "modeling.py": b"raise SystemExit"})
    folder = pull(NAME).parent
    assert [each.name for each in folder.iterdir()] == [FILE]


def test_pull_gets_a_newer_version_and_revisions_stay_apart(hub: FakeHub, content: bytes) -> None:
    repository = hub.add("owner/name", {FILE: content})
    first = repository.refs["main"]
    repository.refs["v1/a"] = first
    pull(NAME)
    newer = weights_bytes(make_network(ModelConfig(width=5, blocks=1)), Card())[0]
    repository.commit({FILE: newer})
    assert find_weights("owner/name").read_bytes() == content, "no network for what is there"
    assert pull(NAME).read_bytes() == newer
    assert find_weights("owner/name").read_bytes() == newer
    for revision in (first, "v1/a"):
        assert find_weights(f"owner/name@{revision}").read_bytes() == content


def test_a_pull_of_what_is_there_downloads_nothing(hub: FakeHub, content: bytes) -> None:
    hub.add("owner/name", {FILE: content})
    pull(NAME)
    pull(NAME)
    assert len(hub.asked("GET /cdn")) == 1


@pytest.mark.fault(59)
def test_a_download_that_breaks_off_goes_on_where_it_was(hub: FakeHub, content: bytes, no_waiting: None) -> None:
    hub.add("owner/name", {FILE: content})
    hub.cut = 1
    assert pull(NAME).read_bytes() == content
    assert [bool("bytes=" in each) for each in hub.asked("GET /cdn")] == [False, True]


def test_a_download_that_does_not_come_to_an_end(hub: FakeHub, content: bytes, no_waiting: None) -> None:
    hub.add("owner/name", {FILE: content})
    hub.stuck = True
    assert "the transfer broke off (try again" in refused()
    hub.stuck = False
    assert pull(NAME).read_bytes() == content


@pytest.mark.parametrize("plain", [False, True], ids=["lfs", "git"])
@pytest.mark.fault(59)
def test_other_content_than_the_hub_states_is_never_used(hub: FakeHub, content: bytes, plain: bool) -> None:
    hub.plain, hub.wrong = plain, True
    hub.add("owner/name", {FILE: content})
    assert "damaged: its hash" in refused()
    hub.wrong = False
    assert pull(NAME).read_bytes() == content


def test_a_file_damaged_in_the_cache_is_refused_and_replaced(hub: FakeHub, content: bytes) -> None:
    hub.add("owner/name", {FILE: content})
    path = pull(NAME)
    path.resolve().chmod(0o644)
    path.resolve().write_bytes(content[:-1] + b"?")
    with pytest.raises(WeightsError, match="checksum"):
        load_weights(find_weights("owner/name"))
    assert pull(NAME).read_bytes() == content


@pytest.mark.parametrize("files", [["pytorch_model.bin"], ["weights/model.pt", "a.txt"]])
def test_pickles_are_never_loaded(hub: FakeHub, files: list[str]) -> None:
    hub.add("owner/name", dict.fromkeys(files, b"cos\nsystem\n"))
    assert f"only pickled weights ({files[0]}), which are never loaded" in refused()
    assert not hub.asked("GET /cdn")


def test_a_repository_without_weights(hub: FakeHub) -> None:
    hub.add("owner/name", {"README.md": b"#"})
    message = refused()
    assert "it has no model.safetensors" in message and "pickled" not in message


def test_a_file_far_too_large_is_not_downloaded(hub: FakeHub, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("owner/name", {FILE: content})
    monkeypatch.setattr(hub_module, "_LARGEST", len(content) - 1)
    assert "far smaller" in refused()
    assert not hub.asked("GET /cdn")


def test_names_that_are_not_there(hub: FakeHub, content: bytes) -> None:
    assert "no such repository, or a private one" in refused()
    hub.add("owner/name", {FILE: content})
    assert "no revision v2" in refused(HubName("owner/name", "v2"))
    with pytest.raises(WeightsError, match="no file gone/name; cannot get gone/name"):
        find_weights("gone/name")


def test_private_and_gated_models_need_a_token(hub: FakeHub, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("owner/name", {FILE: content}, private=True)
    hub.add("owner/gated", {FILE: content}, gated=True)
    gated = HubName("owner/gated")
    assert "HF_TOKEN" in refused()
    assert "grant access" in refused(gated)
    monkeypatch.setenv("HF_TOKEN", "hf_unknown")
    assert "does not accept the token" in refused()
    monkeypatch.setenv("HF_TOKEN", READER)
    assert pull(NAME).read_bytes() == pull(gated).read_bytes() == content


@pytest.mark.parametrize(
    ("status", "words"),
    [(401, "private"), (403, "gives no right"), (404, "(404)"), (429, "too many"), (500, "(500)"), (503, "(503)")],
)
def test_refusals_are_one_line_at_once(hub: FakeHub, content: bytes, status: int, words: str) -> None:
    hub.add("owner/name", {FILE: content})
    hub.status = status
    begin = time.monotonic()
    message = refused()
    assert time.monotonic() - begin < 3
    assert "cannot get owner/name from the Hub: " in message
    if status != 401:  # without the Hub's code it is a token that is not accepted
        assert words in message


def test_a_hub_that_answers_too_slowly(hub: FakeHub, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add("owner/name", {FILE: content})
    monkeypatch.setattr(hub_module, "_TIMEOUT", 0.1)
    hub.delay = 0.5
    assert "cannot be reached" in refused()


@pytest.mark.fault(59)
def test_what_was_pulled_stays_usable_if_the_hub_is_not_there(
    hub: FakeHub, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.add("owner/name", {FILE: content})
    path = pull(NAME)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # no server is listening
    with pytest.raises(WeightsError, match=r"cannot be reached .*the copy pulled before can still be used"):
        pull(NAME)
    assert find_weights("owner/name") == path


def test_offline_mode_is_heeded(hub: FakeHub, content: bytes, tmp_path: Path) -> None:
    """In a separate process, since the client reads the variable at import."""
    code = (
        "import sys; from derain_cli.checkpoints.find import find_weights; from derain_cli.errors import DerainError\n"
        "try: print(find_weights('owner/name'))\n"
        "except DerainError as error: print(error.exit_code, error)"
    )
    hub.add("owner/name", {FILE: content})
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "hf")}
    environment.pop("HF_HUB_CACHE", None)

    def told() -> str:
        ran = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=60, check=True
        )
        return ran.stdout.strip()

    assert told().startswith("5 no file owner/name; cannot get owner/name from the Hub: HF_HUB_OFFLINE is set")
    assert hub.requests == []
    path = pull(NAME)
    assert told() == str(path)


@pytest.mark.fault(59)
def test_a_disk_that_fills_up(hub: FakeHub, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    hub.add("owner/name", {FILE: content})
    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    assert "no space left" in refused(kind=ResourceError)


@pytest.mark.parametrize(
    "name",
    ["", "name", "a/b/c", "/name", "owner/", "../name", "owner/..", "a--b/c", "o/n.git", "o/n@", "o/n@../../x",
     "o/n@-x", "o/n@/x", "o/n x", "o/n\n", "o/" + "n" * 97, "hf:name", "http://x/y"],
)  # fmt: skip
def test_wrong_names_are_refused_before_any_request(hub: FakeHub, name: str) -> None:
    with pytest.raises(UsageError, match="not the name of a model"):
        HubName.parse(name)
    if name.startswith("hf:"):
        with pytest.raises(UsageError):
            find_weights(name)
    assert hub.requests == []


def test_names() -> None:
    assert HubName.parse("hf:owner/name") == HubName.parse("owner/name") == NAME
    assert HubName.parse("o/n@v1.0/x") == HubName("o/n", "v1.0/x")
    assert str(HubName("o/n", "main")) == "o/n@main"
    assert HubName.meant_by("runs/best.safetensors") is None
    assert HubName.meant_by("runs/derain-v1.5") == HubName("runs/derain-v1.5")


def test_a_path_that_looks_like_a_name_is_not_asked_for(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    assert find_weights("runs/mien") == Path("runs/mien"), "there is a folder runs: a slip"
    assert hub.requests == []
