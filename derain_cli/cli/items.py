"""Shared by commands that process files one by one: reports of the plan, loading of the model, and one mistake."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from derain_cli.cli.console import print_data
from derain_cli.cli.tally import Tally
from derain_cli.errors import DerainError, NothingToDoError, UsageError, printable
from derain_cli.system.finder import is_pattern

if TYPE_CHECKING:
    from derain_cli.checkpoints.header import Head
    from derain_cli.config import RestoreOptions
    from derain_cli.engine.choice import Work
    from derain_cli.engine.restorer import Restorer
    from derain_cli.jobs.items import Item, Naming, WorkList

__all__ = ["FEW", "ItemTally", "LoadedModels", "refuse_output_as_input"]

FEW = 20
"""Up to this many files are listed one by one; more of them only with --verbose."""
_SHORT = {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}
_KEPT = 2
"""Models kept: one for photos, one for clips."""


def refuse_output_as_input(paths: Sequence[str], output: str | None, writable: frozenset[str]) -> None:
    """Catch `derain photo.jpg clean.jpg`, the syntax of cp.

    Raises:
        UsageError: there are two paths and the second one does not exist but would be a valid output.
    """
    if len(paths) != 2 or output is not None or not Path(paths[0]).exists() or os.path.lexists(paths[1]):
        return
    if Path(paths[1]).suffix.lower() in writable and not is_pattern(paths[1]):
        raise UsageError(f"{paths[1]} does not exist", hint=f"write -o {paths[1]} if it is the output")


@dataclass
class LoadedModels:
    """Models that were loaded, for commands that run several jobs."""

    _known: OrderedDict[tuple[object, ...], Restorer] = field(default_factory=OrderedDict)

    def restorer(self, model: str, options: RestoreOptions) -> Restorer:
        """The restorer for these weights and options; loaded if the file has changed, or others were used since.

        Raises:
            As `Restorer.from_pretrained`.
        """
        from derain_cli.checkpoints.find import find_weights
        from derain_cli.engine.restorer import Restorer

        there = find_weights(model).stat()
        key = (model, there.st_mtime_ns, there.st_size, options)
        if key not in self._known:
            self._known[key] = Restorer.from_pretrained(model, **asdict(options))
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


@dataclass
class ItemTally(Tally):
    """A tally of the items of a work list.

    Attributes:
        models: loaded for this job, or for several.
        engine: model, device and precision in words.
        done_before: number of outputs that existed.
    """

    models: LoadedModels = field(default_factory=LoadedModels, kw_only=True)
    engine: dict[str, str] = field(default_factory=dict)
    done_before: int = 0

    def check_engine(self, model: str, options: RestoreOptions) -> Head:
        """Check weights and device before torch is loaded; returns the header of the weight file.

        Raises:
            WeightsError: the weights are missing or invalid.
            ResourceError: the device is not available.
        """
        from derain_cli.checkpoints.find import find_weights
        from derain_cli.checkpoints.header import read_head
        from derain_cli.system.accelerators import refuse_missing_device

        refuse_missing_device(options.device)
        return read_head(find_weights(model))

    @staticmethod
    def settings(head: Head, options: RestoreOptions) -> dict[str, object]:
        """The settings an output depends on, by the names users know, for `jobs.made.MadeRecord`."""
        named = {
            "model": f"{head.card.name} ({head.sha256[:12]})",
            "strength": options.strength,
            "precision": options.precision,
        }
        # `auto` comes to one engine or another by the work that is left: outputs that are done stay done.
        return named if options.engine == "auto" else named | {"engine": options.engine}

    def report_plan(self, work: WorkList, what: str = "images", ignored: Sequence[str] = ()) -> None:
        """Report what the plan skipped, refused, or found done.

        Args:
            work: the plan.
            what: plural noun for the inputs.
            ignored: notes on files of other kinds.

        Raises:
            NothingToDoError: there are no inputs at all.
        """
        nothing = not work.items and not work.done
        self._tell_notes(work)
        for text in () if nothing and not work.failed else ignored:
            self.reporter.note(text)
        self.total += len(work.items)
        self._tell_failed(work)
        if len(work.done) > FEW and not self.reporter.verbose:
            self._tell_many_done(len(work.done), what)
        self._tell_done(work, each=len(work.done) <= FEW)
        if nothing and not work.failed:
            raise work.nothing_found(what, "; ".join(ignored) or None)
        if nothing and {error.exit_code for error in work.failed} == {3}:  # each has been reported
            self.stopped_by = NothingToDoError.exit_code

    def report_part(self, work: WorkList) -> None:
        """Report what a part of a plan skipped, refused, or found done; `report_end` follows the last one."""
        self._tell_notes(work)
        self._tell_failed(work)
        self._tell_done(work, each=self.skipped + len(work.done) <= FEW)
        self.total += len(work.items)

    def report_end(self, last: WorkList, what: str = "images", ignored: Sequence[str] = ()) -> None:
        """Report what was ignored or done, after the last part of a plan.

        Args:
            last: that part.
            what: plural noun for the inputs.
            ignored: notes on files of other kinds.

        Raises:
            NothingToDoError: there were no inputs at all.
        """
        if not self.total:
            raise last.nothing_found(what, "; ".join(ignored) or None)
        for text in ignored:
            self.reporter.note(text)
        if self.done_before > FEW and not self.reporter.verbose:
            self._tell_many_done(self.done_before, what)
        if self.total == len(self.codes) and set(self.codes) == {3}:
            self.stopped_by = NothingToDoError.exit_code

    def _tell_notes(self, work: WorkList) -> None:
        for path, text in work.notes:
            self.reporter.note(text, path)

    def _tell_failed(self, work: WorkList) -> None:
        self.total += len(work.failed)
        for error in work.failed:
            self.refused(error)

    def _tell_many_done(self, count: int, what: str) -> None:
        self.reporter.say(f"{count} {what} skipped, their outputs already exist (--overwrite replaces them)")

    def _tell_done(self, work: WorkList, *, each: bool) -> None:
        self.total += len(work.done)
        self.done_before += len(work.done)
        for item in work.done:
            if each or self.reporter.verbose:
                self.reporter.say(f"{item.source}: skipped, {item.target} already exists (--overwrite replaces it)")
            self.skipped += 1
            self.record_item(item, "skipped", notes=["the output already exists (--overwrite replaces it)"])

    def planned(self, work: WorkList, naming: Naming) -> None:
        """Report the items of a dry run."""
        for item in work.items:
            self.ok += 1
            companions = naming.companions_of(item.target)
            if self.reporter.json:
                notes = [item.note] if item.note else []
                self.record_item(item, "planned", companions=list(companions), notes=notes)
                continue
            for target in (item.target, *companions):
                print_data(f"{printable(item.source)} -> {printable(target)}")

    def load(self, model: str, options: RestoreOptions, work: Work) -> Restorer:
        """Load the restorer and report it in one line.

        Args:
            model: the weights.
            options: as asked for.
            work: what is to be done, for the choice of an engine.

        Raises:
            WeightsError: the weights are missing or damaged.
            ResourceError: the device is not available.
            UsageError: the engine is not installed, or does not support the other options.
        """
        from derain_cli.engine.choice import with_engine

        options = with_engine(options, work)
        restorer = self.models.restorer(model, options)
        self.tell_engine(model, str(restorer.device), restorer.precision, restorer.engine.name)
        return restorer

    def tell_engine(self, model: str, device: str, precision: str, engine: str, where: str = "") -> None:
        """Report in one line what restores; `where` is appended."""
        self.engine = {
            "model": os.path.basename(model),  # noqa: PTH119  (a name, a path, or one on the Hub)
            "device": device,
            "precision": _SHORT[precision],
            "engine": engine,
        }
        self.reporter.say("{model} on {device}, {precision}, {engine}".format(**self.engine) + where)

    def refused(self, error: DerainError) -> None:
        """Report an input that was refused by the plan."""
        self.failed(error, input=str(error.path or ""), output=None)

    def refused_item(self, item: Item, error: DerainError) -> None:
        """Report an item that was refused by its content."""
        self.failed(error, input=item.source, output=item.target)

    def record_item(self, item: Item, status: str, **values: Any) -> None:
        """Write the record of an item that did not fail."""
        self.record(status, input=item.source, output=item.target, **values)

    def summary_values(self) -> dict[str, Any]:
        return dict(self.engine)
