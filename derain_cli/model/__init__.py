"""The networks of Semi-DRDNet: rain residual network, detail repair network, the whole, and its folded form."""

from derain_cli.config import ModelConfig
from derain_cli.model.fold import FoldedSemiDRDNet, fold
from derain_cli.model.semi_drdnet import DetailRepairNetwork, Layers, RainResidualNetwork, SemiDRDNet, build

__all__ = [
    "DetailRepairNetwork",
    "FoldedSemiDRDNet",
    "Layers",
    "ModelConfig",
    "RainResidualNetwork",
    "SemiDRDNet",
    "build",
    "fold",
]
