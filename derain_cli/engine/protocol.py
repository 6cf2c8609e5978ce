"""The interface between `Restorer` and an engine, the part that runs a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Batches", "Engine"]


@dataclass(frozen=True)
class Batches:
    """Which pictures share a pass through the network.

    Attributes:
        largest: pixels of the largest picture that may share a pass.
        pixels: most pixels per pass, all pictures together.
        most: most pictures per pass.
        filled: pad a partial pass with copies. GPU libraries choose kernels, and so round, by batch size; with passes
            of one size, results depend neither on the other pictures nor on where an interrupted job was resumed.
    """

    largest: int
    pixels: int
    most: int
    filled: bool


class Engine(Protocol):
    """Runs one network on one device: a batch of equally large pictures in, layers out.

    Inputs are (N, 3*F, H, W) float32 in [0, 1]: tensors on `device`, or numpy arrays if it is `arrays.HOST`; layers
    are of the same kind. Each item is F successive frames of a clip in
    chronological order, and the layers are those of the middle one; for photos F is 1.

    Attributes:
        name: as `RestoreOptions.engine` has it.
        device: where inputs are expected and layers come back.
        dtype: the precision that the network computes in; its name ends in `float32`, `bfloat16` or `float16`.
        frames: F, odd.
        halo: pixels around a tile that influence it; None if unknown, then pictures are never tiled.
        grid: tiles must start at multiples of this many pixels.
        gated: whether the network pools over the whole picture; its tiles must share the result of `measure_gates`.
        batches: which pictures share a pass; None processes one at a time.
        notes: one-line remarks on recent passes. The engine appends; `Restorer` replaces the list before each call.
    """

    notes: list[str]

    @property
    def name(self) -> str: ...
    @property
    def device(self) -> Any: ...
    @property
    def dtype(self) -> Any: ...
    @property
    def frames(self) -> int: ...
    @property
    def halo(self) -> int | None: ...
    @property
    def grid(self) -> int: ...
    @property
    def gated(self) -> bool: ...
    @property
    def batches(self) -> Batches | None: ...

    @property
    def same_together(self) -> bool:
        """Whether results are bit-identical regardless of the other pictures in a pass, within `batches`."""
        ...

    def run(self, batch: Any, gates: Any = None) -> Any:
        """`Layers` of a batch, (N, 3, H, W) each, finite but not clamped. The caller may overwrite them.

        Args:
            batch: see above.
            gates: of the whole picture, for tiles; None: measured on each picture of the batch.

        Raises:
            InputError: the network cannot process these pictures, or returns non-finite values.
        """
        ...

    def measure_gates(self, batch: Any) -> Any:
        """One set of gates for all pictures of a batch together; None for a network without gates."""
        ...

    def pixels_at_once(self, held: int = 0) -> int:
        """How many pixels fit into one pass, judging by free memory.

        Args:
            held: bytes of the picture's own arrays.
        """
        ...

    def fingerprint(self) -> str:
        """Identifies the weights and whatever else of the engine affects results."""
        ...

    def empty_cache(self) -> None:
        """Release memory that is held but unused."""
        ...
