"""The training form of a network with frozen batch normalisation: the same function, in far fewer passes over memory.

With frozen statistics, convolution and normalisation are one linear map, so kernels are folded in every step, as for
inference (`fold`), but differentiably with respect to the parameters of `SemiDRDNet`. The rest of a sub-network is a
single autograd function with its own backward pass: convolutions accumulate in place, gates take one pass over the map
instead of four, and PReLU, which torch computes slowly on a CPU unless the channels fill its vectors, treats whole rows
of pixels as channels. Besides the convolutions, about one pass per layer remains.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, cast

import torch
from torch import Tensor, nn

from derain_cli.model.architecture import DILATIONS
from derain_cli.model.blocks import DilatedConcat, DirectBlock, RainResidualBlock, merge
from derain_cli.model.convolution import add_convolution, convolution
from derain_cli.model.prelu import from_rows, prelu, prelu_backward, rows, wide
from derain_cli.model.semi_drdnet import Layers, SemiDRDNet, from_blocks, middle_frame, to_blocks

__all__ = ["Folded", "FrozenForm", "has_frozen_form"]


Folded: TypeAlias = list[list[Tensor]]
"""The folded tensors of `FrozenForm`, one list per sub-network."""


def has_frozen_form(model: nn.Module) -> bool:
    """Whether `FrozenForm` supports `model`: any `SemiDRDNet` except the MSARR variant, whose blocks share weights."""
    return isinstance(model, SemiDRDNet) and model.config.detail != "msarr"


@dataclass(frozen=True)
class _Block:
    """The structure of a block, without its tensors: dilations of both layers, gates, skip."""

    first: tuple[int, ...]
    second: tuple[int, ...]
    gated: bool
    skip: bool


class FrozenForm:
    """`model` with frozen batch statistics: rainy pictures (N, 3, H, W) in [0, 1] -> `Layers`, with gradients.

    Args:
        model: its parameters are trained in place; they and its running statistics are read in every call.
        dtype: of the feature maps and convolutions; parameters keep theirs.
    """

    def __init__(self, model: SemiDRDNet, dtype: torch.dtype):
        self.model, self.dtype = model, dtype
        self._nets = [(net, _plan(net), _Inner(net)) for net in (model.rrn, model.drn) if net is not None]

    def __call__(self, rainy: Tensor) -> Layers:
        return self.run(rainy, self.folded())

    def folded(self) -> Folded:
        """The tensors that `run` needs, per sub-network, computed differentiably."""
        # Folding is cheap and done in fp32, whatever the caller's autocast dtype.
        with torch.autocast(self.model.rrn.tail.weight.device.type, enabled=False):
            return [_folded(net, inner, self.dtype) for net, _, inner in self._nets]

    def run(self, rainy: Tensor, folded: Folded) -> Layers:
        """Layers computed from `folded` tensors, or from others of the same shapes."""
        with torch.autocast(rainy.device.type, enabled=False):  # gates are in fp32
            return self._layers(rainy, folded)

    def _layers(self, rainy: Tensor, folded: Folded) -> Layers:
        height, width = rainy.shape[-2:]
        config, layers = self.model.config, []
        picture = rainy.to(self.dtype)
        for (_, plan, _), tensors, unshuffle in zip(
            self._nets, folded, (config.unshuffle, config.drn_unshuffle), strict=False
        ):
            x = to_blocks(picture, unshuffle).contiguous(memory_format=torch.channels_last)
            out: Tensor = _SubNetwork.apply(x, plan, *tensors)
            layers.append(from_blocks(out, unshuffle, height, width).to(rainy.dtype))
        rain, seen = layers[0], middle_frame(rainy)
        if len(layers) == 1:
            return Layers(seen - rain, rain, rain.new_zeros(()).expand_as(rain))
        return Layers(seen - rain + layers[1], rain, layers[1])


def _plan(net: nn.Module) -> tuple[_Block, ...]:
    def dilations(layer: nn.Module) -> tuple[int, ...]:
        return DILATIONS if isinstance(layer, DilatedConcat) else (1,)

    return tuple(
        _Block(
            dilations(block.get_submodule("first")),
            dilations(block.get_submodule("second")),
            isinstance(block, RainResidualBlock),
            type(block) is not DirectBlock,
        )
        for block in net.get_submodule("blocks").children()
    )


class _Inner:
    """The layers of a sub-network between head and tail, folded together: one small operation for all layers instead
    of one for each."""

    def __init__(self, net: nn.Module):
        blocks = list(net.get_submodule("blocks").children())
        names = [(block, which) for block in blocks for which in (("first", "norm1"), ("second", "norm2"))]
        pairs = [(block.get_submodule(layer), block.get_submodule(norm)) for block, (layer, norm) in names]
        pairs.append((net.get_submodule("body"), net.get_submodule("norm")))
        self.layers = [layer for layer, _ in pairs]
        self.norms = [cast(nn.BatchNorm2d, norm) for _, norm in pairs]
        self.counts = [len(DILATIONS) if isinstance(layer, DilatedConcat) else 1 for layer in self.layers]
        """Kernels of each layer."""

    def folded(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Kernels (K, O, I, 3, 3), each channels last, and biases (L, O), computed differentiably."""
        concats = [layer for layer in self.layers if isinstance(layer, DilatedConcat)]
        merged = iter(merge(concats))
        kernels: list[Tensor] = []
        biases: list[Tensor] = []
        for layer in self.layers:
            if isinstance(layer, DilatedConcat):
                several, bias = next(merged)
                kernels += several
            else:
                kernels.append(layer.get_parameter("weight"))
                bias = layer.get_parameter("bias")
            biases.append(bias)
        mean, variance = (
            torch.stack([norm.get_buffer(name) for norm in self.norms]) for name in ("running_mean", "running_var")
        )
        weight, shift = (torch.stack([norm.get_parameter(n) for norm in self.norms]) for n in ("weight", "bias"))
        scale = weight * torch.rsqrt(variance + self.norms[0].eps)
        each = scale.repeat_interleave(torch.tensor(self.counts, device=scale.device), dim=0)
        scaled = torch.stack(kernels) * each[..., None, None, None]
        # Each kernel is channels last: (O, 3, 3, I) in memory.
        last = scaled.permute(0, 1, 3, 4, 2).to(dtype, memory_format=torch.contiguous_format).contiguous()
        return last.permute(0, 1, 4, 2, 3), torch.addcmul(shift, torch.stack(biases) - mean, scale).to(dtype)


