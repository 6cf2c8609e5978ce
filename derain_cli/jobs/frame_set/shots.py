"""Shot detection. Pure arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shots"]

_Luma = NDArray[np.float32]


class Shots:
    """Numbers the shots of a clip: a cut is a change of the downscaled picture that is large and above earlier ones.

    Downscaling removes rain, noise and fine texture. A fast pan causes large changes too, but if the previous picture,
    shifted as a whole, resembles this one, there is no cut.
    """

    _LEAST, _TIMES, _SIZE = 12.0, 3.0, (32, 18)
    _FINER = (64, 36)
    """Size at which motion is estimated."""
    _SHARE, _PEAK = 0.8, 0.3
    """Maximum share of the change that may remain after motion compensation; minimum share of the phase correlation
    energy in its peak (two different scenes reach 0.2)."""

    def __init__(self) -> None:
        self._shot = 0
        self._last: _Luma | None = None
        self._last_finer: _Luma | None = None
        self._changes: list[float] = []

    def of(self, luma: _Luma) -> int:
        """The shot of the next frame."""
        import cv2

        small = np.asarray(cv2.resize(luma, self._SIZE, interpolation=cv2.INTER_AREA), np.float32)
        finer = np.asarray(cv2.resize(luma, self._FINER, interpolation=cv2.INTER_AREA), np.float32)
        if self._last is not None and self._last_finer is not None:
            change = float(np.abs(small - self._last).mean())
            usual = float(np.median(self._changes)) if self._changes else 0.0
            large = change > max(self._LEAST, self._TIMES * usual)
            if large and not self._is_motion(self._last_finer, finer):
                self._shot += 1
                self._changes = []
            else:
                self._changes = [*self._changes[-7:], change]
        self._last, self._last_finer = small, finer
        return self._shot

    def _is_motion(self, before: _Luma, after: _Luma) -> bool:
        """Whether the change is a shift of the whole picture, by phase correlation."""
        import cv2

        width, height = self._FINER
        change = float(np.abs(after - before).mean())
        window = cv2.createHanningWindow(self._FINER, cv2.CV_32F)
        (right, down), peak = cv2.phaseCorrelate(before, after, window)
        x, y = round(right), round(down)
        if peak < self._PEAK or not (0 < abs(x) < width or 0 < abs(y) < height):
            return False
        moved = cv2.warpAffine(before, np.array([[1, 0, right], [0, 1, down]], np.float32), self._FINER)
        inside = slice(max(0, y), height + min(0, y)), slice(max(0, x), width + min(0, x))
        return float(np.abs(after[inside] - moved[inside]).mean()) < self._SHARE * change
