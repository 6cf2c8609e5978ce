"""Monitors how much a network changes real photos, which have no ground truth.

The unsupervised term (eq. 8) compares a derained photo with clean pictures of other scenes. It can always be reduced by
pushing I_r away from O_r, even where there is no rain, so the change of a few photos is monitored and limited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from derain_cli.config import ContrastConfig
from derain_cli.errors import InputError, TrainingError
from derain_cli.metrics.no_reference import Figures, figures
from derain_cli.training.pictures import GRID_SIDE, centre, grid

__all__ = ["CROPS", "Look", "RealWatch", "drift_error"]

CROPS = 12
"""Number of photos that are monitored, evenly spread over those given."""

_SHOWN = 4

Picture = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Look:
    """Mean figures over the crops, and a before | after grid of some of them (uint8 HxWx3)."""

    mean: Figures
    grid: Picture


class RealWatch:
    """Monitors the centre crops of a fixed set of photos.

    Args:
        photos: in a fixed order; unreadable ones are skipped.
        read: returns one of them as RGB uint8 HxWx3.
        side: of the crops, pixels.
    """

    def __init__(self, photos: Sequence[T], read: Callable[[T], Picture], side: int = GRID_SIDE):
        self.crops: list[Picture] = []
        for place in dict.fromkeys(len(photos) * i // CROPS for i in range(CROPS if photos else 0)):
            try:
                # Copied, so that only the crop stays in memory, not the photo.
                self.crops.append(centre(read(photos[place]), side).copy())
            except InputError:
                continue

    def look(self, restore: Callable[[Picture], Picture]) -> Look | None:
        """Restore the crops and measure the change; None if there are no crops."""
        if not self.crops:
            return None
        restored = [restore(crop) for crop in self.crops]
        found = [figures(_tensor(before), _tensor(after)) for before, after in zip(self.crops, restored, strict=True)]
        shown = list(zip(self.crops, restored, strict=True))[:_SHOWN]
        return Look(Figures.mean(found), grid(shown))


def _tensor(picture: Picture) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]


def drift_error(found: Figures, options: ContrastConfig) -> TrainingError | None:
    """The error that ends a run if the change of the real photos exceeds a limit in `options`; else None."""
    bounds = (
        ("mean change", found.mean_change, options.max_change, "max_change"),
        ("colour shift", found.colour_shift, options.max_colour, "max_colour"),
    )
    for name, value, bound, key in bounds:
        if value > bound:
            return TrainingError(
                f"the network changes real photos too much: {name} {value:.1f} of 255 levels, limit {bound:g}",
                hint=f"best.safetensors is from before that; lower contrast.unsup_weight or raise contrast.{key}",
            )
    return None
