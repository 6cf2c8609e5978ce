"""Whom the page answers."""

from __future__ import annotations

import socket

import pytest
from starlette.testclient import TestClient

from derain_cli.serve.guard import HEADER, Guard, Hosts, is_loopback
from tests.serve.conftest import Served


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2", "::1", "[::1]", "LocalHost"])
def test_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "127.0.0.1.example.org", ""])
def test_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("header", ["127.0.0.1:7246", "localhost", "localhost:1", "[::1]:7246", "LOCALHOST:80"])
def test_loopback_names_are_answered(header: str) -> None:
    assert Hosts.of("127.0.0.1").allow(header)


@pytest.mark.parametrize(
    "header",
    [
        "rebound.example",
        "127.0.0.1.example",
        "192.168.1.5:7246",
        "",
        "[",
        "localhost@evil.example",
        "evil.example#localhost",
    ],
)
def test_names_that_somebody_pointed_here_are_not(header: str) -> None:
    assert not Hosts.of("127.0.0.1").allow(header)


def test_in_a_network_addresses_and_names_of_this_machine_are_answered() -> None:
    hosts = Hosts.of("0.0.0.0", ("Rain.example",))
    for header in ("192.168.1.5:7246", "[fe80::1]:7246", "rain.example", f"{socket.gethostname()}:7246", "localhost"):
        assert hosts.allow(header), header
    assert not hosts.allow("evil.example")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:7247"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Origin": "http://127.0.0.1:7246", "Sec-Fetch-Site": "same-origin"}, 201),
        ({}, 201),
    ],
)
def test_requests_of_other_pages_change_nothing(served: Served, headers: dict[str, str], status: int) -> None:
    answer = served.client.post("/api/sessions", headers=headers)
    assert answer.status_code == status
    if status != 201:
        assert answer.json()["hint"]
        assert answer.headers["content-security-policy"]


def test_without_the_header_that_other_pages_cannot_send_nothing_changes(served: Served) -> None:
    bare = TestClient(served.client.app, "http://127.0.0.1:7246")
    assert bare.get("/").status_code == 200
    assert bare.post("/api/sessions").status_code == 403
    assert bare.post("/api/sessions", headers={HEADER: "1"}).status_code == 201
    assert bare.options("/api/sessions", headers={"Origin": "http://evil.example"}).status_code == 403


def test_two_names_in_one_request_are_none() -> None:
    async def app(scope: object, receive: object, send: object) -> None:
        raise AssertionError("answered")

    client = TestClient(Guard(app, Hosts.of("127.0.0.1")), "http://127.0.0.1")  # type: ignore[arg-type]
    assert client.get("/", headers=[("Host", "127.0.0.1"), ("Host", "evil.example")]).status_code == 421  # type: ignore[arg-type]
