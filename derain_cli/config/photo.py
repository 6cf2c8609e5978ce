"""Options for encoding photos, and the size limit."""

from __future__ import annotations

from dataclasses import dataclass

from derain_cli.config.schema import require_option

__all__ = ["DEFAULT_MAX_PIXELS", "EncodeOptions"]

DEFAULT_MAX_PIXELS = 89_478_485
"""Default limit on the pixels of a photo: Pillow's own warning limit."""


@dataclass(frozen=True)
class EncodeOptions:
    """How a photo is encoded.

    Attributes:
        quality: 1..100, for JPEG, AVIF, HEIF and lossy WebP. PNG, TIFF, BMP and PPM are lossless, as is WebP
            if the source was lossless.

    Raises:
        UsageError: the quality is out of range.
    """

    quality: int = 95

    def __post_init__(self) -> None:
        require_option(1 <= self.quality <= 100, "quality", f"must be 1 to 100, not {self.quality}")
