"""The engine of our own networks as ONNX graphs, on OpenVINO or ONNX Runtime: the same results within rounding."""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from derain_cli.engine.device import free_device_memory, is_out_of_memory, pass_budget
from derain_cli.engine.onnx_graph import PICTURES, GraphKind, onnx_graph
from derain_cli.engine.own import finite_layers, tile_halo, weights_digest
from derain_cli.engine.runtimes import Compiled, Runtime
from derain_cli.model import FoldedSemiDRDNet, SemiDRDNet, fold
from derain_cli.model.fold import Gates
from derain_cli.model.semi_drdnet import COLOURS, Layers

__all__ = ["GraphEngine"]

_MAPS, _BYTES, _BYTES_OF_FRAME = 6.6, 32, 44
"""Memory for one pixel: feature maps in fp32, and bytes besides, some of them for each frame seen. At least
what was measured of both runtimes on three networks (docs/performance.md)."""


class GraphEngine:
    """The folded network on a runtime of graphs; results that are not finite in half precision are redone in float32.

    Graphs are compiled when they are first needed: for whole pictures, for tiles with the gates of their picture, and
    for these gates.

    Args:
        model: the network, or its folded form; on the CPU.
        runtime: what runs its graphs.

    Attributes:
        config: of the network.

    Raises:
        UsageError: the onnx package is not installed.
    """

    device, batches, same_together = torch.device("cpu"), None, True

    def __init__(self, model: SemiDRDNet | FoldedSemiDRDNet, runtime: Runtime):
        self._net = (model if isinstance(model, FoldedSemiDRDNet) else fold(model)).cpu()
        self._runtime = runtime
        self.config = self._net.config
        self.name, self.dtype = runtime.name, runtime.dtype
        self.frames, self.grid, self.gated = self.config.frames, self.config.grid, self.config.se
        self.halo = tile_halo(self.config)
        self.notes: list[str] = []
        self._compiled = functools.cache(self._compile)
        self._compiled(GraphKind.WHOLE, False)

    def run(self, batch: Tensor, gates: Gates | None = None) -> Layers:
        """Layers of a batch, picture by picture: so each is the same whatever others come with it.

        Raises:
            InputError: they are not finite in float32 either.
            MemoryError: out of memory.
        """

        def exactly(bad: Tensor) -> Layers:
            return self._layers(batch[bad], gates, exact=True)

        return finite_layers(self._layers(batch, gates), exactly, self.dtype, self.notes)

    def measure_gates(self, batch: Tensor) -> Gates | None:
        """One set of gates for all pictures of a batch together; None for a network without gates.

        Raises:
            MemoryError: out of memory.
        """
        return self._run(GraphKind.GATES, batch, None) if self.gated else None

    def pixels_at_once(self, held: int = 0) -> int:
        """How many pixels fit into one pass, judging by free memory and what the network needs per pixel.

        Args:
            held: bytes of the picture's own arrays.
        """
        budget = pass_budget(free_device_memory(self.device), held, bounded=True)
        features = self.config.features_per_pixel
        per_pixel = _MAPS * 4 * features + _BYTES + _BYTES_OF_FRAME * self.frames
        # Beyond 2**31 values in a map not every kernel counts right.
        return int(min(budget / per_pixel, (2**31 - 1) / max(features, COLOURS * self.frames)))

    def fingerprint(self) -> str:
        """SHA-256 of the weights in float32, with the runtime and its version."""
        return f"{weights_digest(self._net)} {self._runtime.name} {self._runtime.version}"

    def empty_cache(self) -> None:
        """Forget compiled graphs, which hold memory for the largest picture so far."""
        self._compiled.cache_clear()

    def _layers(self, batch: Tensor, gates: Gates | None, *, exact: bool = False) -> Layers:
        kind = GraphKind.WHOLE if gates is None or not self.gated else GraphKind.TILE
        each = [self._run(kind, picture, gates, exact=exact) for picture in torch.split(batch, 1)]
        derained, rain, *detail = (
            torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*each, strict=True)
        )
        return Layers(derained, rain, *(detail or [torch.zeros_like(rain)]))

    def _run(self, kind: GraphKind, pictures: Tensor, gates: Gates | None, *, exact: bool = False) -> list[Tensor]:
        inputs = {PICTURES: np.ascontiguousarray(pictures.numpy())}
        if kind is GraphKind.TILE:
            inputs |= {f"gate_{index}": gate.numpy() for index, gate in enumerate(gates or ())}
        try:
            return [torch.from_numpy(found) for found in self._compiled(kind, exact)(inputs)]
        except Exception as error:  # runtimes have classes of their own
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise

    def _compile(self, kind: GraphKind, exact: bool) -> Compiled:
        return self._runtime.compile(onnx_graph(self._net, kind), exact=exact)
