"""Workers on a Ray cluster. The only module that knows Ray.

Ray reports to its makers how it is used unless told not to before it is loaded, prints its messages on standard output,
and takes over SIGTERM. None of that happens here. Its calls that wait are made in other threads than the main one,
where signals arrive.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import secrets
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TextIO, cast

from derain_cli.config.cluster import LOCAL, ClusterOptions
from derain_cli.engine.processor import thread_count
from derain_cli.errors import DerainError, ResourceError, UsageError
from derain_cli.jobs.cluster.options import AboutWorker, WorkerOptions
from derain_cli.jobs.cluster.pool import WorkerLostError, WorkerPool
from derain_cli.jobs.cluster.shares import Share, shares_of
from derain_cli.jobs.cluster.worker import PhotoWorker
from derain_cli.jobs.items import Item
from derain_cli.jobs.photos.outcome import PhotoOutcome
from derain_cli.remedies import Remedy

__all__ = ["ray_workers", "require_ray"]

_EVERY = 0.2
"""Seconds between looks at the event that ends a wait."""
_GRACE = 5.0
"""Seconds a worker has for finishing what it is writing, before it is killed: its temporary files are removed then."""
_KNOCK = 10.0
"""Seconds in which the head node has to accept a connection."""
_STORE = 80 << 20
"""Bytes of the object store of a Ray that is started here; only names and results pass through it."""
_MESSAGES = (
    ("running low on memory", "out of memory"),
    ("node has died", "its machine is gone"),
    ("No module named", "derain or a package it needs is not installed there"),
)
"""What Ray's explanations say, and in our words; without any of these, they list what it might have been."""


def require_ray() -> None:
    """Look for Ray, without loading it.

    Raises:
        UsageError: it is not installed.
    """
    if importlib.util.find_spec("ray") is None:
        raise UsageError("this needs Ray, which is not installed", hint="pip install 'derain-cli[ray]'")


@contextlib.contextmanager
def ray_workers(cluster: ClusterOptions, options: WorkerOptions) -> Iterator[WorkerPool]:
    """A pool of workers on a Ray cluster, one per GPU or per so many processors, while the context lasts.

    Args:
        cluster: where.
        options: what each worker is told; its device is replaced by what a worker gets.

    Raises:
        UsageError: Ray is not installed.
        ResourceError: the cluster cannot be reached, or has no such device.
    """
    require_ray()
    with _quiet_ray(cluster.ray) as ray, _connected(ray, cluster.ray):
        count, share = shares_of([node["Resources"] for node in ray.nodes() if node["Alive"]], cluster, options.restore)
        restore = replace(options.restore, device="cuda" if share.gpus else "cpu")
        launcher = _Launcher(ray, share, replace(options, restore=restore))
        with WorkerPool(launcher.start, count) as pool:
            yield pool


@dataclass(frozen=True)
class _Launcher:
    ray: Any
    share: Share
    options: WorkerOptions

    def start(self, stop: threading.Event) -> _RayWorker | None:
        """See `pool.Start`."""
        actors = self.ray.remote(PhotoWorker).options(
            num_cpus=self.share.cpus,
            num_gpus=self.share.gpus,
            max_concurrency=2,  # `stop` while `restore` runs
            scheduling_strategy="SPREAD",
        )
        actor = actors.remote()
        ready = False
        try:
            about = _answer(self.ray, actor.begin.remote(self.options), stop)
            if about is None:
                return None
            if isinstance(about, DerainError):
                raise about
            if isinstance(about, Exception):
                raise ResourceError(f"a worker cannot load the network: {about}") from about
            ready = True
            return _RayWorker(self.ray, actor, about)
        finally:
            if not ready:
                self.ray.kill(actor)


@dataclass(frozen=True)
class _RayWorker:
    ray: Any
    actor: Any
    about: AboutWorker

    def restore(self, items: Sequence[Item], stop: threading.Event) -> tuple[PhotoOutcome, ...]:
        """See `pool.Worker`."""
        running = self.actor.restore.remote(items)
        outcomes = _answer(self.ray, running, stop)
        if outcomes is None:
            self.actor.stop.remote()
            given_up = threading.Event()
            timer = threading.Timer(_GRACE, given_up.set)
            timer.start()
            try:
                outcomes = _answer(self.ray, running, given_up)
            finally:
                timer.cancel()
        if outcomes is None:
            raise WorkerLostError("it did not stop in time")
        return tuple(outcomes)

    def end(self) -> None:
        """See `pool.Worker`."""
        with contextlib.suppress(self.ray.exceptions.RayError):
            self.ray.kill(self.actor)
            # Until it is dead, it may still be writing.
            self.ray.get(self.actor.stop.remote(), timeout=5)


