"""Selects the best weights in runs with real photos: streaks removed from rainy photos minus those from clean ones.

Real photos have no ground truth. A network that blurs removes as much streak energy as one that removes rain, but also
from photographs without rain: that counts against it, twice as much. In addition, the score on pairs may drop only
within a given budget.
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
"""Weight of streak energy removed from clean pictures, relative to that removed from rainy ones."""

SHARES = (0.25, 0.5, 0.75)
"""Shares of the fine-tuned weights in the averages with the start tried at the end of a run (cf. `models average`)."""

Restore = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]


@dataclass(frozen=True)
class Gain:
    """Effect of some weights on real rain and on clean photographs.

    Attributes:
        psnr: mean validation PSNR (`rgb`), dB.
        removed: mean share of the streak energy of real photos that is removed.
        harm: mean share of the streak energy of clean photographs that is removed.
    """

    psnr: float
    removed: float
    harm: float

    @property
    def value(self) -> float:
        """The value to maximise: 1 removes all streaks from real photos and nothing from clean ones."""
        return self.removed - HARM * max(0.0, self.harm)


class Selection:
    """Tracks the best weights so far.

    Args:
        real: monitors held-out photos of real rain.
        clean: monitors photographs without rain.
        budget: maximum drop in dB of the mean validation PSNR below that of the first weights, those that the run
            started from.
    """

    def __init__(self, real: RealWatch, clean: RealWatch, budget: float):
        self.real, self.clean, self.budget = real, clean, budget
        self.start: Gain | None = None
        self.best: Gain | None = None

    def measure(self, restore: Restore, psnr: float) -> tuple[Gain, Look] | None:
        """The effect of `restore`, whose mean validation PSNR is `psnr`; None if there are no photos to monitor."""
        real, clean = self.real.look(restore), self.clean.look(restore)
        if real is None or clean is None:
            return None
        removed, harm = real.mean.streak_energy_removed, clean.mean.streak_energy_removed
        return Gain(psnr, removed, harm), real

    def is_best(self, gain: Gain) -> bool:
        """Whether these weights are the best so far; if so, they become the new best."""
        if self.start is None:
            self.start = gain
        within = gain.psnr >= self.start.psnr - self.budget
        if not within or (self.best is not None and gain.value <= self.best.value):
            return False
        self.best = gain
        return True

    def state(self) -> dict[str, Any]:
        """State needed to resume a run, for JSON."""
        return {name: asdict(gain) for name, gain in (("start", self.start), ("best", self.best)) if gain}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """The inverse of `state`."""
        self.start, self.best = (Gain(**state[name]) if name in state else None for name in ("start", "best"))
