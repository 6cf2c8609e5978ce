"""Reading and writing of photos; the only code that opens picture files.

Reading: `opening` refuses broken, oversized and unsupported files, `decode` returns upright pixels and metadata.
Writing: `encode`. `sixteen_bit` adds what Pillow lacks; `png` and `jpeg` parse the file structure.
"""

from derain_cli.config import DEFAULT_MAX_PIXELS, EncodeOptions
from derain_cli.media.photo.decode import probe_photo, read_photo, read_rgb
from derain_cli.media.photo.encode import write_photo, write_rgb
from derain_cli.media.photo.formats import (
    HEIF_HINT,
    HEIF_SUFFIXES,
    LOSSY_SUFFIXES,
    READABLE_SUFFIXES,
    UNREAD_SUFFIXES,
    WRITABLE_SUFFIXES,
    suffix_by_content,
)
from derain_cli.media.photo.metadata import Metadata
from derain_cli.media.photo.opening import refuse_still
from derain_cli.media.photo.photo import Photo, PhotoInfo

__all__ = [
    "DEFAULT_MAX_PIXELS",
    "HEIF_HINT",
    "HEIF_SUFFIXES",
    "LOSSY_SUFFIXES",
    "READABLE_SUFFIXES",
    "UNREAD_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "EncodeOptions",
    "Metadata",
    "Photo",
    "PhotoInfo",
    "probe_photo",
    "read_photo",
    "read_rgb",
    "refuse_still",
    "suffix_by_content",
    "write_photo",
    "write_rgb",
]
