"""A photo in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from derain_cli.media.photo.metadata import Metadata
from derain_cli.media.pixels import Pixels

__all__ = ["Photo", "PhotoInfo"]


@dataclass(frozen=True, eq=False)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: (H, W, 3) RGB, uint8 in 0..255 or uint16 in 0..65535, upright.
        alpha: (H, W) of the same dtype, 0 is transparent; None if the photo has none.
        grey: the source has one channel (all three of `pixels` are equal) and is written as one channel: the rounded
            mean of the three, which preserves unmodified grey values exactly.
        format: Pillow's name of the source format, by content.
        metadata: everything but the pixels.
        notes: one-line warnings from reading.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    grey: bool = False
    format: str = "PNG"
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhotoInfo:
    """Header information of a picture: format by content, and upright size in pixels."""

    format: str
    width: int
    height: int
