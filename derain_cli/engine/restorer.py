"""The way from picture to picture. Photos, video, evaluation and validation in training all pass through `Restorer`."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.find import DEFAULT_MODEL, find_weights
from derain_cli.checkpoints.weight_file import load_weights, network
from derain_cli.config import RestoreOptions
from derain_cli.engine.device import NO_MEMORY, is_out_of_memory, pick_device, pick_precision
from derain_cli.engine.gates import are_sampled, picture_gates
from derain_cli.engine.tiling import SMALLEST_TILE, Box, Tile, plan_tiles
from derain_cli.engine.torch_backend import TorchBackend
from derain_cli.errors import InputError, OutOfMemoryError
from derain_cli.media.borders import content_box
from derain_cli.media.hidden import fill_hidden, keep_hidden
from derain_cli.model import FoldedSemiDRDNet, SemiDRDNet, fold
from derain_cli.model.fold import Gates
from derain_cli.model.semi_drdnet import middle_frame, receptive_radius

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_HALO", "PictureLayers", "Restorer"]

Array = NDArray[Any]
P = TypeVar("P", bound="Array | Image")
Progress = Callable[[float], None]

MAX_HALO = 72
"""Features (pixels where there is no pixel-unshuffle) read beyond a tile. The convolutions of `paper` reach further,
but what lies past it changes its result by less than 0.01 of 255 levels (docs/performance.md)."""


@dataclass(frozen=True)
class PictureLayers:
    """What was found in a picture; arrays of its shape.

    Attributes:
        derained: same dtype as the picture.
        rain: the rain layer, same dtype; negative values are cut.
        detail: the repaired detail, same dtype, around mid-grey (half of the range means none).
    """

    derained: Array
    rain: Array
    detail: Array


def _empty_layers(image: Array) -> tuple[Array, Array]:
    """Rain layer and repaired detail of a picture in which nothing is found."""
    return np.zeros_like(image), np.full_like(image, round(np.iinfo(image.dtype).max / 2))


def _middle(image: Array) -> Array:
    """(H, W, 3*F) -> the frame in the middle, (H, W, 3), a view."""
    start = (image.shape[2] - 3) // 2
    return image[:, :, start : start + 3]


class Restorer:
    """Takes the rain out of pictures with one network on one device.

    >>> from derain_cli import Restorer
    >>> restorer = Restorer.from_pretrained("fast")
    >>> clean = restorer(picture)        # HxWx3 uint8 or uint16 array, or a PIL image; the same kind comes back

    Args:
        model: the network, or its folded form.
        options: device, precision, tile and strength.
        card: of the weights, if known.

    Networks that see F successive frames (`ModelConfig.frames`) are given them side by side, (H, W, 3*F), as
    `derain_cli.motion.windows` makes them; what comes back is the frame in the middle.

    Attributes:
        device: where the network runs.
        dtype: what it computes in.
    """

    def __init__(
        self,
        model: SemiDRDNet | FoldedSemiDRDNet,
        options: RestoreOptions | None = None,
        card: Card | None = None,
    ):
        self.options = options or RestoreOptions()
        self.card = card or Card()
        self.device = pick_device(self.options.device)
        self.dtype = pick_precision(self.options.precision, self.device)
        folded = model if isinstance(model, FoldedSemiDRDNet) else fold(model)
        self.config = folded.config
        self._backend = TorchBackend(folded, self.device, self.dtype)
        self.halo = min(receptive_radius(self.config), MAX_HALO * self.config.unshuffle)

    @property
    def notes(self) -> list[str]:
        """One-line remarks of the last call (tiles redone, and why)."""
        return self._backend.notes

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        tile: int | Literal["auto"] = "auto",
        strength: float = 1.0,
    ) -> Restorer:
        """A restorer with trained weights.

        Args:
            name_or_path: an installed model (`derain models`), a weight file, or `hf:ORG/REPO`.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            precision: `auto`, `fp32`, `bf16` or `fp16`.
            tile: `auto`, 0 (whole picture) or the tile's side in pixels.
            strength: 0 (unchanged) to 1 (all rain found is taken out).

        Raises:
            WeightsError: the weights are missing, damaged, or of another network.
            ResourceError: the device is not there.
            UsageError: an option is out of range.
        """
        options = RestoreOptions(device=device, precision=precision, tile=tile, strength=strength)
        pick_device(device)
        weights = load_weights(find_weights(os.fspath(name_or_path)))
        return cls(network(weights), options, weights.card)

    @overload
    def __call__(self, image: Array, progress: Progress | None = None) -> Array: ...
    @overload
    def __call__(self, image: Image, progress: Progress | None = None) -> Image: ...
    def __call__(self, image: Array | Image, progress: Progress | None = None) -> Array | Image:
        """The picture without rain: same kind, shape and dtype as `image`.

        Args:
            image: HxWx3 uint8 or uint16 array (RGB), or a PIL image of mode RGB, RGBA, L or LA; alpha is kept.
            progress: called with the finished share, 0 to 1.

        Raises:
            InputError: another kind of picture.
            OutOfMemoryError: out of memory even with the smallest tiles.
        """
        if isinstance(image, np.ndarray):
            return self._run(image, progress, wanted=1)[0]
        return self._restore_pil(image, progress)

    def batch(self, images: Sequence[Array]) -> list[Array]:
        """What calling it on each of them gives, in one pass of the network; each picture has its own gates.

        Bit for bit so on a CPU where `same_together` is true; elsewhere values may be rounded to the next level.
        Pictures that are cut into tiles are done one by one. `notes` are those of all of them together.

        Args:
            images: HxWx3 arrays of one shape and one dtype, uint8 or uint16.

        Raises:
            InputError: another kind of picture, shapes or dtypes that differ, or non-finite values for one of them.
            OutOfMemoryError: out of memory even with one picture at a time and the smallest tiles.
        """
        self._backend.notes = []
        for image in images:
            self._check(image)
        if not images:
            return []
        first = images[0]
        if any(image.shape != first.shape or image.dtype != first.dtype for image in images):
            raise InputError("pictures of a batch must have one shape and one dtype")
        if any(image[content_box(image)].shape != image.shape for image in images):
            return [self._run(image, None, 1)[0] for image in images]  # what is inside has shapes of its own
        return self._restore_batch(self._filled(images))[: len(images)]

    def _check(self, image: Array) -> None:
        channels = 3 * self.config.frames
        if image.ndim == 3 and image.shape[2] == 3 != channels:
            raise InputError(f"this network sees {self.config.frames} frames of a clip at once: it is not for photos")
        if (
            image.ndim != 3
            or image.shape[2] != channels
            or image.dtype not in (np.uint8, np.uint16)
            or 0 in image.shape
        ):
            raise InputError(f"a picture must be HxWx{channels} uint8 or uint16, not {image.dtype} {image.shape}")

    def at_once(self, height: int, width: int) -> int:
        """How many pictures of this size are best given to `batch` at once; 1 where more bring nothing."""
        batches = self._backend.batches
        tile = self.options.tile
        if batches is None or height * width > batches.largest or (tile != "auto" and 0 < tile < max(height, width)):
            return 1
        return min(batches.most, batches.pixels // (height * width))

    @property
    def same_together(self) -> bool:
        """Whether a picture comes out bit for bit the same whoever shares its pass, up to `at_once` of them.

        On a CPU this hangs on the kernels that its libraries have for it: tried once, on pictures of noise.
        """
        return self._backend.same_together

    def fingerprint(self) -> str:
        """Names all that results hang on: weights, options, device, precision, threads, torch.

        With automatic tiles the memory that is free may move a border between tiles, which changes a level by one.
        """
        settings = (self.options.tile, self.options.strength, str(self.device), str(self.dtype))
        return f"{self._backend.fingerprint()} {settings} {torch.get_num_threads()} {torch.__version__}"

    def layers(self, image: Array, progress: Progress | None = None) -> PictureLayers:
        """Derained picture, rain layer and repaired detail of an HxWx3 uint8 or uint16 array."""
        return PictureLayers(*self._run(image, progress, wanted=3))

    @torch.inference_mode()
    def restore(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> the same without rain, clamped, on the same device and in the same dtype.

        For networks that see F frames (N, 3*F, H, W); the frames in the middle come back.

        Every picture is taken whole and has its own gates.

        Raises:
            InputError: another shape, or the network gives non-finite values.
        """
        channels = 3 * self.config.frames
        if pictures.ndim != 4 or pictures.shape[1] != channels:
            raise InputError(f"pictures must be (N, {channels}, H, W), not {tuple(pictures.shape)}")
        rainy = pictures.to(self.device, torch.float32)
        derained = self._backend.layers(rainy, None).derained
        blended = self._backend.blend(middle_frame(rainy), derained, self.options.strength)
        return blended.to(pictures.device, pictures.dtype)

    def _restore_pil(self, image: Image, progress: Progress | None) -> Image:
        from PIL import Image as PillowImage

        if image.mode not in {"RGB", "RGBA", "L", "LA"}:
            raise InputError(f"a PIL image of mode {image.mode}", hint="convert it to RGB, RGBA, L or LA")
        pixels = np.asarray(image.convert("RGB"))
        alpha = np.asarray(image.getchannel("A")) if image.mode in {"RGBA", "LA"} else None
        derained = keep_hidden(self._run(fill_hidden(pixels, alpha), progress, wanted=1)[0], pixels, alpha)
        out = PillowImage.fromarray(derained).convert("L" if image.mode in {"L", "LA"} else "RGB")
        if alpha is not None:
            out.putalpha(image.getchannel("A"))
        return out

    def _run(self, image: Array, progress: Progress | None, wanted: int) -> list[Array]:
        """`wanted` first arrays of `PictureLayers`, tile by tile; only tiles leave host memory."""
        self._check(image)
        self._backend.notes = []
        box = content_box(image)
        inside = image[box]
        if inside.shape == image.shape:
            return self._run_inside(image, progress, wanted)
        # A flat border has no rain in it, and says nothing about the picture: the network does not see it.
        found = self._run_inside(np.ascontiguousarray(inside), progress, wanted)
        seen = _middle(image)
        layers = [seen.copy(), *_empty_layers(seen)][:wanted]
        for layer, part in zip(layers, found, strict=True):
            layer[box] = part
        return layers

    def _run_inside(self, image: Array, progress: Progress | None, wanted: int) -> list[Array]:
        filled = self._filled([image])
        if wanted > 1 or len(filled) == 1:
            return self._restore_one(image, progress, wanted)
        derained = self._restore_batch(filled)[0]
        if progress:
            progress(1.0)
        return [derained]

    def _tile_side(self, height: int, width: int, held: int) -> int:
        """Side of a tile; `held` are the bytes of the picture's arrays, from which and into which tiles go."""
        if self.options.tile != "auto":
            return self.options.tile or max(height, width)
        most = self._backend.pixels_at_once(held)
        if height * width <= most:
            return max(height, width)
        return max(SMALLEST_TILE, int(most**0.5) - 2 * self.halo)

    def _restore_batch(self, images: Sequence[Array]) -> list[Array]:
        height, width = images[0].shape[:2]
        side = self._tile_side(height, width, 2 * images[0].nbytes)
        if len(images) == 1 or side < max(height, width) or are_sampled(height, width):
            # One by one, with gates measured ahead where they must be.
            return [self._restore_one(image, None, 1)[0] for image in images]
        try:
            return [derained for (derained,) in self._backend.run(images, None, 1, self.options.strength)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self._backend.empty_cache()
        half = len(images) // 2
        self.notes.append(f"out of memory with {len(images)} pictures at once: halved")
        return self._restore_batch(images[:half]) + self._restore_batch(images[half:])

    def _filled(self, images: Sequence[Array]) -> Sequence[Array]:
        batches = self._backend.batches
        if batches is None or not batches.filled:
            return images
        missing = self.at_once(*images[0].shape[:2]) - len(images)
        return [*images, *[images[-1]] * missing]

    def _restore_one(self, image: Array, progress: Progress | None, wanted: int) -> list[Array]:
        height, width = image.shape[:2]
        whole = Box(0, 0, height, width)
        out = [np.empty((height, width, 3), image.dtype) for _ in range(wanted)]
        side = self._tile_side(height, width, image.nbytes + sum(each.nbytes for each in out))
        gates = None
        if side < max(height, width) or are_sampled(height, width):
            gates = picture_gates(self._backend, image)
        done = 0
        for tile in plan_tiles(whole, side, self.halo, height, width, self.config.grid):
            self._write_tile(image, tile, gates, out)
            done += tile.write.height * tile.write.width
            if progress:
                progress(done / (height * width))
        return out

    def _write_tile(self, image: Array, tile: Tile, gates: Gates | None, out: list[Array]) -> None:
        try:
            results = self._tile(image, tile, gates, len(out))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            side = max(tile.write.height, tile.write.width)
            if side <= SMALLEST_TILE:
                raise OutOfMemoryError(NO_MEMORY, hint="close other programs") from error
            results = None
        if results is not None:
            for target, result in zip(out, results, strict=True):
                target[tile.write.slices] = result
            return
        # Outside the handler: the exception's traceback would keep the failed tile's tensors alive.
        self._backend.empty_cache()
        half = max(SMALLEST_TILE, -(-side // 2))
        self.notes.append(f"out of memory with tiles of {side} px: halved")
        if gates is None:
            gates = picture_gates(self._backend, image)
        for part in plan_tiles(tile.write, half, self.halo, image.shape[0], image.shape[1], self.config.grid):
            self._write_tile(image, part, gates, out)

    def _tile(self, image: Array, tile: Tile, gates: Gates | None, wanted: int) -> list[Array]:
        (arrays,) = self._backend.run([image[tile.read.slices]], gates, wanted, self.options.strength, tile.inner)
        return arrays
