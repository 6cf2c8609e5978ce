"""The memory bank of rain layers (section III-C): two FIFO ring buffers, synthetic and real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor

__all__ = ["MemoryBank", "Ring"]

Ring = Literal["synthetic", "real"]
RINGS: tuple[Ring, ...] = ("synthetic", "real")


class MemoryBank:
    """Detached rain layers at patch size, the newest `capacity` of each ring.

    Layers are clamped to [0, 1] and stored in fp16: half the checkpoint size, and finer than 8-bit pictures.

    Args:
        capacity: layers per ring (256 in the paper's decisions).
        patch: side of the square layers, pixels.
        device: where they are stored.
        floor: layers with a lower root mean square (over pixels and channels, on the 0-255 scale) are dropped: a
            negative made from a layer without rain is the anchor itself.
    """

    def __init__(self, capacity: int, patch: int, device: torch.device | str = "cpu", *, floor: float = 0.0):
        self.capacity = capacity
        self.floor = floor
        self._layers = {
            ring: torch.zeros(capacity, 3, patch, patch, dtype=torch.float16, device=device) for ring in RINGS
        }
        self._pushed: dict[Ring, int] = dict.fromkeys(RINGS, 0)

    def count(self, ring: Ring) -> int:
        """Number of layers in a ring."""
        return min(self._pushed[ring], self.capacity)

    @torch.no_grad()
    def push(self, ring: Ring, layers: Tensor) -> None:
        """Add those of the (N, 3, P, P) layers that reach the floor; beyond the capacity they replace the oldest.

        Raises:
            ValueError: the layers have a different shape.
        """
        store = self._layers[ring]
        if layers.shape[1:] != store.shape[1:]:
            raise ValueError(f"layers of shape {tuple(layers.shape[1:])}; the bank holds {tuple(store.shape[1:])}")
        layers = layers.detach().clamp(0, 1)
        strength = 255 * layers.float().square().mean((1, 2, 3)).sqrt()
        layers = layers[strength >= self.floor][-self.capacity :].to(store.dtype)
        start = self._pushed[ring]
        places = torch.arange(start, start + len(layers), device=store.device) % self.capacity
        store[places] = layers
        # Only the position in the ring and whether it is full matter, so the counter can be kept bounded.
        self._pushed[ring] = start + len(layers)
        if self._pushed[ring] >= 2 * self.capacity:
            self._pushed[ring] -= self.capacity

    def sample(self, rings: Sequence[Ring], count: int, generator: torch.Generator) -> Tensor:
        """Up to `count` layers drawn uniformly without replacement from all `rings`: (n, 3, P, P) fp32, n <= count.

        Args:
            rings: the supervised phase reads both, the unsupervised phase only real ones.
            count: number requested; fewer are returned while the rings are filling up.
            generator: a CPU generator, the only source of randomness.
        """
        sizes = [self.count(ring) for ring in rings]
        chosen = torch.randperm(sum(sizes), generator=generator)[:count].tolist()
        drawn = []
        for place in chosen:
            for ring, size in zip(rings, sizes, strict=True):
                if place < size:
                    drawn.append(self._layers[ring][place])
                    break
                place -= size
        if drawn:
            return torch.stack(drawn).float()
        store = self._layers[rings[0]]
        return store.new_zeros((0, *store.shape[1:]), dtype=torch.float32)

    def state_dict(self) -> dict[str, Tensor]:
        """Everything a bit-exact resume needs; tensors only."""
        state: dict[str, Tensor] = {}
        for ring in RINGS:
            state[f"{ring}.layers"] = self._layers[ring]
            state[f"{ring}.pushed"] = torch.tensor(self._pushed[ring])
        return state

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The inverse of `state_dict`.

        Raises:
            ValueError: the state is from a bank of a different capacity or patch size.
        """
        for ring in RINGS:
            layers = state[f"{ring}.layers"]
            if layers.shape != self._layers[ring].shape:
                raise ValueError(f"a memory bank of {tuple(layers.shape)}, not {tuple(self._layers[ring].shape)}")
            self._layers[ring].copy_(layers)
            self._pushed[ring] = int(state[f"{ring}.pushed"])
