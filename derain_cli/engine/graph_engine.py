"""The engine of our own networks as ONNX graphs, on OpenVINO or ONNX Runtime: the same results within rounding."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.engine.arrays import HOST, ArrayLayers
from derain_cli.engine.memory import is_out_of_memory, pass_budget
from derain_cli.engine.onnx_graph import PICTURES, GraphKind, onnx_graph
from derain_cli.engine.own import finite_layers, tile_halo
from derain_cli.engine.processor import thread_count
from derain_cli.engine.runtimes import Compiled, Runtime
from derain_cli.model.architecture import COLOURS
from derain_cli.model.folding import Folded
from derain_cli.system.memory import free_memory

__all__ = ["GraphEngine"]

_MAPS, _BYTES, _BYTES_OF_FRAME = 6.6, 32, 44
"""Memory for one pixel: feature maps in fp32, and bytes besides, some of them for each frame seen. At least
what was measured of both runtimes on three networks (docs/performance.md)."""


Floats = NDArray[np.float32]
Gates = list[Floats]


class GraphEngine:
    """The folded network on a runtime of graphs; results that are not finite in half precision are redone in float32.

    Takes and gives numpy arrays, so it needs no torch.

    Graphs are compiled when they are first needed: for whole pictures, for tiles with the gates of their picture, and
    for these gates.

    Args:
        model: the folded network.
        runtime: what runs its graphs.

    Attributes:
        config: of the network.

    """

    device, batches, same_together = HOST, None, True

    def __init__(self, model: Folded, runtime: Runtime):
        self._net = model
        self._runtime = runtime
        self.config = self._net.config
        self.name, self.dtype = runtime.name, runtime.dtype
        self.frames, self.grid, self.gated = self.config.frames, self.config.grid, self.config.se
        self.halo = tile_halo(self.config)
        self.notes: list[str] = []
        self._compiled = functools.cache(self._compile)
        self._compiled(GraphKind.WHOLE, False)

    def run(self, batch: Floats, gates: Gates | None = None) -> ArrayLayers:
        """Layers of a batch, picture by picture: so each is the same whatever others come with it.

        Raises:
            InputError: they are not finite in float32 either.
            MemoryError: out of memory.
        """

        def exactly(bad: NDArray[np.bool_]) -> ArrayLayers:
            return self._layers(batch[bad], gates, exact=True)

        def unfinite(layer: Floats) -> Any:
            return ~np.isfinite(layer).all(axis=(1, 2, 3))

        layers = self._layers(batch, gates)
        found: ArrayLayers = finite_layers(layers, unfinite, exactly, self.dtype, self.notes)
        return found

    def measure_gates(self, batch: Floats) -> Gates | None:
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
        budget = pass_budget(free_memory(), held, bounded=True)
        features = self.config.features_per_pixel
        per_pixel = _MAPS * 4 * features + _BYTES + _BYTES_OF_FRAME * self.frames
        # Beyond 2**31 values in a map not every kernel counts right.
        return int(min(budget / per_pixel, (2**31 - 1) / max(features, COLOURS * self.frames)))

    def fingerprint(self) -> str:
        """SHA-256 of the folded weights, number of threads, the runtime and its version."""
        return f"{self._net.digest()} {thread_count()} {self._runtime.name} {self._runtime.version}"

    def empty_cache(self) -> None:
        """Forget compiled graphs, which hold memory for the largest picture so far."""
        self._compiled.cache_clear()

    def _layers(self, batch: Floats, gates: Gates | None, *, exact: bool = False) -> ArrayLayers:
        kind = GraphKind.WHOLE if gates is None or not self.gated else GraphKind.TILE
        each = [self._run(kind, batch[i : i + 1], gates, exact=exact) for i in range(len(batch))]
        derained, rain, *detail = (
            np.concatenate(parts) if len(parts) > 1 else parts[0] for parts in zip(*each, strict=True)
        )
        return ArrayLayers(derained, rain, *(detail or [np.zeros_like(rain)]))

    def _run(self, kind: GraphKind, pictures: Floats, gates: Gates | None, *, exact: bool = False) -> list[Floats]:
        inputs = {PICTURES: np.ascontiguousarray(pictures)}
        if kind is GraphKind.TILE:
            inputs |= {f"gate_{index}": gate for index, gate in enumerate(gates or ())}
        try:
            return self._compiled(kind, exact)(inputs)
        except Exception as error:  # runtimes have classes of their own
            if is_out_of_memory(error):
                raise MemoryError(str(error)) from error
            raise

    def _compile(self, kind: GraphKind, exact: bool) -> Compiled:
        return self._runtime.compile(onnx_graph(self._net, kind), exact=exact)
