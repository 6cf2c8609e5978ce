"""Records how outputs were made, in a hidden file in their folder, to tell which are up to date.

An output is up to date if it was made with the same settings from the same input and has not been changed since.
"""

# Paths are strings here: see `jobs.items`.
# ruff: noqa: PTH116, PTH118, PTH119, PTH122, PTH123

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from derain_cli.errors import DestinationError
from derain_cli.jobs.items import Item, WorkList
from derain_cli.remedies import Remedy
from derain_cli.system.files import changed_of, files_of, size_of
from derain_cli.system.locks import lock_file

__all__ = ["RECORD_NAME", "MadeRecord", "settled"]

RECORD_NAME = ".derain.jsonl"
"""Name of the hidden file in each output folder: JSON lines, of which the last for an output counts."""

_UNKNOWN = "already exists, and there is no record of how it was made"

Settings = Mapping[str, object]

_appending = threading.Lock()
"""Closing a file gives up the locks of all threads on it."""


@dataclass
class MadeRecord:
    """The record of outputs, for a run with given settings. Thread-safe.

    Attributes:
        settings: what the content of an output depends on: user-visible names, plain values.
        only_for: settings that matter only for some file suffixes (lower case, with dot).
    """

    settings: Settings
    only_for: Mapping[str, frozenset[str]] = field(default_factory=dict)
    _read: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)

    def problem(self, item: Item, *, afresh: bool = False) -> DestinationError | None:
        """Why an existing output is not what this run would produce; None if it is up to date.

        Args:
            item: an input whose output exists.
            afresh: read the folder's record again, as another run may have written to it.
        """
        folder, name = os.path.split(item.target)
        known = None if afresh else self._read.get(folder)
        if known is None:
            known = _read_record(folder)
            self._read = {folder: known}  # only the last folder: items come folder by folder
        entry = known.get(name)
        return None if (reason := self._reason(entry, item)) is None else _refusal(reason, item.target)

    def add(self, item: Item, length: int) -> None:
        """Record the output of `item`, `length` bytes, just before it gets its final name.

        So there is never an output without a record.
        """
        folder, name = os.path.split(item.target)
        entry = {
            "output": name,
            "bytes": length,
            "input": os.path.basename(item.source),
            "input_bytes": sum(map(size_of, item.sources)),
            "input_time": max(map(changed_of, item.sources)),
            "input_digest": _digest(item.sources),
            "settings": self._applying(item.target),
        }
        line = json.dumps(entry, sort_keys=True).encode() + b"\n"
        with contextlib.suppress(OSError), _appending:  # only the record is lost
            handle = os.open(os.path.join(folder, RECORD_NAME), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                lock_file(handle)
                os.write(handle, line)
            finally:
                os.close(handle)

    def _applying(self, target: str) -> dict[str, Any]:
        suffix = os.path.splitext(target)[1].lower()
        return {k: v for k, v in self.settings.items() if k not in self.only_for or suffix in self.only_for[k]}

    def _reason(self, entry: Mapping[str, Any] | None, item: Item) -> str | None:
        try:
            if entry is None:
                return _UNKNOWN
            if os.stat(item.target).st_size != entry["bytes"]:
                return "already exists and was changed since it was made"
            now, then = self._applying(item.target), entry["settings"]
            if differing := [k for k in now | then if now.get(k) != then.get(k)]:
                settings = ", ".join(f"{k} {_words(then.get(k))}, not {_words(now.get(k))}" for k in differing)
                return f"already exists, made with {settings}"
            if not _are_inputs_of(entry, item.sources):
                return "already exists, made from another input or before the input was changed"
        except (KeyError, TypeError, AttributeError):  # a line from another version or program
            return _UNKNOWN
        except OSError:
            return None  # deleted meanwhile, or unreadable: processing will report it
        return None


def settled(work: WorkList, record: MadeRecord, companions_of: Callable[[str], tuple[str, ...]]) -> WorkList:
    """The plan, checked against the record of existing outputs.

    Outputs made with other settings or from other inputs are refused; those that only lack a companion are processed
    again, but not replaced.

    Args:
        work: as planned.
        record: of this run.
        companions_of: paths of the companions wanted for an output.
    """
    done, again, failed = [], [], list(work.failed)
    for item in work.done:
        problem = record.problem(item)
        if problem is not None:
            failed.append(problem)
        elif all(os.path.lexists(path) for path in companions_of(item.target)):
            done.append(item)
        else:
            again.append(dataclasses.replace(item, stays=True))
    return replace(work, items=(*work.items, *again), done=tuple(done), failed=tuple(failed))


def _refusal(reason: str, target: str) -> DestinationError:
    return DestinationError(reason, path=target, remedy=Remedy.REPLACE_OR_ANOTHER)


def _words(value: Any) -> str:
    return "default" if value is None else str(value)


def _read_record(folder: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    with contextlib.suppress(OSError), open(os.path.join(folder, RECORD_NAME), "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):  # half a line of a killed run
                entry = json.loads(line)
                found[entry["output"]] = entry
    return found


def _are_inputs_of(entry: Mapping[str, Any], sources: Sequence[str]) -> bool:
    if sum(map(size_of, sources)) != entry["input_bytes"]:
        return False
    unchanged = len(sources) == 1 and changed_of(sources[0]) == entry["input_time"]
    return bool(unchanged or _digest(sources) == entry["input_digest"])


def _digest(sources: Sequence[str]) -> str:
    """Of what an input holds; of several of one output, of their names, sizes and times: they may be a card full."""
    digest = hashlib.blake2b(digest_size=16)
    if len(sources) > 1:
        for source in sources:
            name = os.fsencode(os.path.basename(source))
            digest.update(b"%b\0%d\0%d\0" % (name, size_of(source), changed_of(source)))
        return digest.hexdigest()
    files = files_of(sources[0])
    for each in files:
        if len(files) > 1:  # renumbering a picture changes the clip
            digest.update(os.fsencode(each.name))
        with each.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
