"""`derain derain`, or `derain PATH...`: photos and folders of photos."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Annotated

import typer

from derain_cli.checkpoints.find import DEFAULT_MODEL
from derain_cli.cli import options
from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.items import FEW, ItemTally, LoadedModels, refuse_output_as_input
from derain_cli.cli.pipes import is_piped, through_pipes
from derain_cli.cli.reporter import Bar, Reporter
from derain_cli.config import EncodeOptions
from derain_cli.errors import UsageError, printable
from derain_cli.jobs.items import COMPARE, LAYERS, Item, Naming, WorkList
from derain_cli.jobs.outputs import plan_outputs
from derain_cli.jobs.photos.options import BatchOptions

if TYPE_CHECKING:
    from derain_cli.jobs.photos.outcome import PhotoOutcome

__all__ = ["PhotoFlags", "derain", "restore_photo_files"]


@dataclass(frozen=True, kw_only=True)
class PhotoFlags:
    """The flags of `derain derain`."""

    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH...",
            help="Photos, folders, quoted patterns such as '**/*.jpg', or - for standard input.",
        ),
    ]
    output: options.Output = None
    model: options.Model = DEFAULT_MODEL
    computing: options.Computing = field(default_factory=options.Computing)
    files: options.Files = field(default_factory=options.Files)
    overwrite: options.Overwrite = BatchOptions.overwrite
    suffix: options.Suffix = None
    format: options.Format = None
    quality: options.Quality = EncodeOptions.quality
    max_pixels: options.MaxPixels = BatchOptions.max_pixels
    compare: options.Compare = False
    save_layers: options.SaveLayers = False
    jobs: options.Jobs = BatchOptions.jobs
    fail_fast: options.FailFast = BatchOptions.fail_fast
    dry_run: options.DryRun = False
    messages: options.Messages = field(default_factory=options.Messages)

    def naming(self) -> Naming:
        """Where outputs go.

        Raises:
            UsageError: invalid suffix or format.
        """
        from derain_cli.media.photo import WRITABLE_SUFFIXES, suffix_by_content

        return Naming(
            WRITABLE_SUFFIXES,
            output=self.output,
            suffix=self.suffix,
            format=self.format,
            suffix_of=suffix_by_content,
            overwrite=self.overwrite,
            companions=((COMPARE,) if self.compare else ()) + (LAYERS if self.save_layers else ()),
        )


@command_from_flags(PhotoFlags)
def derain(flags: PhotoFlags) -> int:
    """Remove rain from photos and folders of photos.

    Without -o, photo.jpg becomes photo_derained.jpg next to it, and a folder becomes folder_derained. -o - writes to
    standard output. Existing outputs are skipped: run the same command again to resume an interrupted job.
    """
    if not is_piped(flags.paths, flags.output):
        return restore_photo_files(flags, flags.messages.reporter())
    from derain_cli.media.photo import suffix_by_content

    return through_pipes(
        flags,
        restore_photo_files,
        suffix_of=lambda path: suffix_by_content(path) or Naming.fallback,
        needing_files=("compare", "save_layers"),
    )


def restore_photo_files(flags: PhotoFlags, reporter: Reporter, models: LoadedModels | None = None) -> int:
    """What `derain` does with files; standard input and output have been replaced by some.

    Args:
        flags: of the command.
        reporter: for messages.
        models: loaded by earlier jobs.
    """
    from derain_cli.jobs.made import MadeRecord, settled
    from derain_cli.jobs.photos.headers import header_pixels, refused_by_header
    from derain_cli.media.photo import LOSSY_SUFFIXES, READABLE_SUFFIXES, WRITABLE_SUFFIXES

    refuse_output_as_input(flags.paths, flags.output, WRITABLE_SUFFIXES)
    restore = flags.computing.restore_options()
    naming = flags.naming()
    encode = EncodeOptions(quality=flags.quality)
    tally = _PhotoTally(reporter, flags.dry_run, models=models or LoadedModels())
    with tally.summary_on_exit():
        work = plan_outputs(flags.paths, flags.files.selection(READABLE_SUFFIXES), naming)
        head = tally.check_engine(flags.model, restore)
        if head.config.frames > 1:
            raise UsageError(
                f"{flags.model} needs {head.config.frames} frames of a clip at once", hint="use `derain video`"
            )
        settings = tally.settings(head, restore) | {"quality": flags.quality}
        record = MadeRecord(settings, {"quality": LOSSY_SUFFIXES})
        work = settled(work, record, naming.companions_of)
        tally.report_plan(work, ignored=_other_kinds(work.unread))
        usable, refused = refused_by_header(work.items, flags.max_pixels, every=flags.dry_run)
        work = replace(work, items=usable)
        for item, error in refused:
            tally.refused_item(item, error)
        if flags.dry_run:
            tally.planned(work, naming)
        elif work.items:
            from derain_cli.engine.choice import Work
            from derain_cli.jobs.photos.run import restore_photos

            amount = Work(head.config, header_pixels(work.items, flags.max_pixels))
            restorer = tally.load(flags.model, restore, amount)
            batch = BatchOptions(
                encode=encode,
                max_pixels=flags.max_pixels,
                overwrite=flags.overwrite,
                record=record,
                companions=naming.companions,
                jobs=flags.jobs,
                fail_fast=flags.fail_fast,
            )
            with reporter.bar(len(work.items)) as bar:
                tally.watch(work, bar)
                restore_photos(work.items, restorer, batch, report=tally.report, progress=tally.progress)
    return tally.exit_code


def _other_kinds(unread: Mapping[str, int]) -> list[str]:
    """Notes on files in folders that are ignored: unreadable photos, and clips."""
    from derain_cli.media.clip.names import READABLE_CLIPS
    from derain_cli.media.photo import HEIF_HINT, HEIF_SUFFIXES, UNREAD_SUFFIXES

    notes = []
    for kinds, one, many, words in (
        (UNREAD_SUFFIXES, "photo", "photos", "in unsupported formats"),
        (HEIF_SUFFIXES, "photo", "photos", f"in a format that needs a plug-in, {HEIF_HINT}"),
        (READABLE_CLIPS, "clip", "clips", "left for `derain video`"),
    ):
        found = {suffix: count for suffix, count in sorted(unread.items()) if suffix in kinds}
        if count := sum(found.values()):
            notes.append(f"{count} {one if count == 1 else many} {words}: {' '.join(found)}")
    return notes


@dataclass
class _PhotoTally(ItemTally):
    """Results of the photos."""

    _items: tuple[Item, ...] = ()
    _bar: Bar = field(default_factory=Bar)

    def watch(self, work: WorkList, bar: Bar) -> None:
        """Set the bar to update while `work` is done."""
        self._items, self._bar = work.items, bar

    def progress(self, done: float) -> None:
        """Update the bar."""
        current = self._items[min(int(done), len(self._items) - 1)].source
        self._bar.update(done, printable(os.path.basename(current)))  # noqa: PTH119  (sources are strings)

    def report(self, outcome: PhotoOutcome) -> None:
        """Report a finished photo."""
        if self.is_repeated(outcome):
            return
        item, size = outcome.item, {"width": outcome.width, "height": outcome.height}
        if outcome.error is not None:
            self.failed_by(outcome, item.source, output=item.target, **size)
            return
        if outcome.skipped:
            self.skipped += 1
            self.reporter.say(f"{item.source}: skipped, another run has just written {item.target}")
            self.record_item(item, "skipped", notes=["another run has just written the output"])
            return
        self.ok += 1
        megapixels = outcome.width * outcome.height / 1e6
        if not self.reporter.shows_bar or len(self._items) <= FEW or self.reporter.verbose:
            what = f"{megapixels:.1f} Mpx, {outcome.seconds:.1f} s"
            self.reporter.say(f"[{self.tried}/{self.total}] {item.source} -> {item.target} ({what})")
        for path in outcome.companions:
            self.reporter.detail(f"{item.source} -> {path}")
        for note in outcome.notes:
            self.reporter.note(note, item.source)
        self.record_item(
            item,
            "ok",
            seconds=round(outcome.seconds, 3),
            megapixels=round(megapixels, 3),
            **size,
            companions=list(outcome.companions),
            notes=list(outcome.notes),
        )
