"""The network on a device of torch: equally shaped pictures in, layers out, in one pass."""

from __future__ import annotations

import copy
import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from derain_cli.engine.device import free_device_memory
from derain_cli.errors import InputError
from derain_cli.model import FoldedSemiDRDNet
from derain_cli.model.fold import Gates
from derain_cli.model.semi_drdnet import Layers, middle_frame
from derain_cli.remedies import Remedy

__all__ = ["AUTO_BYTES", "BATCHES", "Batches", "TorchBackend"]

Array = NDArray[Any]

AUTO_BYTES = 2**31
"""What one pass and the arrays of a picture may take at most on a CPU where tiles are chosen automatically; half of the
free memory if that is less. Larger tiles are hardly faster."""

_NOT_FINITE = "the network gave non-finite values"


@dataclass(frozen=True)
class Batches:
    """How pictures are taken together.

    Attributes:
        largest: pixels of a picture that may share a pass.
        pixels: of all pictures of a pass, at most.
        most: pictures of a pass.
        filled: a pass that is not full is filled up with copies. Kernels of a GPU are chosen, and round, by the number
            of pictures; so a result does not hang on who shares its pass, nor on where a killed run goes on.
    """

    largest: int
    pixels: int
    most: int
    filled: bool


BATCHES = {
    # Measured (docs/performance.md): what is saved is the cost of a call, which larger pictures don't notice.
    "cpu": Batches(largest=2**14, pixels=2**17, most=8, filled=False),
    # Not measured: so few that a pass which is not full wastes little.
    "cuda": Batches(largest=2**16, pixels=2**18, most=32, filled=True),
}


class TorchBackend:
    """The folded network, in a precision and, for what is not finite in it, in fp32.

    Args:
        network: in its folded form; it is moved to `device`.
        device: where it runs.
        dtype: what it computes in.

    Attributes:
        notes: one-line remarks on what it did; who uses it begins a new list.
    """

    def __init__(self, network: FoldedSemiDRDNet, device: torch.device, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        self.config = network.config
        self.exact = network.to(device)
        self.net = self.exact
        if dtype != torch.float32:
            self.net = copy.deepcopy(network).to(device, dtype)
        self.notes: list[str] = []

    @property
    def batches(self) -> Batches | None:
        """How pictures are taken together; None: one by one."""
        return BATCHES.get(self.device.type)

    @torch.inference_mode()
    def run(
        self,
        pictures: Sequence[Array],
        gates: Gates | None,
        wanted: int,
        strength: float,
        inner: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> list[list[Array]]:
        """One pass over equally shaped pictures or tiles: for each, the first arrays of `PictureLayers` in `inner`.

        Args:
            pictures: (H, W, 3), or (H, W, 3*F) for networks that see F frames, uint8 or uint16, of one shape and dtype.
            gates: of the whole picture, where these are tiles; None: each has its own.
            wanted: how many of derained picture, rain layer and repaired detail.
            strength: share of the rain found that is taken out.
            inner: rows and columns of the result that are wanted.

        Raises:
            InputError: non-finite values even in fp32.
        """
        rainy = self.to_device(pictures)
        layers = [layer[(..., *inner)] for layer in self.layers(rainy, gates)[:wanted]]
        layers[0] = self.blend(middle_frame(rainy)[(..., *inner)], layers[0], strength)
        if wanted > 1:
            layers[2].add_(0.5)
        dtype = pictures[0].dtype
        # torch has few operations on uint16; int32 holds both.
        held = torch.uint8 if dtype == np.uint8 else torch.int32
        levels = [
            layer.clamp_(0, 1).mul_(float(np.iinfo(dtype).max)).round_().to(held).permute(0, 2, 3, 1).contiguous()
            for layer in layers
        ]
        return [
            list(arrays) for arrays in zip(*(a.cpu().numpy().astype(dtype, copy=False) for a in levels), strict=True)
        ]

    def layers(self, rainy: Tensor, gates: Gates | None) -> Layers:
        """Layers of (N, 3, H, W); pictures that are not finite in half precision are redone in fp32.

        Raises:
            InputError: they are not finite in fp32 either.
        """
        layers: Layers = self.net(rainy, gates)
        bad = ~torch.isfinite(layers.derained).flatten(1).all(dim=1)
        if not bool(bad.any()):
            return layers
        dtype = str(self.dtype).removeprefix("torch.")
        self.notes += [f"a tile was not finite in {dtype}: redone in float32"] * int(bad.sum())
        exact = None if gates is None else [gate.float() for gate in gates]
        again = self.exact(rainy[bad], exact)
        if not bool(torch.isfinite(again.derained).all()):
            raise InputError(_NOT_FINITE, remedy=Remedy.VERIFY_MODELS)
        for layer, redone in zip(layers, again, strict=True):
            layer[bad] = redone
        return layers

    def measure_gates(self, pictures: Sequence[Array]) -> Gates | None:
        """Gates of the network over equally shaped pictures together; None for a network without."""
        return self.net.measure_gates(self.to_device(pictures))

    def to_device(self, pictures: Sequence[Array]) -> Tensor:
        """(N, 3, H, W) fp32 in [0, 1] of equally shaped (H, W, 3) uint8 or uint16."""
        crops = np.stack(pictures)
        # torch has few operations on uint16; int32 holds both.
        raw = torch.from_numpy(crops.astype(np.int32) if crops.dtype == np.uint16 else crops).to(self.device)
        return raw.permute(0, 3, 1, 2).float().div_(float(np.iinfo(crops.dtype).max))

    @staticmethod
    def blend(rainy: Tensor, derained: Tensor, strength: float) -> Tensor:
        """Between the two, clamped to [0, 1]: `rainy` at 0, `derained` at 1, which is changed in place."""
        return (derained if strength == 1.0 else torch.lerp(rainy, derained, strength)).clamp_(0, 1)

    def pixels_at_once(self, held: int = 0) -> int:
        """How many pixels one pass may have, by the memory that is free and what the network needs of it.

        Args:
            held: bytes of the picture's own arrays.
        """
        on_cpu = self.device.type == "cpu"
        features = self.config.features_per_pixel
        # Maps alive at a time: measured on the CPU, where layers write over their input; about twice elsewhere.
        per_pixel = (3.2 if on_cpu else 6) * features * self.dtype.itemsize + 60
        free = free_device_memory(self.device)
        budget = AUTO_BYTES if free is None else free // 2
        if on_cpu:
            # The larger the picture, the less is left for its tiles: they need not be large.
            budget = min(budget, max(AUTO_BYTES - held, AUTO_BYTES // 4))
        # Beyond 2**31 values in a map not every kernel counts right.
        return int(min(budget / per_pixel, (2**31 - 1) / max(features, 3)))

    @functools.cached_property
    def same_together(self) -> bool:
        """Whether a picture comes out bit for bit the same whoever shares its pass, as `batches` allow.

        On a CPU this hangs on the kernels that its libraries have for it: tried once, on pictures of noise.
        """
        if self.batches is None or self.batches.filled:
            return self.batches is not None
        noise = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3 * self.config.frames), np.uint8)
        with torch.inference_mode():
            rainy = self.to_device(list(noise))
            alone = self.net(rainy[-1:], None).derained
            return torch.equal(self.net(rainy, None).derained[-1:], alone)

    def fingerprint(self) -> str:
        """SHA-256 of the weights, in fp32."""
        digest = hashlib.sha256()
        for name, tensor in self.exact.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def empty_cache(self) -> None:
        """Give back what torch holds without using it."""
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
