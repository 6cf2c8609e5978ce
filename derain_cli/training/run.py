"""A training run is a folder: what it was asked for, its log, its pictures, its checkpoints, its best weights.

RUN/run.json             what the run hangs on; a resumed run must agree with it
RUN/log.jsonl            one record per `log_every` steps and per validation
RUN/tensorboard/         the same for TensorBoard, when it is installed
RUN/pictures/            rainy | restored | clean, each time the run validates; real-step-N.png: real photos before
                         and after, in runs that have some
RUN/checkpoints/         the two newest
RUN/best.safetensors     weights with the best mean validation PSNR (protocol rgb); a copy of the weights that the run
                         started from until something beats them
RUN/last.safetensors     weights of the newest validation
RUN/hashes.json          perceptual hashes of the training pictures, for the cards of the weights
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import os
import platform
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.find import find_weights
from derain_cli.checkpoints.run_state import latest_checkpoint, save_checkpoint
from derain_cli.checkpoints.vgg import load_features
from derain_cli.checkpoints.weight_file import Weights, load_weights, network, save_state, save_weights
from derain_cli.config import RestoreOptions, TrainConfig, apply_overrides, differing_keys, to_mapping
from derain_cli.data.datasets import MAX_BAD_SHARE, Sources, TrainingPatches, check_sources, find_real
from derain_cli.data.loaders import BatchStream
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.fingerprint import hash_files
from derain_cli.datasets.opening import open_dataset
from derain_cli.datasets.pairs import PairGroup, PairSet, list_photos
from derain_cli.engine.device import pick_device
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import (
    DestinationError,
    NothingToDoError,
    TrainingError,
    UsageError,
    WeightsError,
    resource_error_from,
)
from derain_cli.evaluation.peers import as_peer
from derain_cli.evaluation.scores import Evaluation, PictureResult, evaluate
from derain_cli.evaluation.turns import Picture
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.metrics.no_reference import Figures
from derain_cli.model import SemiDRDNet, deepen, fold
from derain_cli.model.attach import DerainedOnly
from derain_cli.rain import PROFILES, add_rain
from derain_cli.system.files import atomic_bytes
from derain_cli.system.memory import keep_freed_memory
from derain_cli.system.provenance import program_version, today
from derain_cli.training.drift import RealWatch, excess
from derain_cli.training.objectives import Objective, autocast_wanted
from derain_cli.training.pictures import grid
from derain_cli.training.semi_supervised import SemiSupervised
from derain_cli.training.trainer import StepReport, Trainer

__all__ = ["Listener", "RunPlan", "RunResult", "SilentListener", "train"]

_HOLD_BACK_SHARE, _HOLD_BACK_MOST = 0.05, 40
_GRID_PICTURES = 3


@dataclass(frozen=True)
class RunPlan:
    """What `derain train` or `derain finetune-real` is asked for.

    Attributes:
        out: the run's folder.
        config: recipe with overrides.
        datasets: folders of pairs (of one that has a `train` folder, only that), or names of data sets.
        layers: the same, of pairs whose rain layers go onto other backgrounds.
        photos: folders of photos without rain.
        real: photos in real rain without clean partners, or folders of them (see `find_real`).
        vgg: weights of the feature network of contrastive training; None takes torchvision's.
        validation: folders of pairs to choose the best weights on, or names of data sets that have a part for it;
            without any, some training pairs are held back.
        start: weights to start from (name or file); None starts afresh.
        resume: go on where `out` stopped.
        force: go on although settings differ.
        device: as in `RestoreOptions`.
        minutes: stop by itself, with a checkpoint, after this time; None runs to the end.
        name: of the weights, on their card.
        summary: one line for the card.
        licences: lines on data and licences for the card, beside the folders' names.
    """

    out: Path
    config: TrainConfig
    datasets: tuple[Path | str, ...] = ()
    layers: tuple[Path | str, ...] = ()
    photos: tuple[Path, ...] = ()
    real: tuple[Path, ...] = ()
    vgg: Path | None = None
    validation: tuple[Path | str, ...] = ()
    start: str | None = None
    resume: bool = False
    force: bool = False
    device: str = "auto"
    minutes: float | None = None
    name: str = "custom"
    summary: str = ""
    licences: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunResult:
    """How a run ended: `finished` when all steps are done, else `stopped` says why (`time`, or a signal's name);
    `best_step` 0 means that nothing was better than the weights it started from."""

    step: int
    finished: bool
    stopped: str
    best_psnr: float | None
    best_step: int | None
    seconds: float
    patches_per_second: float
    waiting_share: float
    weights: Path | None


class Listener(Protocol):
    """Who is told how the run goes."""

    def started(self, step: int, total: int, batch: int) -> None: ...
    def stepped(self, report: StepReport, patches_per_second: float, waiting_share: float) -> None: ...
    def validated(self, step: int, evaluation: Evaluation, best: bool) -> None: ...
    def looked(self, step: int, change: Figures) -> None: ...
    def note(self, text: str) -> None: ...


class SilentListener:
    """A listener that keeps quiet."""

    def started(self, step: int, total: int, batch: int) -> None: ...
    def stepped(self, report: StepReport, patches_per_second: float, waiting_share: float) -> None: ...
    def validated(self, step: int, evaluation: Evaluation, best: bool) -> None: ...
    def looked(self, step: int, change: Figures) -> None: ...
    def note(self, text: str) -> None: ...


@dataclass
class _Log:
    """log.jsonl and TensorBoard, told the same things."""

    path: Path
    board: Any = None
    started: float = field(default_factory=time.time)

    def write(self, kind: str, step: int, values: dict[str, Any]) -> None:
        record = {"kind": kind, "step": step, "time": round(time.time(), 1), **values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        if self.board is not None:
            for name, value in values.items():
                if isinstance(value, int | float):
                    self.board.add_scalar(f"{kind}/{name}", value, step)

    def picture(self, name: str, step: int, picture: NDArray[np.uint8]) -> None:
        if self.board is not None:
            self.board.add_image(name, picture, step, dataformats="HWC")

    def forget_after(self, step: int) -> None:
        """Drop what a killed run wrote past its last checkpoint: those steps will be done again."""
        if self.path.exists():
            kept = []
            for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line may be cut
                    # Before the first checkpoint nothing counts, not even what was measured before the first step.
                    if step and json.loads(line)["step"] <= step:
                        kept.append(line + "\n")
            atomic_bytes(self.path, "".join(kept).encode(), overwrite=True)

    def close(self) -> None:
        """TensorBoard writes in the background: without this the end of a run is lost."""
        if self.board is not None:
            self.board.close()


def _open_log(folder: Path, listener: Listener, step: int) -> _Log:
    log = _Log(folder / "log.jsonl")
    log.forget_after(step)
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        listener.note("TensorBoard is not installed (pip install 'derain-cli[train]'); log.jsonl has everything")
    else:
        log.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step)
    return log


def _hold_back(groups: Sequence[PairGroup]) -> tuple[tuple[PairGroup, ...], tuple[PairGroup, ...]]:
    """Training and validation pairs: evenly spread over each group, never more than `_HOLD_BACK_MOST` of one."""
    training, held = [], []
    for group in groups:
        count = min(_HOLD_BACK_MOST, max(1, round(len(group.pairs) * _HOLD_BACK_SHARE)))
        if len(group.pairs) < 2:
            training.append(group)
            continue
        chosen = {len(group.pairs) * i // count for i in range(count)}
        training.append(PairGroup(group.name, tuple(p for i, p in enumerate(group.pairs) if i not in chosen)))
        held.append(PairGroup(group.name, tuple(p for i, p in enumerate(group.pairs) if i in chosen)))
    return tuple(training), tuple(held)


def _generated_pairs(folder: Path, photos: Sequence[Path], config: TrainConfig) -> tuple[PairGroup, ...]:
    """Validation pairs with generated rain, written to `folder` once: for runs that have no pairs at all."""
    for profile in PROFILES:
        for number, photo in enumerate(photos):
            target = folder / profile / "norain" / f"{number:03d}.png"
            if target.exists():
                continue
            picture = read_rgb(photo)[:512, :512].astype(np.float32) / np.float32(255)
            sample = add_rain(picture, profile, np.random.default_rng((config.loop.seed, number)))
            rainy = folder / profile / "rain" / target.name
            for place, pixels in ((rainy, sample.rainy), (target, sample.clean)):
                place.parent.mkdir(parents=True, exist_ok=True)
                write_rgb(place, np.rint(pixels * 255).astype(np.uint8))
    return find_pairs(folder).groups


def _pairs(item: Path | str, split: str, listener: Listener) -> PairSet:
    """The pairs of a folder or of a named data set."""
    if isinstance(item, Path) and not item.is_dir():
        raise NothingToDoError("no such folder", path=item)
    view = open_dataset(item, split)
    if not view.groups:
        raise NothingToDoError("no pairs found", path=item)
    for warning in view.warnings:
        listener.note(warning)
    return PairSet(view.groups, view.rejected)


def _prepare(plan: RunPlan, listener: Listener | None = None) -> tuple[Sources, tuple[PairGroup, ...]]:
    """Training sources and validation groups."""
    listener = listener or SilentListener()
    photos = [photo for folder in plan.photos for photo in list_photos(folder)]
    if plan.photos and not photos:
        raise NothingToDoError("no photos found", path=plan.photos[0])
    held: tuple[PairGroup, ...] = tuple(g for item in plan.validation for g in _pairs(item, "val", listener).groups)
    datasets = [_pairs(item, "train", listener) for item in plan.datasets]
    layers = [_pairs(item, "train", listener) for item in plan.layers]
    if not held and datasets:
        split = [_hold_back(found.groups) for found in datasets]
        held = tuple(group for _, kept in split for group in kept)
        datasets = [PairSet(train, found.rejected) for (train, _), found in zip(split, datasets, strict=True)]
        hidden = {pair.clean.resolve() for group in held for pair in group.pairs}
        # Pairs that share a clean picture with one that is held back would give it away.
        datasets = [_without(found, hidden) for found in datasets]
        layers = [_without(found, hidden) for found in layers]
    if not held and photos:
        count = max(1, min(8, len(photos) // 10))
        kept, photos = photos[:count], photos[count:] or photos
        folder = plan.out / "validation"
        # A run that can be resumed has them all: a resume that is refused later must not have added any.
        whole = plan.resume and folder.is_dir()
        held = find_pairs(folder).groups if whole else _generated_pairs(folder, kept, plan.config)
    sources = check_sources(datasets, layers, photos, plan.config.data.patch)
    if plan.real:
        real, rejected = find_real(plan.real, plan.config.data.patch)
        sources = replace(sources, real=real, rejected=(*sources.rejected, *rejected))
    if not held:
        raise UsageError("nothing to validate on", hint="give pairs with --val")
    return sources, held


def _without(found: PairSet, hidden: set[Path]) -> PairSet:
    groups = (PairGroup(g.name, tuple(p for p in g.pairs if p.clean.resolve() not in hidden)) for g in found.groups)
    return PairSet(tuple(g for g in groups if g.pairs), found.rejected)


def _fingerprint(sources: Sources) -> str:
    """A hash of the names and sizes of all training files: moving the folder is fine, another data set is not."""
    digest = hashlib.sha256()
    groups = (*sources.pairs, *sources.layers)
    files = [path for group in groups for pair in group.pairs for path in (pair.rainy, pair.clean)]
    for path in (*files, *sources.photos):
        digest.update(f"{path.name}\0{path.stat().st_size}\n".encode(errors="surrogateescape"))
    for path in sources.real:
        digest.update(f"real\0{path.name}\0{path.stat().st_size}\n".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _data_name(place: Path | str) -> str:
    """A data set's name; of a path the last two parts ("rain100/train"), which give no machine away."""
    return place if isinstance(place, str) else "/".join(place.resolve().parts[-2:])


def _read_hashes(path: Path, data: str) -> tuple[str, ...] | None:
    """The hashes that this run kept, when they are whole and of this data."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return tuple(kept["hashes"]) if kept["data"] == data else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _environment(device: torch.device, config: TrainConfig) -> dict[str, Any]:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {"torch": torch.__version__, "device": device.type, "device_name": name, "threads": torch.get_num_threads()}


def _refuse_folder(plan: RunPlan) -> None:
    """See that the run folder may be written to, before anything is."""
    if (plan.out / "run.json").exists():
        if not plan.resume:
            raise DestinationError("there is a run here already", path=plan.out, hint="--resume goes on with it")
    elif plan.resume:
        raise NothingToDoError("no run to resume here", path=plan.out, hint="leave --resume out to start one")
    elif plan.out.exists() and not plan.out.is_dir():
        raise DestinationError("not a folder", path=plan.out, hint="choose another -o")
    elif plan.out.exists() and any(p.name != "validation" for p in plan.out.iterdir()):
        raise DestinationError("the folder is not empty", path=plan.out, hint="choose another -o")


def _agrees(plan: RunPlan, record: dict[str, Any], listener: Listener) -> bool:
    """Whether `record` is what the run folder says already; changes nothing on disk.

    Raises:
        UsageError: the run was started with other settings.
    """
    path = plan.out / "run.json"
    if not path.exists():
        return False
    before = json.loads(path.read_text(encoding="utf-8"))
    # Runs begun by earlier versions lack the settings that came later: those have the defaults.
    before["config"] = apply_overrides(to_mapping(TrainConfig()), before["config"])
    binding = ("config", "data", "start", "features")
    different = [key for part in binding for key in differing_keys({part: before.get(part)}, {part: record[part]})]
    if different and not plan.force:
        raise UsageError(
            f"the run was started with other settings: {', '.join(different)}",
            path=plan.out,
            hint="--force goes on anyway",
        )
    for key in differing_keys(before["environment"], record["environment"]):
        listener.note(f"{key} is not what the run was started with: it goes on, but not to the same bits")
    if different:
        listener.note(f"going on with other settings: {', '.join(different)}")
    return not different


def _claim(plan: RunPlan, record: dict[str, Any]) -> None:
    """Make the folder and write what the run hangs on."""
    plan.out.mkdir(parents=True, exist_ok=True)
    atomic_bytes(plan.out / "run.json", json.dumps(record, indent=1).encode(), overwrite=True)


@contextlib.contextmanager
def _signals() -> Iterator[list[signal.Signals]]:
    """Collects SIGINT, SIGTERM and SIGHUP so that the run can stop between steps; a second one ends at once."""
    caught: list[signal.Signals] = []
    if threading.current_thread() is not threading.main_thread():
        yield caught
        return
    watched = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    # What is ignored from the start (`nohup`, a job in the background) stays ignored.
    watched = [number for number in watched if signal.getsignal(number) is not signal.SIG_IGN]
    old = {number: signal.getsignal(number) for number in watched}

    def note(number: int, _: object) -> None:
        if caught:
            os._exit(128 + number)
        caught.append(signal.Signals(number))

    for number in watched:
        signal.signal(number, note)
    try:
        yield caught
    finally:
        for number in watched:
            signal.signal(number, old[number])


class _Run:
    """The moving parts of a run in progress."""

    def __init__(
        self,
        plan: RunPlan,
        trainer: Trainer,
        data: tuple[Sources, tuple[PairGroup, ...]],
        log: _Log,
        listener: Listener,
        start: Weights | None = None,
    ):
        self.plan, self.trainer, self.log, self.listener, self.start = plan, trainer, log, listener, start
        self.sources, self.held = data
        self.watch = RealWatch(self.sources.real) if self.sources.real else None
        self.hashes: tuple[str, ...] | None = None
        self.best: float | None = None
        self.best_step: int | None = None

    def validate(self) -> None:
        """Score the averaged weights, show and keep them; fresh ones, before the first step, are only scored.

        Raises:
            TrainingError: the change of the real photos is past its bound; the best weights so far are untouched.
        """
        trainer, plan = self.trainer, self.plan
        restorer = self._restorer()
        shown: dict[str, list[PictureResult]] = {}

        def each(result: PictureResult) -> None:
            rows = shown.setdefault(result.group, [])
            if len(rows) < _GRID_PICTURES:
                rows.append(result)

        evaluation = evaluate(restorer, self.held, each)
        mean = evaluation.mean_psnr()
        values: dict[str, Any] = {
            "mean_psnr_rgb": mean,
            "megapixels_per_second": evaluation.megapixels / evaluation.seconds,
        }
        for group, scores in evaluation.after.items():
            for protocol, value in scores.items():
                values |= {f"{group}/psnr_{protocol}": value.psnr, f"{group}/ssim_{protocol}": value.ssim}
        looked = self.watch.look(restorer) if self.watch else None
        change = looked[0] if looked else None
        if change is not None:
            values |= {f"real/{name}": value for name, value in change.as_dict().items()}
        self.log.write("validation", trainer.step, values)
        rows = [(r.rainy, r.restored, r.clean) for results in shown.values() for r in results]
        self._show("step", "validation", grid(rows))
        if looked:
            self._show("real-step", "real", looked[1])
        drifted = excess(change, plan.config.contrast) if change else None
        counts = trainer.step > 0 or self.start is not None
        better = counts and drifted is None and (self.best is None or mean > self.best)
        if trainer.step:
            self._keep("last", evaluation, change)
        if better:
            self.best, self.best_step = mean, trainer.step
            if trainer.step:
                self._keep("best", evaluation, change)
            elif self.start is not None:
                # With its own card, which says what made it: this run has not.
                atomic_bytes(plan.out / "best.safetensors", self.start.path.read_bytes(), overwrite=True)
        self.listener.validated(trainer.step, evaluation, better)
        if change is not None:
            self.listener.looked(trainer.step, change)
        if drifted:
            raise drifted

    def _restorer(self) -> Callable[[Picture], Picture]:
        average, device = self.trainer.average, self.trainer.device
        if isinstance(average, SemiDRDNet):
            return Restorer(fold(average), RestoreOptions(device=str(device)))
        # A copy: evaluation mode is not for a network in training.
        return as_peer(DerainedOnly(copy.deepcopy(average)), device)

    def _keep(self, name: str, evaluation: Evaluation, change: Figures | None) -> None:
        path, average = self.plan.out / f"{name}.safetensors", self.trainer.average
        if isinstance(average, SemiDRDNet):
            save_weights(path, average, self._card(evaluation, change))
        else:
            save_state(path, average)

    def _show(self, stem: str, tag: str, picture: NDArray[np.uint8]) -> None:
        self.log.picture(tag, self.trainer.step, picture)
        folder = self.plan.out / "pictures"
        folder.mkdir(exist_ok=True)
        write_rgb(folder / f"{stem}-{self.trainer.step:09d}.png", picture)

    def _card(self, evaluation: Evaluation, change: Figures | None) -> Card:
        plan, config = self.plan, self.plan.config
        roles = (
            ("pairs", plan.datasets),
            ("true rain layers", plan.layers),
            ("photos with generated rain", plan.photos),
            ("real photos without ground truth", plan.real),
        )
        folders = [f"{role}: {_data_name(place)}" for role, places in roles for place in places]
        # What the weights it starts from were made of, and on what terms, is behind these too.
        before = self.start.card if self.start else Card()
        # Not its path: weights are passed on, and folders are nobody's business.
        start = f"{before.name} of {before.date} (SHA-256 {self.start.sha256[:16]})" if self.start else None
        return Card(
            name=plan.name,
            summary=plan.summary,
            trained_on=tuple(dict.fromkeys((*before.trained_on, *folders, *plan.licences))),
            recipe=to_mapping(config) | {"start": start},
            steps=self.trainer.step + before.steps,
            patches=self.trainer.step * config.data.batch + before.patches,
            commit=program_version(),
            scores=evaluation.as_dict(),
            licence=before.licence,
            date=today(),
            limits=before.limits,
            hashes=self._hashes(),
            change=change.as_dict() if change else {},
        )

    def _hashes(self) -> tuple[str, ...]:
        """Perceptual hashes of all clean pictures behind the weights, those of the weights it started from too.

        They take some minutes for a large data set, so they are kept in the run's folder.
        """
        if self.hashes is None:
            path, data = self.plan.out / "hashes.json", _fingerprint(self.sources)
            kept = _read_hashes(path, data)
            if kept is None:
                groups = (*self.sources.pairs, *self.sources.layers)
                kept = hash_files(
                    [*(pair for group in groups for pair in group.pairs), *self.sources.photos, *self.sources.real]
                )
                atomic_bytes(path, json.dumps({"data": data, "hashes": kept}).encode(), overwrite=True)
            self.hashes = tuple(sorted({*kept, *(self.start.card.hashes if self.start else ())}))
        return self.hashes

    def checkpoint(self) -> None:
        tensors, state = self.trainer.state()
        best = {"best": self.best, "best_step": self.best_step}
        save_checkpoint(self.plan.out / "checkpoints", self.trainer.step, tensors, state | best)

    def restore(self) -> None:
        found = latest_checkpoint(self.plan.out / "checkpoints")
        if found is None:
            self.listener.note("no checkpoint yet: the run starts from its beginning")
            return
        tensors, state, damaged = found
        for error in damaged:
            self.listener.note(f"passed over a damaged checkpoint: {error}")
        self.trainer.load_state(tensors, state)
        # Checkpoints of earlier versions do not say at which step it was.
        self.best, self.best_step = state["best"], state.get("best_step")


def _objective(plan: RunPlan, device: torch.device, listener: Listener) -> tuple[Objective | None, str | None]:
    """The contrastive objective where one is asked for, and a digest of the features it compares in."""
    config = plan.config
    if config.contrast.mode == "none":
        return None, None
    features, digest = load_features(plan.vgg, listener.note)
    return SemiSupervised(config, features.to(device), autocast_wanted(config.optim, device)), digest


def _starting_tensors(start: Weights, config: TrainConfig, listener: Listener) -> Mapping[str, Tensor]:
    """The weights a run starts from: those of the file, or of a deeper copy where the recipe only asks for more blocks.

    Raises:
        WeightsError: they are of another network.
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
            f"weights of another network than the recipe's: {keys}", path=start.path, hint=str(error)
        ) from error
    added = shape.blocks + shape.drn_blocks - start.config.blocks - start.config.drn_blocks
    if added:  # else only the spelling differs: detail_blocks may be told or left to follow blocks
        listener.note(f"{start.path.name}: {added} blocks are added that pass their input on")
    return deeper.state_dict()


