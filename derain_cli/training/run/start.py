"""The objective and starting weights of a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from derain_cli.checkpoints.vgg import load_features
from derain_cli.checkpoints.weight_file import Weights, network
from derain_cli.config import TrainConfig, differing_keys, to_mapping
from derain_cli.errors import UsageError, WeightsError
from derain_cli.model.deepen import deepen
from derain_cli.training.objectives import Objective, autocast_wanted
from derain_cli.training.run.plan import Listener, RunPlan
from derain_cli.training.semi_supervised import SemiSupervised

__all__ = ["make_objective", "starting_tensors"]


def make_objective(plan: RunPlan, device: torch.device, listener: Listener) -> tuple[Objective | None, str | None]:
    """The contrastive objective and a digest of its feature network; None for both in supervised runs."""
    config = plan.config
    if config.contrast.mode == "none":
        return None, None
    features, digest = load_features(plan.vgg, listener.agrees)
    return SemiSupervised(config, features.to(device), autocast_wanted(config.optim, device)), digest


def starting_tensors(start: Weights, config: TrainConfig, listener: Listener) -> Mapping[str, Tensor]:
    """The starting weights of a run: those of the file, or of a deeper copy if the recipe only differs in having more
    blocks.

    Raises:
        WeightsError: the weights do not match the recipe's network.
    """
    if start.config == config.model:
        return start.tensors
    shape = config.model
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.loop.seed)
            deeper = deepen(network(start), shape.blocks, shape.drn_blocks)
        if replace(deeper.config, detail_blocks=shape.detail_blocks) != shape:
            raise UsageError("more than the number of blocks differs")
    except UsageError as error:
        mine, theirs = to_mapping(shape), to_mapping(start.config)
        keys = ", ".join(f"model.{key} {theirs.get(key)}, not {mine.get(key)}" for key in differing_keys(theirs, mine))
        raise WeightsError(
            f"the weights do not match the recipe's network: {keys}", path=start.path, hint=str(error)
        ) from error
    added = shape.blocks + shape.drn_blocks - start.config.blocks - start.config.drn_blocks
    if added:  # otherwise only the notation differs: detail_blocks may be explicit or follow blocks
        listener.note(f"{start.path.name}: added {added} blocks, initialised as the identity")
    return deeper.state_dict()
