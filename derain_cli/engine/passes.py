"""Passes of a network over pictures: in one piece, in tiles, or several at once, with less memory if it runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from derain_cli.config import RestoreOptions
from derain_cli.engine.arrays import blend, inference, to_arrays, to_batch
from derain_cli.engine.gates import are_sampled, picture_gates
from derain_cli.engine.memory import NO_MEMORY, is_out_of_memory
from derain_cli.engine.protocol import Engine
from derain_cli.engine.tiling import SMALLEST_TILE, Box, Tile, plan_tiles
from derain_cli.errors import OutOfMemoryError
from derain_cli.model.architecture import COLOURS, middle_frame

__all__ = ["Passes"]

Array = NDArray[Any]
Progress = Callable[[float], None]


@dataclass(frozen=True)
class Passes:
    """Runs an engine on pictures of any size. Pictures are (H, W, 3*F) uint8 or uint16, already checked.

    Attributes:
        engine: runs the network; its `notes` get a line if memory ran out.
        options: tile and strength.
    """

    engine: Engine
    options: RestoreOptions

    def at_once(self, height: int, width: int) -> int:
        """The best number of pictures of this size in one pass; 1 if several have no benefit."""
        batches = self.engine.batches
        tile = self.options.tile
        if batches is None or height * width > batches.largest or (tile != "auto" and 0 < tile < max(height, width)):
            return 1
        return min(batches.most, batches.pixels // (height * width))

    def tile_side(self, height: int, width: int, held: int) -> int:
        """Side of a tile; `held` is the size in bytes of the arrays that tiles are read from and written to."""
        if self.options.tile != "auto":
            return self.options.tile or max(height, width)
        most = self.engine.pixels_at_once(held)
        if self.engine.halo is None or height * width <= most:
            return max(height, width)
        return max(SMALLEST_TILE, int(most**0.5) - 2 * self.engine.halo)

    def batch(self, images: Sequence[Array]) -> list[Array]:
        """Derained pictures, (H, W, 3) each, of pictures of one shape and dtype; in fewer pieces if memory runs out.

        Raises:
            InputError: non-finite values.
            OutOfMemoryError: out of memory even with one picture and the smallest tiles.
        """
        height, width = images[0].shape[:2]
        side = self.tile_side(height, width, 2 * images[0].nbytes)
        if len(images) == 1 or side < max(height, width) or are_sampled(height, width):
            # One by one, since tiles need gates measured in advance.
            return [self.one(image, None, 1)[0] for image in images]
        try:
            return [derained for (derained,) in self._pass(images, None, 1)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self.engine.empty_cache()
        half = len(images) // 2
        self.engine.notes.append(f"out of memory with {len(images)} pictures at once: halved")
        return self.batch(images[:half]) + self.batch(images[half:])

    def filled(self, images: Sequence[Array]) -> Sequence[Array]:
        """The pictures with repetitions of the last, where an engine's results depend on how many there are."""
        batches = self.engine.batches
        if batches is None or not batches.filled:
            return images
        missing = self.at_once(*images[0].shape[:2]) - len(images)
        return [*images, *[images[-1]] * missing]

    def one(self, image: Array, progress: Progress | None, wanted: int) -> list[Array]:
        """The first `wanted` of derained picture, rain layer and repaired detail, tile by tile.

        Args:
            image: the picture; only tiles of it leave host memory.
            progress: called with the finished fraction.
            wanted: 1 to 3.

        Raises:
            as `batch`.
        """
        height, width = image.shape[:2]
        whole = Box(0, 0, height, width)
        out = [np.empty((height, width, COLOURS), image.dtype) for _ in range(wanted)]
        side = self.tile_side(height, width, image.nbytes + sum(each.nbytes for each in out))
        gates = None
        if side < max(height, width) or are_sampled(height, width):
            gates = picture_gates(self.engine, image)
        done = 0
        for tile in plan_tiles(whole, side, self.engine.halo or 0, height, width, self.engine.grid):
            self._write_tile(image, tile, gates, out)
            done += tile.write.height * tile.write.width
            if progress:
                progress(done / (height * width))
        return out

    def _write_tile(self, image: Array, tile: Tile, gates: Any, out: list[Array]) -> None:
        try:
            results = self._tile(image, tile, gates, len(out))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            side = max(tile.write.height, tile.write.width)
            if self.engine.halo is None or side <= SMALLEST_TILE:
                raise OutOfMemoryError(NO_MEMORY, hint="close other programs") from error
            results = None
        if results is not None:
            for target, result in zip(out, results, strict=True):
                target[tile.write.slices] = result
            return
        # Outside the handler, because the traceback keeps the tensors of the failed tile alive.
        self.engine.empty_cache()
        half = max(SMALLEST_TILE, -(-side // 2))
        self.engine.notes.append(f"out of memory with tiles of {side} px: halved")
        if gates is None:
            gates = picture_gates(self.engine, image)
        height, width = image.shape[:2]
        for part in plan_tiles(tile.write, half, self.engine.halo or 0, height, width, self.engine.grid):
            self._write_tile(image, part, gates, out)

    def _tile(self, image: Array, tile: Tile, gates: Any, wanted: int) -> list[Array]:
        (arrays,) = self._pass([image[tile.read.slices]], gates, wanted, tile.inner)
        return arrays

    def _pass(
        self,
        pictures: Sequence[Array],
        gates: Any,
        wanted: int,
        inner: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> list[list[Array]]:
        """One pass over pictures or tiles of equal size: for each, the first arrays of `PictureLayers` in `inner`.

        Args:
            pictures: (H, W, 3*F) uint8 or uint16, of one shape and dtype.
            gates: gates of the whole picture, for tiles; None measures them on each picture.
            wanted: how many of derained picture, rain layer and repaired detail to return.
            inner: rows and columns of the result to return.

        Raises:
            InputError: non-finite values.
        """
        with inference(self.engine.device):
            rainy = to_batch(pictures, self.engine.device)
            layers = [layer[(..., *inner)] for layer in self.engine.run(rainy, gates)[:wanted]]
            layers[0] = blend(middle_frame(rainy)[(..., *inner)], layers[0], self.options.strength)
            if wanted > 1:
                layers[2] += 0.5
            arrays = [to_arrays(layer, pictures[0].dtype) for layer in layers]
        return [list(of_one) for of_one in zip(*arrays, strict=True)]
