"""`derain derain`, or `derain PATH...`: photos and folders of photos."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Annotated

import typer

from derain_cli.checkpoints.find import DEFAULT_MODEL
from derain_cli.cli import options
from derain_cli.cli.flags import command_from_flags
from derain_cli.cli.items import LoadedModels, refuse_output_as_input
from derain_cli.cli.photos import PhotoJob, PhotoTally, other_kinds
from derain_cli.cli.pipes import is_piped, through_pipes
from derain_cli.cli.reporter import Reporter
from derain_cli.config import EncodeOptions
from derain_cli.errors import UsageError
from derain_cli.jobs.items import COMPARE, LAYERS, Naming
from derain_cli.jobs.outputs import plan_outputs
from derain_cli.jobs.photos.options import BatchOptions

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
    cluster: options.Cluster = field(default_factory=options.Cluster)
    messages: options.Messages = field(default_factory=options.Messages)

    def job(self) -> PhotoJob:
        """What is to be done.

        Raises:
            UsageError: an invalid suffix or format, or a value out of range.
        """
        from derain_cli.media.photo import READABLE_SUFFIXES, WRITABLE_SUFFIXES, suffix_by_content

        restore = self.computing.restore_options()
        naming = Naming(
            WRITABLE_SUFFIXES,
            output=self.output,
            suffix=self.suffix,
            format=self.format,
            suffix_of=suffix_by_content,
            overwrite=self.overwrite,
            companions=((COMPARE,) if self.compare else ()) + (LAYERS if self.save_layers else ()),
        )
        batch = BatchOptions(
            encode=EncodeOptions(quality=self.quality),
            max_pixels=self.max_pixels,
            overwrite=self.overwrite,
            companions=naming.companions,
            jobs=self.jobs,
            fail_fast=self.fail_fast,
        )
        return PhotoJob(self.paths, self.files.selection(READABLE_SUFFIXES), naming, self.model, restore, batch)


@command_from_flags(PhotoFlags)
def derain(flags: PhotoFlags) -> int:
    """Remove rain from photos and folders of photos.

    Without -o, photo.jpg becomes photo_derained.jpg next to it, and a folder becomes folder_derained. -o - writes to
    standard output. Existing outputs are skipped: run the same command again to resume an interrupted job.
    """
    if not is_piped(flags.paths, flags.output):
        return restore_photo_files(flags, flags.messages.reporter())
    if flags.cluster.ray is not None:
        raise UsageError("--ray does not support pipes", hint="give file names")
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
    from derain_cli.media.photo import WRITABLE_SUFFIXES

    refuse_output_as_input(flags.paths, flags.output, WRITABLE_SUFFIXES)
    job, cluster = flags.job(), flags.cluster.options()
    tally = PhotoTally(reporter, flags.dry_run, models=models or LoadedModels())
    with tally.summary_on_exit():
        if cluster is None or flags.dry_run:
            _restore_here(job, tally)
        else:
            from derain_cli.cli.cluster import restore_on_cluster

            restore_on_cluster(job, cluster, tally)
    return tally.exit_code


def _restore_here(job: PhotoJob, tally: PhotoTally) -> None:
    """Restore the photos of a job on this machine, or show the plan."""
    from derain_cli.jobs.made import settled
    from derain_cli.jobs.photos.headers import header_pixels, refused_by_header

    work = plan_outputs(job.paths, job.selection, job.naming)
    head, record = tally.head_and_record(job)
    work = settled(work, record, job.naming.companions_of)
    tally.report_plan(work, ignored=other_kinds(work.unread))
    usable, refused = refused_by_header(work.items, job.batch.max_pixels, every=tally.dry_run)
    work = replace(work, items=usable)
    for item, error in refused:
        tally.refused_item(item, error)
    if tally.dry_run:
        tally.planned(work, job.naming)
    elif work.items:
        from derain_cli.engine.choice import Work
        from derain_cli.jobs.photos.run import restore_photos

        amount = Work(head.config, header_pixels(work.items, job.batch.max_pixels))
        restorer = tally.load(job.model, job.restore, amount)
        batch = replace(job.batch, record=record)
        with tally.reporter.bar(len(work.items)) as bar:
            tally.watch(work.items, bar)
            restore_photos(work.items, restorer, batch, report=tally.report, progress=tally.progress)