def train(plan: RunPlan, listener: Listener | None = None, model: nn.Module | None = None) -> RunResult:
    """Run or resume a training.

    Args:
        plan: what is asked for.
        listener: who is told how it goes.
        model: a ready-made network whose forward gives `Layers` (see `attach_drn`), trained in place; `config.model`
            is not used then, and the weight files are plain tensors by name (`save_state`).

    Raises:
        UsageError: settings that cannot work, or a resumed run with other settings.
        DestinationError: the folder holds something else.
        NothingToDoError: no data.
        WeightsError: the starting weights, the feature network's or every checkpoint are unusable.
        TrainingError: too much unusable data, a loss that stays non-finite, or real photos that change too much.
        ResourceError: the disk is full, or the device is not there.
    """
    listener = listener or SilentListener()
    device = pick_device(plan.device)
    config = plan.config
    if config.loop.threads:
        torch.set_num_threads(config.loop.threads)
    start, tensors = None, None
    if plan.start is not None:
        if model is not None:
            raise UsageError("a ready-made network has its weights already: no others to start from")
        start = load_weights(find_weights(plan.start))
        tensors = _starting_tensors(start, config, listener)
    _refuse_folder(plan)
    objective, features = _objective(plan, device, listener)
    sources, held = _prepare(plan, listener)
    for rejected in sources.rejected:
        listener.note(f"not used: {rejected}")
    record = {
        "config": to_mapping(config),
        "data": _fingerprint(sources),
        "start": None if start is None else start.sha256,
        "features": features,
        "environment": _environment(device, config),
        "version": program_version(),
    }
    agreed = _agrees(plan, record, listener)
    keep_freed_memory()
    trainer = Trainer(config, device, objective, tensors, model, listener.note)
    run = _Run(plan, trainer, (sources, held), _Log(plan.out / "log.jsonl"), listener, start)
    if plan.resume:
        run.restore()
    # Only now: a resume that the checkpoint refuses leaves everything as it was.
    if not agreed:
        _claim(plan, record)
    try:
        run.log = _open_log(plan.out, listener, trainer.step)
        with _signals() as caught, contextlib.closing(run.log):
            return _loop(run, sources, caught)
    except OSError as error:
        full = resource_error_from(error, plan.out)
        if full is None:
            raise
        raise full from error


