"""The clips of a job in one file, once all of them are restored."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from derain_cli.config import VideoOptions
from derain_cli.errors import InputError, UsageError
from derain_cli.jobs.items import Item
from derain_cli.jobs.made import MadeRecord
from derain_cli.jobs.ordered import map_ordered
from derain_cli.jobs.outcome import Outcome
from derain_cli.media.clip.encoding import choose_encoding
from derain_cli.media.clip.joining import Piece, difference, join, layout_of
from derain_cli.media.clip.reader import open_clip
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_file, make_folder, require_space

__all__ = ["JoinOutcome", "join_clips", "natural_order", "require_alike"]


@dataclass(frozen=True)
class JoinOutcome(Outcome[Item]):
    """What became of the joined file; its item has the sources of all clips.

    Attributes:
        stopped: the work was stopped, and nothing is written.
        frames: of the output.
        duration: of the output, seconds.
        seconds: of work.
    """

    stopped: bool = False
    frames: int = 0
    duration: float = 0.0
    seconds: float = 0.0


class _Stopped(Exception):
    """The caller wants no more."""


def natural_order(path: str) -> list[tuple[int, str]]:
    """What to sort paths by, so that clip2 comes before clip10."""
    return [(int(each), "") if each.isdecimal() else (-1, each) for each in re.split(r"([0-9]+)", path.casefold())]


def require_alike(items: Sequence[Item], options: VideoOptions) -> Fraction | None:
    """See that clips can be joined when they are restored; clips that cannot be read are passed over.

    Args:
        items: of the job, in order.
        options: how they will be coded.

    Returns:
        Frames per second that all encoders are to be told (`run.restore_clips`); None where no clip says any.

    Raises:
        UsageError: a clip differs from the first one in what a file has only one of.
    """
    first = None
    for item in items:
        try:
            layout = layout_of(Path(item.source), options.rate)
        except InputError:
            continue
        encoding = choose_encoding(layout.info, Path(item.target).suffix.lower(), options)
        # What an encoder writes into its headers depends on the colours, too.
        colours = layout.info.color_range, layout.info.color_primaries, layout.info.color_trc, layout.info.colorspace
        found = layout, (encoding.codec, encoding.pix_fmt), colours, item.source
        if first is None:
            first = found
            continue
        reason = difference(first[0], layout, coded=False)
        if reason is None and first[1] != found[1]:
            reason = f"would be coded as {' '.join(found[1])}, not {' '.join(first[1])}"
        if reason is None and first[2] != found[2]:
            reason = "has colours of another kind"
        if reason is not None:
            raise UsageError(
                f"cannot be joined to {first[3]}: {reason}", path=item.source, remedy=Remedy.LEAVE_CLIP_OUT
            )
    return None if first is None else first[0].info.rate


def join_clips(
    item: Item,
    pieces: Sequence[Item],
    *,
    overwrite: bool = False,
    record: MadeRecord | None = None,
    progress: Callable[[float], None] | None = None,
) -> JoinOutcome:
    """Join restored clips. An exception in the calling thread, such as a signal handler's, stops it; nothing is left.

    Args:
        item: the file to write, with all sources.
        pieces: the restored clips, in order: sources and outputs.
        overwrite: replace a file that exists.
        record: what is known of how outputs were made.
        progress: called in this thread with the share that is done, 0 to 1.
    """
    stop, share = threading.Event(), [0.0]

    def tick(done: float) -> None:
        share[0] = done
        if stop.is_set():
            raise _Stopped

    def work(item: Item) -> JoinOutcome:
        outcome, begun = JoinOutcome(item), time.perf_counter()
        try:
            outcome = _joined(outcome, pieces, tick, overwrite=overwrite, record=record)
        except _Stopped:
            outcome = replace(outcome, stopped=True)
        except Exception as error:
            outcome = outcome.failed(error, item.target)
        return replace(outcome, seconds=time.perf_counter() - begun)

    told: list[JoinOutcome] = []
    watch = None if progress is None else lambda: progress(share[0])
    map_ordered(work, [item], lambda outcome, done: told.append(outcome), jobs=1, stop=stop, watch=watch)
    return told[0]


def _joined(
    outcome: JoinOutcome,
    pieces: Sequence[Item],
    tick: Callable[[float], None],
    *,
    overwrite: bool,
    record: MadeRecord | None,
) -> JoinOutcome:
    item, target = outcome.item, Path(outcome.item.target)
    first = layout_of(Path(pieces[0].target))
    for piece in pieces[1:]:
        tick(0.0)
        reason = difference(first, layout_of(Path(piece.target)))
        if reason is not None:
            raise InputError(
                f"cannot be joined to {pieces[0].target}: {reason}", path=piece.target, remedy=Remedy.REPLACE
            )
    make_folder(target.parent)
    require_space(target.parent, sum(Path(piece.target).stat().st_size for piece in pieces))
    with atomic_file(target, overwrite=overwrite) as temporary:
        parts = [Piece(Path(piece.target), Path(piece.source).stem) for piece in pieces]
        notes = join(parts, temporary, target.suffix.lower(), tick)
        with open_clip(temporary) as reader:
            frames, duration = reader.info.frames, reader.info.duration
        if record is not None:
            record.add(item, temporary.stat().st_size)
    return replace(outcome, notes=tuple(notes), frames=frames or 0, duration=duration or 0.0)
