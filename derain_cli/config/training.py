"""Which network is made, and how it is trained."""

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
    """Which network `derain_cli.model.build` makes. The defaults are the network of the paper.

    Attributes:
        width: M, feature maps in both sub-networks.
        blocks: D, rain residual blocks in the RRN, and detail blocks in the DRN unless `detail_blocks` says otherwise.
        unshuffle: S; for S > 1 the network works on pixel-unshuffled input (S*S as many channels, 1/S the size).
        se: squeeze-and-excitation in the rain residual blocks (False: the baseline `BL` of Table II).
        detail: the block of the detail repair network; `none` leaves the DRN out (Tables II and V).
        detail_blocks: number of detail blocks; 0 stands for `blocks`.
        detail_width: M of the detail repair network; 0 stands for `width`.
        detail_unshuffle: S of the detail repair network; 0 stands for `unshuffle`. A coarser one sees further, and has
            more channels for the same work.
        frames: odd; how many successive frames of a clip the network sees at once, to derain the middle one; 1 is for
            pictures.
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
        """Pixels between places at which a part of a picture may begin to have the same blocks as the whole."""
        return self.unshuffle if self.detail == "none" else math.lcm(self.unshuffle, self.drn_unshuffle)

    @property
    def features_per_pixel(self) -> float:
        """Values of a feature map for each pixel of the picture, in the sub-network that has more."""
        rrn, drn = self.width / self.unshuffle**2, self.drn_width / self.drn_unshuffle**2
        return rrn if self.detail == "none" else max(rrn, drn)

    @property
    def drn_blocks(self) -> int:
        """Blocks of the detail repair network; 0 without one."""
        return 0 if self.detail == "none" else self.detail_blocks or self.blocks


@dataclass(frozen=True)
class DataConfig:
    """What a training batch is made of.

    Attributes:
        patch: side of the square training patches, pixels.
        batch: patches per step.
        epoch: random crops that make one epoch (the paper's fixed grid yields 27,000).
        pairs: share of patches cut from the pairs of `--dataset`.
        layers: share of patches with true rain layers (`--layers`) on clean photos or other backgrounds.
        generated: share of patches with generated rain on the photos of `--clean`.
        light, heavy, real: parts of each rain profile within `generated`.
        workers: data-loading processes; -1 chooses from the number of cores.
        clean_share: share of patches that get no rain at all, so that dry pictures stay as they are: most of them are
            photos, mostly where they have upright detail, or drawn lookalikes of rain, a fifth are plain colours.
        lookalikes: share of rainy patches with a drawn lookalike of rain on the photo below the rain.
        warped: share of photos that are turned by up to 45 degrees and scaled.
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
        _require(0 <= self.clean_share < 1, "data.clean_share must be 0 or more and below 1")
        for name in ("lookalikes", "warped"):
            _require(0 <= getattr(self, name) <= 1, f"data.{name} must be 0 to 1, not {getattr(self, name)}")


@dataclass(frozen=True)
class OptimConfig:
    """How the network is trained.

    Attributes:
        steps: length of the run in optimiser steps; the schedule is laid over it.
        lr: peak learning rate of Adam.
        schedule: `cosine` (linear warm-up, then a cosine down to `lr * lr_floor`), `step` (times `gamma` at each of
            `milestones`), `constant`, or `trapezoid` (constant, then evenly down over the last `cooldown` of the run).
        cooldown: share of a `trapezoid` run.
        milestones: fractions of the run at which the step schedule falls.
        optimizer: `adam`, or `muon`: orthogonalised momentum for the kernels between the first and the last
            layer of each sub-network, Adam for the rest.
        muon_scale: Muon's learning rate over Adam's.
        weight_decay: decoupled (AdamW), of what Adam trains; 0 is plain Adam.
        loss: pixel loss, `l1` (eq. 11, 12), `charbonnier`, `log_l1`, the mean over the batch of the
            logarithm of each picture's L1, which weighs lightly and heavily degraded pictures alike (PSNR is a
            logarithm too), or `rmse`, the mean over the batch of each picture's root mean square error.
        rain_weight: lambda_r of eq. 10, weight of the rain residual loss.
        clip: largest gradient norm; 0 leaves gradients alone.
        ema: decay of the exponential moving average of the weights that validation and the result use; 0 is off.
        freeze_norm: share of the run after which batch normalisation stops learning its statistics and uses them
            as inference does; 1 never.
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
        _require(0 <= self.ema < 1, f"optim.ema must be 0 or more and below 1, not {self.ema}")
        _require(self.clip >= 0, "optim.clip cannot be negative")
        _require(self.warmup >= 0, "optim.warmup cannot be negative")
        _require(0 < self.cooldown <= 1, f"optim.cooldown must be above 0 and at most 1, not {self.cooldown}")
        _require(self.weight_decay >= 0, "optim.weight_decay cannot be negative")
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, f"optim.{name} must be 0 or more and below 1")


@dataclass(frozen=True)
class ContrastConfig:
    """The dual sample-augmented contrastive terms (section III-C), and how far real photos may change.

    Attributes:
        mode: the columns of Table VII. `none`; `standard` (the rainy picture is the only negative, positives are as
            they are); `negatives` (rain layers from the memory bank make more negatives); `positives` (unpaired clean
            pictures are carried to the look of the real photo); `both`, which is DualSCRNet.
        positive: the transform of eq. 7 in the modes that have one.
        negatives: m of eq. 6 and 8. Where fewer are at hand (no bank, or one that is still short) the sum is scaled
            up to m, so that the weights below mean the same in every mode.
        cap: a single ratio above it gives no gradient.
        warmup: steps of pixel loss alone at the start; the bank is filled meanwhile.
        ramp: steps over which the weights rise linearly after that.
        dual_weight: lambda_dual of eq. 10, of the supervised term; 0 leaves it out.
        unsup_weight: lambda_unsup of eq. 9, of the unsupervised term; 0 leaves it out.
        bank: rain layers kept per ring, synthetic and real.
        bank_floor: weaker layers do not go into the bank: root mean square in levels of 255. Of those below 2, a
            third of the patches of real photos, most ratios are at the cap and give no gradient (docs/contrast.md).
        max_change: mean |I_r - O_r| over fixed crops of the real photos, in levels of 255, past which a run stops.
        max_colour: shift of a channel's mean over the same crops, in levels of 255, past which a run stops.
        psnr_budget: by how many dB the mean validation PSNR of the best weights may be below that of their start.
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
        """Whether the mode makes negatives from the memory bank."""
        return self.mode in ("negatives", "both")

    @property
    def transform(self) -> str:
        """The positive transform that the mode uses, by its name in `POSITIVE_TRANSFORMS`."""
        return self.positive if self.mode in ("positives", "both") else "none"


AUTO_COMPILE_STEPS = 1_000
"""With fewer steps before batch normalisation is frozen, a run does not earn the time that compiling takes."""


@dataclass(frozen=True)
class LoopConfig:
    """Rhythm of the run.

    Attributes:
        seed: every random choice of the run hangs on it.
        log_every: steps between lines of the log.
        validate_every: steps between validations.
        checkpoint_every: steps between checkpoints.
        max_bad_steps: steps in a row whose loss may be non-finite before the run is given up.
        threads: CPU threads of the network; 0 leaves the choice to torch.
        compile: fuse element-wise work with torch.compile while batch normalisation learns (a minute at the start, a
            quarter less time per step; needs a C++ compiler on a CPU). Once it is frozen the network has a faster
            form of its own. `auto` does where at least `AUTO_COMPILE_STEPS` steps earn it, and where it works.
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
    """Everything a training run hangs on, besides where the data lie."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    loop: LoopConfig = field(default_factory=LoopConfig)
    contrast: ContrastConfig = field(default_factory=ContrastConfig)

    def __post_init__(self) -> None:
        if self.contrast.mode != "none":
            _require(self.model.frames == 1, "networks that see several frames (model.frames) train without contrast")
            # Five poolings by two: on smaller patches nothing is left of the deepest features.
            _require(self.data.patch >= 32, f"data.patch must be at least 32 with contrast, not {self.data.patch}")
