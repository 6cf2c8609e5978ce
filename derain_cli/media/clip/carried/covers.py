"""Cover pictures of clips, as shown by players and file managers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from derain_cli.media.clip.carried.tracks import COVER
from derain_cli.media.clip.container import open_container, packets_of

__all__ = ["Cover", "covers_of"]

_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "webp": ("webp", "image/webp")} | {
    kind: (kind, f"image/{kind}") for kind in ("bmp", "gif", "tiff")
}
_IN_BOXES = frozenset(("mjpeg", "png", "bmp"))
"""Codecs supported by the iTunes layout."""


@dataclass(frozen=True)
class Cover:
    """A cover picture.

    Attributes:
        index: of its track in the source.
        codec: FFmpeg codec name.
        picture: encoded picture.
        name: original file name.
        mime: media type.
    """

    index: int
    codec: str
    picture: bytes
    name: str
    mime: str

    def place(self, suffix: str) -> str | None:
        """How a format stores it: as `attachment`, as `track` marked as a cover, in a `box`, or not at all (None)."""
        if suffix == ".mkv":
            return "attachment"
        if self.codec not in _IN_BOXES or suffix == ".webm":
            return None
        return "box" if suffix == ".mov" else "track"

    @property
    def note(self) -> str:
        """The note for a cover that is left out."""
        return f"the cover picture ({self.codec}) cannot be stored in this format: left out (.mkv supports it)"


def covers_of(path: Path) -> list[Cover]:
    """The cover pictures of a clip.

    Raises:
        InputError: it can no longer be opened.
    """
    with open_container(path) as source:
        return list(_covers(source))


def _covers(source: Any) -> Iterator[Cover]:
    import av

    for number, stream in enumerate(s for s in source.streams if s.type == "video" and s.disposition & COVER):
        packet = None
        with suppress(av.FFmpegError):
            packet = next((each for each in packets_of(source, [stream]) if each.size), None)
        if packet is None:
            continue
        codec = stream.codec_context.name
        ending, mime = _TYPES.get(codec, (codec, f"image/{codec}"))
        tags = {key.lower(): value for key, value in stream.metadata.items()}
        name = tags.get("filename") or f"{'cover' if number == 0 else f'cover{number}'}.{ending}"
        yield Cover(stream.index, codec, bytes(packet), name, tags.get("mimetype") or mime)
