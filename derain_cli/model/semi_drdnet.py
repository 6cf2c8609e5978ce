"""Semi-DRDNet: rain residual network f and detail repair network g, in parallel on the rainy picture.

    I_hat = O - f(O),   I = I_hat + g(O)        (eq. 11, 12)

Pictures are RGB in [0, 1] without mean subtraction. Nothing is clamped here: losses see raw
values; inference and metrics clamp.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from derain_cli.config import DetailBlock, ModelConfig
from derain_cli.model.architecture import COLOURS, middle_frame
from derain_cli.model.blocks import (
    SDCAB,
    DirectBlock,
    MultiScaleConv,
    RainResidualBlock,
    ResidualBlock,
    start_small,
)
from derain_cli.model.prelu import RowPReLU

__all__ = [
    "Derainer",
    "DetailRepairNetwork",
    "Layers",
    "RainResidualNetwork",
    "SemiDRDNet",
    "build",
    "detail_network",
    "from_blocks",
    "middle_frame",
    "to_blocks",
]


class Layers(NamedTuple):
    """The network's output for a rainy picture O; each (N, 3, H, W), unclamped.

    Attributes:
        derained: I = O - rain + detail.
        rain: R = f(O), the rain layer.
        detail: g(O), the repaired detail; zero without a DRN.
    """

    derained: Tensor
    rain: Tensor
    detail: Tensor


class Derainer(Protocol):
    """What training and its objectives require of a network: rainy pictures (N, 3, H, W) in [0, 1] -> `Layers`."""

    def __call__(self, rainy: Tensor, /) -> Layers: ...


def to_blocks(picture: Tensor, unshuffle: int) -> Tensor:
    """(N, 3, H, W) -> (N, 3*S*S, ceil(H/S), ceil(W/S)); replicate-padded at the right and bottom edges."""
    if unshuffle == 1:
        return picture
    bottom, right = -picture.shape[-2] % unshuffle, -picture.shape[-1] % unshuffle
    if bottom or right:
        picture = F.pad(picture, (0, right, 0, bottom), mode="replicate")
    return F.pixel_unshuffle(picture, unshuffle)


def from_blocks(features: Tensor, unshuffle: int, height: int, width: int) -> Tensor:
    """The inverse of `to_blocks`: (N, 3*S*S, h, w) -> (N, 3, height, width)."""
    if unshuffle == 1:
        return features
    return F.pixel_shuffle(features, unshuffle)[..., :height, :width]


class _SubNetwork(nn.Module):
    """head-PReLU, blocks, body-BN, addition of the head's output (global feature skip), tail.

    (N, F*C, h, w) -> (N, C, h, w) for F frames; C is `channels`.
    """

    def __init__(
        self, channels: int, width: int, blocks: list[nn.Module], head: nn.Module | None = None, frames: int = 1
    ):
        super().__init__()
        self.head = head or nn.Conv2d(frames * channels, width, 3, padding=1)
        self.act = RowPReLU(width)
        self.blocks = nn.Sequential(*blocks)
        self.body = nn.Conv2d(width, width, 3, padding=1)
        self.norm = nn.BatchNorm2d(width)
        self.tail = start_small(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        start = self.act(self.head(x))
        features = self.norm(self.body(self.blocks(start))) + start
        out: Tensor = self.tail(features)
        return out


class RainResidualNetwork(_SubNetwork):
    """RRN, f: from the rainy picture to its rain layer R (section III-A). `se=False` is the baseline of Table II."""

    def __init__(self, channels: int, width: int, blocks: int, se: bool = True, frames: int = 1):
        block = RainResidualBlock if se else ResidualBlock
        super().__init__(channels, width, [block(width) for _ in range(blocks)], frames=frames)


class DetailRepairNetwork(_SubNetwork):
    """DRN, g: from the rainy picture to the detail that deraining loses (section III-B).

    Args:
        channels: per frame, and of the output.
        width: M.
        blocks: D.
        block: `sdcab` is the paper's; `direct` and `residual` are the rows DB and RB of Table II; `msarr` is
            Table V: the sum of parallel dilated convolutions on the picture, then one residual block applied D times
            with shared weights.
        frames: F.
    """

    def __init__(self, channels: int, width: int, blocks: int, block: DetailBlock = "sdcab", frames: int = 1):
        if block == "msarr":
            shared = ResidualBlock(width)
            super().__init__(channels, width, [shared] * blocks, head=MultiScaleConv(frames * channels, width))
            return
        make = {"direct": DirectBlock, "residual": ResidualBlock, "sdcab": SDCAB}[block]
        super().__init__(channels, width, [make(width) for _ in range(blocks)], frames=frames)


def detail_network(config: ModelConfig) -> DetailRepairNetwork | None:
    """The DRN described by `config`, for pixel-unshuffled pictures; None if `detail` is `none`."""
    if config.detail == "none":
        return None
    channels = COLOURS * config.drn_unshuffle**2
    return DetailRepairNetwork(channels, config.drn_width, config.drn_blocks, config.detail, config.frames)


class SemiDRDNet(nn.Module):
    """RRN and DRN in parallel (section III): (N, 3, H, W) in [0, 1] -> `Layers`. Any H, W >= 1.

    For clips both see F successive frames, (N, 3*F, H, W), in temporal order; the layers are those of the middle frame.
    """

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.config = config
        channels = COLOURS * config.unshuffle**2
        self.rrn = RainResidualNetwork(channels, config.width, config.blocks, config.se, config.frames)
        self.drn = detail_network(config)

    def forward(self, rainy: Tensor) -> Layers:
        height, width = rainy.shape[-2:]
        x = to_blocks(rainy, self.config.unshuffle)
        rain = from_blocks(self.rrn(x), self.config.unshuffle, height, width)
        seen = middle_frame(rainy)
        if self.drn is None:
            return Layers(seen - rain, rain, rain.new_zeros(()).expand_as(rain))
        coarse = self.config.drn_unshuffle
        if coarse != self.config.unshuffle:
            x = to_blocks(rainy, coarse)
        detail = from_blocks(self.drn(x), coarse, height, width)
        return Layers(seen - rain + detail, rain, detail)


def build(config: ModelConfig | None = None) -> SemiDRDNet:
    """A network with fresh weights (PyTorch's initialisation, a small tail, PReLU at 0.25); the paper's by default."""
    return SemiDRDNet(config or ModelConfig())
