"""`derain video`: clips, and folders of clips."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from derain_cli.checkpoints.find import DEFAULT_MODEL
from derain_cli.cli import options
from derain_cli.cli.flags import options_from, takes
from derain_cli.cli.items import ItemTally
from derain_cli.cli.pipes import PIPE, is_piped, through_pipes
from derain_cli.cli.reporter import Bar, Reporter
from derain_cli.config import Temporal, VideoCodec, VideoOptions
from derain_cli.errors import InputError, UsageError, printable
from derain_cli.jobs.items import Naming, WorkList
from derain_cli.jobs.outputs import plan

if TYPE_CHECKING:
    from derain_cli.jobs.clips.outcome import ClipOutcome, Pace

__all__ = ["ClipFlags", "restore_clip_files", "seconds_from", "video"]

_PREVIEW = "_preview"
_LEAVES_NO_TRACE = ("keep_partial", "segment")
"""Options that the finished clip does not hang on."""
_LINE_EVERY = 60.0
"""Seconds between lines on the progress where there is no bar."""

Codec = Annotated[
    VideoCodec,
    typer.Option("--codec", help="Of the picture; auto keeps the source's where the output's format holds it."),
]
Crf = Annotated[
    int | None,
    typer.Option(
        "--crf", metavar="N", min=0, max=63, help="Quality, lower is better (h264: 18 by itself, 23 is smaller)."
    ),
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help="Speed of the encoder in its words, such as fast or slow; 0-13."),
]
Start = Annotated[
    str, typer.Option("--start", metavar="TIME", help="Begin there: seconds, M:SS or H:MM:SS. Sound is cut alike.")
]
End = Annotated[str | None, typer.Option("--end", metavar="TIME", help="End there, counted from the clip's beginning.")]
Rate = Annotated[
    float | None,
    typer.Option("--rate", metavar="N", help="Pictures a second of a folder of numbered ones; 25 by itself."),
]
Preview = Annotated[
    float | None,
    typer.Option(
        "--preview", metavar="SECONDS", help="Only NAME_preview: so many seconds, before and after side by side."
    ),
]
Steadying = Annotated[
    Temporal,
    typer.Option(
        "--temporal",
        help="Against flicker: flow follows what moves; median is for a camera that stands still, and quicker.",
    ),
]
KeepPartial = Annotated[
    bool, typer.Option("--keep-partial", help="When stopped, write what is ready as NAME_partial; it still goes on.")
]
ClipFormat = Annotated[
    str | None, typer.Option("--format", metavar="mp4|mov|mkv|webm", help="Output format; the input's by itself.")
]


@dataclass(frozen=True, kw_only=True)
class ClipFlags:
    """The flags of `derain video`."""

    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="CLIP...",
            help="Clips, folders of clips or of numbered pictures, quoted patterns like '**/*.mp4', or - for "
            "standard input.",
        ),
    ]
    output: options.Output = None
    model: options.Model = DEFAULT_MODEL
    computing: options.Computing = field(default_factory=options.Computing)
    temporal: Steadying = VideoOptions.temporal
    codec: Codec = VideoOptions.codec
    crf: Crf = VideoOptions.crf
    preset: Preset = VideoOptions.preset
    start: Start = "0"
    end: End = None
    preview: Preview = VideoOptions.preview
    rate: Rate = VideoOptions.rate
    files: options.Files = field(default_factory=options.Files)
    overwrite: options.Overwrite = False
    suffix: options.Suffix = None
    format: ClipFormat = None
    keep_partial: KeepPartial = VideoOptions.keep_partial
    fail_fast: options.FailFast = False
    dry_run: options.DryRun = False
    messages: options.Messages = field(default_factory=options.Messages)

    def video_options(self) -> VideoOptions:
        """How clips are restored and coded.

        Raises:
            UsageError: one is out of range.
        """
        return options_from(
            VideoOptions,
            self,
            start=seconds_from(self.start, "--start"),
            end=None if self.end is None else seconds_from(self.end, "--end"),
        )

    def naming(self) -> Naming:
        """Where outputs go.

        Raises:
            UsageError: a suffix or format that cannot be used.
        """
        from derain_cli.media.clip.encoding import WRITABLE_CLIPS

        return Naming(
            WRITABLE_CLIPS,
            fallback=".mp4",
            output=self.output,
            suffix=_PREVIEW if self.preview and self.suffix is None else self.suffix,
            format=self.format,
            overwrite=self.overwrite,
        )


@takes(ClipFlags)
def video(flags: ClipFlags) -> int:
    """Take the rain out of clips.

    The result of clip.mp4 is clip_derained.mp4 beside it, with every frame at its time, and sound, subtitles,
    chapters, rotation and colours as they were. A job that was stopped or killed goes on where it was when the same
    command is given again. -o - writes to standard output, as mkv unless --format says ts, y4m or another one.
    """
    if not is_piped(flags.paths, flags.output):
        return restore_clip_files(flags, flags.messages.reporter())
    from derain_cli.media.clip.streams import STREAMS, send

    needing_files = {
        "--keep-partial": flags.keep_partial,
        "--dry-run": flags.dry_run,
        "--json": flags.messages.json,
    }
    refused = [name for name, used in needing_files.items() if used]
    stream = STREAMS.get((flags.format or "").lower().lstrip("."))
    if stream is None or flags.output != PIPE:
        return through_pipes(flags, restore_clip_files, suffix_of=lambda path: ".mkv", refused=refused)
    codec = stream.codec if flags.codec == "auto" else flags.codec
    flags = replace(flags, format=stream.format, codec=codec)
    return through_pipes(
        flags, restore_clip_files, suffix_of=lambda path: ".mkv", refused=refused, send=partial(send, stream=stream)
    )


def restore_clip_files(flags: ClipFlags, reporter: Reporter) -> int:
    """What `derain video` does with files; standard input and output have been replaced by some."""
    restore, wanted = flags.computing.restore_options(), flags.video_options()
    from derain_cli.jobs.made import MadeRecord, settled
    from derain_cli.media.clip.encoding import WRITABLE_CLIPS
    from derain_cli.media.clip.names import READABLE_CLIPS
    from derain_cli.media.clip.pictures import named_sequence, sequence_in

    options.refuse_output_as_input(flags.paths, flags.output, WRITABLE_CLIPS)
    naming = flags.naming()
    paths = [named_sequence(path) or path for path in flags.paths]
    whole = frozenset(path for path in paths if sequence_in(Path(path)) is not None)
    selection = replace(flags.files.selection(READABLE_CLIPS), whole=whole)
    tally = _ClipTally(reporter, flags.dry_run)
    with tally.telling():
        work = plan(paths, selection, naming)
        settings = tally.settings(tally.check_engine(flags.model, restore), restore)
        record = MadeRecord(settings | {k: v for k, v in asdict(wanted).items() if k not in _LEAVES_NO_TRACE})
        work = settled(work, record, naming.companions_of)
        tally.tell_plan(work, "clips", _other_kinds(work.unread))
        work = tally.without_photos(work)
        if flags.dry_run:
            tally.planned(work, naming)
            return tally.exit_code
        from derain_cli.jobs.clips.beforehand import require_encodings
        from derain_cli.jobs.clips.frame_restorer import FrameRestorer
        from derain_cli.jobs.clips.parts import forget_work
        from derain_cli.jobs.clips.run import restore_clips

        for item in work.done:
            forget_work(item.target)
        if work.items:
            require_encodings(work.items, wanted)
            engine = FrameRestorer.of(tally.load(flags.model, restore))
            with reporter.bar(None) as bar:
                tally.watch(work, bar)
                restore_clips(
                    work.items,
                    engine,
                    wanted,
                    overwrite=flags.overwrite,
                    record=record,
                    fail_fast=flags.fail_fast,
                    report=tally.report,
                    progress=tally.progress,
                )
    return tally.exit_code


def _other_kinds(unread: Mapping[str, int]) -> list[str]:
    """A remark on photos in folders."""
    from derain_cli.media.photo import READABLE_SUFFIXES

    count = sum(count for suffix, count in unread.items() if suffix in READABLE_SUFFIXES)
    return [f"{count} {'photo' if count == 1 else 'photos'} left to `derain` without video"] if count else []


def seconds_from(text: str, flag: str) -> float:
    """Seconds of `12.5`, `1:02` or `1:02:03.5`.

    Raises:
        UsageError: it is no time.
    """
    parts = text.split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or any(n < 0 or n != n or n > 1e7 for n in numbers):
        raise UsageError(f"{flag} must be seconds, M:SS or H:MM:SS, not {text!r}")
    total = 0.0
    for number in numbers:
        total = 60 * total + number
    return total


def _clock(seconds: float) -> str:
    """1:02:03, or 2:03."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass
