"""The way from picture to picture. Photos, video, evaluation and validation in training all pass through `Restorer`."""

from __future__ import annotations

import copy
import functools
import hashlib
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
from derain_cli.engine.device import free_device_memory, is_out_of_memory, pick_device, pick_precision
from derain_cli.engine.tiling import Box, Tile, plan_tiles, sample_crops
from derain_cli.errors import InputError, ResourceError
from derain_cli.model import FoldedSemiDRDNet, SemiDRDNet, fold
from derain_cli.model.fold import Gates
from derain_cli.model.semi_drdnet import Layers, receptive_radius

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["MAX_HALO", "PictureLayers", "Restorer"]

Array = NDArray[Any]
P = TypeVar("P", bound="Array | Image")
Progress = Callable[[float], None]

MAX_HALO = 72
"""Features (pixels where there is no pixel-unshuffle) read beyond a tile. The convolutions of `paper` reach further,
but what lies past it changes its result by less than 0.01 of 255 levels (docs/performance.md)."""

_SMALLEST_TILE = 128
_AUTO_BYTES = 2**31
"""What one pass and the arrays of a picture may take at most on a CPU where tiles are chosen automatically; half of the
free memory if that is less. Larger tiles are hardly faster."""

_GATE_PIXELS = 2**22
_GATE_CROPS, _GATE_SIDE = 8, 512
"""A picture of up to so many pixels has gates of all of them; those of a larger one are measured on this many crops of
this side, however it is tiled, or tiles would show."""


@dataclass(frozen=True)
class _Batches:
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


_BATCHES = {
    # Measured (docs/performance.md): what is saved is the cost of a call, which larger pictures don't notice.
    "cpu": _Batches(largest=2**14, pixels=2**17, most=8, filled=False),
    # Not measured: so few that a pass which is not full wastes little.
    "cuda": _Batches(largest=2**16, pixels=2**18, most=32, filled=True),
}

_NO_MEMORY = "out of memory even with the smallest tiles"
_NOT_FINITE, _NOT_FINITE_HINT = "the network gave non-finite values", "the weights may be damaged: derain models verify"


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


def _check(image: Array) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype not in (np.uint8, np.uint16) or 0 in image.shape:
        raise InputError(f"a picture must be HxWx3 uint8 or uint16, not {image.dtype} {image.shape}")


