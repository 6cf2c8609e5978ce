"""The model card stored in a weight file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Card"]


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
        for name in ("trained_on", "hashes"):
            if name in known:
                known[name] = tuple(known[name])
        if not all(re.fullmatch("[0-9a-f]{16}", each) for each in known.get("hashes", ())):
            raise ValueError("invalid hashes")
        return cls(**known)