class _ClipTally(ItemTally):
    """What became of the clips."""

    unusable: int = 0
    _work: WorkList | None = None
    _bar: Bar = field(default_factory=Bar)
    _told: float = field(default_factory=time.perf_counter)

    @property
    def exit_code(self) -> int:
        """4 when none of the inputs is a clip."""
        if self.unusable and self.unusable == len(self.codes) == self.tried:
            return 4
        return super().exit_code

    def without_photos(self, work: WorkList) -> WorkList:
        """The plan without inputs that are photos, which are told."""
        from derain_cli.media.photo import refuse_still

        left = []
        for item in work.items:
            try:
                refuse_still(item.source)
            except InputError as error:
                self.unusable += 1
                self.refused_item(item, error)
            else:
                left.append(item)
        return replace(work, items=tuple(left))

    def watch(self, work: WorkList, bar: Bar) -> None:
        """The bar to move while `work` is done."""
        self._work, self._bar = work, bar

    def progress(self, index: int, pace: Pace) -> None:
        """Move the bar; where there is none, say a line now and then."""
        name = printable(os.path.basename(self._work.items[index].source)) if self._work else ""  # noqa: PTH119
        self._bar.update(pace.done, f"{name} {pace.rate:.1f} fps", pace.total)
        now = time.perf_counter()
        if not self.reporter.shows_bar and now - self._told > _LINE_EVERY:
            self._told = now
            of = f" of {pace.total}" if pace.total else ""
            left = f", {_clock(pace.left)} left" if pace.left is not None else ""
            self.reporter.say(f"{name}: {pace.done}{of} frames, {pace.rate:.2f} fps{left}")

    def report(self, outcome: ClipOutcome) -> None:
        """A clip that was worked on."""
        if self.is_told(outcome):
            return
        item, size = outcome.item, {"width": outcome.width, "height": outcome.height}
        for note in outcome.notes:
            self.reporter.note(note, item.source)
        if outcome.stopped:
            self._stopped(outcome)
            return
        if outcome.error is not None:
            self.unusable += outcome.unusable
            self.failed_by(outcome, item.source, output=item.target, **size)
            return
        fresh = outcome.frames - outcome.resumed
        values = {
            **size,
            "frames": outcome.frames,
            "resumed": outcome.resumed,
            "duration": round(outcome.duration, 6),
            "codec": outcome.codec,
            "seconds": round(outcome.seconds, 3),
            "fps": round(fresh / outcome.seconds, 3) if outcome.seconds else 0.0,
            "notes": list(outcome.notes),
        }
        if outcome.incomplete:
            error = InputError("the clip ends early", path=item.source, hint=f"{item.target} holds what there is")
            self.failed(error, input=item.source, output=item.target, **values)
            return
        self.ok += 1
        what = f"{outcome.frames} frames, {outcome.duration:.1f} s in {_clock(outcome.seconds)}, {values['fps']} fps"
        self.reporter.say(f"[{self.tried}/{self.total}] {item.source} -> {item.target} ({what})")
        self.record_item(item, "ok", **values)

    def _stopped(self, outcome: ClipOutcome) -> None:
        item = outcome.item
        if outcome.partial:
            self.reporter.say(f"{item.source} -> {outcome.partial} ({outcome.frames} frames, then stopped)")
        self.reporter.say(f"{item.source}: stopped; the same command goes on")
        self.record_item(item, "stopped", partial=outcome.partial, frames=outcome.frames)