def _folded(net: nn.Module, inner: _Inner, dtype: torch.dtype) -> list[Tensor]:
    """The tensors of a sub-network in the order of `_SubNetwork`: kernels and biases in `dtype`, the rest as is."""
    kernels, biases = inner.folded(dtype)
    ends = [
        end.get_parameter(name).to(dtype)
        for end in (net.get_submodule("head"), net.get_submodule("tail"))
        for name in ("weight", "bias")
    ]
    blocks = list(net.get_submodule("blocks").children())
    slopes = [part.get_submodule("act").get_parameter("weight") for part in (net, *blocks)]
    gates = [
        weight
        for block in blocks
        if isinstance(block, RainResidualBlock)
        for weight in (block.se.squeeze.weight, block.se.excite.weight)
    ]
    return [kernels, biases, *ends, *slopes, *gates]


class _Gates(NamedTuple):
    """A branch before gating, (N, M, H, W), and the intermediate values of its gates, (N, M) or (N, 4) in fp32."""

    branch: Tensor
    pooled: Tensor
    squeezed: Tensor
    opened: Tensor


class _Seen(NamedTuple):
    """What a block's backward pass needs from its forward pass."""

    x: Tensor
    hidden: Tensor
    active: Tensor
    gates: _Gates | None = None


class _SubNetwork(torch.autograd.Function):
    """RRN or DRN on channels-last input, using the tensors of `_folded`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, plan: tuple[_Block, ...], *tensors: Tensor) -> Tensor:
        kernels, biases, head, head_bias, tail, tail_bias, *rest = tensors
        slopes, gates = iter(rest[: len(plan) + 1]), iter(rest[len(plan) + 1 :])
        inner, bias = iter(kernels.unbind()), iter(biases.unbind())
        first = convolution(x, head, head_bias, 1)
        start = features = prelu(first, next(slopes))
        seen = []
        for block in plan:
            hidden = _sum_of(features, inner, next(bias), block.first)
            active = prelu(hidden, next(slopes))
            branch = _sum_of(active, inner, next(bias), block.second)
            if block.gated:
                pooled = _mean(branch)
                squeezed = (pooled @ next(gates).T).relu()
                opened = torch.sigmoid(squeezed @ next(gates).T)
                seen.append(_Seen(features, hidden, active, _Gates(branch, pooled, squeezed, opened)))
                features = from_rows(torch.addcmul(rows(features), rows(branch), _row(opened, branch)), branch)
            else:
                seen.append(_Seen(features, hidden, active))
                features = branch.add_(features) if block.skip else branch
        body = _sum_of(features, inner, next(bias), (1,)).add_(start)
        ctx.plan, ctx.seen, ctx.maps = plan, seen, (x, first, features, body)
        ctx.save_for_backward(*tensors)
        return convolution(body, tail, tail_bias, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        x, first, last, body = ctx.maps
        kernels, biases, head, _, tail, _, *rest = ctx.saved_tensors
        slopes, gates = rest[: len(ctx.plan) + 1], rest[len(ctx.plan) + 1 :]
        inner = _Backwards(kernels, biases)
        (came,) = (g.to(x.dtype).contiguous(memory_format=torch.channels_last) for g in gradients)
        grad_tail = _kernel_and_bias(body, came, tail, 1)
        around = convolution(came, _turned(tail[None])[0], None, 1)
        inner.kernels(last, around, (1,))
        came = inner.input(around, (1,))
        grad_slopes: list[Tensor] = []
        grad_gates: list[Tensor] = []
        for block, seen in zip(reversed(ctx.plan), reversed(ctx.seen), strict=True):
            through = came
            if seen.gates is not None:
                excite, squeeze = gates.pop(), gates.pop()
                through, grad_squeeze, grad_excite = _through_gates(came, seen.gates, squeeze, excite)
                grad_gates += [grad_excite, grad_squeeze]
            inner.kernels(seen.active, through, block.second)
            active = inner.input(through, block.second)
            hidden, grad_slope = prelu_backward(active, seen.hidden, slopes.pop())
            grad_slopes.append(grad_slope)
            inner.kernels(seen.x, hidden, block.first)
            came = inner.input(hidden, block.first, came if block.skip else None)
        start, grad_slope = prelu_backward(came.add_(around), first, slopes.pop())
        grad_slopes.append(grad_slope)
        grad_head = _kernel_and_bias(x, start, head, 1)
        into = convolution(start, _turned(head[None])[0], None, 1) if ctx.needs_input_grad[0] else None
        ends = (*inner.gradients(), *grad_head, *grad_tail)
        return (into, None, *ends, *reversed(grad_slopes), *reversed(grad_gates))


class _Backwards:
    """Walks the inner layers from last to first and collects the gradients of their kernels and biases."""

    def __init__(self, kernels: Tensor, biases: Tensor):
        self._kernels, self._turned = list(kernels.unbind()), list(_turned(kernels).unbind())
        self._found_kernels: list[Tensor] = []
        self._found_biases: list[Tensor] = []

    def kernels(self, x: Tensor, gradient: Tensor, dilations: tuple[int, ...]) -> None:
        """Store the gradients of the next layer's kernels and bias, from its input `x` and its output gradient."""
        for dilation in reversed(dilations):
            kernel = self._kernels.pop()
            if dilation == dilations[0]:
                found, bias = _kernel_and_bias(x, gradient, kernel, dilation)
                self._found_biases.append(bias)
            else:
                found = _kernel_alone(x, gradient, kernel, dilation)
            self._found_kernels.append(found)

    def input(self, gradient: Tensor, dilations: tuple[int, ...], into: Tensor | None = None) -> Tensor:
        """The gradient of that layer's input, added to the map `into` if given."""
        for dilation in reversed(dilations):
            turned = self._turned.pop()
            if into is None:
                into = convolution(gradient, turned, None, dilation)
            else:
                add_convolution(into, gradient, turned, None, dilation)
        assert into is not None
        return into

    def gradients(self) -> tuple[Tensor, Tensor]:
        """Gradients of all kernels (K, O, I, 3, 3) and of all biases (L, O)."""
        return torch.stack(self._found_kernels[::-1]), torch.stack(self._found_biases[::-1])


