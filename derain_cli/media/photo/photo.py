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
        alpha: (H, W) of the same dtype, 0 transparent; None when the photo has none.
        grey: the source has one channel (all three of `pixels` are equal) and is written as one channel again:
            the rounded mean of the three, which gives an untouched grey back bit for bit.
        format: Pillow's name of the source format, by content.
        metadata: what lies around the pixels.
        notes: one-line warnings about the reading.
    """

    pixels: Pixels
    alpha: Pixels | None = None
    grey: bool = False
    format: str = "PNG"
    metadata: Metadata = field(default_factory=Metadata)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PhotoInfo:
    """What the header of a picture says: format by content, and the upright size in pixels."""

    format: str
    width: int
    height: int
