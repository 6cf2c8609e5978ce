"""`derain synth`: pairs of clean photos and the same photos with generated rain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from derain_cli.cli import options
from derain_cli.cli.console import print_data
from derain_cli.cli.flags import command_from_flags, options_from
from derain_cli.cli.help import FILES, OUTPUT, RUN
from derain_cli.cli.tally import Tally
from derain_cli.errors import printable
from derain_cli.jobs.synth.options import SynthOptions

if TYPE_CHECKING:
    from derain_cli.jobs.synth.pairs import PhotoTask, SynthPlan
    from derain_cli.jobs.synth.run import SynthOutcome

__all__ = ["synth"]

_RAIN = "Rain"

OutputFolder = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="DIR",
        help="Folder for the pairs (rain/ and norain/); created if missing.",
        rich_help_panel=OUTPUT,
    ),
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        metavar="light|heavy|real",
        show_default="real",
        help="Kind of rain: real as in photos, light and heavy as in the Rain100 and Rain200 sets. Repeatable: one "
        "folder each.",
        rich_help_panel=_RAIN,
    ),
]
Variants = Annotated[
    int,
    typer.Option(
        "--variants",
        metavar="N",
        min=1,
        help="Pairs per photo, each with different rain: NAME-1, NAME-2, ...",
        rich_help_panel=_RAIN,
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", help="Random seed; the same seed gives the same rain.", rich_help_panel=_RAIN),
]
Target = Annotated[
    Literal["streak-free", "clean"],
    typer.Option(
        "--target",
        help="Clean partner for `real`: streak-free keeps haze and noise; clean is the photo itself.",
        rich_help_panel=_RAIN,
    ),
]
PairFormat = Annotated[
    str,
    typer.Option(
        "--format",
        metavar="png|webp|tiff|jpg",
        help="Format of the pairs; jpg loses detail.",
        rich_help_panel=OUTPUT,
    ),
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        "--max-side",
        metavar="N",
        min=1,
        help="Downscale photos with a longer side than N. Streaks are 10 to 100 pixels long.",
        rich_help_panel=_RAIN,
    ),
]
SubFolders = Annotated[
    bool,
    typer.Option(
        "--recursive",
        "-r",
        help="Search subfolders; sub/photo.jpg becomes sub__photo.",
        rich_help_panel=FILES,
    ),
]
PhotoJobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        max=64,
        help="Number of photos processed in parallel, one thread each.",
        rich_help_panel=RUN,
    ),
]


@dataclass(frozen=True, kw_only=True)
class PairFlags:
    """The flags of `derain synth`."""

    paths: Annotated[list[str], typer.Argument(metavar="CLEAN_DIR...", help="Folders of photos without rain.")]
    output: OutputFolder
    profile: Profiles = None
    variants: Variants = SynthOptions.variants
    seed: Seed = SynthOptions.seed
    target: Target = SynthOptions.target
    format: PairFormat = SynthOptions.format
    max_side: MaxSide = SynthOptions.max_side
    max_pixels: options.MaxPixels = SynthOptions.max_pixels
    recursive: SubFolders = False
    overwrite: options.Overwrite = SynthOptions.overwrite
    jobs: PhotoJobs = SynthOptions.jobs
    dry_run: options.DryRun = False
    messages: options.Messages = field(default_factory=options.Messages)

    def synth_options(self) -> SynthOptions:
        """How the pairs are made.

        Raises:
            UsageError: an unknown name, or a value is out of range.
        """
        return options_from(
            SynthOptions,
            self,
            profiles=tuple(self.profile or SynthOptions.profiles),
            format=self.format.lower().lstrip("."),
        )


@command_from_flags(PairFlags)
def synth(flags: PairFlags) -> int:
    """Add generated rain to clean photos: pairs for training and tests.

    The result is DIR/rain/NAME.png and DIR/norain/NAME.png, ready for `derain train --dataset DIR`; with several
    profiles DIR/light/rain and so on. Existing pairs are skipped: run the same command again to resume. The settings
    are stored in DIR/synth.json.
    """
    from derain_cli.jobs.synth.plan import plan_synthesis
    from derain_cli.jobs.synth.run import synthesize

    wanted = flags.synth_options()
    reporter = flags.messages.reporter()
    work = plan_synthesis(flags.paths, flags.output, wanted, recursive=flags.recursive)
    tally = _PairTally(reporter, flags.dry_run)
    if not wanted.is_lossless:
        reporter.note(f"{wanted.format} loses detail in rainy and clean pictures; png and webp do not")
    with tally.summary_on_exit():
        tally.report_plan(work)
        if flags.dry_run:
            for task in work.items:
                tally.planned(task)
        else:
            with reporter.bar(len(work.items)) as bar:
                synthesize(work, wanted, report=tally.report, progress=lambda done: bar.update(done, tally.last))
    return tally.exit_code


@dataclass
class _PairTally(Tally):
    """Results of the photos."""

    pairs: int = 0
    last: str = ""

    def report_plan(self, work: SynthPlan) -> None:
        """Report what the plan skipped, refused, or found done."""
        self.total = len(work.items) + len(work.failed) + len(work.done)
        for path, text in work.notes:
            self.reporter.note(text, path)
        for error in work.failed:
            self.failed(error, input=str(error.path or ""))
        for task in work.done:
            self.skipped += 1
            self.reporter.detail(f"{task.source}: skipped, its pairs already exist (--overwrite recreates them)")
            self._record(task, "skipped")
        if work.done:
            count = f"{len(work.done)} of {len(work.done) + len(work.items)} photos"
            self.reporter.say(f"{count} already have their pairs (--overwrite recreates them)")

    def planned(self, task: PhotoTask) -> None:
        """Report a photo of a dry run."""
        self.ok += 1
        self.pairs += len(task.pairs)
        if self.reporter.json:
            self._record(task, "planned")
            return
        for pair in task.pairs:
            print_data(f"{printable(task.source)} -> {printable(pair.rainy)}, {printable(pair.clean)}")

    def report(self, outcome: SynthOutcome) -> None:
        """Report a finished photo."""
        if self.is_repeated(outcome):
            return
        task = outcome.item
        self.last = printable(task.relative)
        if outcome.error is not None:
            self.failed_by(outcome, task.source)
            return
        self.ok += 1
        self.pairs += len(task.pairs)
        for note in outcome.notes:
            self.reporter.note(note, task.source)
        self.reporter.detail(f"{task.source} -> {', '.join(str(pair.rainy) for pair in task.pairs)}")
        self._record(task, "ok", width=outcome.width, height=outcome.height, notes=list(outcome.notes))

    def summary_values(self) -> dict[str, Any]:
        return {"pairs": self.pairs}

    def _record(self, task: PhotoTask, status: str, **values: Any) -> None:
        pairs = [
            {"profile": pair.profile, "variant": pair.variant, "rainy": str(pair.rainy), "clean": str(pair.clean)}
            for pair in task.pairs
        ]
        self.record(status, input=task.source, pairs=pairs, **values)
