"""The layer of additive rain, as in Rain100."""

from __future__ import annotations

import math
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from derain_cli.rain.draws import log_uniform, uniform
from derain_cli.rain.profiles import AdditiveRain
from derain_cli.rain.streaks import streak_layer, streak_mass

__all__ = ["additive_layer"]

Image: TypeAlias = NDArray[np.float32]


def additive_layer(height: int, width: int, rain: AdditiveRain, rng: np.random.Generator) -> Image:
    """The grey layer r for one picture, float32 (H, W), without an upper bound; arguments as in `add_rain`."""
    mean = float(rng.triangular(*rain.mean_layer))
    stronger = (mean / rain.mean_layer[1]) ** rain.brightness_follows
    if rng.random() < rain.nearly_dry:
        mean *= 0.1 * rng.random()
    wind = uniform(rng, (-rain.tilt, rain.tilt))
    many = int(rng.integers(1, rain.populations + 1))
    layer = np.zeros((height, width), np.float32)
    for share in rng.dirichlet(np.full(many, 1.5)):
        length = log_uniform(rng, rain.length)
        thickness = uniform(rng, rain.thickness)
        taper, pointed = uniform(rng, rain.taper), uniform(rng, rain.pointed)
        brightness = log_uniform(rng, rain.brightness) * stronger
        ceiling = brightness * uniform(rng, rain.ceiling)
        wanted = mean * float(share)
        if ceiling > 0.0:
            # Saturation costs brightness: for a Poisson sum of equal streaks about 1 - exp(-sum) remains.
            ceiling = max(ceiling, 1.5 * wanted)
            wanted = -ceiling * math.log1p(-wanted / ceiling)
        mass = streak_mass(
            length,
            thickness,
            taper=taper,
            pointed=pointed,
            length_spread=rain.spread[0],
            thickness_spread=rain.spread[1],
            beads=rain.beads,
        )
        one = streak_layer(
            height,
            width,
            rng=rng,
            density=1e4 * wanted / (brightness * mass),
            length=length,
            thickness=thickness,
            angle=wind + log_uniform(rng, rain.tilt_apart) * float(rng.standard_normal()),
            brightness=brightness,
            angle_jitter=uniform(rng, rain.tilt_jitter),
            length_spread=rain.spread[0],
            thickness_spread=rain.spread[1],
            brightness_spread=uniform(rng, rain.brightness_spread),
            taper=taper,
            pointed=pointed,
            lopsided=rain.lopsided,
            beads=rain.beads,
            bundle=uniform(rng, rain.bundle),
        )
        layer += _level_off(one, ceiling) if ceiling > 0.0 else one
    return layer


def _level_off(layer: Image, ceiling: float) -> Image:
    """x / sqrt(1 + (x / ceiling)^2): the identity for small x, never above `ceiling`."""
    return np.asarray(layer / np.sqrt(1 + np.square(layer * np.float32(1.0 / ceiling))), np.float32)
