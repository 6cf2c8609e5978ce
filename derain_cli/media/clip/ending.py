"""Whether a clip ended before its declared end; half an mkv file decodes without any error."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from derain_cli.media.clip.damage.behind import goes_on
from derain_cli.media.clip.damage.fragments import lacks_fragments
from derain_cli.media.clip.damage.gaps import Gaps
from derain_cli.media.clip.info import ClipInfo
from derain_cli.media.clip.timing.recordings import Recordings

__all__ = ["Ending", "Seen", "judged_end"]


@dataclass(frozen=True)
class Seen:
    """What reading a clip to its end has shown.

    Attributes:
        last_byte: position of the last packet.
        end: of the last frame, seconds.
        damaged: number of packets that could not be decoded.
        filled: number of frames that were replaced by the previous one.
        incomplete: whether reading failed.
    """

    last_byte: int
    end: float
    damaged: int
    filled: int
    incomplete: bool


@dataclass(frozen=True)
class Ending:
    """Whether the file ended before its declared end, and one-line notes."""

    incomplete: bool
    warnings: tuple[str, ...]


def judged_end(info: ClipInfo, track: int, recordings: Recordings, gaps: Gaps, seen: Seen) -> Ending:
    """Judge a clip that was read to its end.

    Args:
        info: of the clip.
        track: number of its video track.
        recordings: that it consists of.
        gaps: in its frames.
        seen: while reading.
    """
    incomplete, warnings = seen.incomplete, list[str]()
    starts = recordings.starts
    declared = None if starts else info.duration  # not valid for several recordings
    if starts:
        begins = ", ".join(info.described(round(each / info.time_base)) for each in starts[:3])
        more = f" and {len(starts) - 3} more times" if len(starts) > 3 else ""
        warnings.append(
            f"{len(starts) + 1} consecutive recordings: the clock restarts at {begins}{more} and is made continuous"
        )
    with suppress(OSError):
        if goes_on(info.path, info.container, recordings.last_beside(seen.last_byte)):
            incomplete = True
            warnings.append("the file contains another recording with its own tracks or header, which is not restored")
    if "mov" in info.container:
        with suppress(OSError):
            incomplete |= lacks_fragments(info.path, track, seen.last_byte)
    frame = 1 / float(info.rate) if info.rate else 0.04
    # A sample index is exact; other formats round, or include the sound.
    tolerance = 1.5 * frame if "mov" in info.container else max(0.2, 3 * frame)
    short = declared is not None and seen.end < declared - tolerance
    losses = gaps.losses(complete=not short and not incomplete)
    if losses.breaks_off and (declared is None or seen.end < declared - 1.5 * frame):
        incomplete = True
    if seen.filled:
        warnings.append(f"damaged: {seen.filled} frames were lost and are replaced by the previous one")
    if losses.after is not None:
        where = f"missing after {info.described(losses.after)}"
        warnings.append(
            f"damaged: frames may be {where}"
            if losses.frames is None
            else f"damaged: {losses.frames} frames are {where}"
        )
    elif (seen.damaged or losses.broken) and not seen.filled:
        warnings.append("damaged in places")
    incomplete |= short
    if short or (incomplete and declared is not None and seen.end < declared):
        warnings.append(f"ended at {seen.end:.1f} s of {declared:.1f} s")
    elif incomplete:
        warnings.append(f"damaged: ended at {seen.end:.1f} s")
    return Ending(incomplete, tuple(warnings))
