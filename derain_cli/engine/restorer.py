"""Restoration of pictures. Photos, video, evaluation and validation in training all use `Restorer`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

import numpy as np
from numpy.typing import NDArray

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.find import DEFAULT_MODEL, find_weights
from derain_cli.checkpoints.weight_file import load_weights, network
from derain_cli.config import RestoreOptions
from derain_cli.config.restore import EngineName
from derain_cli.engine.arrays import Host, blend
from derain_cli.engine.choice import has_torch, make_engine, make_graph_engine, on_cpu
from derain_cli.engine.hub_mixin import HubMixin
from derain_cli.engine.notebook import BeforeAfter, table
from derain_cli.engine.passes import Passes
from derain_cli.engine.protocol import Engine
from derain_cli.errors import InputError, UsageError
from derain_cli.media.borders import content_box
from derain_cli.media.hidden import fill_hidden, keep_hidden
from derain_cli.model.architecture import COLOURS, middle_frame
from derain_cli.model.folding import folded
from derain_cli.motion.stacking import middle
from derain_cli.remedies import Remedy

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

    from derain_cli.model import FoldedSemiDRDNet, SemiDRDNet

__all__ = ["PictureLayers", "Restorer"]

Array = NDArray[Any]
P = TypeVar("P", bound="Array | Image")
Progress = Callable[[float], None]


@dataclass(frozen=True)
class PictureLayers:
    """The layers of a picture, as arrays of its shape.

    Attributes:
        derained: same dtype as the picture.
        rain: the rain layer, same dtype; negative values are clipped.
        detail: the repaired detail, same dtype, centred on mid-grey (no detail).
    """

    derained: Array
    rain: Array
    detail: Array


def _empty_layers(image: Array) -> tuple[Array, Array]:
    """Rain layer and repaired detail of a picture without rain."""
    return np.zeros_like(image), np.full_like(image, round(np.iinfo(image.dtype).max / 2))


class Restorer(HubMixin):
    """Removes rain from pictures with one network on one device.

    Examples:
        >>> from derain_cli import Restorer
        >>> restorer = Restorer.from_pretrained("fast")
        >>> clean = restorer(picture)        # HxWx3 uint8 or uint16 array, or a PIL image; returns the same type

    Args:
        engine: runs the network. May also be one of our own networks, for which the engine given by `options` is made.
        options: tile and strength; device, precision and engine are ignored if an engine is given.
        card: model card of the weights, if known.

    Multi-frame networks (`ModelConfig.frames`) take F successive frames of a clip as one HxWx3F array, as made by
    `derain_cli.motion.window`, and return the middle frame.

    Attributes:
        engine: runs the network.
        frames: F; 1 for single-frame networks.

    Raises:
        ResourceError: the device is not available.
        UsageError: a tile size is given for an engine that cannot tile; or the engine in `options` is not installed, or
            does not support the device or the precision.
    """

    def __init__(
        self,
        engine: Engine | SemiDRDNet | FoldedSemiDRDNet,
        options: RestoreOptions | None = None,
        card: Card | None = None,
    ):
        self.options = options or RestoreOptions()
        network = None
        if "torch" in sys.modules:  # else it cannot be a network
            from derain_cli.model import FoldedSemiDRDNet, SemiDRDNet

            network = engine if isinstance(engine, SemiDRDNet) else None
            if isinstance(engine, SemiDRDNet | FoldedSemiDRDNet):
                engine = make_engine(engine, self.options)
        super().__init__(network, card or Card())
        self.engine = cast("Engine", engine)
        self.frames = self.engine.frames
        if self.engine.halo is None and self.options.tile not in ("auto", 0):
            raise UsageError("this network cannot be tiled", remedy=Remedy.NO_TILES)
        self._passes = Passes(self.engine, self.options)

    @property
    def device(self) -> torch.device | Host:
        """The device the network runs on."""
        found: torch.device | Host = self.engine.device
        return found

    @property
    def precision(self) -> str:
        """The precision of the network: `float32`, `bfloat16` or `float16`."""
        return str(self.engine.dtype).removeprefix("torch.")

    @property
    def halo(self) -> int | None:
        """Pixels read beyond a tile on each side; None if pictures are never tiled."""
        return self.engine.halo

    @property
    def notes(self) -> list[str]:
        """One-line notes on the last call, for example tiles that were recomputed and why."""
        return self.engine.notes

    @classmethod
    def from_pretrained(
        cls,
        name_or_path: str | os.PathLike[str] = DEFAULT_MODEL,
        *,
        device: str = "auto",
        precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto",
        tile: int | Literal["auto"] = "auto",
        strength: float = 1.0,
        engine: EngineName = "auto",
        revision: str | None = None,
    ) -> Restorer:
        """A restorer with trained weights.

        Args:
            name_or_path: an installed model (`derain models`), a weight file, a folder from `save_pretrained`, or
                `owner/name` on the Hub, which is downloaded once and then used without network.
            device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
            precision: `auto`, `fp32`, `bf16` or `fp16`.
            tile: `auto`, 0 (whole picture) or the tile size in pixels.
            strength: fraction of the detected rain to remove, 0 (unchanged) to 1.
            engine: `torch`; on a CPU also `openvino` or `onnx` (ONNX Runtime), which start slower and run faster.
                `auto` is `torch`, or `onnx` where PyTorch is not installed.
            revision: branch, tag or commit of a model on the Hub; `owner/name@revision` is the same.

        Raises:
            WeightsError: the weights are missing, damaged, or of another network; or the Hub's cannot be downloaded.
            ResourceError: the device is not available, or the disk is full.
            UsageError: an option is out of range; or the engine is not installed, or does not support the others.
        """
        options = RestoreOptions(device, precision, tile, strength, engine)
        on_cpu(device)
        name = os.fspath(name_or_path)
        weights = load_weights(find_weights(name if revision is None else f"{name}@{revision}"))
        if not has_torch():
            return cls(make_graph_engine(folded(weights.config, weights.arrays), options), options, weights.card)
        return cls(network(weights), options, weights.card)

    @overload
    def __call__(self, image: Array, progress: Progress | None = None) -> Array: ...
    @overload
    def __call__(self, image: Image, progress: Progress | None = None) -> Image: ...
    def __call__(self, image: Array | Image, progress: Progress | None = None) -> Array | Image:
        """Remove the rain; the result has the type, shape and dtype of `image`.

        Args:
            image: HxWx3 uint8 or uint16 array (RGB), or a PIL image of mode RGB, RGBA, L or LA; alpha is kept.
            progress: called with the finished fraction, 0 to 1.

        Raises:
            InputError: unsupported picture type.
            OutOfMemoryError: out of memory even with the smallest tiles.
        """
        if isinstance(image, np.ndarray):
            return self._run(image, progress, wanted=1)[0]
        return self._restore_pil(image, progress)

    def compare(self, image: Array) -> BeforeAfter:
        """The picture before and after; the last line of a notebook's cell shows them under a slider.

        Args:
            image: as for a call, but an array.

        Raises:
            InputError, OutOfMemoryError: as for a call; a multi-frame network shows the middle frame.
        """
        after = self(image)
        return BeforeAfter(middle(image), after)

    def _repr_html_(self) -> str:
        card = self.card
        rows = {
            "frames at once": self.frames,
            "runs on": f"{self.device}, {self.precision}, {self.engine.name}",
            "strength": self.options.strength,
            "trained on": f"{card.patches:,} patches" if card.patches else "unknown",
            "licence of the weights": card.licence or "unknown",
            "limits": card.limits or "unknown",
        }
        return table(card.name or "a network without a card", rows)

    def batch(self, images: Sequence[Array]) -> list[Array]:
        """Restore pictures in one pass of the network; each picture has its own gates.

        Results equal those of single calls: bit-identical if `same_together`, otherwise within one rounding level.
        Pictures that must be tiled are processed one by one. `notes` covers all of them.

        Args:
            images: HxWx3 arrays of one shape and one dtype, uint8 or uint16.

        Raises:
            InputError: unsupported picture type, different shapes or dtypes, or non-finite values for one of them.
            OutOfMemoryError: out of memory even with one picture at a time and the smallest tiles.
        """
        self.engine.notes = []
        for image in images:
            self._check(image)
        if not images:
            return []
        first = images[0]
        if any(image.shape != first.shape or image.dtype != first.dtype for image in images):
            raise InputError("pictures of a batch must have one shape and one dtype")
        if any(image[content_box(image)].shape != image.shape for image in images):
            return [self._run(image, None, 1)[0] for image in images]  # without borders, shapes differ
        return self._passes.batch(self._passes.filled(images))[: len(images)]

    def at_once(self, height: int, width: int) -> int:
        """The best number of pictures of this size per call of `batch`; 1 if batching has no benefit."""
        return self._passes.at_once(height, width)

    @property
    def same_together(self) -> bool:
        """Whether results of `batch` are bit-identical to those of single pictures, up to `at_once` of them."""
        return self.engine.same_together

    def fingerprint(self) -> str:
        """Identifies everything that results depend on: weights, engine, options, device, precision, threads.

        With automatic tiling, tile borders depend on free memory, which can change a value by one level.
        """
        settings = (self.options.tile, self.options.strength, str(self.device), self.precision)
        return f"{self.engine.fingerprint()} {settings}"

    def layers(self, image: Array, progress: Progress | None = None) -> PictureLayers:
        """Derained picture, rain layer and repaired detail of an HxWx3 uint8 or uint16 array."""
        return PictureLayers(*self._run(image, progress, wanted=3))

    def restore(self, pictures: Tensor) -> Tensor:
        """Remove rain from (N, 3, H, W) in [0, 1]; the result is clamped, on the same device, in the same dtype.

        Pictures are not tiled and have their own gates. Multi-frame networks take (N, 3*F, H, W) and return the middle
        frames.

        Raises:
            InputError: wrong shape, or the network returns non-finite values.
        """
        import torch

        channels = COLOURS * self.frames
        if pictures.ndim != 4 or pictures.shape[1] != channels:
            raise InputError(f"pictures must be (N, {channels}, H, W), not {tuple(pictures.shape)}")
        with torch.inference_mode():
            if isinstance(self.device, Host):
                rainy: Any = pictures.float().cpu().numpy()
            else:
                rainy = pictures.to(self.device, torch.float32)
            blended = blend(middle_frame(rainy), self.engine.run(rainy).derained, self.options.strength)
            return torch.as_tensor(blended).to(pictures.device, pictures.dtype)

    def _restore_pil(self, image: Image, progress: Progress | None) -> Image:
        from PIL import Image as PillowImage

        if image.mode not in {"RGB", "RGBA", "L", "LA"}:
            raise InputError(f"unsupported PIL mode {image.mode}", hint="convert it to RGB, RGBA, L or LA")
        pixels = np.asarray(image.convert("RGB"))
        alpha = np.asarray(image.getchannel("A")) if image.mode in {"RGBA", "LA"} else None
        derained = keep_hidden(self._run(fill_hidden(pixels, alpha), progress, wanted=1)[0], pixels, alpha)
        out = PillowImage.fromarray(derained).convert("L" if image.mode in {"L", "LA"} else "RGB")
        if alpha is not None:
            out.putalpha(image.getchannel("A"))
        return out

    def _check(self, image: Array) -> None:
        channels = COLOURS * self.frames
        if image.ndim == 3 and image.shape[2] == COLOURS != channels:
            raise InputError(f"this network needs {self.frames} frames of a clip at once; it is not for photos")
        if image.ndim != 3 or image.shape[2] != channels or image.dtype not in (np.uint8, np.uint16) or not image.size:
            raise InputError(f"a picture must be HxWx{channels} uint8 or uint16, not {image.dtype} {image.shape}")

    def _run(self, image: Array, progress: Progress | None, wanted: int) -> list[Array]:
        """The first `wanted` arrays of `PictureLayers`, computed tile by tile; only tiles leave host memory."""
        self._check(image)
        self.engine.notes = []
        box = content_box(image)
        inside = image[box]
        if inside.shape == image.shape:
            return self._run_inside(image, progress, wanted)
        # Flat borders are not passed to the network: they contain no rain, and would distort the gates.
        found = self._run_inside(np.ascontiguousarray(inside), progress, wanted)
        seen = middle(image)
        layers = [seen.copy(), *_empty_layers(seen)][:wanted]
        for layer, part in zip(layers, found, strict=True):
            layer[box] = part
        return layers

    def _run_inside(self, image: Array, progress: Progress | None, wanted: int) -> list[Array]:
        filled = self._passes.filled([image])
        if wanted > 1 or len(filled) == 1:
            return self._passes.one(image, progress, wanted)
        derained = self._passes.batch(filled)[0]
        if progress:
            progress(1.0)
        return [derained]
