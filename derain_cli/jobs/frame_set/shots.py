"""Shots of a clip: where it was cut. Pure arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shots"]

_Luma = NDArray[np.float32]


class Shots:
    """Numbers of shots: a cut is a change of the coarse picture that is large and stands out from those before.

    Rain, noise and fine texture are gone at the coarse size; a fast pan changes it by much, but frame after frame.
    """

    _LEAST, _TIMES, _SIZE = 12.0, 3.0, (32, 18)

    def __init__(self) -> None:
        self._shot = 0
        self._last: _Luma | None = None
        self._changes: list[float] = []

    def of(self, luma: _Luma) -> int:
        """The shot of the next frame."""
        import cv2

        small = np.asarray(cv2.resize(luma, self._SIZE, interpolation=cv2.INTER_AREA), np.float32)
        if self._last is not None:
            change = float(np.abs(small - self._last).mean())
            usual = float(np.median(self._changes)) if self._changes else 0.0
            if change > max(self._LEAST, self._TIMES * usual):
                self._shot += 1
                self._changes = []
            else:
                self._changes = [*self._changes[-7:], change]
        self._last = small
        return self._shot
