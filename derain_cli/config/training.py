"""Options for networks and training."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from derain_cli.config.schema import require as _require

__all__ = ["ContrastConfig", "ContrastMode", "DataConfig", "LoopConfig", "ModelConfig", "OptimConfig", "TrainConfig"]

DetailBlock = Literal["none", "direct", "residual", "msarr", "sdcab"]
ContrastMode = Literal["none", "standard", "negatives", "positives", "both"]


@dataclass(frozen=True)
class ModelConfig:
    """The network built by `derain_cli.model.build`. The defaults are the network of the paper.

    Attributes:
        width: M, feature maps in both sub-networks.
        blocks: D, rain residual blocks in the RRN, and detail blocks in the DRN unless `detail_blocks` is set.
        unshuffle: S; for S > 1 the network works on pixel-unshuffled input (S*S times the channels, 1/S the size).
        se: squeeze-and-excitation in the rain residual blocks (False: the baseline `BL` of Table II).
        detail: the block of the detail repair network; `none` omits the DRN (Tables II and V).
        detail_blocks: number of detail blocks; 0 means `blocks`.
        detail_width: M of the detail repair network; 0 means `width`.
        detail_unshuffle: S of the detail repair network; 0 means `unshuffle`. A larger S gives a larger receptive
            field, and more channels for the same cost.
        frames: number of successive frames the network sees to derain the middle one, odd; 1 for single pictures.
    """

    width: int = 64
    blocks: int = 16
    unshuffle: int = 1
    se: bool = True
    detail: DetailBlock = "sdcab"
    detail_blocks: int = 0
    detail_width: int = 0
    detail_unshuffle: int = 0
    frames: int = 1

    def __post_init__(self) -> None:
        _require(1 <= self.width <= 1024, f"model.width must be 1 to 1024, not {self.width}")
        _require(1 <= self.blocks <= 256, f"model.blocks must be 1 to 256, not {self.blocks}")
        _require(1 <= self.unshuffle <= 16, f"model.unshuffle must be 1 to 16, not {self.unshuffle}")
        _require(0 <= self.detail_blocks <= 256, f"model.detail_blocks must be 0 to 256, not {self.detail_blocks}")
        _require(0 <= self.detail_width <= 1024, f"model.detail_width must be 0 to 1024, not {self.detail_width}")
        _require(
            0 <= self.detail_unshuffle <= 16, f"model.detail_unshuffle must be 0 to 16, not {self.detail_unshuffle}"
        )

        _require(
            1 <= self.frames <= 9 and self.frames % 2 == 1, f"model.frames must be 1, 3, 5, 7 or 9, not {self.frames}"
        )

    @property
    def drn_width(self) -> int:
        """Feature maps of the detail repair network."""
        return self.detail_width or self.width

    @property
    def drn_unshuffle(self) -> int:
        """S of the detail repair network."""
        return self.detail_unshuffle or self.unshuffle

    @property
    def grid(self) -> int:
        """Alignment in pixels at which a crop is divided into the same unshuffle blocks as the whole picture."""
        return self.unshuffle if self.detail == "none" else math.lcm(self.unshuffle, self.drn_unshuffle)

    @property
    def features_per_pixel(self) -> float:
        """Feature values per picture pixel, in the larger of the two sub-networks."""
        rrn, drn = self.width / self.unshuffle**2, self.drn_width / self.drn_unshuffle**2
        return rrn if self.detail == "none" else max(rrn, drn)

    @property
    def drn_blocks(self) -> int:
        """Blocks of the detail repair network; 0 without one."""
        return 0 if self.detail == "none" else self.detail_blocks or self.blocks


@dataclass(frozen=True)
class DataConfig:
    """The composition of a training batch.

    Attributes:
        patch: side of the square training patches, pixels.
        batch: patches per step.
        epoch: random crops per epoch (the paper's fixed grid yields 27,000).
        pairs: share of patches cropped from the pairs of `--dataset`.
        layers: share of patches with true rain layers (`--layers`) on clean photos or other backgrounds.
        generated: share of patches with generated rain on the photos of `--clean`.
        light, heavy, real: weights of the rain profiles within `generated`.
        workers: data-loading processes; -1 chooses by the number of cores.
        clean_share: share of patches without any rain, so that dry pictures stay unchanged: photos (preferably their
            vertical detail), synthetic rain lookalikes, and a fifth of plain colours and flat borders.
        lookalikes: share of rainy patches with a synthetic rain lookalike on the photo under the rain.
        warped: share of photos that are rotated by up to 45 degrees and scaled.
    """

    patch: int = 100
    batch: int = 8
    epoch: int = 27_000
    pairs: float = 1.0
    layers: float = 1.0
    generated: float = 1.0
    light: float = 1.0
    heavy: float = 1.0
    real: float = 1.0
    workers: int = -1
    clean_share: float = 0.0
    lookalikes: float = 0.0
    warped: float = 0.0

    def __post_init__(self) -> None:
        _require(self.patch >= 16, f"data.patch must be at least 16, not {self.patch}")
        _require(self.batch >= 1, f"data.batch must be at least 1, not {self.batch}")
        _require(self.epoch >= 1, f"data.epoch must be at least 1, not {self.epoch}")
        for name in ("pairs", "layers", "generated", "light", "heavy", "real"):
            _require(getattr(self, name) >= 0, f"data.{name} is a share and cannot be negative")
        _require(self.light + self.heavy + self.real > 0, "data.light, data.heavy and data.real are all zero")
        _require(0 <= self.clean_share < 1, "data.clean_share must be at least 0 and below 1")
        for name in ("lookalikes", "warped"):
            _require(0 <= getattr(self, name) <= 1, f"data.{name} must be 0 to 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class OptimConfig:
    """How the network is trained.

    Attributes:
        steps: length of the run, and of the schedule, in optimiser steps.
        lr: peak learning rate of Adam.
        schedule: `cosine` (linear warm-up, then a cosine down to `lr * lr_floor`), `step` (times `gamma` at each of
            `milestones`), `constant`, or `trapezoid` (constant, then linear decay over the last `cooldown` of the run).
        cooldown: fraction of a `trapezoid` run.
        milestones: fractions of the run at which the step schedule drops.
        optimizer: `adam`, or `muon`: orthogonalised momentum for the kernels between the first and the last
            layer of each sub-network, Adam for the rest.
        muon_scale: ratio of Muon's learning rate to Adam's.
        weight_decay: decoupled (AdamW), for the parameters trained by Adam; 0 is plain Adam.
        loss: pixel loss: `l1` (eq. 11, 12); `charbonnier`; `log_l1`, the batch mean of the logarithm of each
            picture's L1, which weights light and heavy degradation equally (like PSNR, also a logarithm); or `rmse`,
            the batch mean of each picture's root mean square error.
        rain_weight: lambda_r of eq. 10, weight of the rain residual loss.
        clip: maximum gradient norm; 0 disables clipping.
        ema: decay of the exponential moving average of the weights used for validation and the result; 0 disables it.
        freeze_norm: fraction of the run after which batch normalisation statistics are frozen and used as at
            inference; 1 means never.
        precision: `auto` (bf16 autocast where the device has bf16 matrix units), `fp32` or `bf16`.
    """

    steps: int = 506_000
    lr: float = 1e-3
    optimizer: Literal["adam", "muon"] = "adam"
    muon_scale: float = 1.0
    schedule: Literal["cosine", "step", "constant", "trapezoid"] = "step"
    warmup: int = 0
    milestones: tuple[float, ...] = (30 / 150, 50 / 150, 80 / 150)
    gamma: float = 0.2
    lr_floor: float = 0.0
    cooldown: float = 0.2
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    loss: Literal["l1", "charbonnier", "log_l1", "rmse"] = "l1"
    rain_weight: float = 0.5
    clip: float = 1.0
    ema: float = 0.0
    freeze_norm: float = 1.0
    precision: Literal["auto", "fp32", "bf16"] = "auto"

    def __post_init__(self) -> None:
        _require(self.steps >= 1, f"optim.steps must be at least 1, not {self.steps}")
        _require(self.lr > 0, f"optim.lr must be positive, not {self.lr}")
        _require(self.muon_scale > 0, f"optim.muon_scale must be positive, not {self.muon_scale}")
        _require(0 <= self.ema < 1, f"optim.ema must be at least 0 and below 1, not {self.ema}")
        _require(self.clip >= 0, "optim.clip cannot be negative")
        _require(self.warmup >= 0, "optim.warmup cannot be negative")
        _require(0 < self.cooldown <= 1, f"optim.cooldown must be above 0 and at most 1, not {self.cooldown}")
        _require(self.weight_decay >= 0, "optim.weight_decay cannot be negative")
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, f"optim.{name} must be at least 0 and below 1")


@dataclass(frozen=True)
class ContrastConfig:
    """The dual sample-augmented contrastive terms (section III-C), and limits on the change of real photos.

    Attributes:
        mode: the columns of Table VII. `none`; `standard` (the rainy picture is the only negative, positives are
            unchanged); `negatives` (extra negatives from rain layers of the memory bank); `positives` (unpaired clean
            pictures take the style of the real photo); `both`, which is DualSCRNet.
        positive: the transform of eq. 7 in the modes that use one.
        negatives: m of eq. 6 and 8. If fewer are available (no bank, or one still filling up) the sum is scaled
            up to m, so that the weights below mean the same in every mode.
        cap: ratios above it give no gradient.
        warmup: initial steps with pixel loss only, while the bank fills up.
        ramp: steps over which the weights then rise linearly.
        dual_weight: lambda_dual of eq. 10, for the supervised term; 0 disables it.
        unsup_weight: lambda_unsup of eq. 9, for the unsupervised term; 0 disables it.
        bank: rain layers kept per ring, synthetic and real.
        bank_floor: minimum root mean square of layers in the bank, in levels of 255. Below 2 (a third of the patches
            of real photos) most ratios are at the cap and give no gradient (docs/contrast.md).
        max_change: mean |I_r - O_r| over fixed crops of the real photos, in levels of 255, above which a run stops.
        max_colour: shift of a channel's mean over the same crops, in levels of 255, above which a run stops.
        psnr_budget: dB by which the mean validation PSNR of the best weights may fall below that of the start.
    """

    mode: ContrastMode = "none"
    positive: Literal["adaattn", "statistics", "none"] = "adaattn"
    negatives: int = 5
    cap: float = 100.0
    warmup: int = 500
    ramp: int = 500
    dual_weight: float = 0.5
    unsup_weight: float = 1.0
    bank: int = 256
    bank_floor: float = 2.0
    max_change: float = 15.0
    max_colour: float = 6.0
    psnr_budget: float = 0.1

    def __post_init__(self) -> None:
        _require(1 <= self.negatives <= 64, f"contrast.negatives must be 1 to 64, not {self.negatives}")
        _require(self.bank >= 1, f"contrast.bank must be at least 1, not {self.bank}")
        for name in ("warmup", "ramp", "dual_weight", "unsup_weight", "bank_floor", "psnr_budget"):
            _require(getattr(self, name) >= 0, f"contrast.{name} cannot be negative")
        for name in ("cap", "max_change", "max_colour"):
            _require(getattr(self, name) > 0, f"contrast.{name} must be positive")

    @property
    def uses_bank(self) -> bool:
        """Whether the mode takes negatives from the memory bank."""
        return self.mode in ("negatives", "both")

    @property
    def transform(self) -> str:
        """Name of the mode's positive transform in `POSITIVE_TRANSFORMS`."""
        return self.positive if self.mode in ("positives", "both") else "none"


AUTO_COMPILE_STEPS = 1_000
"""With fewer steps before batch normalisation is frozen, compiling takes longer than it saves."""


@dataclass(frozen=True)
class LoopConfig:
    """Intervals and run-time settings of a training run.

    Attributes:
        seed: seed of all randomness in the run.
        log_every: steps between lines of the log.
        validate_every: steps between validations.
        checkpoint_every: steps between checkpoints.
        max_bad_steps: consecutive steps with non-finite loss after which the run is aborted.
        threads: CPU threads for the network; 0 lets torch choose.
        compile: fuse element-wise operations with torch.compile until batch normalisation is frozen (takes a minute
            at the start, saves a quarter of the time per step; needs a C++ compiler on a CPU). After that the network
            has a faster form of its own. `auto` compiles if it works and at least `AUTO_COMPILE_STEPS` steps profit.
    """

    seed: int = 0
    log_every: int = 50
    validate_every: int = 2_000
    checkpoint_every: int = 500
    max_bad_steps: int = 20
    threads: int = 0
    compile: bool | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        for name in ("log_every", "validate_every", "checkpoint_every", "max_bad_steps"):
            _require(getattr(self, name) >= 1, f"loop.{name} must be at least 1")
        _require(self.seed >= 0, f"loop.seed cannot be negative: {self.seed}")
        _require(self.threads >= 0, "loop.threads cannot be negative")


@dataclass(frozen=True)
class TrainConfig:
    """All settings of a training run, except the locations of its data."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)

    def __post_init__(self) -> None:
        if self.contrast.mode != "none":
            _require(self.model.frames == 1, "multi-frame networks (model.frames) cannot be trained with contrast")
            # Five poolings by two leave nothing of the deepest features on smaller patches.
            _require(self.data.patch >= 32, f"data.patch must be at least 32 with contrast, not {self.data.patch}")
