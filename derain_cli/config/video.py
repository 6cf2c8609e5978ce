"""Options for restoring and encoding clips."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from derain_cli.config.schema import require_option

__all__ = ["HARDWARE", "Temporal", "VideoCodec", "VideoOptions"]

VideoCodec = Literal["auto", "h264", "hevc", "av1", "vp9", "ffv1", "prores"]
Temporal = Literal["off", "median", "flow"]
HARDWARE = ("nvenc", "videotoolbox", "qsv", "amf", "vaapi")
"""Families of coders in graphics chips, by what FFmpeg's encoders are called behind the codec: `h264_nvenc`."""
_SMALLEST = 0.1


@dataclass(frozen=True)
class VideoOptions:
    """How clips are restored and encoded; fields are named like the flags.

    Attributes:
        codec: `auto` keeps the source codec if the output container supports it, and uses h264 otherwise.
        crf: quality on the codec's own scale, lower is better; None is visually close to lossless.
        preset: encoder preset, in the encoder's terms; None is a medium one.
        start, end: part to restore, seconds from the beginning; None for `end` means the end of the clip.
        preview: length in seconds of a before/after clip to make instead; None restores the clip.
        temporal: how flicker is removed using neighbouring frames (`derain_cli.jobs.clips.temporal_filter`).
        keep_partial: on interruption, write the finished part as NAME_partial.
        segment: frames per segment, the most that a killed job loses.
        rate: frames per second of a folder of numbered pictures; None means 25.
        scale: the network sees frames reduced to this fraction of their sides; the output keeps its size
            (`derain_cli.jobs.clips.reduced`).
        hw: `off`; `auto` decodes and encodes in hardware where that works; or a family of `HARDWARE`, or one of its
            encoders (`hevc_nvenc`).

    Raises:
        UsageError: a value is out of range.
    """

    codec: VideoCodec = "auto"
    crf: int | None = None
    preset: str | None = None
    start: float = 0.0
    end: float | None = None
    preview: float | None = None
    temporal: Temporal = "flow"
    keep_partial: bool = False
    segment: int = 120
    rate: float | None = None
    scale: float = 1.0
    hw: str = "off"

    def __post_init__(self) -> None:
        require_option(self.crf is None or 0 <= self.crf <= 63, "crf", f"must be 0 to 63, not {self.crf}")
        require_option(self.start >= 0, "start", f"cannot be negative: {self.start}")
        require_option(self.end is None or self.end > self.start, "end", f"must come after start, not at {self.end}")
        require_option(self.preview is None or self.preview > 0, "preview", f"must last longer than {self.preview} s")
        require_option(self.rate is None or 0 < self.rate <= 1000, "rate", f"must be 0 to 1000, not {self.rate}")
        require_option(_SMALLEST <= self.scale <= 1, "scale", f"must be {_SMALLEST} to 1, not {self.scale}")
        known = self.hw in ("off", "auto") or self.hw.rpartition("_")[2] in HARDWARE
        require_option(known, "hw", f"must be off, auto, {', '.join(HARDWARE)} or an encoder of these, not {self.hw!r}")
        require_option(self.segment >= 1, "segment", f"must be at least 1 frame, not {self.segment}")

    @property
    def until(self) -> float | None:
        """End of the part in seconds; None for the end of the clip."""
        ends = [end for end in (self.end, None if self.preview is None else self.start + self.preview) if end]
        return min(ends) if ends else None

    @property
    def is_part(self) -> bool:
        """Whether only part of the clip is requested."""
        return self.start > 0 or self.until is not None
