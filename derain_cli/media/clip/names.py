"""File names of clips."""

from __future__ import annotations

__all__ = ["READABLE_CLIPS"]

READABLE_CLIPS = frozenset(
    f".{name}"
    for name in (
        *("mp4", "m4v", "mov", "mkv", "webm", "avi", "ts", "mts", "m2ts", "mpg", "mpeg"),
        *("wmv", "asf", "flv", "3gp", "3g2", "ogv", "mxf", "vob"),
    )
)
"""Suffixes of clips in folders. The format is detected from the content."""
