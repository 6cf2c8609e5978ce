"""Which picture files there are: by name, by content, read or written."""

from __future__ import annotations

import importlib.util
import re

__all__ = [
    "CLIP",
    "FORMAT_OF_SUFFIX",
    "HAS_HEIF",
    "HEIF_HINT",
    "RAW",
    "READABLE_SUFFIXES",
    "READ_ONLY",
    "WRITABLE_SUFFIXES",
    "register_heif",
    "sniff",
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

READABLE_SUFFIXES = frozenset(FORMAT_OF_SUFFIX) | frozenset(READ_ONLY)
"""Names that are taken for photos in a folder. The content decides what a file is."""
WRITABLE_SUFFIXES = frozenset(s for s, kind in FORMAT_OF_SUFFIX.items() if kind != "HEIF" or HAS_HEIF)
"""Names that `write_photo` knows; HEIF only where pillow-heif is installed."""


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


def sniff(head: bytes) -> str | None:
    """Pillow's format name for a file that begins with `head` (64 bytes are enough).

    "not read: NAME" for a known kind that this program does not open; None for an unknown one.
    """
    return next((name for pattern, name in _MAGIC if pattern.match(head)), None)
