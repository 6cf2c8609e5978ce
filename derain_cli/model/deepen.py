"""Adds blocks to a trained network without changing its function, for further training.

A residual block whose last batch normalisation has zero scale is the identity (cf. the function-preserving
transformations of Chen, Goodfellow and Shlens, "Net2Net", ICLR 2016). A small network that has converged can continue
as a deeper one instead of starting from scratch.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import nn

from derain_cli.errors import UsageError
from derain_cli.model.semi_drdnet import SemiDRDNet, build

__all__ = ["deepen"]


def deepen(model: SemiDRDNet, blocks: int, detail_blocks: int = 0) -> SemiDRDNet:
    """A deeper copy of `model`; at inference its layers are bit-identical.

    Args:
        model: a trained network; not modified. Detail blocks can be added only if they are residual blocks or SDCABs.
        blocks: rain residual blocks of the copy, at least as many as in `model`.
        detail_blocks: detail blocks of the copy, at least as many as in `model`; 0 keeps their number.

    Raises:
        UsageError: fewer blocks than in `model`, or detail blocks without a skip connection.
    """
    config = model.config
    before = config.drn_blocks
    after = detail_blocks or before
    if blocks < config.blocks or after < before:
        raise UsageError(f"the network has {config.blocks} and {before} blocks: it cannot have {blocks} and {after}")
    if after > before and config.detail not in ("sdcab", "residual"):
        raise UsageError(f"detail blocks of kind {config.detail} cannot be added: they have no skip connection")
    made = build(replace(config, blocks=blocks, detail_blocks=after))
    missing, unexpected = made.load_state_dict(model.state_dict(), strict=False)
    assert not unexpected
    assert all(".blocks." in name for name in missing)
    added = [*made.rrn.blocks[config.blocks :], *(made.drn.blocks[before:] if made.drn else ())]
    with torch.no_grad():
        for block in added:
            nn.init.zeros_(block.get_submodule("norm2").get_parameter("weight"))
    return made
