"""An engine with a cache of recent results, so that changing the strength does not run the network again."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field

import torch
from torch import Tensor

from derain_cli.engine.protocol import Batches, Engine
from derain_cli.model.fold import Gates
from derain_cli.model.semi_drdnet import Layers
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
    _known: OrderedDict[bytes, Tensor] = field(default_factory=OrderedDict)
    _gates: OrderedDict[bytes, Gates | None] = field(default_factory=OrderedDict)

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
    def device(self) -> torch.device:
        return self.engine.device

    @property
    def dtype(self) -> torch.dtype:
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

    def run(self, batch: Tensor, gates: Gates | None = None) -> Layers:
        """As `Engine.run`."""
        key = _key(batch, *(gates or ()))
        known = self._known.get(key)
        if known is not None:
            self._known.move_to_end(key)
            derained = known.to(batch.device, copy=True)
            nothing = torch.zeros((), device=batch.device).expand_as(derained)
            return Layers(derained, nothing, nothing)
        layers = self.engine.run(batch, gates)
        self._remember(key, layers.derained)
        return layers

    def measure_gates(self, batch: Tensor) -> Gates | None:
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

    def _remember(self, key: bytes, derained: Tensor) -> None:
        if derained.nbytes > self.most:
            return
        self._known[key] = derained.detach().to("cpu", copy=True)
        while sum(each.nbytes for each in self._known.values()) > self.most:
            self._known.popitem(last=False)


def _key(*tensors: Tensor) -> bytes:
    digest = hashlib.blake2b(digest_size=32)
    for tensor in tensors:
        digest.update(repr((tuple(tensor.shape), tensor.dtype)).encode())
        digest.update(tensor.detach().float().cpu().contiguous().numpy().data)
    return digest.digest()
