"""Adds rain to a picture.

All pictures are HxWx3 float32 in [0, 1], sRGB-coded RGB. The generator that is passed in is the only source of
randomness.
"""

from __future__ import annotations

import numpy as np

from derain_cli.errors import UsageError
from derain_cli.rain.additive import additive_layer
from derain_cli.rain.photographed import Image, RainSample, Target, photographed
from derain_cli.rain.profiles import PROFILES, AdditiveRain, Profile

__all__ = ["add_rain"]


def add_rain(
    clean: Image, profile: str | Profile, rng: np.random.Generator, *, target: Target = "streak-free"
) -> RainSample:
    """Add rain to a picture.

    Args:
        clean: HxWx3 float32 in [0, 1], sRGB-coded RGB, any size from 1x1; not modified.
        profile: a name in `PROFILES`, or a custom record.
        rng: the only source of randomness; it is advanced. The same state gives bit-identical results.
        target: content of `RainSample.clean` for the `real` profile: `streak-free`, the same photograph (veil,
            exposure, noise, JPEG) without streaks, or `clean`, the picture that was passed in. For additive
            profiles it is always the picture that was passed in.

    Raises:
        UsageError: unknown profile or target, or not an HxWx3 float32 picture.
    """
    if isinstance(profile, str):
        if profile not in PROFILES:
            raise UsageError(f"unknown rain profile {profile!r}", hint=f"choose from {', '.join(PROFILES)}")
        profile = PROFILES[profile]
    if target not in ("streak-free", "clean"):
        raise UsageError(f"unknown rain target {target!r}", hint="choose streak-free or clean")
    if clean.ndim != 3 or clean.shape[2] != 3 or clean.dtype != np.float32 or 0 in clean.shape:
        raise UsageError(f"rain needs an HxWx3 float32 picture, not {clean.dtype} {clean.shape}")
    if isinstance(profile, AdditiveRain):
        layer = additive_layer(clean.shape[0], clean.shape[1], profile, rng)
        rainy = np.clip(clean + layer[:, :, None], 0.0, 1.0, dtype=np.float32)
        return RainSample(rainy=rainy, clean=clean, layer=layer)
    return photographed(clean, profile, rng, target)
