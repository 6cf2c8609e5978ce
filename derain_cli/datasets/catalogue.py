"""Public data sets, from `catalogue.toml`: contents, licences and file layouts."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from derain_cli.config import from_mapping
from derain_cli.datasets.layouts import Layout
from derain_cli.errors import UsageError

__all__ = ["DATASETS", "DatasetRecord", "HubCopy", "Licence", "Split", "find_record"]


@dataclass(frozen=True)
class Licence:
    """Terms of a data set: `green` free, `amber` for research, `red` none stated or unclear; and a description."""

    colour: Literal["green", "amber", "red"]
    words: str


@dataclass(frozen=True)
class Split:
    """One part of a data set.

    Attributes:
        count: of pairs, or of pictures without ground truth; 0 if not known for certain.
        places: folders below the data root, in the order in which they are tried.
        parts: names of the sets that make up this split, if it has no pictures of its own.
    """

    count: int
    places: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class HubCopy:
    """A copy of a data set on the Hugging Face Hub.

    Attributes:
        repo: a repository of type dataset.
        folder: destination below the data root.
        only: patterns of the files to download; empty for all.
    """

    repo: str
    folder: str
    only: tuple[str, ...] = ()


@dataclass(frozen=True)
class DatasetRecord:
    """A public data set.

    Attributes:
        name: as used in the literature.
        about: one line.
        page: its authors' page.
        licence: its terms.
        splits: `train`, `test`, sometimes `val`.
        layouts: file layouts found in the wild, in the order in which they are tried; they define the pairing.
        aliases: other names.
        truth: whether it has ground truth.
        hub: a copy that can be downloaded.
    """

    name: str
    about: str
    page: str
    licence: Licence
    splits: Mapping[str, Split]
    layouts: tuple[Layout, ...] = ()
    aliases: tuple[str, ...] = ()
    truth: bool = True
    hub: HubCopy | None = field(default=None)

    def split(self, name: str) -> Split:
        """The split called `name`.

        Raises:
            UsageError: there is no such split.
        """
        if name not in self.splits:
            raise UsageError(f"{self.name} has no split {name!r}", hint=f"it has {', '.join(self.splits)}")
        return self.splits[name]


def _record(entry: Mapping[str, Any], licences: Mapping[str, Any], layouts: Mapping[str, Any]) -> DatasetRecord:
    """A record from the catalogue file, where licences and layouts shared by several sets are given by name."""
    values = dict(entry)
    licence, packings = values.pop("licence"), values.pop("layouts", [])
    split, hub = values.pop("split"), values.pop("hub", None)
    one_by_one = [one for each in packings for one in (layouts[each] if isinstance(each, str) else [each])]
    return DatasetRecord(
        **values | {"aliases": tuple(values.get("aliases", ()))},
        licence=from_mapping(Licence, licences[licence] if isinstance(licence, str) else licence),
        layouts=tuple(from_mapping(Layout, each) for each in one_by_one),
        hub=None if hub is None else from_mapping(HubCopy, hub),
        splits={name: from_mapping(Split, part) for name, part in split.items()},
    )


def _records() -> list[DatasetRecord]:
    content = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return [_record(entry, content["licences"], content["layouts"]) for entry in content["set"]]


DATASETS: Mapping[str, DatasetRecord] = {record.name: record for record in _records()}
"""Known sets by name; any other folder of pairs works too."""


def _plain(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


_KNOWN = {_plain(each): record for record in DATASETS.values() for each in (record.name, *record.aliases)}


def find_record(name: str) -> DatasetRecord:
    """The set with this name or alias; case, hyphens and the like are ignored.

    Raises:
        UsageError: there is none; the hint lists similar names.
    """
    record = _KNOWN.get(_plain(name))
    if record is None:
        close = difflib.get_close_matches(_plain(name), _KNOWN, n=4, cutoff=0.6)
        near = list(dict.fromkeys(_KNOWN[key].name for key in close))
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UsageError(
            f"no data set or folder {name!r}", hint=f"{hint}known names: {', '.join(DATASETS)}; or a folder of pairs"
        )
    return record
