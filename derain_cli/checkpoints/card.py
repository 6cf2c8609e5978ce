"""What a weight file says of itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

__all__ = ["Card"]


@dataclass(frozen=True)
class Card:
    """What a weight file says of itself.

    Attributes:
        name: of the weights, such as `fast`.
        summary: one line on what they are for.
        trained_on: data sets with their role and licence, those of earlier runs included.
        recipe: every setting of the run (`TrainConfig` as a mapping).
        steps: optimiser steps behind the weights, earlier runs included.
        patches: training patches seen, earlier runs included.
        commit: of the program that trained them.
        scores: by data set and protocol, with the input's scores beside.
        licence: terms of use.
        date: of the training, ISO.
        limits: what they cannot do.
        hashes: perceptual hashes of the clean pictures they were trained on (`data.fingerprint`), so that a test
            picture that was trained on is noticed; empty in files from before they were kept.
        change: what they do to the real photos they were fine-tuned on (names in `metrics.no_reference.FIGURES`).
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
        """A card from JSON; keys that later versions may add are passed over.

        Raises:
            ValueError, TypeError: it is no card.
        """
        known = {k: v for k, v in values.items() if k in cls.__dataclass_fields__}
        for name in ("trained_on", "hashes"):
            if name in known:
                known[name] = tuple(known[name])
        if not all(re.fullmatch("[0-9a-f]{16}", each) for each in known.get("hashes", ())):
            raise ValueError("hashes that are none")
        return cls(**known)
