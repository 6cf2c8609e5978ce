"""Two small deraining networks from the literature, written from their papers, to attach a DRN to.

Both map (N, 3, H, W) in [0, 1] to clean pictures of the same shape, unclamped. Their last convolution starts small,
as in our networks, so that all of them start at the score of the rainy picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derain_cli.model.blocks import ResidualBlock, start_small

__all__ = ["DeepDetailNetwork", "ProgressiveRecurrentNetwork", "guided_base"]


def _box_mean(x: Tensor, radius: int) -> Tensor:
    """Mean over (2 radius + 1)^2 pixels, at the edges over those inside the picture; separable."""
    side = 2 * radius + 1
    x = F.avg_pool2d(x, (side, 1), stride=1, padding=(radius, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, side), stride=1, padding=(0, radius), count_include_pad=False)


def guided_base(picture: Tensor, radius: int = 15, eps: float = 1.0) -> Tensor:
    """The base layer of (N, C, H, W): the guided filter with the picture as its own guide (He, Sun and Tang 2010).

    Args:
        picture: in [0, 1].
        radius: of the window, pixels; 15 and `eps` 1 are the values of the detail network.
        eps: variance below which a window is smoothed.
    """
    mean = _box_mean(picture, radius)
    variance = (_box_mean(picture * picture, radius) - mean * mean).clamp_min(0)
    slope = variance / (variance + eps)
    offset = mean * (1 - slope)
    return _box_mean(slope, radius) * picture + _box_mean(offset, radius)


class DeepDetailNetwork(nn.Module):
    """DDN (Fu et al., "Removing rain from single images via a deep detail network", CVPR 2017).

    The residual network sees only the detail layer O - base(O) and predicts the negative residual, which is added to O.
    The residual blocks are `ResidualBlock`.

    Args:
        width: channels; 16 in the paper.
        blocks: residual blocks of two convolutions; 12 in the paper.
    """

    def __init__(self, width: int = 16, blocks: int = 4):
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(width) for _ in range(blocks)))
        self.tail = start_small(nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, rainy: Tensor) -> Tensor:
        detail = rainy - guided_base(rainy)
        residual: Tensor = self.tail(self.blocks(self.head(detail)))
        return rainy + residual


class ProgressiveRecurrentNetwork(nn.Module):
    """PReNet (Ren et al., "Progressive image deraining networks: a better and simpler baseline", CVPR 2019).

    The same small network is applied repeatedly: it sees the rainy picture and its previous result, and a
    convolutional LSTM carries features from stage to stage.

    Args:
        width: channels; 32 in the paper.
        blocks: residual blocks per stage; 5 in the paper.
        stages: number of applications; 6 in the paper.
    """

    def __init__(self, width: int = 16, blocks: int = 2, stages: int = 3):
        super().__init__()
        self.stages = stages
        self.head = nn.Sequential(nn.Conv2d(6, width, 3, padding=1), nn.ReLU())
        self.gates = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU()
            )
            for _ in range(blocks)
        )
        self.tail = start_small(nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, rainy: Tensor) -> Tensor:
        result, hidden, cell = rainy, None, None
        for _ in range(self.stages):
            features = self.head(torch.cat([rainy, result], 1))
            if hidden is None or cell is None:
                hidden = cell = torch.zeros_like(features)
            keep, take, show, new = self.gates(torch.cat([features, hidden], 1)).chunk(4, 1)
            cell = torch.sigmoid(keep) * cell + torch.sigmoid(take) * torch.tanh(new)
            hidden = torch.sigmoid(show) * torch.tanh(cell)
            features = hidden
            for block in self.blocks:
                features = F.relu(block(features) + features)
            result = rainy + self.tail(features)
        return result
