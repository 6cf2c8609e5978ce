"""What a training run is asked for, what it gives, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from derain_cli.config import TrainConfig
from derain_cli.evaluation.scores import Evaluation
from derain_cli.metrics.no_reference import Figures
from derain_cli.training.selection import Gain
from derain_cli.training.trainer import StepReport

__all__ = ["Listener", "RunPlan", "RunResult", "SilentListener"]


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
    `best_step` 0 means that nothing was better than the weights it started from;
    `scored_step` is that of the newest validation of its own weights, 0 without one; `best_share` is
    that of the fine-tuned weights in the best ones, the rest being those that the run started from."""

    step: int
    finished: bool
    stopped: str
    best_psnr: float | None
    best_step: int | None
    scored_step: int
    best_share: float
    seconds: float
    patches_per_second: float
    waiting_share: float
    weights: Path | None


class Listener(Protocol):
    """Receives the progress of a run."""

    def started(self, step: int, total: int, batch: int) -> None: ...
    def stepped(self, report: StepReport, patches_per_second: float, waiting_share: float) -> None: ...
    def validated(self, step: int, evaluation: Evaluation, best: bool) -> None: ...
    def looked(self, step: int, change: Figures) -> None: ...
    def averaged(self, share: float, gain: Gain, best: bool) -> None: ...
    def agrees(self, question: str) -> bool: ...
    def note(self, text: str) -> None: ...


class SilentListener:
    """Ignores the progress of a run."""

    def started(self, step: int, total: int, batch: int) -> None: ...
    def stepped(self, report: StepReport, patches_per_second: float, waiting_share: float) -> None: ...
    def validated(self, step: int, evaluation: Evaluation, best: bool) -> None: ...
    def looked(self, step: int, change: Figures) -> None: ...
    def averaged(self, share: float, gain: Gain, best: bool) -> None: ...
    def agrees(self, question: str) -> bool:
        return True

    def note(self, text: str) -> None: ...
