"""The flags of `derain video`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import typer

from derain_cli.checkpoints.find import DEFAULT_CLIP_MODEL
from derain_cli.cli import options
from derain_cli.cli.flags import options_from
from derain_cli.cli.help import OUTPUT
from derain_cli.cli.times import seconds_from
from derain_cli.config import Temporal, VideoCodec, VideoOptions
from derain_cli.jobs.items import Naming

__all__ = ["ClipFlags"]

_PREVIEW = "_preview"
_VIDEO = "Video"

Codec = Annotated[
    VideoCodec,
    typer.Option(
        "--codec",
        help="Video codec; auto keeps the source codec if the output container supports it.",
        rich_help_panel=_VIDEO,
    ),
]
Crf = Annotated[
    int | None,
    typer.Option(
        "--crf",
        metavar="N",
        min=0,
        max=63,
        show_default="depends on the codec; h264: 18",
        help="Quality, lower is better. For h264, 23 gives smaller files.",
        rich_help_panel=_VIDEO,
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        "--preset",
        metavar="NAME",
        help="Speed preset of the encoder, such as fast or slow; a number (0-13) for av1.",
        rich_help_panel=_VIDEO,
    ),
]
Start = Annotated[
    str,
    typer.Option(
        "--start",
        metavar="TIME",
        help="Start time: seconds, M:SS or H:MM:SS. Sound is cut as well.",
        rich_help_panel=_VIDEO,
    ),
]
End = Annotated[
    str | None,
    typer.Option(
        "--end",
        metavar="TIME",
        show_default="end of the clip",
        help="End time, counted from the start of the clip.",
        rich_help_panel=_VIDEO,
    ),
]
Rate = Annotated[
    float | None,
    typer.Option(
        "--rate",
        metavar="N",
        show_default="25",
        help="Frames per second of a folder of numbered pictures.",
        rich_help_panel=_VIDEO,
    ),
]
Scale = Annotated[
    float,
    typer.Option(
        "--scale",
        metavar="0.1..1",
        help="Detect rain in frames reduced to this fraction of their sides; the output keeps its size. 0.5 is about "
        "2.5 times as fast and leaves more of fine rain.",
        rich_help_panel=_VIDEO,
    ),
]
Hardware = Annotated[
    str,
    typer.Option(
        "--hw",
        metavar="off|auto|NAME",
        help="Decode and encode in hardware if that works: auto, nvenc, videotoolbox, qsv, amf or vaapi. Files get "
        "larger.",
        rich_help_panel=_VIDEO,
    ),
]
JoinFile = Annotated[
    str | None,
    typer.Option(
        "--join",
        metavar="FILE",
        help="Join all restored clips into one file, in natural order of their names, with a chapter each. The single "
        "clips are only kept with -o FOLDER.",
        rich_help_panel=OUTPUT,
    ),
]
Preview = Annotated[
    float | None,
    typer.Option(
        "--preview",
        metavar="SECONDS",
        help="First write NAME_preview, this many seconds before and after side by side; then ask whether to continue.",
        rich_help_panel=_VIDEO,
    ),
]
TemporalFilter = Annotated[
    Temporal,
    typer.Option(
        "--temporal",
        help="Flicker reduction: flow follows moving objects; median is faster, for static cameras.",
        rich_help_panel=_VIDEO,
    ),
]
KeepPartial = Annotated[
    bool,
    typer.Option(
        "--keep-partial",
        help="On interruption, also write the finished part as NAME_partial; the job can still be resumed.",
        rich_help_panel=OUTPUT,
    ),
]
ClipFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        metavar="mp4|mov|mkv|webm",
        show_default="same as the input",
        help="Output format.",
        rich_help_panel=OUTPUT,
    ),
]


@dataclass(frozen=True, kw_only=True)
class ClipFlags:
    """The flags of `derain video`."""

    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="CLIP...",
            help="Clips, folders of clips or of numbered pictures, quoted patterns such as '**/*.mp4', or - for "
            "standard input.",
        ),
    ]
    output: options.Output = None
    model: options.Model = DEFAULT_CLIP_MODEL
    computing: options.Computing = field(default_factory=options.Computing)
    temporal: TemporalFilter = VideoOptions.temporal
    codec: Codec = VideoOptions.codec
    crf: Crf = VideoOptions.crf
    preset: Preset = VideoOptions.preset
    start: Start = "0"
    end: End = None
    preview: Preview = VideoOptions.preview
    rate: Rate = VideoOptions.rate
    scale: Scale = VideoOptions.scale
    hw: Hardware = VideoOptions.hw
    join: JoinFile = None
    files: options.Files = field(default_factory=options.Files)
    overwrite: options.Overwrite = False
    suffix: options.Suffix = None
    format: ClipFormat = None
    keep_partial: KeepPartial = VideoOptions.keep_partial
    fail_fast: options.FailFast = False
    dry_run: options.DryRun = False
    messages: options.Messages = field(default_factory=options.Messages)

    def video_options(self) -> VideoOptions:
        """How clips are restored and encoded.

        Raises:
            UsageError: a value is out of range.
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
            UsageError: invalid suffix or format.
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
