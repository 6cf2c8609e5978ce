"""Checks before every request, and security headers on every response.

The page has no passwords and no cookies: only local users can connect to a loopback address. Other web sites could
reach it through the user's browser in two ways, which are refused: host names that resolve to this machine (DNS
rebinding), by the Host header; and cross-site requests, by the Origin and Sec-Fetch-Site headers and a custom header.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["HEADER", "Guard", "Hosts", "is_loopback"]

HEADER = "x-derain"
"""Required on requests that change state. Browsers send it cross-site only after a CORS preflight, which is refused."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SAFE_METHODS = ("GET", "HEAD")
_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Hosts:
    """Host names under which the page may be opened.

    Attributes:
        names: lower case, without port.
        addresses: whether all IP addresses are allowed; DNS rebinding needs a name.
    """

    names: frozenset[str]
    addresses: bool = False

    @classmethod
    def of(cls, host: str, names: tuple[str, ...] = ()) -> Hosts:
        """For a server that listens on `host`; if that is not loopback, also this machine's names and IP addresses."""
        known = {*_LOOPBACK, host.lower().strip("[]"), *(name.lower() for name in names)}
        if is_loopback(host):
            return cls(frozenset(known))
        machine = socket.gethostname().lower()
        return cls(frozenset({*known, machine, machine.partition(".")[0], f"{machine.partition('.')[0]}.local"}), True)

    def allow(self, header: str) -> bool:
        """Whether the value of a Host header is allowed."""
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return name in self.names or (self.addresses and _is_address(name))


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to this address."""
    name = host.lower().strip("[]")
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


@dataclass(frozen=True)
class Guard:
    """ASGI middleware: refuses unknown hosts and cross-site requests; adds security headers to every response."""

    app: ASGIApp
    hosts: Hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self.app)(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.hosts.allow(hosts[0]):
            return _refused(421, "unknown host name", "open the address that the server printed")
        if method in _SAFE_METHODS:
            return None
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower()
        if foreign or headers.get("sec-fetch-site", "same-origin") != "same-origin" or HEADER not in headers:
            return _refused(403, "requests from other pages are refused", "open the page itself")
        return None


def _refused(status: int, reason: str, hint: str) -> JSONResponse:
    return JSONResponse({"reason": reason, "hint": hint}, status, {"Connection": "close"})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
