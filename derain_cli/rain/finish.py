"""What a camera makes of the light: sRGB coding, contrast, noise and sharpening."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Finish"]

Image = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Finish:
    """Parameters of a camera.

    Attributes:
        contrast: factor on the distance from `middle`, sRGB.
        middle: level that contrast leaves alone, sRGB.
        sharpness: strength of the unsharp mask; 0 means none.
        radius: standard deviation of the mask's blur, pixels.
    """

    contrast: float = 1.0
    middle: float = 0.5
    sharpness: float = 0.0
    radius: float = 0.8

    def __call__(self, light: Image, noise: Image) -> Image:
        """Linear light and sRGB noise, both (H, W, 3) float32 -> the picture, (H, W, 3) float32 in [0, 1], sRGB."""
        middle = np.float32(self.middle)
        curve = cv2.pow(np.minimum(light, 1), 1 / 2.2).reshape(light.shape)
        curve = (curve - middle) * np.float32(self.contrast) + middle + noise
        if self.sharpness:
            soft = cv2.GaussianBlur(curve, (0, 0), self.radius).reshape(light.shape)
            curve = curve + np.float32(self.sharpness) * (curve - soft)
        return np.asarray(np.clip(curve, 0.0, 1.0), np.float32)
