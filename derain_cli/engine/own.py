"""What every engine that runs our own networks does alike, whatever computes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from derain_cli.config import ModelConfig
from derain_cli.errors import InputError
from derain_cli.model.architecture import receptive_radius
from derain_cli.remedies import Remedy

__all__ = ["MAX_HALO", "finite_layers", "tile_halo"]

MAX_HALO = 72
"""Features (pixels, without pixel-unshuffle) read beyond a tile. The convolutions of `paper` reach further, but what
lies past it changes its result by less than 0.01 of 255 levels (docs/performance.md)."""


def tile_halo(config: ModelConfig) -> int:
    """Pixels that are read around a tile."""
    return min(receptive_radius(config), MAX_HALO * config.unshuffle)


def finite_layers(
    layers: Any, unfinite: Callable[[Any], Any], exactly: Callable[[Any], Any], precision: str, notes: list[str]
) -> Any:
    """`layers` themselves, with the pictures that are not finite in `precision` recomputed in float32.

    Args:
        layers: `Layers` of a batch; overwritten.
        unfinite: a boolean mask (N,) of the pictures of a layer that have values which are not finite.
        exactly: layers in float32 of the pictures that such a mask selects.
        precision: what `layers` were computed in.
        notes: a remark is appended for each picture.

    Raises:
        InputError: they are not finite in float32 either.
    """
    bad = unfinite(layers.derained)
    if not bool(bad.any()):
        return layers
    notes += [f"a tile was not finite in {precision}: recomputed in float32"] * int(bad.sum())
    again = exactly(bad)
    if bool(unfinite(again.derained).any()):
        raise InputError("the network returned non-finite values", remedy=Remedy.VERIFY_MODELS)
    for layer, redone in zip(layers, again, strict=True):
        layer[bad] = redone
    return layers
