"""The networks of Semi-DRDNet: rain residual network, detail repair network, both combined, and the folded form.

Names are loaded when they are first used: what runs a network without torch needs only `architecture` and `folding`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from derain_cli.config import ModelConfig

if TYPE_CHECKING:
    from derain_cli.model.attach import AttachedDRN, attach_drn
    from derain_cli.model.fold import FoldedSemiDRDNet
    from derain_cli.model.semi_drdnet import (
        Derainer,
        DetailRepairNetwork,
        Layers,
        RainResidualNetwork,
        SemiDRDNet,
        build,
    )

__all__ = [
    "AttachedDRN",
    "Derainer",
    "DetailRepairNetwork",
    "FoldedSemiDRDNet",
    "Layers",
    "ModelConfig",
    "RainResidualNetwork",
    "SemiDRDNet",
    "attach_drn",
    "build",
]

_PLACES = {
    "AttachedDRN": "attach",
    "Derainer": "semi_drdnet",
    "DetailRepairNetwork": "semi_drdnet",
    "FoldedSemiDRDNet": "fold",
    "Layers": "semi_drdnet",
    "RainResidualNetwork": "semi_drdnet",
    "SemiDRDNet": "semi_drdnet",
    "attach_drn": "attach",
    "build": "semi_drdnet",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
    globals()[name] = found
    return found
