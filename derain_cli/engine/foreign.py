"""Guards for third-party networks, which may need padding, fail, or return anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from derain_cli.errors import DerainError, InputError, ResourceError, resource_error_from
from derain_cli.remedies import Remedy

__all__ = ["COUNT_SIDE", "checked", "failures", "pad_to_multiple"]

COUNT_SIDE = 64
"""Multiply-accumulates per pixel are counted on a picture of this side, rounded up to the network's multiple."""


def pad_to_multiple(pictures: Tensor, multiple: int) -> Tensor:
    """Pad (N, C, H, W) at the right and the bottom, by reflection, so that both sides are multiples.

    Pictures too small for reflection are padded by repeating the last row and column.
    """
    height, width = pictures.shape[-2:]
    down, right = -height % multiple, -width % multiple
    if not (down or right):
        return pictures
    mode = "reflect" if down < height and right < width else "replicate"
    return F.pad(pictures, (0, right, 0, down), mode=mode)


def checked(restored: Any, height: int, width: int) -> Tensor:
    """Check the result of a network for one picture and crop it to (1, 3, height, width) float32.

    Raises:
        InputError: it is not a finite picture of at least that size.
    """
    if not isinstance(restored, Tensor):
        kind = type(restored).__name__
        raise InputError(
            f"the network returned a {kind}, not a tensor", hint="wrap it in a module:function that returns one"
        )
    if restored.ndim != 4 or restored.shape[:2] != (1, 3):
        raise InputError(f"the network returned {tuple(restored.shape)}, not (1, 3, {height}, {width})")
    if restored.shape[2] < height or restored.shape[3] < width:
        size = f"{restored.shape[3]}x{restored.shape[2]} for a picture of {width}x{height}"
        raise InputError(f"the network returned {size}", remedy=Remedy.PAD)
    cut = restored[..., :height, :width].float()
    if not bool(torch.isfinite(cut).all()):
        raise InputError("the network returned non-finite values")
    return cut


@contextmanager
def failures() -> Iterator[None]:
    """Convert any exception of third-party code to `InputError`, or to `ResourceError` if memory ran out."""
    try:
        yield
    except DerainError:
        raise
    except Exception as error:
        text = str(error).strip()
        if isinstance(error, torch.cuda.OutOfMemoryError) or "out of memory" in text or "allocate memory" in text:
            raise ResourceError("out of memory in the network", remedy=Remedy.USE_CPU_OR_SMALLER) from error
        full = resource_error_from(error)
        if full:
            raise full from error
        last = text.splitlines()[-1].strip() if text else ""
        raise InputError(f"the network failed: {type(error).__name__}: {last}", remedy=Remedy.PAD_MAYBE) from error
