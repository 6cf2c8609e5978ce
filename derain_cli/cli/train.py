"""`derain train`: paired training on pairs, true rain layers and generated rain."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from derain_cli.cli import options
from derain_cli.cli.console import Reporter

if TYPE_CHECKING:
    from derain_cli.evaluation import Evaluation
    from derain_cli.training.run import RunPlan, RunResult
    from derain_cli.training.trainer import StepReport

__all__ = ["train"]

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
Recipe = Annotated[str, typer.Option("--recipe", metavar="NAME|FILE", help="fast, paper, or a TOML file.")]
Settings = Annotated[
    list[str] | None, typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Override a setting; repeatable.")
]
Start = Annotated[str | None, typer.Option("--from", metavar="NAME|FILE", help="Weights to start from.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on with the run in RUN where it stopped.")]
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


def train(
    output: RunFolder,
    dataset: Datasets = None,
    layers: LayerFolders = None,
    clean: CleanFolders = None,
    val: Validation = None,
    recipe: Recipe = "fast",
    set_: Settings = None,
    from_: Start = None,
    resume: Resume = False,
    force: Force = False,
    minutes: Minutes = None,
    name: Name = "custom",
    summary: Summary = "",
    data_licence: Licence = None,
    device: options.Device = "auto",
    json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> int:
    """Train a network on pairs of rainy and clean pictures.

    Any mixture of --dataset, --layers and --clean; their shares are in the recipe (data.pairs, data.layers,
    data.generated). The result is RUN/best.safetensors, ready for `derain --model`.
    """
    from derain_cli.config import TrainConfig, apply_overrides, from_mapping, load_recipe, parse_overrides
    from derain_cli.data.registry import find_record
    from derain_cli.training.run import RunPlan

    def folders(names: list[str] | None) -> tuple[Path | str, ...]:
        return tuple(Path(each) if Path(each).is_dir() else find_record(each).name for each in names or ())

    plan = RunPlan(
        out=output,
        config=from_mapping(TrainConfig, apply_overrides(load_recipe(recipe), parse_overrides(set_ or ()))),
        datasets=folders(dataset),
        layers=folders(layers),
        photos=tuple(clean or ()),
        validation=folders(val),
        start=from_,
        resume=resume,
        force=force,
        device=device,
        minutes=minutes,
        name=name,
        summary=summary,
        licences=tuple(data_licence or ()),
    )
    return _run(plan, Reporter(json=json, quiet=quiet, debug=debug))


def _run(plan: RunPlan, reporter: Reporter) -> int:
    from derain_cli.training.run import train as run_training

    with reporter.bar(plan.config.optim.steps) as bar:
        result = run_training(plan, _Listener(reporter, bar.update, plan.config.loop.log_every))
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
        reporter.say(f"best weights: {result.weights} (mean validation PSNR {result.best_psnr:.2f} dB, rgb)")
    reporter.record(
        kind="summary",
        step=result.step,
        finished=result.finished,
        stopped=result.stopped,
        best_psnr_rgb=result.best_psnr,
        patches_per_second=result.patches_per_second,
        waiting_share=result.waiting_share,
        weights=None if result.weights is None else str(result.weights),
        run=str(plan.out),
    )


class _Listener:
    """Tells the reporter: the bar on a terminal, plain lines elsewhere."""

    def __init__(self, reporter: Reporter, update: Callable[[float, str], None], every: int):
        self.reporter, self.update, self.every = reporter, update, every
        self.scores = "no validation yet"
        self.begin, self.first, self.total = time.monotonic(), 0, 0

    def started(self, step: int, total: int, batch: int) -> None:
        self.begin, self.first, self.total = time.monotonic(), step, total
        begun = f"going on at step {step:,}" if step else "starting"
        self.reporter.say(f"{begun}: {total:,} steps of {batch} patches")

    def stepped(self, report: StepReport, patches_per_second: float, waiting_share: float) -> None:
        text = f"loss {report.loss:.4f}, {patches_per_second:.1f} patches/s, waiting {waiting_share:.1%}, {self.scores}"
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
            self.reporter.note(f"not scored: {error}")
        self.reporter.record(kind="validation", step=step, best=best, scores=means)

    def note(self, text: str) -> None:
        self.reporter.note(text)
