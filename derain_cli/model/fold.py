"""The inference form: every batch normalisation, bias and 1x1 is folded into the 3x3 convolutions.

In evaluation mode everything between the input of a convolution (or DCCL) and its BN is linear, so
it is folded in float64 and rounded once. Gates can be measured apart from the forward pass, so that
all tiles of a picture share one set (`measure_gates`).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from derain_cli.config import ModelConfig
from derain_cli.model.blocks import (
    DILATIONS,
    DilatedConcat,
    MultiScaleConv,
    RainResidualBlock,
    SqueezeExcitation,
)
from derain_cli.model.semi_drdnet import Layers, SemiDRDNet, from_blocks, to_blocks

__all__ = ["FoldedSemiDRDNet", "Gates", "fold"]

Gates = list[Tensor]
"""Gates of the rain residual blocks in order, each (1, M, 1, 1) in (0, 1)."""


class _DilatedSum(nn.Module):
    """Sum of 3x3 convolutions, one per dilation, with one bias; a plain convolution is the case of one dilation."""

    def __init__(self, kernels: Sequence[Tensor], bias: Tensor, dilations: Sequence[int]):
        super().__init__()
        self.dilations = tuple(dilations)
        self.kernels = nn.ParameterList(nn.Parameter(k, requires_grad=False) for k in kernels)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        first, *rest = zip(self.kernels, self.dilations, strict=True)
        total = F.conv2d(x, first[0], self.bias, padding=first[1], dilation=first[1])
        for kernel, dilation in rest:
            total += F.conv2d(x, kernel, padding=dilation, dilation=dilation)
        return total


def _fold_layer(layer: nn.Module, norm: nn.Module | None) -> _DilatedSum:
    """`layer` (and the BN after it) as one `_DilatedSum`."""
    if isinstance(layer, DilatedConcat):
        wide = DilatedConcat(layer.mix.out_channels).double()
        wide.load_state_dict({k: v.double() for k, v in layer.state_dict().items()})
        kernels, bias = wide.merged()
        dilations: Sequence[int] = DILATIONS
    elif isinstance(layer, MultiScaleConv):
        kernels = [branch.get_parameter("weight").double() for branch in layer.branches]
        bias = torch.stack([branch.get_parameter("bias").double() for branch in layer.branches]).sum(0)
        dilations = DILATIONS
    else:
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        kernels, bias, dilations = [layer.weight.double()], layer.bias.double(), (1,)
    if isinstance(norm, nn.BatchNorm2d):
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
        kernels = [k * scale[:, None, None, None] for k in kernels]
        bias = (bias - norm.running_mean.double()) * scale + norm.bias.double()
    return _DilatedSum([k.detach().float() for k in kernels], bias.detach().float(), dilations)


class _FoldedBlock(nn.Module):
    """layer, PReLU, layer; then optional gates and the skip."""

    def __init__(self, block: nn.Module):
        super().__init__()
        self.first = _fold_layer(block.get_submodule("first"), block.get_submodule("norm1"))
        self.slope = nn.Parameter(block.get_submodule("act").get_parameter("weight").detach().clone(), False)
        self.second = _fold_layer(block.get_submodule("second"), block.get_submodule("norm2"))
        self.se: SqueezeExcitation | None = None
        if isinstance(block, RainResidualBlock):
            self.se = SqueezeExcitation(self.slope.numel())
            self.se.load_state_dict(block.se.state_dict())
            self.se.requires_grad_(False)
        self.skip = type(block).__name__ != "DirectBlock"

    def branch(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(F.prelu(self.first(x), self.slope))
        return out

    def forward(self, x: Tensor, gates: Tensor | None = None) -> Tensor:
        branch = self.branch(x)
        if self.se is None:
            return branch.add_(x) if self.skip else branch
        gates = self.se.gates(branch) if gates is None else gates
        return torch.addcmul(x, branch, gates.to(branch.dtype))


class _FoldedSubNetwork(nn.Module):
    def __init__(self, net: nn.Module):
        super().__init__()
        self.head = _fold_layer(net.get_submodule("head"), None)
        self.slope = nn.Parameter(net.get_submodule("act").get_parameter("weight").detach().clone(), False)
        # MSARR applies one block several times: children() lists it once.
        blocks = net.get_submodule("blocks")
        folded = [_FoldedBlock(block) for block in blocks.children()]
        self.blocks = nn.ModuleList(folded)
        self.depth = len(blocks)  # type: ignore[arg-type]
        self.body = _fold_layer(net.get_submodule("body"), net.get_submodule("norm"))
        self.tail = _fold_layer(net.get_submodule("tail"), None)

    def forward(self, x: Tensor, gates: Gates | None = None) -> Tensor:
        start = F.prelu(self.head(x), self.slope)
        features = start
        for index in range(self.depth):
            block = self.blocks[index % len(self.blocks)]
            features = block(features, None if gates is None else gates[index])
        out: Tensor = self.tail(self.body(features).add_(start))
        return out

    def measure_gates(self, x: Tensor) -> Gates:
        """Gates as if the crops of the batch were one picture: pooled over batch, height and width."""
        features, gates = F.prelu(self.head(x), self.slope), []
        for block in self.blocks:
            assert isinstance(block, _FoldedBlock) and block.se is not None
            branch = block.branch(features)
            # Equal-sized crops: the mean of their means is the mean over all of them.
            pooled = branch.mean(dim=(0, 2, 3), keepdim=True)
            gates.append(block.se.gates(pooled))
            features = torch.addcmul(features, branch, gates[-1].to(branch.dtype))
        return gates


class FoldedSemiDRDNet(nn.Module):
    """`SemiDRDNet` for inference: (N, 3, H, W) in [0, 1] -> `Layers`; no gradients, no batch statistics."""

    def __init__(self, model: SemiDRDNet):
        super().__init__()
        self.config: ModelConfig = model.config
        self.rrn = _FoldedSubNetwork(model.rrn)
        self.drn = None if model.drn is None else _FoldedSubNetwork(model.drn)
        self.eval()

    @torch.inference_mode()
    def forward(self, rainy: Tensor, gates: Gates | None = None) -> Layers:
        """Layers in the network's dtype; `gates` from `measure_gates` replace those of this picture."""
        height, width = rainy.shape[-2:]
        unshuffle = self.config.unshuffle
        x = self._input(rainy)
        rain = from_blocks(self.rrn(x, gates), unshuffle, height, width).to(rainy.dtype)
        if self.drn is None:
            return Layers(rainy - rain, rain, torch.zeros_like(rain))
        detail = from_blocks(self.drn(x), unshuffle, height, width).to(rainy.dtype)
        return Layers(rainy - rain + detail, rain, detail)

    @torch.inference_mode()
    def measure_gates(self, crops: Tensor) -> Gates | None:
        """Gates of a picture from equal-sized crops (N, 3, H, W) of it; None for a network without SE."""
        if not self.config.se:
            return None
        return self.rrn.measure_gates(self._input(crops))

    def _input(self, rainy: Tensor) -> Tensor:
        dtype = self.rrn.slope.dtype
        return to_blocks(rainy.to(dtype), self.config.unshuffle).contiguous(memory_format=torch.channels_last)


def fold(model: SemiDRDNet) -> FoldedSemiDRDNet:
    """The inference form of `model`, in fp32 on its device; differs from `model.eval()` by rounding only (1e-5)."""
    folded = FoldedSemiDRDNet(model).to(next(model.parameters()).device, torch.float32)
    return folded.to(memory_format=torch.channels_last)
