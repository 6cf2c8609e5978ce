"""What every engine that runs our own networks does alike, whatever computes them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import torch
from torch import Tensor, nn

from derain_cli.config import ModelConfig
from derain_cli.errors import InputError
from derain_cli.model.semi_drdnet import Layers, receptive_radius
from derain_cli.remedies import Remedy

__all__ = ["MAX_HALO", "finite_layers", "tile_halo", "weights_digest"]

MAX_HALO = 72
"""Features (pixels, without pixel-unshuffle) read beyond a tile. The convolutions of `paper` reach further, but what
lies past it changes its result by less than 0.01 of 255 levels (docs/performance.md)."""


def tile_halo(config: ModelConfig) -> int:
    """Pixels that are read around a tile."""
    return min(receptive_radius(config), MAX_HALO * config.unshuffle)


def finite_layers(layers: Layers, exactly: Callable[[Tensor], Layers], dtype: torch.dtype, notes: list[str]) -> Layers:
    """`layers` themselves, with the pictures that are not finite in `dtype` recomputed in float32.

    Args:
        layers: of a batch; overwritten.
        exactly: layers in float32 of the pictures that a boolean mask (N,) selects.
        dtype: what `layers` were computed in.
        notes: a remark is appended for each picture.

    Raises:
        InputError: they are not finite in float32 either.
    """
    bad = ~torch.isfinite(layers.derained).flatten(1).all(dim=1)
    if not bool(bad.any()):
        return layers
    notes += [f"a tile was not finite in {str(dtype).removeprefix('torch.')}: recomputed in float32"] * int(bad.sum())
    again = exactly(bad)
    if not bool(torch.isfinite(again.derained).all()):
        raise InputError("the network returned non-finite values", remedy=Remedy.VERIFY_MODELS)
    for layer, redone in zip(layers, again, strict=True):
        layer[bad] = redone
    return layers


def weights_digest(net: nn.Module) -> str:
    """SHA-256 of names and values of a network's tensors."""
    digest = hashlib.sha256()
    for name, tensor in net.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
