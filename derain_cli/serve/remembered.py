"""An engine with a cache of recent results, so that changing the strength does not run the network again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.engine.arrays import ArrayLayers, Host
from derain_cli.engine.protocol import Batches, Engine
from derain_cli.system.memory import free_memory

__all__ = ["RememberedEngine"]

_MOST = 2 << 30
"""Maximum cache size in bytes; less if a quarter of the free memory is less. A 12-megapixel photo takes 144 MB."""


@dataclass
class RememberedEngine:
    """Runs `engine`, or returns the cached, bit-identical result for the same tile and gates.

    Cached results contain only the derained picture; their other layers are zero.

    Attributes:
        engine: runs the network.
        most: maximum cache size, bytes.
    """

    engine: Engine
    most: int = field(default_factory=lambda: min(_MOST, (free_memory() or _MOST) // 4))
    _known: OrderedDict[bytes, NDArray[Any]] = field(default_factory=OrderedDict)
    _gates: OrderedDict[bytes, Any] = field(default_factory=OrderedDict)

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def notes(self) -> list[str]:
        return self.engine.notes

    @notes.setter
    def notes(self, notes: list[str]) -> None:
        self.engine.notes = notes

    @property
    def device(self) -> Any:
        return self.engine.device

    @property
    def dtype(self) -> Any:
        return self.engine.dtype

    @property
    def frames(self) -> int:
        return self.engine.frames

    @property
    def halo(self) -> int | None:
        return self.engine.halo

    @property
    def grid(self) -> int:
        return self.engine.grid

    @property
    def gated(self) -> bool:
        return self.engine.gated

    @property
    def batches(self) -> Batches | None:
        return self.engine.batches

    @property
    def same_together(self) -> bool:
        return self.engine.same_together

    def run(self, batch: Any, gates: Any = None) -> Any:
        """As `Engine.run`."""
        key = _key(batch, *(gates or ()))
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            return self._layers(known.copy())
        layers = self.engine.run(batch, gates)
        self._remember(key, layers.derained)
        return layers

    def measure_gates(self, batch: Any) -> Any:
        """As `Engine.measure_gates`."""
        key = _key(batch)
        if key not in self._gates:
            self._gates[key] = self.engine.measure_gates(batch)
            if len(self._gates) > 64:
                self._gates.popitem(last=False)
        return self._gates[key]

    def pixels_at_once(self, held: int = 0) -> int:
        """As `Engine.pixels_at_once`."""
        return self.engine.pixels_at_once(held)

    def fingerprint(self) -> str:
        """As `Engine.fingerprint`."""
        return self.engine.fingerprint()

    def empty_cache(self) -> None:
        """Also clears this cache: memory is short."""
        self._known.clear()
        self.engine.empty_cache()

    def _layers(self, derained: NDArray[Any]) -> ArrayLayers:
        """A cached picture as the engine would return it; it is overwritten."""
        if isinstance(self.device, Host):
            nothing = np.broadcast_to(np.zeros((), derained.dtype), derained.shape)
            return ArrayLayers(derained, nothing, nothing)
        import torch

        tensor = torch.from_numpy(derained).to(self.device)
        none = torch.zeros((), device=self.device).expand_as(tensor)
        return ArrayLayers(tensor, none, none)

    def _remember(self, key: bytes, derained: Any) -> None:
        if derained.nbytes > self.most:
            return
        self._known[key] = _on_host(derained).copy()
        while sum(each.nbytes for each in self._known.values()) > self.most:
            self._known.popitem(last=False)


def _on_host(values: Any) -> NDArray[Any]:
    """Float32 values of an array, or of a tensor anywhere."""
    if isinstance(values, np.ndarray):
        return np.ascontiguousarray(values)
    found: NDArray[Any] = values.detach().float().cpu().contiguous().numpy()
    return found


def _key(*batches: Any) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for batch in batches:
        digest.update(repr((tuple(batch.shape), str(batch.dtype))).encode())
        digest.update(_on_host(batch).data)
    return digest.digest()
