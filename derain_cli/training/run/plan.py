"""The plan and result of a training run, and the interface for its progress."""

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
    """A run of `derain train` or `derain finetune-real`.

    Attributes:
        out: the run's folder.
        config: recipe with overrides.
        datasets: folders of pairs (only the `train` subfolder, if there is one), or names of data sets.
        layers: the same, for pairs whose rain layers are added to other backgrounds.
        photos: folders of photos without rain.
        real: photos of real rain without clean partners, or folders of them (see `find_real`).
        vgg: weights of the feature network for contrastive training; None means torchvision's.
        validation: folders of pairs for choosing the best weights, or names of data sets with a `val` split; if empty,
            some training pairs are held out.
        start: weights to start from (name or file); None starts from scratch.
        resume: resume the run in `out`.
        force: resume even if settings differ.
        device: as in `RestoreOptions`.
        minutes: stop with a checkpoint after this time; None runs to the end.
        name: of the weights, on their card.
        summary: one line for the card.
        licences: lines on data and licences for the card, in addition to the folders' names.
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
    """How a run ended: `finished` if all steps are done, otherwise `stopped` gives the reason (`time`, or a signal's
    name); `best_step` 0 means that nothing surpassed the starting weights; `scored_step` is the step of the newest
    validation of its own weights, 0 without one; `best_share` is the share of the fine-tuned weights in the best
    average with the starting weights."""

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
    def real_photos_checked(self, step: int, change: Figures) -> None: ...
    def averaged(self, share: float, gain: Gain, best: bool) -> None: ...
    def agrees(self, question: str) -> bool: ...
    def note(self, text: str) -> None: ...


class SilentListener:
    """Ignores the progress of a run."""

    def started(self, step: int, total: int, batch: int) -> None: ...
    def stepped(self, report: StepReport, patches_per_second: float, waiting_share: float) -> None: ...
    def validated(self, step: int, evaluation: Evaluation, best: bool) -> None: ...
    def real_photos_checked(self, step: int, change: Figures) -> None: ...
    def averaged(self, share: float, gain: Gain, best: bool) -> None: ...
    def agrees(self, question: str) -> bool:
        return True

    def note(self, text: str) -> None: ...
