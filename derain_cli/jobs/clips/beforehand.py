"""Checks of a job before anything expensive is loaded."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from derain_cli.config import VideoOptions
from derain_cli.errors import InputError
from derain_cli.jobs.clips.preview import side_by_side
from derain_cli.jobs.items import Item
from derain_cli.media.clip.encoding import choose_encoding
from derain_cli.media.clip.reader import open_clip

__all__ = ["require_encodings"]


def require_encodings(items: Iterable[Item], options: VideoOptions) -> None:
    """Check codec and preset for each clip, if one was requested; unreadable clips are skipped.

    Raises:
        UsageError: a format does not support the codec, or the codec has no such preset.
    """
    if options.codec == "auto" and options.preset is None:
        return
    for item in items:
        with suppress(InputError), open_clip(item.source) as reader:
            info = side_by_side(reader.info) if options.preview else reader.info
            choose_encoding(info, Path(item.target).suffix.lower(), options)
