"""Option objects: frozen, documented, checked once. Unknown keys and wrong types are usage errors.

Every command builds one of these objects and hands it down whole. Recipes are TOML files with the
same tables and keys; `--set table.key=value` overrides one of them.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import tomllib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

from derain_cli.errors import UsageError

__all__ = [
    "ContrastConfig",
    "ContrastMode",
    "DataConfig",
    "FramesOptions",
    "LoopConfig",
    "ModelConfig",
    "OptimConfig",
    "RestoreOptions",
    "Temporal",
    "TrainConfig",
    "VideoOptions",
    "apply_overrides",
    "differing_keys",
    "from_mapping",
    "load_recipe",
    "parse_overrides",
    "recipe_names",
    "to_mapping",
]

T = TypeVar("T")
DetailBlock = Literal["none", "direct", "residual", "msarr", "sdcab"]
ContrastMode = Literal["none", "standard", "negatives", "positives", "both"]
VideoCodec = Literal["auto", "h264", "hevc", "av1", "vp9", "ffv1", "prores"]
Temporal = Literal["off", "median", "flow"]
RECIPES = Path(__file__).parent / "recipes"


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UsageError(message)


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
    """

    width: int = 64
    blocks: int = 16
    unshuffle: int = 1
    se: bool = True
    detail: DetailBlock = "sdcab"
    detail_blocks: int = 0

    def __post_init__(self) -> None:
        _require(1 <= self.width <= 1024, f"model.width must be 1 to 1024, not {self.width}")
        _require(1 <= self.blocks <= 256, f"model.blocks must be 1 to 256, not {self.blocks}")
        _require(1 <= self.unshuffle <= 16, f"model.unshuffle must be 1 to 16, not {self.unshuffle}")
        _require(0 <= self.detail_blocks <= 256, f"model.detail_blocks must be 0 to 256, not {self.detail_blocks}")

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
        clean_share: share of patches that get no rain at all, so that dry pictures stay as they are: half of them are
            photos, mostly where they have upright detail, the rest drawn lookalikes of rain and plain colours.
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
            `milestones`) or `constant`.
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
    schedule: Literal["cosine", "step", "constant"] = "step"
    warmup: int = 0
    milestones: tuple[float, ...] = (30 / 150, 50 / 150, 80 / 150)
    gamma: float = 0.2
    lr_floor: float = 0.0
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

    def __post_init__(self) -> None:
        _require(1 <= self.negatives <= 64, f"contrast.negatives must be 1 to 64, not {self.negatives}")
        _require(self.bank >= 1, f"contrast.bank must be at least 1, not {self.bank}")
        for name in ("warmup", "ramp", "dual_weight", "unsup_weight", "bank_floor"):
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
            # Five poolings by two: on smaller patches nothing is left of the deepest features.
            _require(self.data.patch >= 32, f"data.patch must be at least 32 with contrast, not {self.data.patch}")


@dataclass(frozen=True)
class RestoreOptions:
    """How pictures are restored, named as the flags.

    Attributes:
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        precision: `auto`, `fp32`, `bf16` or `fp16`.
        tile: `auto`, 0 (whole picture) or the tile side in pixels.
        strength: 0 leaves the picture as it is, 1 takes out all the rain found.
    """

    device: str = "auto"
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    tile: int | Literal["auto"] = "auto"
    strength: float = 1.0

    def __post_init__(self) -> None:
        base, _, index = self.device.partition(":")
        known = base in {"auto", "cpu", "cuda", "mps"} and (not index or (base == "cuda" and index.isdigit()))
        _require(
            known and not (":" in self.device and not index),
            f"device must be auto, cpu, cuda, cuda:N or mps, not {self.device!r}",
        )
        _require(
            self.precision in typing.get_args(typing.get_type_hints(RestoreOptions)["precision"]),
            f"precision must be auto, fp32, bf16 or fp16, not {self.precision!r}",
        )
        if self.tile != "auto":
            _require(
                isinstance(self.tile, int) and (self.tile == 0 or self.tile >= 64),
                f"tile must be auto, 0 (whole picture) or at least 64, not {self.tile}",
            )
        _require(0.0 <= self.strength <= 1.0, f"strength must be 0 to 1, not {self.strength}")


@dataclass(frozen=True)
class VideoOptions:
    """How clips are restored and coded, named as the flags.

    Attributes:
        codec: `auto` keeps the source's codec where the output's format holds it, else takes h264.
        crf: quality, on the codec's own scale, lower is better; None takes what can hardly be told from the source.
        preset: speed of the encoder, in its own words; None is a medium one.
        start, end: the part to take, seconds from the beginning; `end` None is the end of the clip.
        preview: make a clip of so many seconds with before and after side by side instead; None restores the clip.
        temporal: how frames are steadied with their neighbours (`derain_cli.frames.steady`).
        keep_partial: what is ready when the work is stopped is written as NAME_partial.
        segment: frames per segment, which is what a killed job loses at most.
    """

    codec: VideoCodec = "auto"
    crf: int | None = None
    preset: str | None = None
    start: float = 0.0
    end: float | None = None
    preview: float | None = None
    temporal: Temporal = "flow"
    keep_partial: bool = False
    segment: int = 120

    def __post_init__(self) -> None:
        _require(self.crf is None or 0 <= self.crf <= 63, f"crf must be 0 to 63, not {self.crf}")
        _require(self.start >= 0, f"start cannot be negative: {self.start}")
        _require(self.end is None or self.end > self.start, f"end must come after start, not at {self.end}")
        _require(self.preview is None or self.preview > 0, f"preview must last longer than {self.preview} s")
        _require(self.segment >= 1, f"segment must be at least 1 frame, not {self.segment}")

    @property
    def until(self) -> float | None:
        """Where the part ends, seconds; None at the end of the clip."""
        ends = [end for end in (self.end, None if self.preview is None else self.start + self.preview) if end]
        return min(ends) if ends else None

    @property
    def is_part(self) -> bool:
        """Whether a part of the clip is asked for."""
        return self.start > 0 or self.until is not None


