"""How outputs were made: a line for each in a hidden file of their folder, so that "done already" can be known.

An output is done only if it was made with the same settings from the same input and has not been changed since.
"""

# Paths are strings here: see `jobs.items`.
# ruff: noqa: PTH116, PTH118, PTH119, PTH122, PTH123

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from derain_cli.errors import DestinationError
from derain_cli.jobs.items import Item, WorkList
from derain_cli.remedies import Remedy
from derain_cli.system.files import changed_of, files_of, size_of

__all__ = ["RECORD_NAME", "MadeRecord", "settled"]

RECORD_NAME = ".derain.jsonl"
"""Of the hidden file, in each folder with outputs: JSON lines, of which the last on an output counts."""

Settings = Mapping[str, object]


@dataclass
class MadeRecord:
    """What is known of outputs, for a run with certain settings. May be used from any thread.

    Attributes:
        settings: what the content of an output hangs on, by names that a user knows, plain values.
        only_for: settings that matter for some suffixes only (lower case, with dot).
    """

    settings: Settings
    only_for: Mapping[str, frozenset[str]] = field(default_factory=dict)
    _read: dict[str, dict[str, Mapping[str, Any]]] = field(default_factory=dict)

    def problem(self, item: Item, *, afresh: bool = False) -> DestinationError | None:
        """Why the output that is there is not what this run would make of the input; None if it is.

        Args:
            item: an input whose output exists.
            afresh: look into the folder's record again; another run may have written to it.
        """
        folder, name = os.path.split(item.target)
        if afresh or folder not in self._read:
            self._read[folder] = _read_record(folder)
        entry = self._read[folder].get(name)
        return None if (reason := self._reason(entry, item)) is None else _refusal(reason, item.target)

    def add(self, item: Item, length: int) -> None:
        """Notes that the output of `item`, `length` bytes, is made; just before it gets its name.

        So there is no moment at which it is there and nothing is known of it.
        """
        folder, name = os.path.split(item.target)
        entry = {
            "output": name,
            "bytes": length,
            "input": os.path.basename(item.source),
            "input_bytes": size_of(item.source),
            "input_time": changed_of(item.source),
            "input_digest": _digest(item.source),
            "settings": self._applying(item.target),
        }
        line = json.dumps(entry, sort_keys=True).encode() + b"\n"
        with contextlib.suppress(OSError):  # nothing is lost but the knowledge
            handle = os.open(os.path.join(folder, RECORD_NAME), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                os.write(handle, line)
            finally:
                os.close(handle)

    def _applying(self, target: str) -> dict[str, Any]:
        suffix = os.path.splitext(target)[1].lower()
        return {k: v for k, v in self.settings.items() if k not in self.only_for or suffix in self.only_for[k]}

    def _reason(self, entry: Mapping[str, Any] | None, item: Item) -> str | None:
        try:
            if entry is None:
                return "it is there, and nothing is known of how it was made"
            if os.stat(item.target).st_size != entry["bytes"]:
                return "it is there, and was changed since it was made"
            now, then = self._applying(item.target), entry["settings"]
            if differing := [k for k in now | then if now.get(k) != then.get(k)]:
                told = ", ".join(f"{k} {_words(then.get(k))}, not {_words(now.get(k))}" for k in differing)
                return f"it is there, made with {told}"
            if not _is_input_of(entry, item.source):
                return "it is there, made from another input or before the input was changed"
        except (KeyError, TypeError, AttributeError):  # a line of another version, or of somebody's own
            return "it is there, and nothing is known of how it was made"
        except OSError:
            return None  # gone meanwhile, or unreadable: trying will tell
        return None


def settled(work: WorkList, record: MadeRecord, companions_of: Callable[[str], tuple[str, ...]]) -> WorkList:
    """The plan with what is known of the outputs that are there.

    Those that other settings or inputs made are refused; those that only lack a further picture are worked on again,
    and stay as they are.

    Args:
        work: as planned.
        record: of this run.
        companions_of: paths of the further pictures that are wanted beside an output.
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
    return "by itself" if value is None else str(value)


def _read_record(folder: str) -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    with contextlib.suppress(OSError), open(os.path.join(folder, RECORD_NAME), "rb") as file:
        for line in file:
            with contextlib.suppress(ValueError, KeyError, TypeError):  # half a line of a killed run
                entry = json.loads(line)
                found[entry["output"]] = entry
    return found


def _is_input_of(entry: Mapping[str, Any], source: str) -> bool:
    if size_of(source) != entry["input_bytes"]:
        return False
    return bool(changed_of(source) == entry["input_time"] or _digest(source) == entry["input_digest"])


def _digest(path: str) -> str:
    digest = hashlib.blake2b(digest_size=16)
    files = files_of(path)
    for each in files:
        if len(files) > 1:  # a picture that has changed its number changes the clip
            digest.update(os.fsencode(each.name))
        with each.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
