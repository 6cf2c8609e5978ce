"""The inference form (`folding`) in PyTorch.

Gates can be measured separately from the forward pass, so that all tiles of a picture share one set (`measure_gates`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from derain_cli.config import ModelConfig
from derain_cli.model.blocks import SqueezeExcitation
from derain_cli.model.convolution import add_convolution, convolution, in_one_pass
from derain_cli.model.folding import Block, Folded, SubNetwork, Sum, folded
from derain_cli.model.prelu import prelu_
from derain_cli.model.semi_drdnet import Layers, SemiDRDNet, from_blocks, middle_frame, to_blocks

__all__ = ["DilatedSum", "FoldedBlock", "FoldedSemiDRDNet", "FoldedSubNetwork", "Gates", "fold"]

Gates = list[Tensor]
"""Gates of the rain residual blocks in order, each (1, M, 1, 1) in (0, 1)."""

_LARGE_MAP = 2**25
"""Bytes above which glibc maps fresh pages for every allocation, so one buffer is reused for all blocks; for smaller
maps, zeroing the buffer costs more than allocating."""


class DilatedSum(nn.Module):
    """Sum of 3x3 convolutions, one per dilation, with one bias; with one dilation, a plain convolution."""

    def __init__(self, kernels: Sequence[Tensor], bias: Tensor, dilations: Sequence[int]):
        super().__init__()
        self.dilations = tuple(dilations)
        self.kernels = nn.ParameterList(nn.Parameter(k, requires_grad=False) for k in kernels)
        self.bias = nn.Parameter(bias, requires_grad=False)

    def forward(self, x: Tensor, buffer: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, M, H, W), written into `buffer` if given (its contents are overwritten)."""
        if buffer is not None:
            return self.add_to(buffer.zero_(), x)
        first, *rest = zip(self.kernels, self.dilations, strict=True)
        total = convolution(x, first[0], self.bias, first[1])
        for kernel, dilation in rest:
            add_convolution(total, x, kernel, None, dilation)
        return total

    def add_to(self, total: Tensor, x: Tensor) -> Tensor:
        """Add the result for `x` to `total`, in place; returns `total`."""
        bias: Tensor | None = self.bias
        for kernel, dilation in zip(self.kernels, self.dilations, strict=True):
            add_convolution(total, x, kernel, bias, dilation)
            bias = None
        return total

    def add_gated_to(self, total: Tensor, x: Tensor, gates: Tensor) -> Tensor:
        """`add_to`, with the result multiplied by `gates`, (N, M, 1, 1) or (1, M, 1, 1); for one dilation only."""
        (kernel,), (dilation,) = self.kernels, self.dilations
        if not in_one_pass(x):
            return total.addcmul_(self(x), gates.to(x.dtype))
        # Gates scale output channels, so they are folded into the kernel, which saves a pass over the picture.
        for index in range(len(x)):
            gate = gates[index if len(gates) > 1 else 0].float()
            scaled = (kernel.float() * gate[..., None]).to(kernel.dtype)
            bias = (self.bias.float() * gate.flatten()).to(kernel.dtype)
            add_convolution(total[index : index + 1], x[index : index + 1], scaled, bias, dilation)
        return total

    def pooled(self, x: Tensor) -> Tensor:
        """Mean over height and width of the result for `x`, fp32 (N, M), without computing it; for dilation 1 only.

        The mean of a convolution follows from the mean of its input under each tap; an outer tap misses one row or
        column at the edge.
        """
        (kernel,) = self.kernels
        count, channels, height, width = x.shape
        if in_one_pass(x):
            # Summed over rows by a matrix product: torch's sum over channels-last pixels takes ten times as long. One
            # product over all pixels would take twice as long and lose precision in the large sums.
            lines = x.permute(0, 2, 3, 1).reshape(count, height, width * channels)
            columns = (lines.new_ones(1, 1, height) @ lines).float()
            total = columns.view(count, width, channels).sum(1)
        else:
            total = x.sum((2, 3), dtype=torch.float32)
        # Taps in the first row or column miss the last one of the picture, and vice versa.
        rows = torch.stack([x[:, :, -1], x[:, :, 0]], dim=2)
        missed_rows = rows.sum(-1, dtype=torch.float32)
        missed_columns = torch.stack([x[..., -1], x[..., 0]], dim=-1).sum(-2, dtype=torch.float32)
        under = total[..., None, None].repeat(1, 1, 3, 3)
        under[:, :, ::2] -= missed_rows[..., None]
        under[..., ::2] -= missed_columns[:, :, None]
        under[:, :, ::2, ::2] += torch.stack([rows[..., -1], rows[..., 0]], dim=-1).float()
        return torch.einsum("ncyx,mcyx->nm", under / (height * width), kernel.float()) + self.bias.float()


def _dilated_sum(layer: Sum) -> DilatedSum:
    return DilatedSum(
        [torch.from_numpy(kernel) for kernel in layer.kernels], torch.from_numpy(layer.bias), layer.dilations
    )


def _fixed(array: NDArray[np.float32]) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(array), requires_grad=False)


