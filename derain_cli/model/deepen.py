"""More blocks for a trained network, which computes the same function until it is trained further.

A block whose last batch normalisation has a zero scale passes its input on (the function-preserving
transformations of Chen, Goodfellow and Shlens, "Net2Net", ICLR 2016). A small network that has learnt what it can
goes on as a deeper one instead of starting afresh.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from derain_cli.errors import UsageError
from derain_cli.model.semi_drdnet import SemiDRDNet, build

__all__ = ["deepen"]


def deepen(model: SemiDRDNet, blocks: int, detail_blocks: int = 0) -> SemiDRDNet:
    """A deeper copy of `model`; in inference it gives the same layers to the bit.

    Args:
        model: trained; stays as it is. Its DRN, if it has one, is of residual blocks or SDCABs.
        blocks: rain residual blocks of the copy, no fewer than the model's.
        detail_blocks: detail blocks of the copy, no fewer than the model's; 0 keeps their number.

    Raises:
        UsageError: fewer blocks than there are, or detail blocks that cannot pass their input on.
    """
    config = model.config
    before = config.drn_blocks
    after = detail_blocks or before
    if blocks < config.blocks or after < before:
        raise UsageError(f"the network has {config.blocks} and {before} blocks: it cannot have {blocks} and {after}")
    if after > before and config.detail not in ("sdcab", "residual"):
        raise UsageError(f"detail blocks of kind {config.detail} cannot be added: they do not pass their input on")
    made = build(replace(config, blocks=blocks, detail_blocks=after))
    missing, unexpected = made.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected
    assert all(".blocks." in name for name in missing)
    added = [*made.rrn.blocks[config.blocks :], *(made.drn.blocks[before:] if made.drn else ())]
    with torch.no_grad():
        for block in added:
            nn.init.zeros_(block.get_submodule("norm2").get_parameter("weight"))
    return made
