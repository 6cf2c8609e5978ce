"""The networks of Semi-DRDNet: rain residual network, detail repair network, both combined, and the folded form."""

from derain_cli.config import ModelConfig
from derain_cli.model.attach import AttachedDRN, attach_drn
from derain_cli.model.average import average
from derain_cli.model.deepen import deepen
from derain_cli.model.fold import FoldedSemiDRDNet, fold
from derain_cli.model.semi_drdnet import Derainer, DetailRepairNetwork, Layers, RainResidualNetwork, SemiDRDNet, build

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
    "average",
    "build",
    "deepen",
    "fold",
]
