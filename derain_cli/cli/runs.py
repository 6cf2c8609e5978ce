"""What `derain train` and `derain finetune-real` share: the flags as one object, the plan they make, the telling."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from derain_cli.cli import options
from derain_cli.cli.console import can_be_asked
from derain_cli.cli.hints import line_of
from derain_cli.cli.reporter import Reporter
from derain_cli.config import ContrastMode, RestoreOptions
from derain_cli.errors import NothingToDoError, UsageError
from derain_cli.remedies import Remedy
from derain_cli.system.accelerators import refuse_missing_device

if TYPE_CHECKING:
    from derain_cli.evaluation.scores import Evaluation
    from derain_cli.metrics.no_reference import Figures
    from derain_cli.training.run import RunPlan, RunResult
    from derain_cli.training.selection import Gain
    from derain_cli.training.trainer import StepReport

__all__ = ["RunFlags", "run_plan"]

Datasets = Annotated[
    list[str] | None,
    typer.Option("--dataset", metavar="NAME|DIR", help="Pairs: a folder of them or a known data set; repeatable."),
]
LayerFolders = Annotated[
    list[str] | None,
    typer.Option("--layers", metavar="NAME|DIR", help="Pairs whose rain goes onto other backgrounds; repeatable."),
]
CleanFolders = Annotated[
    list[Path] | None, typer.Option("--clean", metavar="DIR", help="Photos that get generated rain; repeatable.")
]
Validation = Annotated[
    list[str] | None,
    typer.Option(
        "--val", metavar="NAME|DIR", help="Pairs to choose the best weights on; without them some pairs are held back."
    ),
]
RunFolder = Annotated[Path, typer.Option("--output", "-o", metavar="RUN", help="Folder of the run.")]
Recipe = Annotated[
    str, typer.Option("--recipe", metavar="NAME|FILE", help="fast, clip, paper, finetune, paper-semi, or a TOML file.")
]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Override a setting; repeatable.")
]
Start = Annotated[str | None, typer.Option("--from", metavar="NAME|FILE", help="Weights to start from.")]
Contrast = Annotated[
    ContrastMode | None,
    typer.Option(
        "--contrast", help="Contrastive terms (contrast.mode); both is DualSCRNet. The recipe says by itself."
    ),
]
Vgg = Annotated[
    Path | None,
    typer.Option("--vgg", metavar="FILE", help="VGG-16 weights for --contrast, safetensors; else torchvision's own."),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN where it stopped.")]
Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Download the VGG-16 weights (528 MB) without asking, should they be missing."),
]
Force = Annotated[bool, typer.Option("--force", help="Resume although settings or data differ.")]
Minutes = Annotated[
    float | None, typer.Option("--minutes", min=0.0, help="Stop after this time, with a checkpoint to resume from.")
]
Name = Annotated[str, typer.Option("--name", help="Name of the weights on their card.")]
Summary = Annotated[str, typer.Option("--summary", help="One line for the card: what the weights are for.")]
Licence = Annotated[
    list[str] | None,
    typer.Option(
        "--data-licence", metavar="TEXT", help="A line on the data and their licence for the card; repeatable."
    ),
]


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """The flags of `derain train`, in the order of its help."""

    output: RunFolder
    dataset: Datasets = None
    layers: LayerFolders = None
    clean: CleanFolders = None
    val: Validation = None
    recipe: Recipe = "fast"
    set_: Settings = None
    from_: Start = None
    contrast: Contrast = None
    vgg: Vgg = None
    resume: Resume = False
    force: Force = False
    yes: Yes = False
    minutes: Minutes = None
    name: Name = "custom"
    summary: Summary = ""
    data_licence: Licence = None
    device: options.Device = RestoreOptions.device
    talk: options.Talk = field(default_factory=options.Talk)

    def plan(self, real: list[Path] | None = None, adapts: str | None = None) -> RunPlan:
        """What they ask for.

        The network is the recipe's; where the recipe leaves it open, that of the weights to start from. `--set` changes
        either.

        Args:
            real: photos in real rain, or folders of them.
            adapts: the weights to start from where neither `--from` nor a network of the recipe's own says otherwise.

        Raises:
            UsageError: an unknown recipe, setting or data set.
            WeightsError: the weights to start from are unusable.
        """
        from derain_cli.checkpoints.find import find_weights
        from derain_cli.checkpoints.header import read_head
        from derain_cli.config import (
            TrainConfig,
            apply_overrides,
            from_mapping,
            load_recipe,
            parse_overrides,
            to_mapping,
        )
        from derain_cli.datasets.catalogue import find_record

        def folders(names: list[str] | None) -> tuple[Path | str, ...]:
            return tuple(Path(each) if Path(each).is_dir() else find_record(each).name for each in names or ())

        tables = load_recipe(self.recipe)
        start = self.from_ or (None if "model" in tables else adapts)
        if start is not None:
            network = read_head(find_weights(start)).config
            tables = {"model": to_mapping(network), **tables}
        tables = apply_overrides(tables, parse_overrides(self.set_ or ()))
        if self.contrast is not None:
            tables = apply_overrides(tables, {"contrast": {"mode": self.contrast}})
        config = from_mapping(TrainConfig, tables)
        datasets, layers, validation = folders(self.dataset), folders(self.layers), folders(self.val)
        from derain_cli.training.run import RunPlan

        return RunPlan(
            out=self.output,
            config=config,
            datasets=datasets,
            layers=layers,
            photos=tuple(self.clean or ()),
            real=tuple(real or ()),
            vgg=self.vgg,
            validation=validation,
            start=start,
            resume=self.resume,
            force=self.force,
            device=self.device,
            minutes=self.minutes,
            name=self.name,
            summary=self.summary,
            licences=tuple(self.data_licence or ()),
        )

    def refuse_mistakes(self) -> None:
        """See that there are data, a device, and a folder to write to, before torch is loaded.

        Raises:
            UsageError: no data are named.
            NothingToDoError: a folder is not there, or no run to resume.
            DestinationError: the run's folder is refused.
            ResourceError: the device is not there.
        """
        from derain_cli.training.output import refuse_output

        refuse_output(self.output, resume=self.resume)
        refuse_missing_device(self.device)
        if not (self.dataset or self.layers or self.clean):
            raise UsageError("nothing to train on", remedy=Remedy.NAME_DATA)
        for folder in self.clean or ():
            if not folder.exists():
                raise NothingToDoError("no such folder", path=folder)


def run_plan(plan: RunPlan, reporter: Reporter, *, yes: bool = False) -> int:
    """Train, tell how it goes and how it ended; returns the exit code.

    Args:
        plan: what to train.
        reporter: how it is told.
        yes: agree to downloads without being asked.
    """
    from derain_cli.training.run import train as run_training

    with reporter.bar(plan.config.optim.steps) as bar:
        result = run_training(plan, _Listener(reporter, bar.update, plan.config.loop.log_every, yes))
    _tell_end(result, plan, reporter)
    if result.stopped in {"", "time"}:
        return 0
    return 128 + int(signal.Signals[result.stopped])


def _tell_end(result: RunResult, plan: RunPlan, reporter: Reporter) -> None:
    state = "finished" if result.finished else f"stopped ({result.stopped}); --resume goes on"
    reporter.say(
        f"{state} at step {result.step:,}: {result.patches_per_second:.1f} patches/s, "
        f"{result.waiting_share:.1%} of the time waiting for data"
    )
    if result.weights is not None and result.best_psnr is not None:
        score = f"mean validation PSNR {result.best_psnr:.2f} dB, rgb"
        if result.best_step == 0:
            told = "nothing scored better than" if result.scored_step else "no validation yet but that of"
            reporter.say(
                f"{told} the weights it started from ({score}): {result.weights} is a copy of them"
                ", last.safetensors has what this run has learnt"
            )
        else:
            mixed = "" if result.best_share == 1 else f"; {1 - result.best_share:.0%} of the weights it started from"
            reporter.say(f"best weights: {result.weights} ({score}{mixed})")
    reporter.record(
        kind="summary",
        step=result.step,
        finished=result.finished,
        stopped=result.stopped,
        best_psnr_rgb=result.best_psnr,
        best_step=result.best_step,
        best_share=result.best_share,
        patches_per_second=result.patches_per_second,
        waiting_share=result.waiting_share,
        weights=None if result.weights is None else str(result.weights),
        run=str(plan.out),
    )


class _Listener:
    """Tells the reporter: the bar on a terminal, plain lines elsewhere."""

    def __init__(self, reporter: Reporter, update: Callable[[float, str], None], every: int, yes: bool):
        self.reporter, self.update, self.every, self.yes = reporter, update, every, yes
        self.scores = "no validation yet"
        self.begin, self.first, self.total = time.monotonic(), 0, 0

    def started(self, step: int, total: int, batch: int) -> None:
        self.begin, self.first, self.total = time.monotonic(), step, total
        begun = f"going on at step {step:,}" if step else "starting"
        self.reporter.say(f"{begun}: {total:,} steps of {batch} patches")

    def stepped(self, report: StepReport, patches_per_second: float, waiting_share: float) -> None:
        psnr = "" if report.psnr is None else f"PSNR {report.psnr:.2f} dB, "
        pace = f"{patches_per_second:.1f} patches/s, waiting {waiting_share:.1%}"
        text = f"{psnr}loss {report.loss:.4f}, {pace}, {self.scores}"
        self.update(report.step, text)
        if report.skipped:
            self.reporter.note(f"step {report.step} was not finite and left no trace")
        if report.step % self.every == 0:
            if not self.reporter.shows_bar:
                self.reporter.say(f"step {report.step:,}/{self.total:,}: {text}, {self._time_left(report.step)} left")
            self.reporter.record(
                kind="step",
                step=report.step,
                loss=report.loss,
                psnr_recent=report.psnr,
                patches_per_second=patches_per_second,
                waiting_share=waiting_share,
            )

    def _time_left(self, step: int) -> str:
        seconds = (time.monotonic() - self.begin) / max(1, step - self.first) * (self.total - step)
        return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"

    def validated(self, step: int, evaluation: Evaluation, best: bool) -> None:
        means = {group: {p: s._asdict() for p, s in scores.items()} for group, scores in evaluation.after.items()}
        self.scores = ", ".join(f"{group} {scores['rgb'].psnr:.2f} dB" for group, scores in evaluation.after.items())
        for group, scores in evaluation.after.items():
            before = evaluation.before[group]
            both = "; ".join(
                f"{p} {before[p].psnr:.2f} -> {s.psnr:.2f} dB, SSIM {before[p].ssim:.4f} -> {s.ssim:.4f}"
                for p, s in scores.items()
            )
            self.reporter.say(f"step {step:,}, {group} ({evaluation.count[group]}): {both}{'  best' if best else ''}")
        for error in evaluation.failed:
            self.reporter.note(f"not scored: {line_of(error)}")
        self.reporter.record(kind="validation", step=step, best=best, scores=means)

    def real_photos_checked(self, step: int, change: Figures) -> None:
        self.reporter.say(
            f"step {step:,}, real photos: mean change {change.mean_change:.2f}, colour shift "
            f"{change.colour_shift:.2f} of 255; streak energy removed {change.streak_energy_removed:.0%}, "
            f"other kept {change.other_energy_kept:.0%}"
        )
        self.reporter.record(kind="real", step=step, change=change.as_dict())

    def averaged(self, share: float, gain: Gain, best: bool) -> None:
        self.reporter.say(
            f"{share:.0%} of these weights, {1 - share:.0%} of those at the start: {gain.psnr:.2f} dB; streak energy "
            f"removed {gain.removed:.1%}, of clean pictures {gain.harm:.1%}{'  best' if best else ''}"
        )
        self.reporter.record(kind="average", share=share, best=best, **asdict(gain))

    def note(self, text: str) -> None:
        self.reporter.note(text)

    def agrees(self, question: str) -> bool:
        if self.yes:
            return True
        return can_be_asked() and typer.confirm(question, default=False, err=True)
