"""Which weights of a run with real photos are best: what goes from real rain against what goes from clean pictures.

There is no ground truth for a real photo. A network that blurs takes out as much streak energy as one that takes out
rain, but it takes it out of photographs without rain, too: what it takes from those counts against it, doubly. And the
score on pairs may fall by a stated budget only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.training.drift import Look, RealWatch

__all__ = ["HARM", "SHARES", "Gain", "Selection"]

HARM = 2.0
"""How much more a share of the streak energy counts that is taken from clean pictures than one taken from rain."""

SHARES = (0.25, 0.5, 0.75)
"""Of the fine-tuned weights in the averages with their start that are tried at the end of a run (`models average`)."""

Restore = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Gain:
    """What some weights do to real rain, and to what is none.

    Attributes:
        psnr: mean validation PSNR (`rgb`), dB.
        removed: share of the streak energy of real photos that is gone, in the mean.
        harm: share of the streak energy of clean photographs that is gone, in the mean.
    """

    psnr: float
    removed: float
    harm: float

    @property
    def value(self) -> float:
        """What is compared: 1 takes all streaks out of real photos and nothing out of clean ones."""
        return self.removed - HARM * max(0.0, self.harm)


class Selection:
    """Keeps the best of the weights it is shown.

    Args:
        real: watches photos in real rain that are not trained on.
        clean: watches photographs without rain.
        budget: by how many dB the mean validation PSNR may be below that of the first weights shown, which are those
            that the run started from.
    """

    def __init__(self, real: RealWatch, clean: RealWatch, budget: float):
        self.real, self.clean, self.budget = real, clean, budget
        self.start: Gain | None = None
        self.best: Gain | None = None

    def measure(self, restore: Restore, psnr: float) -> tuple[Gain, Look] | None:
        """What `restore`, whose mean validation PSNR is `psnr`, does; None where there is nothing to look at."""
        real, clean = self.real.look(restore), self.clean.look(restore)
        if real is None or clean is None:
            return None
        removed, harm = real.mean.streak_energy_removed, clean.mean.streak_energy_removed
        return Gain(psnr, removed, harm), real

    def is_best(self, gain: Gain) -> bool:
        """Whether these weights are the best so far; they are remembered if they are."""
        if self.start is None:
            self.start = gain
        within = gain.psnr >= self.start.psnr - self.budget
        if not within or (self.best is not None and gain.value <= self.best.value):
            return False
        self.best = gain
        return True

    def state(self) -> dict[str, Any]:
        """What a resumed run needs, for JSON."""
        return {name: asdict(gain) for name, gain in (("start", self.start), ("best", self.best)) if gain}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.start, self.best = (Gain(**state[name]) if name in state else None for name in ("start", "best"))
