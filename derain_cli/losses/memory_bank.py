"""The memory bank of rain layers (section III-C): two first-in-first-out rings, synthetic and real."""

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

    Layers are clamped to [0, 1] and kept in fp16: half the checkpoint, and finer than the 8 bits of any picture.

    Args:
        capacity: layers per ring (256 in the paper's decisions).
        patch: side of the square layers, pixels.
        device: where they are kept.
        floor: weaker layers are not taken in: root mean square over pixels and channels, in levels of 255. A
            negative made of a layer without rain is the anchor itself.
    """

    def __init__(self, capacity: int, patch: int, device: torch.device | str = "cpu", *, floor: float = 0.0):
        self.capacity = capacity
        self.floor = floor
        self._layers = {
            ring: torch.zeros(capacity, 3, patch, patch, dtype=torch.float16, device=device) for ring in RINGS
        }
        self._pushed: dict[Ring, int] = dict.fromkeys(RINGS, 0)

    def count(self, ring: Ring) -> int:
        """Layers in a ring."""
        return min(self._pushed[ring], self.capacity)

    @torch.no_grad()
    def push(self, ring: Ring, layers: Tensor) -> None:
        """Take in those of (N, 3, P, P) layers that reach the floor; past the capacity the oldest give way.

        Raises:
            ValueError: another shape.
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
        # Only the position in the ring and whether it is full matter: the number stays small for ever.
        self._pushed[ring] = start + len(layers)
        if self._pushed[ring] >= 2 * self.capacity:
            self._pushed[ring] -= self.capacity

    def sample(self, rings: Sequence[Ring], count: int, generator: torch.Generator) -> Tensor:
        """Up to `count` different layers drawn alike from all in `rings`: (n, 3, P, P) fp32, n <= count.

        Args:
            rings: the supervised phase reads both, the unsupervised phase only real ones.
            count: how many are wanted; fewer come while the rings are short.
            generator: on the CPU; the only source of randomness.
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
            ValueError: a bank of another capacity or patch.
        """
        for ring in RINGS:
            layers = state[f"{ring}.layers"]
            if layers.shape != self._layers[ring].shape:
                raise ValueError(f"a memory bank of {tuple(layers.shape)}, not {tuple(self._layers[ring].shape)}")
            self._layers[ring].copy_(layers)
            self._pushed[ring] = int(state[f"{ring}.pushed"])
