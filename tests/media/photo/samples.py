"""Pictures and fragments of picture files for the tests of photos."""

from __future__ import annotations

import io
import os
import struct
import zlib
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image, ImageCms, features

from derain_cli.errors import InputError
from derain_cli.media.photo import WRITABLE_SUFFIXES, read_photo

posix = pytest.mark.skipif(os.name != "posix", reason="POSIX file kinds and limits")
HAS_AVIF = features.check("avif")
HAS_HEIF = ".heic" in WRITABLE_SUFFIXES
quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def noise(height: int, width: int, channels: int = 3, dtype: Any = np.uint8, seed: int = 0) -> np.ndarray:
    top = np.iinfo(dtype).max
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, top + 1, shape).astype(dtype)


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """A smooth picture with some texture; compresses like a photo."""
    small = noise(height // 8, width // 8).astype(np.float32)
    smooth = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(smooth + noise(height, width, seed=1) / 16, 0, 255).astype(np.uint8)


def coded(image: Image.Image | np.ndarray, kind: str, **options: Any) -> bytes:
    stream = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(stream, kind, **options)
    return stream.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *extra: bytes) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(extra) + body + chunk(b"IEND", b"")


def put(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def reason(path: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_photo(path, **options)
    assert caught.value.path == path
    return caught.value.reason


@cache  # a profile contains its creation time
def icc(space: str = "RGB") -> bytes:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile if space == "RGB" else profile[:16] + b"GRAY" + profile[20:]


def exif(orientation: int = 1) -> bytes:
    block = Image.Exif()
    block[0x010F] = "Maker"
    block[0x0112] = orientation
    block.get_ifd(0x8769)[0x829A] = 0.004
    block.get_ifd(0x8825)[1] = "N"
    return block.tobytes()


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="%d" note="kept"/></x:xmpmeta>'


def camera(path: Path) -> tuple[str, float, str]:
    with Image.open(path) as image:
        image.load()
        block = image.getexif()
        return block.get(0x010F), float(block.get_ifd(0x8769).get(0x829A, 0)), block.get_ifd(0x8825).get(1)
