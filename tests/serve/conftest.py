"""A server in this process, behind a test client or a real socket, with small networks that change pictures."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from derain_cli.checkpoints import find
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.config import ModelConfig, RestoreOptions
from derain_cli.serve import server, store
from derain_cli.serve.app import Page, application
from derain_cli.serve.guard import HEADER, Hosts
from derain_cli.serve.models import Models
from derain_cli.serve.options import Limits, ServeOptions
from derain_cli.serve.registry import Registry
from derain_cli.serve.store import Store
from derain_cli.serve.worker import Told, Worker
from tests.conftest import make_network

CPU = RestoreOptions(device="cpu", precision="fp32")


@pytest.fixture(scope="session")
def weights_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights `one` and `two`, and `three`, which sees three frames; not to be written to."""
    folder = tmp_path_factory.mktemp("weights")
    for number, name in enumerate(("one", "two")):
        network = make_network(ModelConfig(width=8, blocks=1, unshuffle=2), seed=number)
        save_weights(folder / f"{name}.safetensors", network, Card(name=name, summary=f"number {name}", licence="any"))
    of_clips = make_network(ModelConfig(width=8, blocks=1, unshuffle=2, frames=3))
    save_weights(folder / "three.safetensors", of_clips, Card(name="three"))
    return folder


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch, weights_folder: Path) -> None:
    """These weights are the installed ones."""
    monkeypatch.setattr(find, "_weight_folders", lambda: [weights_folder])


@dataclass
class Served:
    """A page and who uses it.

    Attributes:
        client: sends requests as the page does.
        registry: what was uploaded.
        place: the private folder.
        errors: bugs that were told.
        session: path of an open session.
    """

    client: TestClient
    registry: Registry
    place: Path
    worker: Worker
    errors: list[Exception] = field(default_factory=list)
    session: str = ""

    def opened(self) -> str:
        """Path of a new session."""
        return f"/api/sessions/{self.client.post('/api/sessions').json()['session']}"

    def upload(self, content: bytes | Path, name: str = "a.jpg", session: str | None = None, **settings: Any) -> Any:
        """The answer to an upload."""
        data = content if isinstance(content, bytes) else content.read_bytes()
        query = {"name": name, **settings}
        return self.client.post(f"{session or self.session}/files", params=query, content=data)

    def added(self, content: bytes | Path, name: str = "a.jpg", **settings: Any) -> str:
        """Path of an upload that was taken."""
        answer = self.upload(content, name, **settings)
        assert answer.status_code == 201, answer.text
        return f"{self.session}/files/{answer.json()['number']}"

    def view(self, path: str) -> Any:
        """What the page is told of an upload."""
        views = self.client.get(path.rpartition("/files/")[0]).json()["files"]
        return next(each for each in views if each["number"] == int(path.rpartition("/")[2]))

    def ended(self, path: str, *states: str) -> Any:
        """The same, once it is in one of these states."""
        deadline = time.monotonic() + 100
        while (view := self.view(path))["status"] not in (states or ("done", "failed")):
            assert time.monotonic() < deadline, view
            time.sleep(0.02)
        return view

    def left(self) -> list[str]:
        """Names of files in the private folder."""
        return sorted(each.name for each in self.place.rglob("*") if each.is_file() and each.name != "lock")


Serve = Callable[..., Served]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """`serve(**limits)`: a server with these limits."""
    with contextlib.ExitStack() as stack:

        def start(model: str = "one", **limits: Any) -> Served:
            options = ServeOptions(model=model, restore=CPU, limits=Limits(**limits))
            store = stack.enter_context(Store(tmp_path / "store"))
            registry, errors = Registry(store, options.limits), list[Exception]()
            told = Told(failed=errors.append)
            worker = Worker(Models.found(model, CPU), options.limits.max_pixels, told)
            page = application(Page(options, registry, worker), Hosts.of("127.0.0.1"), told.failed)
            headers = {HEADER: "1"}
            client = TestClient(page, "http://127.0.0.1:7246", raise_server_exceptions=False, headers=headers)
            stack.enter_context(client)
            worker.start()
            stack.callback(worker.stop)
            served = Served(client, registry, store.place, worker, errors)
            served.session = served.opened()
            return served

        yield start


@pytest.fixture
def served(serve: Serve) -> Served:
    """A server with the usual limits."""
    return serve()


@dataclass
class Running:
    """A server in a thread, on loopback.

    Attributes:
        place: where its private folder lies.
        errors: bugs that were told.
        session: path of an open session.
        stop: what ends it.
    """

    port: int
    place: Path
    errors: list[Exception]
    stop: Callable[[], None]
    session: str = ""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @contextlib.contextmanager
    def connected(self, seconds: float = 20.0) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            yield connection

    def talk(self, *parts: bytes, pause: float = 0.0) -> bytes:
        """All that is answered to these bytes, sent with pauses."""
        with self.connected() as connection:
            with contextlib.suppress(ConnectionError):
                for part in parts:
                    connection.sendall(part)
                    time.sleep(pause)
            return drained(connection)

    def head(self, method: str, path: str, *lines: str) -> bytes:
        usual = (f"Host: 127.0.0.1:{self.port}", f"{HEADER}: 1", "Connection: close")
        return "\r\n".join([f"{method} {path} HTTP/1.1", *usual, *lines, "", ""]).encode()

    def upload(self, *lines: str) -> bytes:
        return self.head("POST", f"{self.session}/files?name=a.png", *lines)

    def opened(self) -> str:
        answer = self.talk(self.head("POST", "/api/sessions", "Content-Length: 0"))
        body = answer.partition(b"\r\n\r\n")[2]
        return f"/api/sessions/{json.loads(body)['session']}"

    def left(self) -> list[str]:
        return [each.name for each in self.place.rglob("*") if each.is_file() and each.name != "lock"]


def drained(connection: socket.socket) -> bytes:
    answer = b""
    with contextlib.suppress(ConnectionError):
        while part := connection.recv(65536):
            answer += part
    return answer


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer else 0


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server with 1 MB for an upload, which may pause for 0.5 s; the mark `limits` changes these."""
    caught: list[signal.Signals] = []
    monkeypatch.setattr(server, "stop_requests", lambda: contextlib.nullcontext(caught))
    monkeypatch.setattr(server, "_HEAD_SECONDS", 0.5)
    monkeypatch.setattr(store, "_own_root", lambda: tmp_path / "store")
    mark = request.node.get_closest_marker("limits")
    limits = Limits(**{"idle": 0.5, "max_upload": 1 << 20} | (mark.kwargs if mark else {}))
    options = ServeOptions(port=0, model="one", restore=CPU, limits=limits)
    listening, started, errors, ended = server.listen(options), threading.Event(), list[Exception](), list[Any]()
    told = Told(failed=errors.append)
    models = Models.found("one", CPU)
    thread = threading.Thread(
        target=lambda: ended.append(server.serve(listening, options, models, told, started.set)), daemon=True
    )
    thread.start()
    assert started.wait(60)
    one = Running(listening.getsockname()[1], tmp_path / "store", errors, lambda: caught.append(signal.SIGTERM))
    one.session = one.opened()
    yield one
    one.stop()
    thread.join(60)
    assert ended == [server.Ended(signal.SIGTERM, True)]
    assert one.left() == []
    assert errors == []
