"""Batches for networks: float32 (N, 3*F, H, W) in [0, 1], as tensors of torch, or as arrays where no torch is needed.

An engine says which by its device: on `HOST` it takes and gives numpy arrays, else tensors.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["HOST", "ArrayLayers", "Host", "blend", "inference", "to_arrays", "to_batch"]

Array = NDArray[Any]


@dataclass(frozen=True)
class Host:
    """The processor, for engines that compute on numpy arrays."""

    type: str = "cpu"

    def __str__(self) -> str:
        return self.type


HOST = Host()


class ArrayLayers(NamedTuple):
    """`model.Layers` of an engine of either kind, without torch."""

    derained: Any
    rain: Any
    detail: Any


def inference(device: Any) -> AbstractContextManager[Any]:
    """A context in which results of networks on this device may be changed in place."""
    if isinstance(device, Host):
        return nullcontext()
    import torch

    mode: AbstractContextManager[Any] = torch.inference_mode()
    return mode


def to_batch(pictures: Sequence[Array], device: Any) -> Any:
    """Pictures of equal size as one batch.

    Args:
        pictures: (H, W, 3*F) uint8 or uint16, of one shape and dtype.
        device: `HOST`, or a device of torch.
    """
    if isinstance(device, Host):
        stack = np.stack(pictures)
        planes = np.ascontiguousarray(stack.transpose(0, 3, 1, 2), np.float32)
        planes /= np.float32(np.iinfo(stack.dtype).max)
        return planes
    from derain_cli.engine import tensors

    return tensors.to_batch(pictures, device)


def to_arrays(layer: Any, dtype: np.dtype[Any]) -> Array:
    """(N, 3, H, W) in [0, 1] to an (N, H, W, 3) array of `dtype`, uint8 or uint16. Clamps and rounds in place."""
    if isinstance(layer, np.ndarray):
        np.clip(layer, 0, 1, out=layer)
        layer *= np.float32(np.iinfo(dtype).max)
        np.rint(layer, out=layer)
        return np.ascontiguousarray(layer.transpose(0, 2, 3, 1).astype(dtype))
    from derain_cli.engine import tensors

    return tensors.to_arrays(layer, dtype)


def blend(rainy: Any, derained: Any, strength: float) -> Any:
    """Interpolate by strength (0 is `rainy`, 1 is `derained`) and clamp to [0, 1]; may overwrite `derained`."""
    if isinstance(derained, np.ndarray):
        if strength != 1.0:
            # The nearer end is the start, as in torch.lerp.
            gap, share = derained - rainy, np.float32(strength)
            derained = rainy + share * gap if strength < 0.5 else derained - gap * (np.float32(1) - share)
        return np.clip(derained, 0, 1, out=derained)
    from derain_cli.engine import tensors

    return tensors.blend(rainy, derained, strength)
