"""The detail repair network attached to any other network (appendix B of the paper, Table IV)."""

from __future__ import annotations

import typing
from typing import Literal

from torch import Tensor, nn

from derain_cli.config import ModelConfig
from derain_cli.errors import UsageError
from derain_cli.model.semi_drdnet import Layers, detail_network, from_blocks, to_blocks

__all__ = ["AttachedDRN", "DerainedOnly", "Gives", "attach_drn"]

Gives = Literal["clean", "rain"]


class AttachedDRN(nn.Module):
    """A network and a DRN in parallel on the rainy picture, like RRN and DRN: (N, 3, H, W) in [0, 1] -> `Layers`.

    Attributes:
        base: the network; trained together with the DRN.
        drn: the detail repair network, or None.
        config: its configuration; only `width`, `blocks`, `detail_blocks`, `detail` and `unshuffle` are used.
        gives: what `base` returns.
    """

    def __init__(self, base: nn.Module, config: ModelConfig, gives: Gives):
        super().__init__()
        self.base, self.config, self.gives = base, config, gives
        self.drn = detail_network(config)

    def forward(self, rainy: Tensor) -> Layers:
        given: Tensor = self.base(rainy)
        if given.shape != rainy.shape:
            raise ValueError(f"the network returns {tuple(given.shape)} for pictures of {tuple(rainy.shape)}")
        rain, clean = (given, rainy - given) if self.gives == "rain" else (rainy - given, given)
        if self.drn is None:
            return Layers(clean, rain, rain.new_zeros(()).expand_as(rain))
        unshuffle = self.config.drn_unshuffle
        detail = from_blocks(self.drn(to_blocks(rainy, unshuffle)), unshuffle, *rainy.shape[-2:])
        return Layers(clean + detail, rain, detail)


def attach_drn(base: nn.Module, config: ModelConfig | None = None, *, gives: Gives) -> AttachedDRN:
    """Attach a detail repair network to any network; the training loop and all objectives accept the result.

    The DRN starts near zero (its last convolution is small), so a trained `base` keeps its result at first.

    Args:
        base: maps rainy pictures (N, 3, H, W) in [0, 1] to a tensor of the same shape.
        config: of the DRN: M is `width`, D is `detail_blocks`, or `blocks` if that is 0; `detail="none"` attaches
            nothing and only wraps the output of `base` in `Layers`. Defaults to the paper's DRN.
        gives: what `base` returns: `clean` pictures, or the `rain` layer to subtract from the rainy ones.

    Raises:
        UsageError: `gives` is neither.
        ValueError: in the forward pass, if `base` returns a different shape.
    """
    if gives not in typing.get_args(Gives):
        raise UsageError(f"a network returns clean pictures or rain, not {gives!r}")
    return AttachedDRN(base, config or ModelConfig(), gives)


class DerainedOnly(nn.Module):
    """Wraps a network that returns `Layers` so that it returns only the derained picture, (N, 3, H, W) -> the same:
    for `derain eval`, exporters and other users of plain networks."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    def forward(self, rainy: Tensor) -> Tensor:
        layers: Layers = self.network(rainy)
        return layers.derained