def _answer(ray: Any, call: Any, stop: threading.Event) -> Any:
    """The result of a call; None if `stop` was set first.

    Raises:
        WorkerLostError: the worker died, or cannot be reached.
        Exception: the call raised it.
    """
    while not ray.wait([call], timeout=_EVERY)[0]:
        if stop.is_set():
            return None
    try:
        return ray.get(call)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from error
    except ray.exceptions.RayError as error:
        raise WorkerLostError(_words(error)) from error


def _words(error: Exception) -> str:
    text = str(error)
    if type(error).__name__ == "ActorUnavailableError":
        return "it cannot be reached"
    return next((words for sign, words in _MESSAGES if sign in text), "its process ended unexpectedly")


class _MainThreadOnly:
    """Standard output of the main thread; what other threads print, which is Ray's, is dropped."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread() is threading.main_thread():
            return self._stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _prepare_environment(address: str) -> None:
    """Set what Ray and the processes it starts read when they are loaded: once, for the rest of this process."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    if address == LOCAL and "RAY_AUTH_TOKEN" not in os.environ:
        # Without this secret nobody talks to the Ray started here. Ray would write one into the home folder.
        os.environ["RAY_AUTH_MODE"], os.environ["RAY_AUTH_TOKEN"] = "token", secrets.token_hex(32)


@contextlib.contextmanager
def _quiet_ray(address: str) -> Iterator[Any]:
    """The module, loaded without its reports; within the context it prints nothing."""
    _prepare_environment(address)
    logger = logging.getLogger("ray")
    level, logger.propagate = logger.level, False
    logger.setLevel(logging.CRITICAL + 1)
    logger.addHandler(logging.NullHandler())
    stdout = sys.stdout
    if stdout is not None:
        sys.stdout = cast("TextIO", _MainThreadOnly(stdout))
    try:
        with _no_stderr():
            import ray

        yield ray
    finally:
        sys.stdout = stdout
        logger.setLevel(level)


@contextlib.contextmanager
def _no_stderr() -> Iterator[None]:
    """Within the context, what is written to the file descriptor of standard error is dropped.

    The part of Ray in C++ writes there until it has opened its log files.
    """
    try:
        kept = os.dup(2)
    except OSError:  # closed
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:
    """Connected to a cluster; one on this machine is started, and removed again with everything it wrote."""
    with contextlib.ExitStack() as undo:
        settings: Mapping[str, Any] = {"address": address}
        if address == LOCAL:
            settings = _local_settings(undo)
        else:
            _require_answer(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
        undo.callback(ray.shutdown)
        # It replaces the handlers of signals.
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            with _no_stderr():
                ray.init(**settings, log_to_driver=False, configure_logging=False)
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            first = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
            if address == LOCAL:
                raise ResourceError(f"cannot start Ray: {first}") from error
            raise _unreachable(address, first) from error
        finally:
            if threading.current_thread() is threading.main_thread():
                for number, handler in handlers.items():
                    signal.signal(number, handler)
        yield


def _require_answer(address: str) -> None:
    """Check that something listens at an address with a port: Ray would try for many minutes.

    Raises:
        ResourceError: nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_KNOCK).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(error)) from error


def _unreachable(address: str, why: str) -> ResourceError:
    return ResourceError(f"cannot reach the Ray cluster {address}: {why}", remedy=Remedy.JOIN_CLUSTER)


def _local_settings(undo: contextlib.ExitStack) -> dict[str, Any]:
    # Below /tmp where there is one: names of sockets are short.
    place = Path("/tmp") if Path("/tmp").is_dir() else None
    folder = tempfile.mkdtemp(prefix="derain-ray-", dir=place)
    undo.callback(_removed, folder)
    return {
        "address": LOCAL,
        "num_cpus": thread_count(),
        "include_dashboard": False,
        "object_store_memory": _STORE,
        "_node_ip_address": "127.0.0.1",
        "_temp_dir": folder,
    }


def _removed(folder: str) -> None:
    # Ray's processes may write for a moment after they were told to end.
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not Path(folder).exists():
            return
        time.sleep(0.1)