class Restorer:
    """Takes the rain out of pictures with one network on one device.

    >>> from derain_cli import Restorer
    >>> restorer = Restorer.from_pretrained("fast")
    >>> clean = restorer(picture)        # HxWx3 uint8 or uint16 array, or a PIL image; the same kind comes back

    Args:
        model: the network, or its folded form.
        options: device, precision, tile and strength.
        card: of the weights, if known.

    Attributes:
        device: where the network runs.
        dtype: what it computes in.
        notes: one-line remarks of the last call (tiles redone, and why).
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
        self.notes: list[str] = []
        folded = model if isinstance(model, FoldedSemiDRDNet) else fold(model)
        self.config = folded.config
        self._exact = folded.to(self.device)
        self._net = self._exact
        if self.dtype != torch.float32:
            self._net = copy.deepcopy(folded).to(self.device, self.dtype)
        self.halo = min(receptive_radius(self.config), MAX_HALO * self.config.unshuffle)

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
            ResourceError: out of memory even with the smallest tiles.
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
            ResourceError: out of memory even with one picture at a time and the smallest tiles.
        """
        self.notes = []
        for image in images:
            _check(image)
        if not images:
            return []
        first = images[0]
        if any(image.shape != first.shape or image.dtype != first.dtype for image in images):
            raise InputError("pictures of a batch must have one shape and one dtype")
        return self._restore_batch(self._filled(images))[: len(images)]

    def at_once(self, height: int, width: int) -> int:
        """How many pictures of this size are best given to `batch` at once; 1 where more bring nothing."""
        batches = _BATCHES.get(self.device.type)
        tile = self.options.tile
        if batches is None or height * width > batches.largest or (tile != "auto" and 0 < tile < max(height, width)):
            return 1
        return min(batches.most, batches.pixels // (height * width))

    @functools.cached_property
    def same_together(self) -> bool:
        """Whether a picture comes out bit for bit the same whoever shares its pass, up to `at_once` of them.

        On a CPU this hangs on the kernels that its libraries have for it: tried once, on pictures of noise.
        """
        batches = _BATCHES.get(self.device.type)
        if batches is None or batches.filled:
            return batches is not None
        noise = np.random.default_rng(0).integers(0, 256, (3, 32, 48, 3), np.uint8)
        with torch.inference_mode():
            rainy = self._to_device(list(noise))
            alone = self._net(rainy[-1:], None).derained
            return torch.equal(self._net(rainy, None).derained[-1:], alone)

    def fingerprint(self) -> str:
        """Names all that results hang on: weights, options, device, precision, threads, torch.

        With automatic tiles the memory that is free may move a border between tiles, which changes a level by one.
        """
        digest = hashlib.sha256()
        for name, tensor in self._exact.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        settings = (self.options.tile, self.options.strength, str(self.device), str(self.dtype))
        return f"{digest.hexdigest()} {settings} {torch.get_num_threads()} {torch.__version__}"

    def layers(self, image: Array, progress: Progress | None = None) -> PictureLayers:
        """Derained picture, rain layer and repaired detail of an HxWx3 uint8 or uint16 array."""
        return PictureLayers(*self._run(image, progress, wanted=3))

    @torch.inference_mode()
    def restore(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W) in [0, 1] -> the same without rain, clamped, on the same device and in the same dtype.

        Every picture is taken whole and has its own gates.

        Raises:
            InputError: another shape, or the network gives non-finite values.
        """
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise InputError(f"pictures must be (N, 3, H, W), not {tuple(pictures.shape)}")
        rainy = pictures.to(self.device, torch.float32)
        derained = self._layers(rainy, None).derained
        return self._blend(rainy, derained).to(pictures.device, pictures.dtype)

    def _restore_pil(self, image: Image, progress: Progress | None) -> Image:
        from PIL import Image as PillowImage

        if image.mode not in {"RGB", "RGBA", "L", "LA"}:
            raise InputError(f"a PIL image of mode {image.mode}", hint="convert it to RGB, RGBA, L or LA")
        restored = PillowImage.fromarray(self._run(np.asarray(image.convert("RGB")), progress, wanted=1)[0])
        out = restored.convert("L" if image.mode in {"L", "LA"} else "RGB")
        if image.mode in {"RGBA", "LA"}:
            out.putalpha(image.getchannel("A"))
        return out

    def _blend(self, rainy: Tensor, derained: Tensor) -> Tensor:
        strength = self.options.strength
        return (derained if strength == 1.0 else torch.lerp(rainy, derained, strength)).clamp_(0, 1)

    def _run(self, image: Array, progress: Progress | None, wanted: int) -> list[Array]:
        """`wanted` first arrays of `PictureLayers`, tile by tile; only tiles leave host memory."""
        _check(image)
        self.notes = []
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
        most = self._pixels_at_once(held)
        if height * width <= most:
            return max(height, width)
        return max(_SMALLEST_TILE, int(most**0.5) - 2 * self.halo)

    def _pixels_at_once(self, held: int = 0) -> int:
        """How many pixels one pass may have, by the memory that is free and what the network needs of it."""
        on_cpu = self.device.type == "cpu"
        features = self.config.width / self.config.unshuffle**2
        # Maps alive at a time: measured on the CPU, where layers write over their input; about twice elsewhere.
        per_pixel = (3.2 if on_cpu else 6) * features * self.dtype.itemsize + 60
        free = free_device_memory(self.device)
        budget = _AUTO_BYTES if free is None else free // 2
        if on_cpu:
            # The larger the picture, the less is left for its tiles: they need not be large.
            budget = min(budget, max(_AUTO_BYTES - held, _AUTO_BYTES // 4))
        # Beyond 2**31 values in a map not every kernel counts right.
        return int(min(budget / per_pixel, (2**31 - 1) / max(features, 3)))

    def _restore_batch(self, images: Sequence[Array]) -> list[Array]:
        height, width = images[0].shape[:2]
        side = self._tile_side(height, width, 2 * images[0].nbytes)
        if len(images) == 1 or side < max(height, width) or height * width > _GATE_PIXELS:
            # One by one, with gates measured ahead where they must be.
            return [self._restore_one(image, None, 1)[0] for image in images]
        try:
            return [derained for (derained,) in self._pass(images, None, 1)]
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        self._empty_cache()
        half = len(images) // 2
        self.notes.append(f"out of memory with {len(images)} pictures at once: halved")
        return self._restore_batch(images[:half]) + self._restore_batch(images[half:])

    def _filled(self, images: Sequence[Array]) -> Sequence[Array]:
        batches = _BATCHES.get(self.device.type)
        if batches is None or not batches.filled:
            return images
        missing = self.at_once(*images[0].shape[:2]) - len(images)
        return [*images, *[images[-1]] * missing]

    def _restore_one(self, image: Array, progress: Progress | None, wanted: int) -> list[Array]:
        height, width = image.shape[:2]
        whole = Box(0, 0, height, width)
        out = [np.empty_like(image) for _ in range(wanted)]
        side = self._tile_side(height, width, image.nbytes + sum(each.nbytes for each in out))
        gates = None
        if side < max(height, width) or height * width > _GATE_PIXELS:
            gates = self._picture_gates(image)
        done = 0
        for tile in plan_tiles(whole, side, self.halo, height, width, self.config.unshuffle):
            self._write_tile(image, tile, gates, out)
            done += tile.write.height * tile.write.width
            if progress:
                progress(done / (height * width))
        return out

    def _to_device(self, pictures: Sequence[Array]) -> Tensor:
        crops = np.stack(pictures)
        # torch has few operations on uint16; int32 holds both.
        raw = torch.from_numpy(crops.astype(np.int32) if crops.dtype == np.uint16 else crops).to(self.device)
        return raw.permute(0, 3, 1, 2).float().div_(float(np.iinfo(crops.dtype).max))

    def _picture_gates(self, image: Array) -> Gates | None:
        if not self.config.se:
            return None
        height, width = image.shape[:2]
        boxes = [Box(0, 0, height, width)]
        side, count, unshuffle = _GATE_SIDE, _GATE_CROPS, self.config.unshuffle
        sampled = height * width > _GATE_PIXELS
        while True:
            if sampled:
                boxes = sample_crops(height, width, side - side % unshuffle, count, unshuffle)
            try:
                return self._net.measure_gates(self._to_device([image[box.slices] for box in boxes]))
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                if side <= _SMALLEST_TILE and count == 1:
                    raise ResourceError(_NO_MEMORY, hint="close other programs") from error
            # All crops are in memory at once, which may be more than a tile: smaller ones, then fewer, will do.
            self._empty_cache()
            if not sampled:
                sampled = True
            elif side > _SMALLEST_TILE:
                side = max(_SMALLEST_TILE, side // 2)
            else:
                count //= 2
            self.notes.append(f"out of memory: gates measured on up to {count} crops of {side} px")

    def _empty_cache(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _write_tile(self, image: Array, tile: Tile, gates: Gates | None, out: list[Array]) -> None:
        try:
            results = self._tile(image, tile, gates, len(out))
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            side = max(tile.write.height, tile.write.width)
            if side <= _SMALLEST_TILE:
                raise ResourceError(_NO_MEMORY, hint="close other programs") from error
            results = None
        if results is not None:
            for target, result in zip(out, results, strict=True):
                target[tile.write.slices] = result
            return
        # Outside the handler: the exception's traceback would keep the failed tile's tensors alive.
        self._empty_cache()
        half = max(_SMALLEST_TILE, -(-side // 2))
        self.notes.append(f"out of memory with tiles of {side} px: halved")
        if gates is None:
            gates = self._picture_gates(image)
        for part in plan_tiles(tile.write, half, self.halo, image.shape[0], image.shape[1], self.config.unshuffle):
            self._write_tile(image, part, gates, out)

    def _tile(self, image: Array, tile: Tile, gates: Gates | None, wanted: int) -> list[Array]:
        (arrays,) = self._pass([image[tile.read.slices]], gates, wanted, tile.inner)
        return arrays

    @torch.inference_mode()
    def _pass(
        self,
        pictures: Sequence[Array],
        gates: Gates | None,
        wanted: int,
        inner: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> list[list[Array]]:
        """One pass over equally shaped pictures or tiles: for each, the first arrays of `PictureLayers` in `inner`."""
        rainy = self._to_device(pictures)
        layers = [layer[(..., *inner)] for layer in self._layers(rainy, gates)[:wanted]]
        layers[0] = self._blend(rainy[(..., *inner)], layers[0])
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

    def _layers(self, rainy: Tensor, gates: Gates | None) -> Layers:
        """Layers of (N, 3, H, W); pictures that are not finite in half precision are redone in fp32."""
        layers: Layers = self._net(rainy, gates)
        bad = ~torch.isfinite(layers.derained).flatten(1).all(dim=1)
        if not bool(bad.any()):
            return layers
        dtype = str(self.dtype).removeprefix("torch.")
        self.notes += [f"a tile was not finite in {dtype}: redone in float32"] * int(bad.sum())
        exact = None if gates is None else [gate.float() for gate in gates]
        again = self._exact(rainy[bad], exact)
        if not bool(torch.isfinite(again.derained).all()):
            raise InputError(_NOT_FINITE, hint=_NOT_FINITE_HINT)
        for layer, redone in zip(layers, again, strict=True):
            layer[bad] = redone
        return layers
