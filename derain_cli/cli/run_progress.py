"""Runs the plan of `derain train` and `derain finetune-real` and reports progress and result."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from derain_cli.cli.console import can_be_asked
from derain_cli.cli.hints import line_of
from derain_cli.cli.reporter import Reporter

if TYPE_CHECKING:
    from derain_cli.evaluation.scores import Evaluation
    from derain_cli.metrics.no_reference import Figures
    from derain_cli.training.run import RunPlan, RunResult
    from derain_cli.training.selection import Gain
    from derain_cli.training.trainer import StepReport

__all__ = ["run_plan"]


def run_plan(plan: RunPlan, reporter: Reporter, *, yes: bool = False) -> int:
    """Train and report progress and result; returns the exit code.

    Args:
        plan: what to train.
        reporter: output of the command.
        yes: download without asking.
    """
    from derain_cli.training.run import train as run_training

    with reporter.bar(plan.config.optim.steps) as bar:
        result = run_training(plan, _Listener(reporter, bar.update, plan.config.loop.log_every, yes))
    _tell_end(result, plan, reporter)
    if result.stopped in {"", "time"}:
        return 0
    return 128 + int(signal.Signals[result.stopped])


def _tell_end(result: RunResult, plan: RunPlan, reporter: Reporter) -> None:
    state = "finished" if result.finished else f"stopped ({result.stopped}; --resume continues)"
    reporter.say(
        f"{state} at step {result.step:,}: {result.patches_per_second:.1f} patches/s, "
        f"{result.waiting_share:.1%} of the time waiting for data"
    )
    if result.weights is not None and result.best_psnr is not None:
        score = f"mean validation PSNR {result.best_psnr:.2f} dB, rgb"
        if result.best_step == 0:
            why = "no improvement over" if result.scored_step else "no validation yet except for"
            reporter.say(
                f"{why} the initial weights ({score}): {result.weights} is a copy of them; "
                "the trained weights are in last.safetensors"
            )
        else:
            mixed = "" if result.best_share == 1 else f"; averaged with {1 - result.best_share:.0%} initial weights"
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
    """Reports progress: a bar on a terminal, plain lines elsewhere."""

    def __init__(self, reporter: Reporter, update: Callable[[float, str], None], every: int, yes: bool):
        self.reporter, self.update, self.every, self.yes = reporter, update, every, yes
        self.scores = "no validation yet"
        self.begin, self.first, self.total = time.monotonic(), 0, 0

    def started(self, step: int, total: int, batch: int) -> None:
        self.begin, self.first, self.total = time.monotonic(), step, total
        begun = f"resuming at step {step:,}" if step else "starting"
        self.reporter.say(f"{begun}: {total:,} steps of {batch} patches")

    def stepped(self, report: StepReport, patches_per_second: float, waiting_share: float) -> None:
        psnr = "" if report.psnr is None else f"PSNR {report.psnr:.2f} dB, "
        pace = f"{patches_per_second:.1f} patches/s, waiting {waiting_share:.1%}"
        text = f"{psnr}loss {report.loss:.4f}, {pace}, {self.scores}"
        self.update(report.step, text)
        if report.skipped:
            self.reporter.note(f"step {report.step} was skipped: loss or gradients not finite")
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
            f"{share:.0%} of these weights, {1 - share:.0%} of the initial ones: {gain.psnr:.2f} dB; streak energy "
            f"removed {gain.removed:.1%}, from clean pictures {gain.harm:.1%}{'  best' if best else ''}"
        )
        self.reporter.record(kind="average", share=share, best=best, **asdict(gain))

    def note(self, text: str) -> None:
        self.reporter.note(text)

    def agrees(self, question: str) -> bool:
        if self.yes:
            return True
        return can_be_asked() and typer.confirm(question, default=False, err=True)
