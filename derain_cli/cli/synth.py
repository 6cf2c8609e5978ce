"""`derain synth`: pairs of clean photos and the same photos with generated rain."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from derain_cli.cli import options
from derain_cli.cli.console import Interrupted, Reporter, as_derain_error, print_data
from derain_cli.errors import DerainError, printable

if TYPE_CHECKING:
    from derain_cli.data.synthesis import PhotoTask, SynthOutcome, SynthPlan

__all__ = ["synth"]

OutputFolder = Annotated[
    str, typer.Option("--output", "-o", metavar="DIR", help="Folder of the pairs, made if missing: rain/ and norain/.")
]
Profiles = Annotated[
    list[str] | None,
    typer.Option(
        "--profile",
        metavar="light|heavy|real",
        help="Kind of rain: real (by itself) as in photographs, light and heavy as in the Rain100 and Rain200 sets. "
        "Repeatable: several have a folder each.",
    ),
]
Variants = Annotated[
    int,
    typer.Option(
        "--variants", metavar="N", min=1, help="Pairs of each photo, each with other rain: NAME-1, NAME-2, ..."
    ),
]
Seed = Annotated[int, typer.Option("--seed", metavar="N", help="Other numbers, other rain; the same number, the same.")]
Target = Annotated[
    Literal["streak-free", "clean"],
    typer.Option(
        "--target",
        help="Clean partner for `real`: the photograph without streaks (haze and noise stay), or the photo itself.",
    ),
]
PairFormat = Annotated[
    str, typer.Option("--format", metavar="png|webp|tiff|jpg", help="Format of the pairs; jpg loses detail.")
]
MaxSide = Annotated[
    int | None,
    typer.Option(
        "--max-side", metavar="N", min=1, help="Make larger photos smaller first. Streaks are 10 to 100 pixels long."
    ),
]
SubFolders = Annotated[
    bool, typer.Option("--recursive", "-r", help="Look into sub-folders; sub/photo.jpg makes sub__photo.")
]
PhotoJobs = Annotated[
    int, typer.Option("--jobs", "-j", metavar="N", min=1, max=64, help="Photos worked on at once, each by a thread.")
]


def synth(
    paths: Annotated[list[str], typer.Argument(metavar="CLEAN_DIR...", help="Folders of photos without rain.")],
    output: OutputFolder,
    profile: Profiles = None,
    variants: Variants = 1,
    seed: Seed = 0,
    target: Target = "streak-free",
    format: PairFormat = "png",
    max_side: MaxSide = None,
    max_pixels: options.MaxPixels = None,
    recursive: SubFolders = False,
    overwrite: options.Overwrite = False,
    jobs: PhotoJobs = 1,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Put generated rain on clean photos: pairs to train and test with.

    The result is DIR/rain/NAME.png and DIR/norain/NAME.png, ready for `derain train --dataset DIR`; with several
    profiles DIR/light/rain and so on. Pairs that are there are skipped, so a run that was stopped goes on where it
    was. DIR/synth.json says what they were made with.
    """
    from derain_cli.data.synthesis import SynthOptions, plan_synthesis, synthesize
    from derain_cli.frames.images import DEFAULT_MAX_PIXELS

    wanted = SynthOptions(
        profiles=tuple(profile or ("real",)),
        variants=variants,
        seed=seed,
        target=target,
        format=format.lower().lstrip("."),
        max_side=max_side,
        max_pixels=max_pixels or DEFAULT_MAX_PIXELS,
        jobs=jobs,
        overwrite=overwrite,
    )
    reporter = Reporter(json=json, quiet=quiet, verbose=verbose, debug=debug)
    work = plan_synthesis(paths, output, wanted, recursive=recursive)
    tally = _Tally(reporter, len(work.items), dry_run)
    if not wanted.is_lossless:
        reporter.note(f"{wanted.format} loses detail, in the clean pictures too; png and webp do not")
    tally.begin(work)
    try:
        if dry_run:
            for task in work.items:
                tally.planned(task)
        else:
            with reporter.bar(len(work.items)) as bar:
                synthesize(work, wanted, report=tally.tried, progress=lambda done: bar.update(done, tally.last))
    except Interrupted as stop:
        tally.finish(stop.exit_code, error="interrupted")
        raise
    except DerainError as error:
        tally.finish(error.exit_code, error=error.reason)
        raise
    tally.finish(tally.exit_code)
    return tally.exit_code