@dataclass(frozen=True)
class FramesOptions:
    """Which frames of clips make a data set of real rain, named as the flags.

    Attributes:
        total: pictures wanted, those of the test included.
        test: pictures of the test, from clips that give none to the training.
        per_clip: pictures of one clip at most; None sets no limit.
        every: seconds between two frames that are looked at; 0 looks at all.
        min_rain: least share of the picture that lies under streaks, percent.
        similar: bits of 64 in which the perceptual hashes of two pictures may differ for one of them to be left out.
        jobs: clips and photos worked on at once.
    """

    total: int = 2000
    test: int = 200
    per_clip: int | None = None
    every: float = 0.2
    min_rain: float = 1.0
    similar: int = 6
    jobs: int = 1

    def __post_init__(self) -> None:
        _require(self.total >= 1, f"--total must be at least 1, not {self.total}")
        _require(0 <= self.test < self.total, f"--test must be 0 or more and below --total, not {self.test}")
        _require(self.per_clip is None or self.per_clip >= 1, f"--per-clip must be at least 1, not {self.per_clip}")
        _require(0 <= self.every < math.inf, f"--every is a number of seconds, not {self.every}")
        _require(0 <= self.min_rain <= 100, f"--min-rain must be 0 to 100, not {self.min_rain}")
        _require(0 <= self.similar <= 64, f"--similar must be 0 to 64, not {self.similar}")
        _require(self.jobs >= 1, f"--jobs must be at least 1, not {self.jobs}")


def _nearest(name: str, known: Iterable[str]) -> str | None:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]}?" if near else None


def _convert(value: Any, hint: Any, where: str) -> Any:
    """`value` as the annotated type `hint`; integers pass for floats, lists for tuples, nothing else is bent."""
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        _require(isinstance(value, Mapping), f"{where} is a table, not {value!r}")
        return from_mapping(typing.cast(type[Any], hint), value, where)
    if origin is Literal:
        choices = typing.get_args(hint)
        _require(value in choices, f"{where} must be one of {', '.join(map(str, choices))}, not {value!r}")
        return value
    if origin in (typing.Union, types.UnionType):
        for option in typing.get_args(hint):
            try:
                return _convert(value, option, where)
            except UsageError:
                continue
        raise UsageError(f"{where} cannot be {value!r}")
    if origin is tuple:
        _require(isinstance(value, list | tuple), f"{where} is a list, not {value!r}")
        return tuple(_convert(item, typing.get_args(hint)[0], where) for item in value)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    right = isinstance(value, hint) and not (hint is int and isinstance(value, bool))
    _require(right, f"{where} must be {hint.__name__}, not {value!r}")
    _require(not (isinstance(value, float) and not math.isfinite(value)), f"{where} must be finite")
    return value


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """`cls` (a frozen dataclass) from nested mappings.

    Raises:
        UsageError: an unknown key (the nearest is named), a wrong type or a value out of range.
    """
    hints = typing.get_type_hints(cls)
    for key in values:
        if key not in hints:
            raise UsageError(f"unknown option {where + '.' if where else ''}{key}", hint=_nearest(key, hints))
    return cls(**{k: _convert(v, hints[k], f"{where}.{k}" if where else k) for k, v in values.items()})


def to_mapping(options: Any) -> dict[str, Any]:
    """The inverse of `from_mapping`, ready for JSON (tuples become lists)."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(options))))


def recipe_names() -> list[str]:
    """Names of the recipes that come with the program."""
    return sorted(p.stem for p in RECIPES.glob("*.toml"))


def load_recipe(name_or_path: str) -> dict[str, Any]:
    """The tables of a recipe: a name from `recipe_names`, or the path of a TOML file.

    Raises:
        UsageError: no such recipe, or not TOML.
    """
    path = RECIPES / f"{name_or_path}.toml"
    if name_or_path not in recipe_names():
        path = Path(name_or_path)
        if not path.is_file():
            raise UsageError(f"no recipe {name_or_path!r}", hint=f"known: {', '.join(recipe_names())}, or a TOML file")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"not a usable recipe: {error}", path=path) from error


def parse_overrides(pairs: Iterable[str]) -> dict[str, Any]:
    """`["optim.lr=1e-4", "model.se=false"]` as nested tables; values are TOML, bare words are strings."""
    tables: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        parts = key.strip().split(".")
        _require(bool(equals) and all(parts), f"--set takes table.key=value, not {pair!r}")
        try:
            read = tomllib.loads(f"v = {text.strip()}")
        except tomllib.TOMLDecodeError:
            read = {}
        value = read["v"] if len(read) == 1 else text.strip()
        table = tables
        for part in parts[:-1]:
            table = table.setdefault(part, {})
            _require(isinstance(table, dict), f"--set {pair!r}: {part} is not a table")
        table[parts[-1]] = value
    return tables


def apply_overrides(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` laid on top, table by table; neither is changed."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = (
            apply_overrides(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
        )
    return merged


def differing_keys(one: Mapping[str, Any], other: Mapping[str, Any], where: str = "") -> list[str]:
    """Dotted names of the keys whose values differ between two nested mappings."""
    names: list[str] = []
    for key in sorted(set(one) | set(other)):
        a, b = one.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            names += differing_keys(a, b, f"{where}{key}.")
        elif a != b:
            names.append(f"{where}{key}")
    return names
