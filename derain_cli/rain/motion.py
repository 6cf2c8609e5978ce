"""Rain on a clip: one shower over many frames, for training and evaluating multi-frame networks.

Far and middle streaks move from frame to frame under one wind, each depth at its own speed. Near streaks cross the
picture within a frame, and curtains are too fine to track: both are redrawn in every frame. The veil and the strength
of the shower change slowly; sensor noise is new in every frame. Everything depends only on (seed, frame), so frames
can be generated in any order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from derain_cli.errors import UsageError
from derain_cli.rain.curtain import curtain
from derain_cli.rain.defocus import defocused_layer
from derain_cli.rain.draws import log_uniform
from derain_cli.rain.finish import Finish
from derain_cli.rain.photographed import Image, RainSample
from derain_cli.rain.profiles import PROFILES, Drops, RealRain
from derain_cli.rain.streaks import streak_layer

__all__ = ["MovingRain", "Shower"]

_PLAIN = Finish()


@dataclass(frozen=True)
class Shower:
    """Parameters of the rain on one clip.

    Attributes:
        amount: factor on the number of streaks.
        tilt: of the wind, degrees from the vertical; positive leans the upper end to the right.
        fall: distance a streak moves between frames, in streak lengths.
        transmission: of the veil; 1 means none.
        sky: brightness of the sky, linear, 1 is white.
        glint: brightness of a streak, in that of the sky, apart from what shines through it.
        exposure: factor in linear light.
        noise: standard deviation of the sensor's noise, sRGB.
        slow: number of frames over which the veil and the strength of the rain change noticeably.
        scale: factor on all streak sizes, to suit the frame size.
        finish: contrast and sharpening of the camera.
    """

    amount: float = 1.0
    tilt: float = 5.0
    fall: float = 1.7
    transmission: float = 0.85
    sky: float = 0.6
    glint: float = 0.6
    exposure: float = 0.85
    noise: float = 0.006
    slow: float = 50.0
    scale: float = 1.0
    finish: Finish = _PLAIN

    @classmethod
    def drawn(cls, rng: np.random.Generator, rain: RealRain | None = None) -> Shower:
        """A random shower drawn from `rain` (default: the `real` profile); `rng` is advanced."""
        rain = rain or _real()
        most = rain.transmission[1]
        storm = rng.random() < rain.stormy
        wind = rng.uniform(-rain.steepest, rain.steepest) if storm else rain.tilt * rng.standard_normal()
        return cls(
            amount=log_uniform(rng, rain.amount),
            tilt=float(wind if storm else np.clip(wind, -40, 40)),
            fall=float(rng.uniform(1.2, 2.4)),
            transmission=most - (most - rain.transmission[0]) * float(rng.random()) ** 2,
            sky=float(rng.uniform(0.4, 0.9)),
            exposure=float(rng.uniform(*rain.exposure)),
            noise=log_uniform(rng, rain.noise),
            slow=float(rng.uniform(25, 120)),
            scale=log_uniform(rng, rain.scale),
            # Streaks that catch the light are far brighter than the scene behind them.
            glint=0.6 if rng.random() < 0.5 else log_uniform(rng, (0.4, 1.6)),
            # Contrast of clips is also raised, in cameras and by editors.
            finish=Finish(
                contrast=float(rng.uniform(rain.contrast[0], 1.3)),
                middle=float(rng.uniform(0.35, 0.6)),
                sharpness=log_uniform(rng, rain.sharpening) if rng.random() < rain.sharpened else 0.0,
                radius=float(rng.uniform(0.5, 1.2)),
            ),
        )


class MovingRain:
    """Rain for the frames of one clip.

    Args:
        height, width: of the frames, pixels.
        seed: random seed; the same seed gives bit-identical rain.
        shower: its parameters; None draws them at random.
        rain: profile that the streak sizes are drawn from; None means the `real` profile.
    """

    def __init__(self, height: int, width: int, seed: int, shower: Shower | None = None, rain: RealRain | None = None):
        rng = np.random.default_rng([seed, 0])
        self._rain = rain or _real()
        self._size = (height, width)
        self._seed = seed
        self.shower = shower or Shower.drawn(rng, self._rain)
        self._phases = rng.uniform(0, 2 * math.pi, 3)
        self._moving = [self._canvas(drops, rng) for drops in (self._rain.far, self._rain.mid)]
        self._new = [self._population(drops, rng) for drops in (self._rain.near, self._rain.long)]
        self._fine, self._wide = self._curtain(rng), self._defocused(rng)

    def frame(self, clean: Image, index: int) -> RainSample:
        """Add the rain of frame `index` to a clean frame.

        Args:
            clean: (H, W, 3) float32 in [0, 1], sRGB-coded RGB; not modified.
            index: frame number, from 0.

        Returns:
            The rainy frame; the same without streaks, but with veil, exposure and noise; and the streaks' opacity.

        Raises:
            UsageError: wrong shape or dtype.
        """
        height, width = self._size
        if clean.shape != (height, width, 3) or clean.dtype != np.float32:
            raise UsageError(f"expected a {height}x{width}x3 float32 frame, not {clean.dtype} {clean.shape}")
        shower, rng = self.shower, np.random.default_rng([self._seed, 1, index])
        linear = cv2.pow(clean, 2.2).reshape(clean.shape)
        thick = (1 - shower.transmission) * (1 + 0.15 * self._wave(index, 0))
        sky = np.float32(shower.sky)
        light = (linear * np.float32(1 - thick) + sky * np.float32(thick)) * np.float32(shower.exposure)
        opacity = self._opacity(index, rng)
        small = cv2.resize(light, (max(1, width // 8), max(1, height // 8)), interpolation=cv2.INTER_AREA)
        around = cv2.resize(cv2.blur(small, (7, 7)), (width, height)).reshape(clean.shape)
        drop = 0.4 * around + np.float32(shower.glint * shower.exposure) * sky
        streaked = light + opacity[:, :, None] * (drop - light)
        noise = rng.standard_normal(clean.shape, np.float32) * np.float32(shower.noise)
        rainy, free = (shower.finish(seen, noise) for seen in (streaked, light))
        return RainSample(rainy=rainy, clean=free, layer=opacity)

    def _wave(self, index: int, which: int) -> float:
        """A value in [-1, 1] that varies slowly with the frame number."""
        return math.sin(2 * math.pi * index / (4 * self.shower.slow) + float(self._phases[which]))

    def _opacity(self, index: int, rng: np.random.Generator) -> Image:
        height, width = self._size
        clear = np.ones((height, width), np.float32)
        gust = np.float32(1 + 0.2 * self._wave(index, 1))
        for canvas, step in self._moving:
            down = round(index * step)
            across = round(-index * step * math.tan(math.radians(self.shower.tilt)))
            rows = np.arange(-down, height - down) % canvas.shape[0]
            columns = np.arange(-across, width - across) % canvas.shape[1]
            clear *= 1 - np.minimum(canvas[np.ix_(rows, columns)] * gust, 1)
        # Streaks that cross the picture within a frame, or are too fine to track, are redrawn in each frame.
        for population in self._new:
            if population is not None:
                clear *= 1 - np.minimum(streak_layer(height, width, rng=rng, **population) * gust, 1)
        if self._fine is not None:
            opacity, like = self._fine
            clear *= 1 - np.minimum(curtain(height, width, rng=rng, **like) * gust * np.float32(opacity), 1)
        if self._wide is not None:
            opacity, like = self._wide
            clear *= 1 - np.minimum(defocused_layer(height, width, rng=rng, **like) * gust * np.float32(opacity), 0.9)
        return 1 - clear

    def _curtain(self, rng: np.random.Generator) -> tuple[float, dict[str, float]] | None:
        """Opacity of a curtain and arguments for `curtain`; None if the shower has none."""
        rain, scale = self._rain.curtain, self.shower.scale
        opacity = log_uniform(rng, rain.opacity) * min(1.0, self.shower.amount)
        like = {
            "density": min(4.0, log_uniform(rng, rain.density) / scale**2),
            "length": min(200.0, log_uniform(rng, rain.length) * scale),
            "thickness": log_uniform(rng, rain.thickness) * scale,
            "angle": self.shower.tilt,
            "angle_jitter": 2.0,
        }
        return (opacity, like) if rng.random() < rain.share else None

    def _defocused(self, rng: np.random.Generator) -> tuple[float, dict[str, float]] | None:
        """Opacity of out-of-focus streaks and arguments for `defocused_layer`; None if the shower has none."""
        rain, scale = self._rain.defocused, self.shower.scale
        opacity = log_uniform(rng, rain.opacity)
        like = {
            "density": log_uniform(rng, rain.number) * self.shower.amount / scale**2,
            "length": log_uniform(rng, rain.length) * scale,
            "diameter": log_uniform(rng, rain.diameter) * scale,
            "angle": self.shower.tilt,
            "angle_jitter": 3.0,
            "softness": 1.5 * scale,
        }
        return (opacity, like) if rng.random() < rain.share else None

    def _canvas(self, drops: Drops, rng: np.random.Generator) -> tuple[Image, float]:
        """A seamlessly tiling field of streaks, and its motion per frame in px."""
        height, width = self._size
        like = self._population(drops, rng) or {"density": 0.0, "length": 1.0, "thickness": 1.0, "angle": 0.0}
        seam = math.ceil(2 * like["length"])
        rows, columns = 2 * height + seam, 2 * width + seam
        canvas = streak_layer(rows + seam, columns + seam, rng=rng, **like)
        # Cross-fade the part beyond the far edge into the near edge, so that the field tiles without a seam.
        fade = np.linspace(0, 1, seam, dtype=np.float32)
        canvas[:seam] = fade[:, None] * canvas[:seam] + (1 - fade[:, None]) * canvas[rows:]
        canvas[:, :seam] = fade * canvas[:, :seam] + (1 - fade) * canvas[:, columns:]
        return canvas[:rows, :columns].copy(), like["length"] * self.shower.fall

    def _population(self, drops: Drops, rng: np.random.Generator) -> dict[str, float] | None:
        """Arguments of `streak_layer` for the streaks at one depth; None if the shower has none."""
        length, number = log_uniform(rng, drops.length), log_uniform(rng, drops.number)
        thickness, opacity = float(rng.uniform(*drops.thickness)), log_uniform(rng, drops.opacity)
        if rng.random() >= drops.share:
            return None
        return {
            "density": number * self.shower.amount / self.shower.scale**2,
            "length": length * self.shower.scale,
            "thickness": thickness * self.shower.scale,
            "angle": self.shower.tilt,
            "brightness": opacity * math.sqrt(drops.length[0] * drops.length[1]) / length,
            "angle_jitter": 1.5,
            "length_spread": 0.4,
            "thickness_spread": 0.25,
            "brightness_spread": 0.7,
            "taper": 0.4,
            "pointed": 0.4,
            "lopsided": 0.5,
            "beads": 0.5,
            "end_softness": drops.end_softness * self.shower.scale,
        }


def _real() -> RealRain:
    rain = PROFILES["real"]
    assert isinstance(rain, RealRain)
    return rain
