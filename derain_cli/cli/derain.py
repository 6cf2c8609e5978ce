"""`derain derain`: photos and folders of photos. Also what `derain PATH...` means."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any

import typer

from derain_cli.cli import options
from derain_cli.cli.console import Bar, Interrupted, Reporter, as_derain_error, print_data
from derain_cli.errors import DerainError, printable

if TYPE_CHECKING:
    from derain_cli.batch import Outcome
    from derain_cli.restorer import Restorer
    from derain_cli.worklist import Item, WorkList

__all__ = ["derain"]

_FEW = 20
"""So many photos get a line each above the bar; more of them only with --verbose."""


def derain(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Photos, folders of photos, or quoted patterns like '**/*.jpg'."),
    ],
    output: options.Output = None,
    model: options.Model = "fast",
    device: options.Device = "auto",
    precision: options.Precision = "auto",
    tile: options.Tile = "auto",
    strength: options.Strength = 1.0,
    recursive: options.Recursive = False,
    include: options.Include = None,
    exclude: options.Exclude = None,
    follow_symlinks: options.FollowSymlinks = False,
    overwrite: options.Overwrite = False,
    suffix: options.Suffix = None,
    format: options.Format = None,
    quality: options.Quality = 95,
    max_pixels: options.MaxPixels = None,
    compare: options.Compare = False,
    save_layers: options.SaveLayers = False,
    jobs: options.Jobs = 1,
    fail_fast: options.FailFast = False,
    dry_run: options.DryRun = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    verbose: options.Verbose = False,
    debug: options.Debug = False,
) -> int:
    """Take the rain out of photos and folders of photos.

    The result of photo.jpg is photo_derained.jpg beside it, that of a folder is folder_derained; -o says otherwise.
    Outputs that exist are skipped, so a run that was stopped goes on where it was.
    """
    restore = options.restore_options(device, precision, tile, strength)
    from derain_cli.frames.images import DEFAULT_MAX_PIXELS, READABLE_SUFFIXES, WRITABLE_SUFFIXES, EncodeOptions
    from derain_cli.worklist import COMPARE, LAYERS, Rules, plan

    rules = Rules(
        readable=READABLE_SUFFIXES,
        writable=WRITABLE_SUFFIXES,
        output=output,
        suffix=suffix,
        format=format,
        recursive=recursive,
        follow_symlinks=follow_symlinks,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        overwrite=overwrite,
        companions=((COMPARE,) if compare else ()) + (LAYERS if save_layers else ()),
    )
    encode = EncodeOptions(quality=quality)
    reporter = Reporter(json=json, quiet=quiet, verbose=verbose, debug=debug)
    with _summary(reporter, dry_run=dry_run) as tally:
        work = plan(paths, rules)
        _tell_plan(work, reporter, tally)
        if dry_run:
            for item in work.items:
                tally.planned(item, rules.companions_of(item.target))
            return tally.exit_code
        if not work.items:
            return tally.exit_code
        from derain_cli.batch import BatchOptions, restore_photos
        from derain_cli.restorer import Restorer

        restorer = Restorer.from_pretrained(
            model, device=restore.device, precision=restore.precision, tile=restore.tile, strength=restore.strength
        )
        tally.engine = _engine(model, restorer)
        reporter.say("{model} on {device}, {precision}".format(**tally.engine))
        batch = BatchOptions(
            encode=encode,
            max_pixels=max_pixels or DEFAULT_MAX_PIXELS,
            overwrite=overwrite,
            companions=rules.companions,
            jobs=jobs,
            fail_fast=fail_fast,
        )
        with reporter.bar(len(work.items)) as bar:
            tally.watch(work, bar)
            restore_photos(work.items, restorer, batch, report=tally.tried, progress=tally.progress)
        return tally.exit_code


@contextmanager
def _summary(reporter: Reporter, *, dry_run: bool) -> Iterator[_Tally]:
    """A tally whose summary is told however the block ends."""
    tally = _Tally(reporter, dry_run)
    try:
        yield tally
    except Interrupted as stop:
        tally.finish(stop.exit_code, error="interrupted")
        raise
    except DerainError as error:
        tally.finish(error.exit_code, error=error.reason)
        raise
    tally.finish(tally.exit_code)


def _tell_plan(work: WorkList, reporter: Reporter, tally: _Tally) -> None:
    """What the plan passed over, refused, or found done.

    Raises:
        NothingToDoError: there is nothing at all.
    """
    for path, text in work.notes:
        reporter.note(text, path)
    for error in work.failed:
        tally.refused(error)
    for item in work.done:
        tally.skipped(item)
    refused = {error.exit_code for error in work.failed}
    if not work.items and not work.done and refused <= {3}:
        raise work.nothing_found()


def _engine(model: str, restorer: Restorer) -> dict[str, str]:
    """What computes, in words."""
    short = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
    return {
        "model": os.path.basename(model),  # noqa: PTH119  (a name, a path, or hf:ORG/REPO)
        "device": str(restorer.device),
        "precision": short[str(restorer.dtype).removeprefix("torch.")],
    }


@dataclass
class _Tally:
    """Counts what became of the inputs, and tells it."""

    reporter: Reporter
    dry_run: bool = False
    ok: int = 0
    skipped_count: int = 0
    errors: list[int] = field(default_factory=list)
    stopped_by: int | None = None
    engine: dict[str, str] = field(default_factory=dict)
    total: int = 0
    started: float = field(default_factory=time.perf_counter)
    _work: WorkList | None = None
    _bar: Bar = field(default_factory=Bar)

    @property
    def exit_code(self) -> int:
        """3 when some failed; when nothing came out at all, and for one reason, that reason's own code."""
        if self.stopped_by is not None:
            return self.stopped_by
        if 1 in self.errors:
            return 1
        if self.errors and not self.ok and not self.skipped_count and len(set(self.errors)) == 1:
            return self.errors[0]
        return 3 if self.errors else 0

    def watch(self, work: WorkList, bar: Bar) -> None:
        """The bar to move while `work` is done."""
        self._work, self._bar, self.total = work, bar, len(work.items)

    def progress(self, done: float) -> None:
        """Move the bar."""
        items = self._work.items if self._work else ()
        current = items[min(int(done), len(items) - 1)].source if items else ""
        self._bar.update(done, printable(os.path.basename(current)))  # noqa: PTH119  (sources are strings)

    def planned(self, item: Item, companions: tuple[str, ...]) -> None:
        """An item of a dry run."""
        self.ok += 1
        if self.reporter.json:
            self._record(item, "planned", companions=list(companions), notes=[item.note] if item.note else [])
        else:
            for target in (item.target, *companions):
                print_data(f"{printable(item.source)} -> {printable(target)}")

    def skipped(self, item: Item) -> None:
        """An item whose output is there."""
        self.skipped_count += 1
        note = "the output exists (--overwrite replaces it)"
        self.reporter.say(f"{item.source}: skipped, {item.target} exists (--overwrite replaces it)")
        self._record(item, "skipped", notes=[note])

    def refused(self, error: DerainError) -> None:
        """An input that is not worth trying."""
        self._failed(error, {"input": str(error.path or ""), "output": None})

    def tried(self, outcome: Outcome) -> None:
        """An item that was worked on."""
        item, size = outcome.item, {"width": outcome.width, "height": outcome.height}
        if outcome.error is not None:
            error = as_derain_error(outcome.error, item.source)
            if outcome.fatal:
                self.stopped_by = error.exit_code
            self._failed(error, {"input": item.source, "output": item.target, **size})
            return
        self.ok += 1
        megapixels = outcome.width * outcome.height / 1e6
        if not self.reporter.shows_bar or self.total <= _FEW or self.reporter.verbose:
            count = f"[{self.ok + len(self.errors) + self.skipped_count}/{self._everything}] "
            what = f"{megapixels:.1f} Mpx, {outcome.seconds:.1f} s"
            self.reporter.say(f"{count}{item.source} -> {item.target} ({what})")
        for path in outcome.companions:
            self.reporter.detail(f"{item.source} -> {path}")
        for note in outcome.notes:
            self.reporter.note(note, item.source)
        self._record(
            item,
            "ok",
            seconds=round(outcome.seconds, 3),
            megapixels=round(megapixels, 3),
            **size,
            companions=list(outcome.companions),
            notes=list(outcome.notes),
        )

    def finish(self, code: int, error: str | None = None) -> None:
        """The last line and the last record."""
        tried = self.ok + self.skipped_count + len(self.errors)
        left = self._everything - tried if self._work else 0
        tail = f", {left} not tried" if left else ""
        done = "planned" if self.dry_run else "done"
        if tried or error is None:
            self.reporter.say(f"{done}: {self.ok} ok, {self.skipped_count} skipped, {len(self.errors)} failed{tail}")
        self.reporter.record(
            summary=True,
            ok=self.ok,
            skipped=self.skipped_count,
            failed=len(self.errors),
            not_tried=left,
            seconds=round(time.perf_counter() - self.started, 3),
            dry_run=self.dry_run,
            **self.engine,
            error=error,
            code=code,
        )

    @property
    def _everything(self) -> int:
        work = self._work
        return len(work.items) + len(work.done) + len(work.failed) if work else 0

    def _failed(self, error: DerainError, values: dict[str, Any]) -> None:
        self.errors.append(error.exit_code)
        self.reporter.error(error)
        self.reporter.record(**values, status="failed", error=error.reason, hint=error.hint, code=error.exit_code)

    def _record(self, item: Item, status: str, **values: Any) -> None:
        self.reporter.record(input=item.source, output=item.target, status=status, **values, error=None, code=0)
