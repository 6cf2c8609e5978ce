"""`derain frames`: builds a data set of real rain from clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from derain_cli.cli import options
from derain_cli.cli.console import print_data
from derain_cli.cli.flags import command_from_flags, options_from
from derain_cli.cli.help import FILES, OUTPUT, RUN
from derain_cli.cli.tally import Tally
from derain_cli.errors import printable
from derain_cli.jobs.frame_set.options import FramesOptions

if TYPE_CHECKING:
    from derain_cli.jobs.frame_set.choice import Choice, Chosen
    from derain_cli.jobs.frame_set.plan import FrameSetPlan
    from derain_cli.jobs.frame_set.study import SourceOutcome

__all__ = ["frames"]

_SELECTION = "Selection of frames"

Clips = Annotated[
    list[str] | None, typer.Argument(metavar="CLIP|DIR...", help="Clips, folders of clips, or quoted patterns.")
]
OutputFolder = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="DATASET",
        help="Folder of the data set; created if missing.",
        rich_help_panel=OUTPUT,
    ),
]
Photos = Annotated[
    list[str] | None,
    typer.Option(
        "--photos",
        metavar="DIR",
        help="Also include rainy photos; they are not checked for rain. Repeatable.",
        rich_help_panel=FILES,
    ),
]
Total = Annotated[
    int,
    typer.Option(
        "--total",
        metavar="N",
        min=1,
        help="Total number of pictures, including the test split.",
        rich_help_panel=_SELECTION,
    ),
]
TestCount = Annotated[
    int,
    typer.Option(
        "--test",
        metavar="N",
        min=0,
        help="Size of the test split; it shares no clip with train/.",
        rich_help_panel=_SELECTION,
    ),
]
PerClip = Annotated[
    int | None,
    typer.Option(
        "--per-clip",
        metavar="N",
        min=1,
        show_default="no limit",
        help="Maximum number of pictures per clip.",
        rich_help_panel=_SELECTION,
    ),
]
Every = Annotated[
    float,
    typer.Option(
        "--every",
        metavar="SECONDS",
        min=0.0,
        help="Time between analysed frames; 0 analyses all.",
        rich_help_panel=_SELECTION,
    ),
]
MinRain = Annotated[
    float,
    typer.Option(
        "--min-rain",
        metavar="PERCENT",
        min=0.0,
        max=100.0,
        help="Minimum share of the picture covered by streaks; 0 accepts dry frames too.",
        rich_help_panel=_SELECTION,
    ),
]
Similar = Annotated[
    int,
    typer.Option(
        "--similar",
        metavar="BITS",
        min=0,
        max=64,
        help="Pictures count as duplicates if their 64-bit perceptual hashes differ in at most this many bits; "
        "0 keeps nearly all frames of a clip.",
        rich_help_panel=_SELECTION,
    ),
]
SubFolders = Annotated[bool, typer.Option("--recursive", "-r", help="Search subfolders.", rich_help_panel=FILES)]
ClipJobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        "-j",
        metavar="N",
        min=1,
        max=64,
        help="Number of clips analysed in parallel, one thread each.",
        rich_help_panel=RUN,
    ),
]


@dataclass(frozen=True, kw_only=True)
class FrameFlags:
    """The flags of `derain frames`."""

    paths: Clips = None
    output: OutputFolder
    photos: Photos = None
    total: Total = FramesOptions.total
    test: TestCount = FramesOptions.test
    per_clip: PerClip = FramesOptions.per_clip
    every: Every = FramesOptions.every
    min_rain: MinRain = FramesOptions.min_rain
    similar: Similar = FramesOptions.similar
    recursive: SubFolders = False
    include: options.Include = None
    exclude: options.Exclude = None
    jobs: ClipJobs = FramesOptions.jobs
    dry_run: options.DryRun = False
    messages: options.Messages = field(default_factory=options.Messages)

    def frames_options(self) -> FramesOptions:
        """How frames are selected.

        Raises:
            UsageError: a value is out of range.
        """
        return options_from(FramesOptions, self)


@command_from_flags(FrameFlags)
def frames(flags: FrameFlags) -> int:
    """Build a data set of real rain from clips: rainy, sharp, diverse frames.

    The result is DATASET/train and DATASET/test (split by clip), ready for `derain finetune-real --real DATASET`.
    manifest.csv lists the source of each picture, sheets/ shows them all. To replace pictures, put their names into
    reject.txt and run the same command again. Measurements are saved: the same command also resumes an interrupted run.
    """
    from derain_cli.media.clip.libraries import require_clip_libraries

    require_clip_libraries()
    from derain_cli.jobs.frame_set.choice import choose
    from derain_cli.jobs.frame_set.layout import read_rejected
    from derain_cli.jobs.frame_set.plan import plan_frame_set
    from derain_cli.jobs.frame_set.study import study_sources
    from derain_cli.jobs.frame_set.writing import write_frame_set

    wanted = flags.frames_options()
    reporter = flags.messages.reporter()
    work = plan_frame_set(
        flags.paths or (),
        flags.output,
        photos=flags.photos or (),
        recursive=flags.recursive,
        include=flags.include or (),
        exclude=flags.exclude or (),
    )
    tally = _FrameTally(reporter, flags.dry_run)
    with tally.summary_on_exit():
        tally.report_plan(work)
        if flags.dry_run:
            tally.planned(work)
            return tally.exit_code
        with reporter.bar(len(work.sources)) as bar:
            studies = study_sources(
                work, wanted, report=tally.studied, progress=lambda done: bar.update(done, tally.last)
            )
        choice = choose(studies, wanted, read_rejected(work.out))
        tally.chosen(choice)
        with reporter.bar(len(choice.pictures)) as bar:
            written = write_frame_set(
                work, choice, wanted, report=tally.written, progress=lambda done: bar.update(done, tally.last)
            )
        tally.report_set(written, flags.output)
    return tally.exit_code


@dataclass
class _FrameTally(Tally):
    """Results of the clips and photos, and of the set."""

    train: int = 0
    test: int = 0
    empty: int = 0
    last: str = ""

    def report_plan(self, work: FrameSetPlan) -> None:
        """Report what the plan skipped or refused."""
        self.total = len(work.sources) + len(work.failed)
        for path, text in work.notes:
            self.reporter.note(text, path)
        for error in work.failed:
            self.failed(error, input=str(error.path or ""))

    def planned(self, work: FrameSetPlan) -> None:
        """Report the sources of a dry run."""
        for source in work.sources:
            self.ok += 1
            if self.reporter.json:
                self.record("planned", input=source.path, kind="clip" if source.is_clip else "photo")
            else:
                print_data(printable(source.path))

    def studied(self, outcome: SourceOutcome) -> None:
        """Report an analysed clip or photo."""
        if self.is_repeated(outcome):
            return
        source, study = outcome.item, outcome.study
        self.last = printable(source.path)
        values: dict[str, Any] = {"kind": "clip" if source.is_clip else "photo"}
        if study is not None:
            shots = len({one.shot for one in study.measured})
            values |= {"frames": study.frames, "measured": len(study.measured), "shots": shots}
        if outcome.error is not None:
            self.failed_by(outcome, source.path, **values)
            return
        if source.is_clip and not values.get("measured"):
            self.empty += 1
            why = f"none of its {values.get('frames', 0)} frames can be rated: the clip is static, black or too short"
            self.reporter.note(f"no frames used: {why}", source.path)
            self.record("empty", input=source.path, **values, notes=[why])
            return
        self.ok += 1
        earlier = " by an earlier run" if outcome.known else ""
        self.reporter.detail(f"{source.path}: {values['measured']} of {values['frames']} frames measured{earlier}")
        self.record("ok", input=source.path, **values)

    def chosen(self, choice: Choice) -> None:
        """Report the selection."""
        for path, score in choice.rain.items():
            self.reporter.detail(f"{path}: rain score {score:.2f}, {choice.by_source.get(path, 0)} pictures selected")
        for note in choice.notes:
            self.reporter.note(note)

    def written(self, outcome: SourceOutcome) -> None:
        """Report the written pictures of a source."""
        if self.is_repeated(outcome):
            return
        self.last = printable(outcome.item.path)
        if outcome.error is not None:
            self.failed_by(outcome, outcome.item.path)

    def report_set(self, pictures: tuple[Chosen, ...], output: str) -> None:
        """Report the size of the set."""
        self.test = sum(one.split == "test" for one in pictures)
        self.train = len(pictures) - self.test
        self.reporter.say(f"{output}: {self.train} training pictures, {self.test} test pictures")

    def summary_values(self) -> dict[str, Any]:
        return {"empty": self.empty, "train": self.train, "test": self.test}

    @property
    def tried(self) -> int:
        return super().tried + self.empty

    def counts(self) -> str:
        return super().counts() + (f", {self.empty} without usable frames" if self.empty else "")