def _turned(kernels: Tensor) -> Tensor:
    """Kernels (K, O, I, 3, 3), channels last, for the input gradient: rotated by 180 degrees, input and output channels
    swapped."""
    last = kernels.permute(0, 2, 3, 4, 1).flip(2, 3).contiguous()
    return last.permute(0, 1, 4, 2, 3)


def _kernel_and_bias(x: Tensor, gradient: Tensor, kernel: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    around, wanted = [dilation, dilation], [False, True, True]
    _, of_kernel, of_bias = torch.ops.aten.convolution_backward(
        gradient, x, kernel, [len(kernel)], [1, 1], around, around, False, [0, 0], 1, wanted
    )
    return of_kernel, of_bias


def _kernel_alone(x: Tensor, gradient: Tensor, kernel: Tensor, dilation: int) -> Tensor:
    around, wanted = [dilation, dilation], [False, True, False]
    _, of_kernel, _ = torch.ops.aten.convolution_backward(
        gradient, x, kernel, None, [1, 1], around, around, False, [0, 0], 1, wanted
    )
    found: Tensor = of_kernel
    return found


def _sum_of(x: Tensor, kernels: Iterator[Tensor], bias: Tensor, dilations: Sequence[int]) -> Tensor:
    """The sum of the convolutions of `x` with the next kernels, in a new map."""
    total = convolution(x, next(kernels), bias, dilations[0])
    for dilation in dilations[1:]:
        add_convolution(total, x, next(kernels), None, dilation)
    return total


def _through_gates(came: Tensor, seen: _Gates, squeeze: Tensor, excite: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of a gated branch and of the squeeze and excitation weights; intermediate matrices are fp32."""
    grad_gates = _products(came, seen.branch)
    grad_excited = grad_gates * seen.opened * (1 - seen.opened)
    grad_squeezed = (grad_excited @ excite) * (seen.squeezed > 0)
    spread = (grad_squeezed @ squeeze) / (came.shape[2] * came.shape[3])
    through = torch.addcmul(_row(spread, came), rows(came), _row(seen.opened, came))
    return from_rows(through, came), grad_squeezed.T @ seen.pooled, grad_excited.T @ seen.squeezed


def _products(one: Tensor, other: Tensor) -> Tensor:
    """Per-channel sums of products over the pixels of two maps, (N, M) fp32: the diagonal of a matrix product, for
    which CPUs have fast units."""
    a, b = (m.permute(0, 2, 3, 1).flatten(1, 2) for m in (one, other))
    return (a.mT @ b).diagonal(dim1=1, dim2=2).to(wide(one))


def _mean(x: Tensor) -> Tensor:
    """Mean over the pixels, (N, M) in fp32; rows are summed by a matrix product, which is ten times as fast."""
    count, width, height, columns = x.shape
    down = (x.new_ones(1, 1, height) @ rows(x)).to(wide(x))
    return down.view(count, columns, width).sum(1) / (height * columns)


def _row(values: Tensor, x: Tensor) -> Tensor:
    """(N, M) repeated along a row of pixels of the map `x`: (N, 1, W*M)."""
    return values.to(x.dtype).repeat(1, x.shape[-1])[:, None]
