"""Pages that are open, and what was uploaded from each: within limits, and not for ever.

A session is known by an unguessable name and by nothing else; whoever has the name has what is in it.
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
"""Bytes of the disk that stay free for others."""


@dataclass
class Session:
    """One open page.

    Attributes:
        name: unguessable.
        entries: by number, in the order of their coming.
        seen: when the page was last heard of, monotonic seconds.
    """

    name: str
    entries: dict[int, Entry] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)
    _next: int = 1

    def take_number(self) -> int:
        """A number that no other upload of it has."""
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
            Refusal: there are too many.
        """
        with self.lock:
            if len(self._sessions) >= self.limits.max_sessions:
                raise Refusal(503, "too many pages are open", "close some of them, or come back later")
            session = Session(secrets.token_urlsafe(24))
            self._sessions[session.name] = session
            return session

    def session(self, name: str) -> Session:
        """The session of that name, which has been heard of now.

        Raises:
            Refusal: there is none, or not any more.
        """
        with self.lock:
            session = self._sessions.get(name)
            if session is None:
                raise Refusal(404, "this page has been closed, or was silent for too long", "open it anew")
            session.seen = time.monotonic()
            return session

    def entry(self, name: str, number: int) -> Entry:
        """An upload of a session.

        Raises:
            Refusal: there is none.
        """
        entry = self.session(name).entries.get(number)
        if entry is None:
            raise Refusal(404, "it is not here any more", "add it again")
        return entry

    @contextmanager
    def arriving(self, size: int) -> Iterator[None]:
        """Room for an upload of so many bytes, held while it arrives.

        Raises:
            Refusal: it is too large, there is no room for it, or too many arrive already.
        """
        limits = self.limits
        with self.lock:
            kept = [entry for session in self._sessions.values() for entry in session.entries.values()]
            if size > limits.max_upload:
                raise Refusal(413, f"larger than {limits.max_upload >> 20} MB, which is the most that is taken here")
            if len(self._arriving) >= limits.max_uploads:
                raise Refusal(429, "too many uploads at a time", "try again in a moment")
            if len(kept) + len(self._arriving) >= limits.max_files:
                raise Refusal(429, f"{limits.max_files} photos and clips are here already", "remove some that are done")
            wanted = sum(entry.held for entry in kept) + 2 * (sum(self._arriving) + size)  # a result is as large again
            if wanted > limits.max_disk or self.store.free() < 2 * size + _RESERVE:
                raise Refusal(507, "no room left on the disk of this server", "remove some that are done")
            self._arriving.append(size)
        try:
            yield
        finally:
            with self.lock:
                self._arriving.remove(size)

    def add(self, session: Session, entry: Entry) -> None:
        """Keep an upload.

        Raises:
            Refusal: its page was closed meanwhile.
        """
        with self.lock:
            if self._sessions.get(session.name) is not session:
                raise Refusal(404, "this page has been closed")
            session.entries[entry.number] = entry

    def remove(self, name: str, number: int) -> None:
        """Delete an upload and all that was made of it, and stop the work on it."""
        with self.lock:
            entry = self.session(name).entries.pop(number, None)
        if entry is not None:
            _delete(entry)

    def close(self, name: str) -> None:
        """Delete a session with all its uploads; one that is not there is closed already."""
        with self.lock:
            session = self._sessions.pop(name, None)
        for entry in list(session.entries.values()) if session else ():
            _delete(entry)

    def close_silent(self) -> int:
        """Delete sessions that were not heard of for too long; returns how many."""
        now = time.monotonic()
        with self.lock:
            silent = [name for name, each in self._sessions.items() if now - each.seen > self.limits.keep]
        for name in silent:
            self.close(name)
        return len(silent)

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
