"""What stands before every request: whom the page answers, and what browsers are told about it.

The page has no passwords and no cookies: on a loopback address, whoever can reach it sits at this machine. Two things
could still reach it from a web page elsewhere, and are refused: a name that its owner has pointed at this machine (DNS
rebinding), by the Host header; and requests that a browser sends on behalf of other pages, by the Origin header.
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
"""A header that every request which changes something must have. A browser adds none to what other pages send."""

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_SAFE_METHODS = ("GET", "HEAD")
_TOLD = {
    "Content-Security-Policy": "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Hosts:
    """Names that the page may be called by.

    Attributes:
        names: lower case, without port.
        addresses: whether any bare address will do: what is no name cannot be pointed elsewhere.
    """

    names: frozenset[str]
    addresses: bool = False

    @classmethod
    def of(cls, host: str, names: tuple[str, ...] = ()) -> Hosts:
        """Those of a server that listens on `host`; beyond loopback also this machine's name and bare addresses."""
        known = {*_LOOPBACK, host.lower().strip("[]"), *(name.lower() for name in names)}
        if is_loopback(host):
            return cls(frozenset(known))
        machine = socket.gethostname().lower()
        return cls(frozenset({*known, machine, machine.partition(".")[0], f"{machine.partition('.')[0]}.local"}), True)

    def answer(self, header: str) -> bool:
        """Whether a Host header names one of them."""
        try:
            name = urlsplit(f"//{header}").hostname or ""
        except ValueError:
            return False
        return name in self.names or (self.addresses and _is_address(name))


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens there."""
    name = host.lower().strip("[]")
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


@dataclass(frozen=True)
class Guard:
    """Refuses requests to other names and from other pages, and adds headers for browsers to every answer."""

    app: ASGIApp
    hosts: Hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _TOLD.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope["method"], Headers(scope=scope))
        await (refusal or self.app)(scope, receive, told)

    def _refusal(self, method: str, headers: Headers) -> JSONResponse | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self.hosts.answer(hosts[0]):
            return _refused(421, "this server does not go by that name", "open the address that it printed")
        if method in _SAFE_METHODS:
            return None
        origin = headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc.lower() != hosts[0].lower()
        if foreign or headers.get("sec-fetch-site", "same-origin") != "same-origin" or HEADER not in headers:
            return _refused(403, "requests of other pages are refused", "open the page itself")
        return None


def _refused(status: int, reason: str, hint: str) -> JSONResponse:
    return JSONResponse({"reason": reason, "hint": hint}, status, {"Connection": "close"})


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
