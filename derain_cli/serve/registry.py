"""Open pages (sessions) and their uploads, with limits and expiry.

The unguessable name of a session is the only key to its uploads.
"""

from __future__ import annotations

import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from derain_cli.serve.entry import Entry
from derain_cli.serve.options import Limits
from derain_cli.serve.refusal import Refusal
from derain_cli.serve.store import Store

__all__ = ["Registry", "Session"]

_RESERVE = 256 << 20
"""Bytes of disk space that are never used."""


@dataclass
class Session:
    """One open page.

    Attributes:
        name: unguessable.
        entries: uploads by number, in order of arrival.
        seen: time of the last request, monotonic seconds.
    """

    name: str
    entries: dict[int, Entry] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)
    _next: int = 1

    def take_number(self) -> int:
        """A number not used before in this session."""
        number, self._next = self._next, self._next + 1
        return number


@dataclass
class Registry:
    """The sessions of a server. Methods may be called from any thread."""

    store: Store
    limits: Limits
    lock: threading.RLock = field(default_factory=threading.RLock)
    _sessions: dict[str, Session] = field(default_factory=dict)
    _arriving: list[int] = field(default_factory=list)

    def open(self) -> Session:
        """A new session.

        Raises:
            Refusal: the limit is reached.
        """
        with self.lock:
            if len(self._sessions) >= self.limits.max_sessions:
                raise Refusal(503, "too many open pages", "close some of them, or try again later")
            session = Session(secrets.token_urlsafe(24))
            self._sessions[session.name] = session
            return session

    def session(self, name: str) -> Session:
        """The session with this name; counts as a sign of activity.

        Raises:
            Refusal: it does not exist (any more).
        """
        with self.lock:
            session = self._sessions.get(name)
            if session is None:
                raise Refusal(404, "this page was closed or inactive for too long", "reload it")
            session.seen = time.monotonic()
            return session

    def entry(self, name: str, number: int) -> Entry:
        """An upload of a session.

        Raises:
            Refusal: it does not exist.
        """
        entry = self.session(name).entries.get(number)
        if entry is None:
            raise Refusal(404, "this file was removed", "add it again")
        return entry

    @contextmanager
    def arriving(self, size: int) -> Iterator[None]:
        """Reserve space for an upload of `size` bytes while it is received.

        Raises:
            Refusal: it is too large, disk space is short, or a limit on numbers is reached.
        """
        limits = self.limits
        with self.lock:
            kept = [entry for session in self._sessions.values() for entry in session.entries.values()]
            if size > limits.max_upload:
                raise Refusal(413, f"larger than the limit of {limits.max_upload >> 20} MB")
            if len(self._arriving) >= limits.max_uploads:
                raise Refusal(429, "too many simultaneous uploads", "try again in a moment")
            if len(kept) + len(self._arriving) >= limits.max_files:
                raise Refusal(429, f"the limit of {limits.max_files} files is reached", "remove finished ones")
            wanted = sum(entry.held for entry in kept) + 2 * (
                sum(self._arriving) + size
            )  # assume a result of the same size
            if wanted > limits.max_disk or self.store.free() < 2 * size + _RESERVE:
                raise Refusal(507, "not enough disk space on the server", "remove finished files")
            self._arriving.append(size)
        try:
            yield
        finally:
            with self.lock:
                self._arriving.remove(size)

    def add(self, session: Session, entry: Entry) -> None:
        """Add an upload to a session.

        Raises:
            Refusal: the session was closed meanwhile.
        """
        with self.lock:
            if self._sessions.get(session.name) is not session:
                raise Refusal(404, "this page was closed")
            session.entries[entry.number] = entry

    def remove(self, name: str, number: int) -> None:
        """Delete an upload and its results, and stop processing it."""
        with self.lock:
            entry = self.session(name).entries.pop(number, None)
        if entry is not None:
            _delete(entry)

    def close(self, name: str) -> None:
        """Delete a session with all its uploads; unknown names are ignored."""
        with self.lock:
            session = self._sessions.pop(name, None)
        for entry in list(session.entries.values()) if session else ():
            _delete(entry)

    def close_inactive(self) -> int:
        """Delete sessions without recent requests; returns their number."""
        now = time.monotonic()
        with self.lock:
            inactive = [name for name, each in self._sessions.items() if now - each.seen > self.limits.keep]
        for name in inactive:
            self.close(name)
        return len(inactive)

    def close_all(self) -> None:
        """Delete everything."""
        with self.lock:
            names = list(self._sessions)
        for name in names:
            self.close(name)


def _delete(entry: Entry) -> None:
    entry.gone = True
    entry.stop.set()
    shutil.rmtree(entry.folder, ignore_errors=True)
