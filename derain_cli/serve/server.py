"""The HTTP server: socket, uvicorn, and a clean shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from derain_cli.errors import ResourceError, UsageError
from derain_cli.remedies import Remedy
from derain_cli.serve.app import Page, application
from derain_cli.serve.guard import Hosts
from derain_cli.serve.models import Models
from derain_cli.serve.options import ServeOptions
from derain_cli.serve.registry import Registry
from derain_cli.serve.store import Store
from derain_cli.serve.worker import Told, Worker
from derain_cli.system.signals import stop_requests

__all__ = ["Ended", "address_of", "listen", "network_address_of", "serve"]

_CONNECTIONS = 128
_HEAD_SECONDS = 10.0
"""Time limit for the head of a request."""
_GRACE = 3
"""Seconds for responses in progress at shutdown."""


@dataclass(frozen=True)
class Ended:
    """How a server ended.

    Attributes:
        number: the signal that stopped it; None for another reason.
        idle: whether the worker has stopped.
    """

    number: int | None
    idle: bool


def listen(options: ServeOptions) -> socket.socket:
    """A listening socket.

    Raises:
        UsageError: the host is unknown.
        ResourceError: the port is in use or not permitted.
    """
    host, port = options.host.strip("[]"), options.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"unknown host {host!r}", hint="127.0.0.1 is this machine") from error
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_CONNECTIONS)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise ResourceError(f"port {port} on {host} is in use", remedy=Remedy.OTHER_PORT) from error
        reason = f"cannot listen on port {port} on {host}: {error.strerror or error}"
        raise ResourceError(reason, remedy=Remedy.OTHER_PORT) from error
    return made


def address_of(listening: socket.socket) -> str:
    """The URL for browsers on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # all interfaces
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def network_address_of(listening: socket.socket) -> str | None:
    """The URL for other devices if the socket listens on all interfaces; None if unknown."""
    host, port = listening.getsockname()[:2]
    if host not in ("0.0.0.0", "::"):
        return None
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(
            ("192.0.2.1", 9)
        )  # UDP: sends nothing, only selects a route; the address is reserved for documentation
        return f"http://{asking.getsockname()[0]}:{port}/"
    return None


def serve(
    listening: socket.socket, options: ServeOptions, models: Models, told: Told, started: Callable[[], None]
) -> Ended:
    """Serve until a signal arrives; all uploads and results are deleted at the end.

    Args:
        listening: from `listen`.
        options: address, models and limits.
        models: from `Models.found`.
        told: callbacks for messages.
        started: called when requests are accepted.

    Raises:
        ResourceError: the temporary folder cannot be created.
    """
    with Store() as store:
        registry = Registry(store, options.limits)
        worker = Worker(models, options.limits.max_pixels, told)
        page = application(Page(options, registry, worker), Hosts.of(options.host, options.names), told.failed)
        server = _Server(_config(page), started)
        worker.start()
        try:
            asyncio.run(server.serve(sockets=[listening]))
        finally:
            registry.close_all()
            idle = worker.stop()
    return Ended(server.stopped_by, idle)


def _config(page: Any) -> uvicorn.Config:
    # No logs: URLs contain session names. Errors are reported through `Told`.
    logging.getLogger("uvicorn.error").disabled = True
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return uvicorn.Config(
        page,
        http=_Protocol,
        ws="none",
        lifespan="on",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=_GRACE,
    )


class _Server(uvicorn.Server):
    """Stops at the first signal like our other commands; signals ignored at start-up stay ignored."""

    def __init__(self, config: uvicorn.Config, started: Callable[[], None]):
        super().__init__(config)
        self._tell_started = started
        self._caught: list[signal.Signals] = []

    @property
    def stopped_by(self) -> int | None:
        return int(self._caught[0]) if self._caught else None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with stop_requests() as self._caught:
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._tell_started()

    async def on_tick(self, counter: int) -> bool:
        return bool(self._caught) or await super().on_tick(counter)


class _Protocol(H11Protocol):
    """HTTP/1.1 with a time limit for the head of each request (uvicorn has none)."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    @property
    def _between(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _watch(self) -> None:
        if self._between and self._waiting is None:
            self._waiting = self.loop.call_later(_HEAD_SECONDS, self._close_waiting)
        elif not self._between and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _close_waiting(self) -> None:
        if self._between:
            self.transport.close()
