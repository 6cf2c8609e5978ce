"""The building blocks of the paper (Fig. 4): convolution with batch normalisation, SE, DCCL, SDCAB.

All of them map (N, M, H, W) to (N, M, H, W), keep the memory format and work in any floating dtype.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derain_cli.model.architecture import DILATIONS, SQUEEZE
from derain_cli.model.prelu import RowPReLU

__all__ = [
    "SDCAB",
    "DilatedConcat",
    "DirectBlock",
    "MultiScaleConv",
    "RainResidualBlock",
    "ResidualBlock",
    "SqueezeExcitation",
    "merge",
    "start_small",
]

_TAIL_SCALE = 0.01


def start_small(tail: nn.Conv2d) -> nn.Conv2d:
    """Scale down the last convolution of a network, in place, and return it.

    The untrained network is then close to the identity: training starts at the input's score instead of 8 dB
    below it, and is far ahead after the first few hundred steps (measured).
    """
    with torch.no_grad():
        tail.weight.mul_(_TAIL_SCALE)
        nn.init.zeros_(tail.get_parameter("bias"))
    return tail


class SqueezeExcitation(nn.Module):
    """Channel gates from globally pooled features: Linear M->4, ReLU, Linear 4->M, sigmoid; no biases."""

    def __init__(self, width: int):
        super().__init__()
        self.squeeze = nn.Linear(width, SQUEEZE, bias=False)
        self.excite = nn.Linear(SQUEEZE, width, bias=False)

    def gates(self, x: Tensor) -> Tensor:
        """(N, M, H, W) -> gates (N, M, 1, 1) in (0, 1)."""
        pooled = x.mean(dim=(2, 3))
        return torch.sigmoid(self.excite(F.relu(self.squeeze(pooled))))[:, :, None, None]

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gates(x)


class DilatedConcat(nn.Module):
    """DCCL (eq. 2): 3x3 convolutions with dilation 1, 3 and 5, concatenated, then a 1x1; no activation in between.

    Everything here is linear, so the concatenation is never materialised: the 1x1 is multiplied into the
    three kernels (a small matrix product) and the results are summed. Same parameters, same function and
    same gradients up to rounding, with 27 taps instead of 30 and no tensor of 3M channels.
    """

    def __init__(self, width: int):
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(width, width, 3, padding=d, dilation=d) for d in DILATIONS)
        self.mix = nn.Conv2d(len(DILATIONS) * width, width, 1)

    def merged(self) -> tuple[list[Tensor], Tensor]:
        """Kernels (M, M, 3, 3), one per dilation, and the bias (M,) of the equivalent sum of three convolutions."""
        return merge([self])[0]

    def forward(self, x: Tensor) -> Tensor:
        kernels, bias = self.merged()
        total = F.conv2d(x, kernels[0], bias, padding=DILATIONS[0], dilation=DILATIONS[0])
        for kernel, dilation in zip(kernels[1:], DILATIONS[1:], strict=True):
            total = total + F.conv2d(x, kernel, padding=dilation, dilation=dilation)
        return total


def merge(layers: Sequence[DilatedConcat]) -> list[tuple[list[Tensor], Tensor]]:
    """The result of `DilatedConcat.merged` for several layers of the same width, in one batched matrix product."""
    if not layers:
        return []
    branches = [branch for layer in layers for branch in layer.branches]
    mixers = torch.stack([m for layer in layers for m in layer.mix.weight[:, :, 0, 0].chunk(len(DILATIONS), dim=1)])
    # Columns in the order (h, w, I), so that channels-last kernels need no copy.
    kernels = torch.stack([branch.get_parameter("weight").permute(0, 2, 3, 1) for branch in branches])
    mixed = (mixers @ kernels.flatten(2)).view_as(kernels).permute(0, 1, 4, 2, 3)
    inner = torch.stack([branch.get_parameter("bias") for branch in branches])
    added = (mixers @ inner[..., None])[..., 0].view(len(layers), len(DILATIONS), -1).sum(1)
    biases = torch.stack([layer.mix.get_parameter("bias") for layer in layers]) + added
    several = torch.split(mixed, len(DILATIONS))
    return [(list(each.unbind()), bias) for each, bias in zip(several, biases.unbind(), strict=True)]


class _Pair(nn.Module):
    """layer-BN-PReLU-layer-BN, the branch common to all two-layer blocks."""

    def __init__(self, first: nn.Module, second: nn.Module, width: int):
        super().__init__()
        self.first, self.norm1 = first, nn.BatchNorm2d(width)
        self.act = RowPReLU(width)
        self.second, self.norm2 = second, nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.norm1(self.first(x)))
        out: Tensor = self.norm2(self.second(x))
        return out


def _conv(width: int) -> nn.Conv2d:
    return nn.Conv2d(width, width, 3, padding=1)


class DirectBlock(_Pair):
    """Conv-BN-PReLU-Conv-BN without a skip (`DB`, Fig. 4a)."""

    def __init__(self, width: int):
        super().__init__(_conv(width), _conv(width), width)


class ResidualBlock(DirectBlock):
    """The direct block with its input added (`RB`, Fig. 4b)."""

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = super().forward(x)
        return x + branch


class RainResidualBlock(DirectBlock):
    """Rain residual block (eq. 1, Fig. 4d): a direct block, SE on the branch, then the input is added."""

    def __init__(self, width: int):
        super().__init__(width)
        self.se = SqueezeExcitation(width)

    def branch(self, x: Tensor) -> Tensor:
        """The branch before its gates."""
        out: Tensor = super().forward(x)
        return out

    def forward(self, x: Tensor) -> Tensor:
        branch = self.branch(x)
        return torch.addcmul(x, branch, self.se.gates(branch).to(branch.dtype))


class SDCAB(_Pair):
    """Structure detail context aggregation block (eq. 3, 4): DCCL-BN-PReLU-DCCL-BN with its input added."""

    def __init__(self, width: int):
        super().__init__(DilatedConcat(width), DilatedConcat(width), width)

    def forward(self, x: Tensor) -> Tensor:
        branch: Tensor = super().forward(x)
        return x + branch


class MultiScaleConv(nn.Module):
    """Parallel dilated convolutions whose outputs are added, as MSARR applies them to the picture itself.

    (N, C, H, W) -> (N, M, H, W). Unlike the DCCL, it has no weights between the branches (section III-B of
    the paper, 'Relationship between our SDCAB and MSARR').
    """

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.branches = nn.ModuleList(nn.Conv2d(channels, width, 3, padding=d, dilation=d) for d in DILATIONS)

    def forward(self, x: Tensor) -> Tensor:
        outputs = [branch(x) for branch in self.branches]
        return torch.stack(outputs).sum(0)
