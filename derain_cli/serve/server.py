"""The server: a socket, what listens on it, and a clean end."""

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
"""A connection must have sent the head of its first request by then."""
_GRACE = 3
"""Seconds for answers on their way when the server is told to stop."""


@dataclass(frozen=True)
class Ended:
    """How a server ended.

    Attributes:
        number: the signal that stopped it; None: it was stopped otherwise.
        idle: whether nothing is at work any more.
    """

    number: int | None
    idle: bool


def listen(options: ServeOptions) -> socket.socket:
    """A socket that listens there.

    Raises:
        UsageError: there is no such host.
        ResourceError: the port is taken, or not to be had.
    """
    host, port = options.host.strip("[]"), options.port
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"there is no address called {host!r}", hint="127.0.0.1 is this machine alone") from error
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
        made.listen(_CONNECTIONS)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            raise ResourceError(f"port {port} of {host} is taken", remedy=Remedy.OTHER_PORT) from error
        reason = f"cannot listen on port {port} of {host}: {error.strerror or error}"
        raise ResourceError(reason, remedy=Remedy.OTHER_PORT) from error
    return made


def address_of(listening: socket.socket) -> str:
    """What to open in a browser on this machine."""
    host, port = listening.getsockname()[:2]
    if host in ("0.0.0.0", "::"):  # everywhere, which is no place to go to
        host = "127.0.0.1"
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def network_address_of(listening: socket.socket) -> str | None:
    """What to open on other devices in the network, where it listens everywhere; None where that is not known."""
    host, port = listening.getsockname()[:2]
    if host not in ("0.0.0.0", "::"):
        return None
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.connect(("192.0.2.1", 9))  # sends nothing: it only chooses the way, to an address that nobody has
        return f"http://{asking.getsockname()[0]}:{port}/"
    return None


def serve(
    listening: socket.socket, options: ServeOptions, models: Models, told: Told, started: Callable[[], None]
) -> Ended:
    """Serve until a signal comes; everything that was uploaded or made is deleted at the end.

    Args:
        listening: from `listen`.
        options: what is offered, and what is let in.
        models: from `Models.found`.
        told: whom to tell what.
        started: called once requests are answered.

    Raises:
        ResourceError: there is no place for temporary files.
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
    # Nothing is logged: addresses of requests are the keys to what people uploaded, and errors are told in our words.
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
    """Stops as every command of ours does: at the first signal, of which signals that are ignored are none."""

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
    """HTTP/1.1 whose connections are closed when the head of a request is too long in coming."""

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
            self._waiting = self.loop.call_later(_HEAD_SECONDS, self._close_silent)
        elif not self._between and self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _close_silent(self) -> None:
        if self._between:
            self.transport.close()
