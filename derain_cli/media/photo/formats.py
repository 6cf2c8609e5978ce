"""Picture formats by name and by content, readable and writable."""

from __future__ import annotations

import importlib.util
import os
import re

__all__ = [
    "CLIP",
    "FORMAT_OF_SUFFIX",
    "HAS_HEIF",
    "HEIF_HINT",
    "HEIF_SUFFIXES",
    "LOSSY_SUFFIXES",
    "RAW",
    "READABLE_SUFFIXES",
    "READ_ONLY",
    "UNREAD_SUFFIXES",
    "WRITABLE_SUFFIXES",
    "is_still",
    "register_heif",
    "sniff",
    "suffix_by_content",
]


FORMAT_OF_SUFFIX = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".ppm": "PPM",
    ".pgm": "PPM",
    ".pnm": "PPM",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
READ_ONLY = {".gif": "GIF", ".pbm": "PPM", ".mpo": "JPEG", ".apng": "PNG", ".hif": "HEIF"}
HAS_HEIF = importlib.util.find_spec("pillow_heif") is not None
HEIF_HINT = "pip install pillow-heif"
RAW = "not read: camera RAW"
CLIP = "not read: clip"

_PHOTO_SUFFIXES = FORMAT_OF_SUFFIX | READ_ONLY
READABLE_SUFFIXES = frozenset(s for s, kind in _PHOTO_SUFFIXES.items() if kind != "HEIF" or HAS_HEIF)
"""File suffixes of photos in folders, HEIF only with pillow-heif. The actual format is determined by content."""
LOSSY_SUFFIXES = frozenset(s for s, kind in FORMAT_OF_SUFFIX.items() if kind in ("JPEG", "WEBP", "AVIF", "HEIF"))
"""Suffixes of formats whose pixels depend on the quality setting (for WebP only sometimes)."""
HEIF_SUFFIXES = frozenset(s for s, kind in _PHOTO_SUFFIXES.items() if kind == "HEIF")
UNREAD_SUFFIXES = frozenset(
    f".{name}"
    for name in (
        *(
            "3fr",
            "arw",
            "cr2",
            "cr3",
            "crw",
            "dcr",
            "dng",
            "erf",
            "gpr",
            "iiq",
            "kdc",
            "mef",
            "mos",
            "mrw",
            "nef",
            "nrw",
        ),
        *("orf", "pef", "raf", "raw", "rw2", "rwl", "sr2", "srf", "srw", "x3f"),
        *(
            "j2c",
            "j2k",
            "jp2",
            "jpf",
            "jpx",
            "jxl",
            "jxr",
            "wdp",
            "psb",
            "psd",
            "xcf",
            "kra",
            "ora",
            "tga",
            "exr",
            "hdr",
        ),
    )
)
"""Suffixes of unsupported photos: camera RAW, newer JPEG standards, formats of image editors."""
WRITABLE_SUFFIXES = frozenset(s for s, kind in FORMAT_OF_SUFFIX.items() if kind != "HEIF" or HAS_HEIF)
"""Suffixes supported by `write_photo`, HEIF only with pillow-heif."""


def register_heif() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


_MAGIC = (
    (re.compile(rb"(II\*\x00....CR\x02|II(RO|RS|U\x00)|MMOR|FUJIFILMCCD-RAW|FOVb|....ftypcrx )", re.DOTALL), RAW),
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WEBP"),
    (re.compile(rb"(II[*+]\x00|MM\x00[*+])"), "TIFF"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"BM"), "BMP"),
    (re.compile(rb"P[1-6fF][\s#]"), "PPM"),
    (re.compile(rb"....ftyp(avif|avis)", re.DOTALL), "AVIF"),
    (re.compile(rb"....ftyp(mif1|msf1).{0,40}avif", re.DOTALL), "AVIF"),
    (re.compile(rb"....ftyp(hei[cxms]|hev[cxms]|mif1|msf1)", re.DOTALL), "HEIF"),
    (
        re.compile(rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI |OggS|FLV\x01|\x30\x26\xb2\x75\x8e\x66\xcf\x11", re.DOTALL),
        CLIP,
    ),
    (re.compile(rb"(%!PS|\xc5\xd0\xd3\xc6)"), "not read: EPS"),
    (re.compile(rb"%PDF"), "not read: PDF"),
    (re.compile(rb"SIMPLE  ="), "not read: FITS"),
    (re.compile(rb"(\xef\xbb\xbf)?\s*<(svg|\?xml)"), "not read: SVG"),
    (re.compile(rb"(....jP  |\xff\x4f\xff\x51)", re.DOTALL), "not read: JPEG 2000"),
    (re.compile(rb"(....JXL |\xff\x0a)", re.DOTALL), "not read: JPEG XL"),
)


_USUAL_SUFFIX = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "TIFF": ".tif", "BMP": ".bmp", "AVIF": ".avif"}


_STILL = {"JPEG", "TIFF", "BMP", "PPM", "HEIF"}


def _kind_of(path: str) -> str | None:
    """The result of `sniff` for a regular file; nothing else is opened."""
    try:
        if not os.path.isfile(path):  # noqa: PTH113  (reading a FIFO would block)
            return None
        with open(path, "rb") as file:  # noqa: PTH123  (paths are strings where outputs are planned)
            return sniff(file.read(64))
    except (OSError, ValueError):
        return None


def suffix_by_content(path: str) -> str | None:
    """The usual suffix for the format of a file, regardless of its name; None for formats not read and written."""
    return _USUAL_SUFFIX.get(_kind_of(path) or "")


def is_still(path: str) -> bool:
    """Whether a file is a picture in a format without animation."""
    return _kind_of(path) in _STILL


def sniff(head: bytes) -> str | None:
    """Pillow's format name for a file that starts with `head` (64 bytes are enough).

    "not read: NAME" for a known but unsupported kind; None for an unknown one.
    """
    return next((name for pattern, name in _MAGIC if pattern.match(head)), None)
