"""The model card stored in a weight file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

__all__ = ["Card", "Score"]

_TEXTS = ("name", "summary", "commit", "licence", "date", "limits")
_COUNTS = ("steps", "patches")
_TABLES = ("recipe", "scores", "change")
_LISTS = ("trained_on", "hashes")


class Quality(NamedTuple):
    """PSNR in dB and SSIM."""

    psnr: float
    ssim: float


@dataclass(frozen=True)
class Score:
    """Scores on one data set in one protocol: of the rainy input, and of the derained output."""

    dataset: str
    pictures: int
    protocol: str
    input: Quality
    output: Quality


@dataclass(frozen=True)
class Card:
    """The model card stored in a weight file.

    Attributes:
        name: of the weights, such as `fast`.
        summary: one line on what they are for.
        trained_on: data sets with their role and licence, including those of earlier runs.
        recipe: every setting of the run (`TrainConfig` as a mapping).
        steps: optimiser steps, including earlier runs.
        patches: training patches seen, including earlier runs.
        commit: of the program that trained them.
        scores: by data set and protocol, together with the input's scores.
        licence: terms of use.
        date: of the training, ISO.
        limits: what they cannot do.
        hashes: perceptual hashes of the clean training pictures (`datasets.fingerprint`), to detect test pictures that
            were trained on; empty in older files.
        change: figures on the real photos they were fine-tuned on (names in `metrics.no_reference.FIGURES`).
    """

    name: str = "unnamed"
    summary: str = ""
    trained_on: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 0
    patches: int = 0
    commit: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    date: str = ""
    limits: str = ""
    hashes: tuple[str, ...] = ()
    change: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """A card from parsed JSON; unknown keys, as from later versions, are ignored.

        Raises:
            ValueError, TypeError: not a valid card.
        """
        known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        for names, kind in ((_TEXTS, str), (_COUNTS, int), (_TABLES, Mapping), (_LISTS, list | tuple)):
            for name in names:
                if name in known and not isinstance(known[name], kind):
                    raise TypeError(f"invalid {name}")
        for name in _LISTS:
            if name in known:
                known[name] = tuple(known[name])
                if not all(isinstance(each, str) for each in known[name]):
                    raise TypeError(f"invalid {name}")
        if not all(re.fullmatch("[0-9a-f]{16}", each) for each in known.get("hashes", ())):
            raise ValueError("invalid hashes")
        return cls(**known)

    def measured(self) -> Iterator[Score]:
        """The scores, one by one; entries of another form are left out."""
        for dataset, protocols in self.scores.items():
            if not isinstance(protocols, Mapping):
                continue
            pictures = protocols.get("pictures")
            for protocol, value in protocols.items():
                try:
                    before, after = Quality(*map(float, value["input"])), Quality(*map(float, value["output"]))
                except (TypeError, ValueError, KeyError, IndexError):
                    continue
                yield Score(dataset, pictures if isinstance(pictures, int) else 0, protocol, before, after)
