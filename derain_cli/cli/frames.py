"""`derain frames`: a data set of real rain from clips."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from derain_cli.cli import options
from derain_cli.cli.console import print_data
from derain_cli.cli.flags import options_from, takes
from derain_cli.cli.tally import Tally
from derain_cli.errors import printable
from derain_cli.jobs.frame_set.options import FramesOptions

if TYPE_CHECKING:
    from derain_cli.jobs.frame_set.choice import Choice, Chosen
    from derain_cli.jobs.frame_set.plan import FrameSetPlan
    from derain_cli.jobs.frame_set.study import SourceOutcome

__all__ = ["frames"]

Clips = Annotated[
    list[str] | None, typer.Argument(metavar="CLIP|DIR...", help="Clips, folders of clips, or quoted patterns.")
]
OutputFolder = Annotated[
    str, typer.Option("--output", "-o", metavar="DATASET", help="Folder of the data set, made if missing.")
]
Photos = Annotated[
    list[str] | None,
    typer.Option("--photos", metavar="DIR", help="Also photos in the rain, taken at your word; repeatable."),
]
Total = Annotated[int, typer.Option("--total", metavar="N", min=1, help="Pictures wanted, the test's included.")]
TestCount = Annotated[
    int, typer.Option("--test", metavar="N", min=0, help="Pictures of the test, from clips that train/ has none of.")
]
PerClip = Annotated[
    int | None, typer.Option("--per-clip", metavar="N", min=1, help="Pictures of one clip at most; no limit by itself.")
]
Every = Annotated[
    float, typer.Option("--every", metavar="SECONDS", min=0.0, help="Time between two frames looked at; 0 is all.")
]
MinRain = Annotated[
    float,
    typer.Option(
        "--min-rain",
        metavar="PERCENT",
        min=0.0,
        max=100.0,
        help="Least share of the picture under streaks; 0 takes dry frames too.",
    ),
]
Similar = Annotated[
    int,
    typer.Option(
        "--similar",
        metavar="BITS",
        min=0,
        max=64,
        help="Pictures whose perceptual hashes differ in no more bits of 64 are one; 0 keeps nearly all of a clip.",
    ),
]
SubFolders = Annotated[bool, typer.Option("--recursive", "-r", help="Look into sub-folders.")]
ClipJobs = Annotated[
    int, typer.Option("--jobs", "-j", metavar="N", min=1, max=64, help="Clips worked on at once, each by a thread.")
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
        """Which frames make the set.

        Raises:
            UsageError: one is out of range.
        """
        return options_from(FramesOptions, self)


@takes(FrameFlags)
def frames(flags: FrameFlags) -> int:
    """Build a data set of real rain from clips: rainy, sharp frames, unlike each other.

    The result is DATASET/train and DATASET/test (split by clip), ready for `derain finetune-real --real DATASET`;
    manifest.csv says where each picture comes from, sheets/ shows them all. Put the names of those you do not want
    into reject.txt and run the same command again: others take their places. What was measured is kept, so a run that
    was stopped goes on where it was.
    """
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
    with tally.telling():
        tally.tell_plan(work)
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
            there = write_frame_set(
                work, choice, wanted, report=tally.written, progress=lambda done: bar.update(done, tally.last)
            )
        tally.tell_set(there, flags.output)
    return tally.exit_code


@dataclass
class _FrameTally(Tally):
    """What became of the clips and photos, and of the set."""

    train: int = 0
    test: int = 0
    empty: int = 0
    last: str = ""

    def tell_plan(self, work: FrameSetPlan) -> None:
        """What the plan passed over or refused."""
        self.total = len(work.sources) + len(work.failed)
        for path, text in work.notes:
            self.reporter.note(text, path)
        for error in work.failed:
            self.failed(error, input=str(error.path or ""))

    def planned(self, work: FrameSetPlan) -> None:
        """The sources of a dry run."""
        for source in work.sources:
            self.ok += 1
            if self.reporter.json:
                self.record("planned", input=source.path, kind="clip" if source.is_clip else "photo")
            else:
                print_data(printable(source.path))

    def studied(self, outcome: SourceOutcome) -> None:
        """A clip or photo that was looked at."""
        if self.is_told(outcome):
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
            why = (
                f"none of its {values.get('frames', 0)} frames can be judged: still or black all through, or too short"
            )
            self.reporter.note(f"gives nothing: {why}", source.path)
            self.record("empty", input=source.path, **values, notes=[why])
            return
        self.ok += 1
        earlier = ", by an earlier run" if outcome.known else ""
        self.reporter.detail(f"{source.path}: {values['measured']} of {values['frames']} frames measured{earlier}")
        self.record("ok", input=source.path, **values)

    def chosen(self, choice: Choice) -> None:
        """What the choice has to say."""
        for path, score in choice.rain.items():
            self.reporter.detail(f"{path}: rain score {score:.2f}, {choice.by_source.get(path, 0)} pictures chosen")
        for note in choice.notes:
            self.reporter.note(note)

    def written(self, outcome: SourceOutcome) -> None:
        """The pictures of a source."""
        if self.is_told(outcome):
            return
        self.last = printable(outcome.item.path)
        if outcome.error is not None:
            self.failed_by(outcome, outcome.item.path)

    def tell_set(self, there: tuple[Chosen, ...], output: str) -> None:
        """How large the set is."""
        self.test = sum(one.split == "test" for one in there)
        self.train = len(there) - self.test
        self.reporter.say(f"{output}: {self.train} pictures to train with, {self.test} to test with")

    def summary_values(self) -> dict[str, Any]:
        return {"empty": self.empty, "train": self.train, "test": self.test}

    @property
    def tried(self) -> int:
        return super().tried + self.empty

    def counts(self) -> str:
        return super().counts() + (f", {self.empty} gave nothing" if self.empty else "")
