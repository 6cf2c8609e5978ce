"""A real server on loopback: slow, oversized, broken and many requests."""

from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from derain_cli.errors import ResourceError, UsageError
from derain_cli.media.photo import write_rgb
from derain_cli.serve import server
from derain_cli.serve.options import ServeOptions
from tests.conftest import make_picture
from tests.serve.conftest import Running, drained, status


def test_an_upload_that_stalls_is_ended_and_leaves_nothing(running: Running) -> None:
    began = time.monotonic()
    assert status(running.talk(running.upload("Content-Length: 1000"), b"\x89PNG\r\n")) == 408
    assert time.monotonic() - began < 15
    assert running.left() == []


@pytest.mark.limits(slowest=10_000)
def test_an_upload_that_trickles_is_ended(running: Running) -> None:
    drops = [b"x" * 10] * 30
    assert status(running.talk(running.upload("Content-Length: 1000000"), *drops, pause=0.1)) == 408
    assert running.left() == []


def test_a_head_that_trickles_is_ended(running: Running) -> None:
    for first in (b"", running.head("GET", "/").replace(b"Connection: close", b"Connection: keep-alive")):
        with running.connected() as connection:
            connection.sendall(first)
            time.sleep(0.2 if first else 0)
            with contextlib.suppress(ConnectionError):
                for letter in b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Long: and so on":
                    connection.sendall(bytes([letter]))
                    time.sleep(0.05)
            answer = drained(connection)
        assert answer.count(b"HTTP/1.1 ") == (1 if first else 0)


@pytest.mark.parametrize("size", ["1048577", "99999999999999999999"])
def test_an_upload_that_is_too_large_is_refused_before_it_comes(running: Running, size: str) -> None:
    with running.connected() as connection:
        connection.sendall(running.upload(f"Content-Length: {size}"))
        answer = drained(connection)
    assert status(answer) == 413
    assert b"larger than the limit of 1 MB" in answer
    assert running.left() == []


def test_one_that_does_not_say_how_large_it_is_or_says_nonsense(running: Running) -> None:
    chunked = running.upload("Transfer-Encoding: chunked")
    assert status(running.talk(chunked, b"3\r\nabc\r\n0\r\n\r\n")) == 411
    assert status(running.talk(running.upload("Content-Length: -5"))) == 400
    assert status(running.talk(running.upload("Content-Length: 5", "Content-Length: 6"), b"abcdef")) == 400
    assert status(running.talk(running.upload("Content-Length: 0"))) == 422
    assert running.left() == []


def test_one_that_breaks_off_leaves_nothing(running: Running) -> None:
    with running.connected() as connection:
        connection.sendall(running.upload("Content-Length: 1000") + b"x" * 500)
    deadline = time.monotonic() + 20
    while running.left():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\r\n" * 100,
        b"GET /" + b"a" * 200_000,
    ],
    ids=["tls", "version", "lines", "long"],
)
def test_nonsense_harms_nobody(running: Running, nonsense: bytes) -> None:
    assert status(running.talk(nonsense)) in (0, 400, 404, 414, 421, 431)
    assert status(running.talk(running.head("GET", "/"))) == 200


def test_a_request_that_passes_for_two_is_one(running: Running) -> None:
    """No second request can be smuggled in the body of the first."""
    inner = running.head("DELETE", running.session)
    answer = running.talk(running.upload(f"Content-Length: {len(inner)}"), inner)
    assert status(answer) == 422
    assert status(running.talk(running.head("GET", running.session))) == 200


@pytest.mark.limits(max_files=10, max_uploads=4, idle=20.0)
def test_many_at_once_are_bounded_and_the_page_stays_up(running: Running, tmp_path: Path) -> None:
    write_rgb(tmp_path / "a.png", make_picture(64, 64))
    content = (tmp_path / "a.png").read_bytes()
    request = running.upload(f"Content-Length: {len(content)}") + content
    with ThreadPoolExecutor(24) as pool:
        codes = sorted(map(status, pool.map(running.talk, [request] * 48)))
    assert set(codes) <= {201, 429}
    assert 1 <= codes.count(201) <= 10
    assert status(running.talk(running.head("GET", "/"))) == 200
    assert status(running.talk(running.head("DELETE", running.session))) == 204


@pytest.mark.limits(max_sessions=3, max_disk=4000)
def test_pages_and_disk_are_bounded(running: Running) -> None:
    assert status(running.talk(running.upload("Content-Length: 3000"))) == 507
    codes = [status(running.talk(running.head("POST", "/api/sessions", "Content-Length: 0"))) for _ in range(4)]
    assert codes == [201, 201, 503, 503]


def test_idle_connections_do_not_keep_others_out(running: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(server._CONNECTIONS + 5):
            stack.enter_context(running.connected())
        deadline = time.monotonic() + 30
        while status(running.talk(running.head("GET", "/"))) != 200:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_where_it_listens() -> None:
    with server.listen(ServeOptions(port=0)) as listening:
        host, port = listening.getsockname()
        assert host == "127.0.0.1"
        assert server.address_of(listening) == f"http://127.0.0.1:{port}/"
        with pytest.raises(ResourceError, match=f"port {port} on 127.0.0.1 is in use"):
            server.listen(ServeOptions(port=port))
    with pytest.raises(UsageError, match="unknown host"):
        server.listen(ServeOptions(host="no.such.name.invalid"))
    with server.listen(ServeOptions(host="0.0.0.0", port=0)) as everywhere:
        assert server.address_of(everywhere).startswith("http://127.0.0.1:")
