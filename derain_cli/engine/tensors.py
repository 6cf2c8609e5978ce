"""Conversion between integer arrays in host memory and float tensors in [0, 1], and what is done to tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["blend", "to_arrays", "to_batch"]

Array = NDArray[Any]


def to_batch(pictures: Sequence[Array], device: torch.device) -> Tensor:
    """Pictures of equal size as one (N, 3*F, H, W) float32 tensor in [0, 1].

    Args:
        pictures: (H, W, 3*F) uint8 or uint16, of one shape and dtype.
        device: destination; integers are transferred, since they are smaller.
    """
    stack = np.stack(pictures)
    # torch has few operations on uint16; int32 holds both.
    raw = torch.from_numpy(stack.astype(np.int32) if stack.dtype == np.uint16 else stack).to(device)
    return raw.permute(0, 3, 1, 2).float().div_(float(np.iinfo(stack.dtype).max))


def to_arrays(layer: Tensor, dtype: np.dtype[Any]) -> Array:
    """(N, 3, H, W) in [0, 1] to an (N, H, W, 3) array of `dtype`, uint8 or uint16. Clamps and rounds in place."""
    held = torch.uint8 if dtype == np.uint8 else torch.int32
    levels = layer.clamp_(0, 1).mul_(float(np.iinfo(dtype).max)).round_().to(held).permute(0, 2, 3, 1).contiguous()
    return levels.cpu().numpy().astype(dtype, copy=False)


def blend(rainy: Tensor, derained: Tensor, strength: float) -> Tensor:
    """See `arrays.blend`."""
    return (derained if strength == 1.0 else torch.lerp(rainy, derained, strength)).clamp_(0, 1)