class FoldedBlock(nn.Module):
    """layer, PReLU, layer; then optional gates and the skip."""

    def __init__(self, block: Block):
        super().__init__()
        self.first = _dilated_sum(block.first)
        self.slope = _fixed(block.slope)
        self.second = _dilated_sum(block.second)
        self.se: SqueezeExcitation | None = None
        if block.se is not None:
            self.se = SqueezeExcitation(len(block.slope))
            self.se.squeeze.weight = _fixed(block.se.squeeze)
            self.se.excite.weight = _fixed(block.se.excite)
        self.skip = block.skip

    def hidden(self, x: Tensor, buffer: Tensor | None = None) -> Tensor:
        """Input of the second layer for features `x`; written into `buffer` if given."""
        return prelu_(self.first(x, buffer), self.slope)

    def gates(self, hidden: Tensor, together: bool) -> Tensor | None:
        """(N, M, 1, 1), or (1, M, 1, 1) for the whole batch if `together`; None without SE."""
        if self.se is None:
            return None
        if len(hidden) > 1 and not together and hidden.device.type == "cpu":
            # Batched sums round differently: pool each picture separately, for the same result as when it is alone.
            return torch.cat([self._gates_of(self.second.pooled(one)) for one in torch.split(hidden, 1)])
        pooled = self.second.pooled(hidden)
        if together:
            # The crops have equal sizes, so the mean of their means is the overall mean.
            pooled = pooled.mean(0, keepdim=True)
        return self._gates_of(pooled)

    def _gates_of(self, pooled: Tensor) -> Tensor:
        assert self.se is not None
        return self.se.gates(pooled[..., None, None].to(self.slope.dtype))

    def add_to(self, x: Tensor, hidden: Tensor, gates: Tensor | None) -> Tensor:
        """The block's result; overwrites its input `x`."""
        if gates is not None:
            return self.second.add_gated_to(x, hidden, gates)
        return self.second.add_to(x if self.skip else x.zero_(), hidden)


class FoldedSubNetwork(nn.Module):
    def __init__(self, net: SubNetwork):
        super().__init__()
        self.head = _dilated_sum(net.head)
        self.slope = _fixed(net.slope)
        # MSARR applies one block several times.
        self.blocks = nn.ModuleList(FoldedBlock(block) for block in net.blocks)
        self.depth = net.depth
        self.body = _dilated_sum(net.body)
        self.tail = _dilated_sum(net.tail)

    def forward(self, x: Tensor, gates: Gates | None = None) -> Tensor:
        start = prelu_(self.head(x), self.slope)
        features, _ = self._after_blocks(start.clone(), gates)
        out: Tensor = self.tail(self.body.add_to(start, features))
        return out

    def measure_gates(self, x: Tensor) -> Gates:
        """Gates of the crops as if they were one picture: pooled over batch, height and width."""
        return self._after_blocks(prelu_(self.head(x), self.slope), None, together=True)[1]

    def _after_blocks(self, x: Tensor, gates: Gates | None, together: bool = False) -> tuple[Tensor, Gates]:
        """Features after all blocks, overwriting `x`, and the gates used; they are measured if not given."""
        buffer = torch.empty_like(x) if x.device.type == "cpu" and x.nbytes > _LARGE_MAP else None
        used: Gates = []
        for index in range(self.depth):
            block = self.blocks[index % len(self.blocks)]
            assert isinstance(block, FoldedBlock)
            hidden = block.hidden(x, buffer)
            gate = block.gates(hidden, together) if gates is None else gates[index]
            if gate is not None:
                used.append(gate)
            x = block.add_to(x, hidden, gate)
        return x, used


class FoldedSemiDRDNet(nn.Module):
    """`SemiDRDNet` for inference: (N, 3*F, H, W) in [0, 1] -> `Layers`; no gradients, no batch statistics.

    Attributes:
        folded: the same as arrays, fp32.
    """

    def __init__(self, net: Folded):
        super().__init__()
        self.folded = net
        self.config: ModelConfig = net.config
        self.rrn = FoldedSubNetwork(net.rrn)
        self.drn = None if net.drn is None else FoldedSubNetwork(net.drn)
        self.eval()

    @torch.inference_mode()
    def forward(self, rainy: Tensor, gates: Gates | None = None) -> Layers:
        """Layers in the dtype of `rainy`; `gates` from `measure_gates` replace those of this picture."""
        height, width = rainy.shape[-2:]
        fine, coarse = self.config.unshuffle, self.config.drn_unshuffle
        x = self._input(rainy, fine)
        rain = from_blocks(self.rrn(x, gates), fine, height, width).to(rainy.dtype)
        seen = middle_frame(rainy)
        if self.drn is None:
            return Layers(seen - rain, rain, torch.zeros_like(rain))
        x = x if coarse == fine else self._input(rainy, coarse)
        detail = from_blocks(self.drn(x), coarse, height, width).to(rainy.dtype)
        return Layers(seen - rain + detail, rain, detail)

    @torch.inference_mode()
    def measure_gates(self, crops: Tensor) -> Gates | None:
        """Gates of a picture from equal-sized crops (N, 3, H, W) of it; None for a network without SE."""
        if not self.config.se:
            return None
        return self.rrn.measure_gates(self._input(crops, self.config.unshuffle))

    def _input(self, rainy: Tensor, unshuffle: int) -> Tensor:
        dtype = self.rrn.slope.dtype
        return to_blocks(rainy.to(dtype), unshuffle).contiguous(memory_format=torch.channels_last)


def fold(model: SemiDRDNet) -> FoldedSemiDRDNet:
    """The inference form of `model`, in fp32 on its device; differs from `model.eval()` by rounding only (1e-5)."""
    device = next(model.parameters()).device
    # Kernels are merged in fp64 on the CPU, since not every device supports fp64.
    tensors = {name: tensor.detach().float().cpu().numpy() for name, tensor in model.state_dict().items()}
    net = FoldedSemiDRDNet(folded(model.config, tensors))
    return net.to(device, torch.float32).to(memory_format=torch.channels_last)