@dataclass
class _Tally:
    """Counts what became of the photos, and tells it."""

    reporter: Reporter
    total: int
    dry_run: bool
    ok: int = 0
    skipped: int = 0
    pairs: int = 0
    codes: list[int] = field(default_factory=list)
    fatal: int | None = None
    last: str = ""

    @property
    def exit_code(self) -> int:
        """3 when some photos failed; when nothing came out at all, and for one reason, that reason's own code."""
        if self.fatal is not None or 1 in self.codes:
            return self.fatal or 1
        if self.codes and not self.ok and not self.skipped and len(set(self.codes)) == 1:
            return self.codes[0]
        return 3 if self.codes else 0

    def begin(self, work: SynthPlan) -> None:
        """What the plan passed over, refused, or found done."""
        for path, text in work.notes:
            self.reporter.note(text, path)
        for error in work.failed:
            self._failed(error, str(error.path or ""))
        self.total += len(work.failed) + len(work.done)
        for task in work.done:
            self.skipped += 1
            self.reporter.detail(f"{task.source}: skipped, its pairs exist (--overwrite makes them again)")
            self._record(task, "skipped")
        if work.done:
            count = f"{len(work.done)} of {len(work.done) + len(work.items)} photos"
            self.reporter.say(f"{count} have their pairs already (--overwrite makes them again)")

    def planned(self, task: PhotoTask) -> None:
        """A photo of a dry run."""
        self.ok += 1
        self.pairs += len(task.pairs)
        if self.reporter.json:
            self._record(task, "planned")
            return
        for pair in task.pairs:
            print_data(f"{printable(task.source)} -> {printable(pair.rainy)}, {printable(pair.clean)}")

    def tried(self, outcome: SynthOutcome) -> None:
        """A photo that was worked on."""
        task = outcome.task
        self.last = printable(task.relative)
        if outcome.error is not None:
            error = as_derain_error(outcome.error, task.source)
            if outcome.fatal:
                self.fatal = error.exit_code
            self._failed(error, task.source)
            return
        self.ok += 1
        self.pairs += len(task.pairs)
        for note in outcome.notes:
            self.reporter.note(note, task.source)
        self.reporter.detail(f"{task.source} -> {', '.join(str(pair.rainy) for pair in task.pairs)}")
        self._record(task, "ok", width=outcome.width, height=outcome.height, notes=list(outcome.notes))

    def finish(self, code: int, error: str | None = None) -> None:
        """The last line and the last record."""
        left = self.total - self.ok - self.skipped - len(self.codes)
        tail = f", {left} not tried" if left else ""
        done = "planned" if self.dry_run else "done"
        self.reporter.say(f"{done}: {self.ok} ok, {self.skipped} skipped, {len(self.codes)} failed{tail}")
        self.reporter.record(
            summary=True,
            ok=self.ok,
            skipped=self.skipped,
            failed=len(self.codes),
            not_tried=left,
            pairs=self.pairs,
            dry_run=self.dry_run,
            error=error,
            code=code,
        )

    def _failed(self, error: DerainError, source: str) -> None:
        self.codes.append(error.exit_code)
        self.reporter.error(error)
        self.reporter.record(input=source, status="failed", error=error.reason, hint=error.hint, code=error.exit_code)

    def _record(self, task: PhotoTask, status: str, **values: Any) -> None:
        pairs = [
            {"profile": pair.profile, "variant": pair.variant, "rainy": str(pair.rainy), "clean": str(pair.clean)}
            for pair in task.pairs
        ]
        self.reporter.record(input=task.source, status=status, pairs=pairs, **values, error=None, code=0)
