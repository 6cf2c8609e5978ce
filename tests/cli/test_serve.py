"""`derain serve` as a command."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from derain_cli.serve.guard import HEADER
from tests.cli.conftest import Derain, photo
from tests.cli.test_process import start


def asked(address: str, method: str = "GET", data: bytes | None = None) -> bytes:
    request = urllib.request.Request(address, data, {HEADER: "1"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return bytes(answer.read())


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_it_prints_its_address_serves_and_ends_clean(tmp_path: Path, number: int, code: int) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = start("serve", "--port", "0", env=os.environ | {"TMPDIR": str(temporary)})
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert address.startswith("http://127.0.0.1:")
    assert b"<title>derain</title>" in asked(address)
    session = json.loads(asked(f"{address}api/sessions", "POST", b""))["session"]
    asked(f"{address}api/sessions/{session}/files?name=private%20name.png", "POST", photo("a.png").read_bytes())
    assert list(temporary.rglob("upload.png"))
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert not [each for each in temporary.rglob("*") if each.name != "lock" and each.is_file()]
    assert "Traceback" not in err
    assert "private" not in out + err
    assert session not in out + err


def test_a_server_that_was_killed_leaves_nothing_for_long(tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    for ends in (signal.SIGKILL, signal.SIGINT):
        process = start("serve", "--port", "0", "--json", env=os.environ | {"TMPDIR": str(temporary)})
        assert process.stdout is not None
        address = json.loads(process.stdout.readline())["address"]
        assert not list(temporary.rglob("upload.png"))
        session = json.loads(asked(f"{address}api/sessions", "POST", b""))["session"]
        asked(f"{address}api/sessions/{session}/files?name=a.png", "POST", photo("a.png").read_bytes())
        process.send_signal(ends)
        process.communicate(timeout=60)
        assert bool(list(temporary.rglob("upload.png"))) == (ends == signal.SIGKILL)


def test_a_port_that_is_taken(derain: Derain) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = derain("serve", "--port", str(port))
    assert ended.code == 6
    hint = "--port N uses another one, --port 0 a free one"
    assert ended.err.splitlines() == [f"derain: error: port {port} on 127.0.0.1 is in use ({hint})"]


def test_without_what_it_needs_one_line_says_what_to_install(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> Any:
        return None if name == "uvicorn" else real(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    ended = derain("serve")
    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1
    assert "pip install 'derain-cli[web]'" in ended.err


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["--port", "70000"], 2),
        (["--host", "no.such.name.invalid"], 2),
        (["--keep", "0"], 2),
        (["--strength", "2"], 2),
        (["--model", "nothing"], 5),
        (["--device", "cuda:99"], 6),
    ],
)
def test_mistakes_are_one_line(derain: Derain, flags: list[str], code: int) -> None:
    ended = derain("serve", *flags)
    assert ended.code == code
    assert len(ended.errors) == 1


def test_help_needs_neither_torch_nor_the_extra() -> None:
    watch = (
        "import sys\n"
        "from derain_cli.cli import main\n"
        "code = main(['serve', '--help'])\n"
        "sys.exit(code or any(name in sys.modules for name in ('torch', 'starlette', 'uvicorn')))\n"
    )
    assert subprocess.run([sys.executable, "-c", watch], stdout=subprocess.DEVNULL).returncode == 0