def _loop(run: _Run, sources: Sources, caught: list[signal.Signals]) -> RunResult:
    plan, trainer, listener, config = run.plan, run.trainer, run.listener, run.plan.config
    total, batch = config.optim.steps, config.data.batch
    patches = TrainingPatches(sources, config.data, config.loop.seed, total * batch)
    stream = BatchStream(patches, batch, trainer.step, config.data.workers, pin=trainer.device.type == "cuda")
    listener.started(trainer.step, total, batch)
    if (sources.real or run.start is not None) and not trainer.step:
        run.validate()  # what has to be beaten, and what the real photos look like before
    begin = time.monotonic()
    first, rate, waiting, paused, stopped = trainer.step, 0.0, 0.0, 0.0, ""
    for report in trainer.steps(stream):
        elapsed = max(1e-9, time.monotonic() - begin - paused)
        rate, waiting = (report.step - first) * batch / elapsed, stream.waited / elapsed
        listener.stepped(report, rate, waiting)
        last = report.step == total
        if report.step % config.loop.log_every == 0 or report.skipped:
            losses = {f"loss_{k}": v for k, v in report.parts.items()}
            extra = {
                "patches_per_second": rate,
                "waiting_share": waiting,
                "skipped": trainer.skipped,
                "bad": stream.bad,
                **({"bad_real": stream.bad_real} if sources.real else {}),
                **report.figures,
            }
            values = {"loss": report.loss, **losses, "grad_norm": report.grad_norm, "lr": report.lr, **extra}
            run.log.write("train", report.step, values)
        pause = time.monotonic()
        if report.step % config.loop.validate_every == 0 or last:
            run.validate()
        if caught:
            stopped = caught[0].name
        elif plan.minutes is not None and time.monotonic() - begin >= plan.minutes * 60:
            stopped = "time"
        if report.step % config.loop.checkpoint_every == 0 or last or stopped:
            run.checkpoint()
        if stream.bad > MAX_BAD_SHARE * (report.step - first) * batch + 20:
            raise TrainingError(f"{stream.bad} training files could not be read", hint="see log.jsonl")
        paused += time.monotonic() - pause
        if stopped and not last:
            break
    best = plan.out / "best.safetensors"
    return RunResult(
        step=trainer.step,
        finished=trainer.step >= total,
        stopped="" if trainer.step >= total else stopped,
        best_psnr=run.best,
        best_step=run.best_step,
        seconds=time.monotonic() - begin,
        patches_per_second=rate,
        waiting_share=waiting,
        weights=best if best.exists() else None,
    )
