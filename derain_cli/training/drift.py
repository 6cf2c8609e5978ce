"""How far a network has moved away from real photos, which have no ground truth.

The unsupervised term (eq. 8) compares a derained photo with clean pictures of other scenes. What it can always do is
push I_r away from O_r, also where there is no rain: the change of a few photos is therefore looked at, and bounded.
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

__all__ = ["CROPS", "Look", "RealWatch", "excess"]

CROPS = 12
"""Photos that are looked at, evenly spread over those given."""

_SHOWN = 4

Picture = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen of the crops: their mean figures, and a grid before | after of some of them (uint8 HxWx3)."""

    mean: Figures
    grid: Picture


class RealWatch:
    """The middles of a few photos, the same ones each time.

    Args:
        photos: photos, in a fixed order; unreadable ones are passed over.
        read: reads one of them, RGB uint8 HxWx3.
        side: of the crops, pixels.
    """

    def __init__(self, photos: Sequence[T], read: Callable[[T], Picture], side: int = GRID_SIDE):
        self.crops: list[Picture] = []
        for place in dict.fromkeys(len(photos) * i // CROPS for i in range(CROPS if photos else 0)):
            try:
                # A copy: the crop alone stays in memory, not the photo.
                self.crops.append(centre(read(photos[place]), side).copy())
            except InputError:
                continue

    def look(self, restore: Callable[[Picture], Picture]) -> Look | None:
        """What `restore` makes of them; None when there are no crops."""
        if not self.crops:
            return None
        restored = [restore(crop) for crop in self.crops]
        found = [figures(_tensor(before), _tensor(after)) for before, after in zip(self.crops, restored, strict=True)]
        shown = list(zip(self.crops, restored, strict=True))[:_SHOWN]
        return Look(Figures.mean(found), grid(shown))


def _tensor(picture: Picture) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))[None]


def excess(found: Figures, options: ContrastConfig) -> TrainingError | None:
    """The error to end a run with when the change of the real photos is past a bound of `options`."""
    bounds = (
        ("mean change", found.mean_change, options.max_change, "max_change"),
        ("colour shift", found.colour_shift, options.max_colour, "max_colour"),
    )
    for name, value, bound, key in bounds:
        if value > bound:
            return TrainingError(
                f"the network drifts away from the real photos: {name} {value:.1f} of 255 levels, bound {bound:g}",
                hint=f"best.safetensors is from before; lower contrast.unsup_weight or raise contrast.{key}",
            )
    return None
