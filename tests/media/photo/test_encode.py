"""Photos are written completely or not at all, in every format."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from derain_cli.errors import DerainError, DestinationError, InputError, ResourceError, UsageError
from derain_cli.media.photo import (
    READABLE_SUFFIXES,
    WRITABLE_SUFFIXES,
    EncodeOptions,
    Metadata,
    Photo,
    read_photo,
    read_rgb,
    write_photo,
    write_rgb,
)
from tests.media.photo.samples import HAS_HEIF, XMP, camera, exif, icc, posix, put, scene


def test_suffixes_and_quality_are_checked(tmp_path: Path) -> None:
    for name in ("a", "a.xyz", "a.svg"):
        with pytest.raises(UsageError):
            write_photo(Photo(scene()), tmp_path / name)
    with pytest.raises(UsageError):
        EncodeOptions(quality=0)
    with pytest.raises(DestinationError, match="16383"):
        write_photo(Photo(np.zeros((1, 16384, 3), np.uint8)), tmp_path / "a.webp")
    with pytest.raises(ValueError, match="pixels must be"):
        write_photo(Photo(np.zeros((4, 4, 3), np.float32)), tmp_path / "a.png")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []
    assert WRITABLE_SUFFIXES <= READABLE_SUFFIXES


def test_quality_changes_the_size_of_lossy_files(tmp_path: Path) -> None:
    for suffix in (".jpg", ".webp"):
        sizes = []
        for quality in (20, 95):
            path = tmp_path / f"{quality}{suffix}"
            write_photo(Photo(scene(), format="JPEG"), path, options=EncodeOptions(quality))
            sizes.append(path.stat().st_size)
        assert sizes[0] < sizes[1]


def test_an_existing_file_is_kept_unless_asked(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", b"old")
    with pytest.raises(DestinationError):
        write_photo(Photo(scene()), path)
    assert path.read_bytes() == b"old"
    write_photo(Photo(scene()), path, overwrite=True)
    assert np.array_equal(read_rgb(path), scene())


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp", ".bmp", ".ppm"])
@pytest.mark.fault(30)
def test_a_failing_encoder_keeps_the_old_file(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, f"a{suffix}", b"old")
    monkeypatch.setattr(os, "fsync", lambda handle: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(ResourceError, match="no space"):
        write_photo(Photo(scene()), path, overwrite=True)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@posix
@pytest.mark.fault(39)
def test_a_disk_that_takes_no_more_is_a_resource_error_for_every_format(tmp_path: Path) -> None:
    code = (
        "import resource, sys, numpy as np; from pathlib import Path\n"
        "from derain_cli.media.photo import write_rgb, WRITABLE_SUFFIXES\n"
        "from derain_cli.errors import ResourceError\n"
        "import cv2, importlib; importlib.import_module('PIL.Image').init()\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))\n"
        "pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)\n"
        "for suffix in ('.jpg', '.png', '.tif', '.webp', '.bmp', '.ppm'):\n"
        "    for dtype in (np.uint8, np.uint16):\n"
        "        scale = dtype(257 if dtype is np.uint16 else 1)\n"
        "        try: write_rgb(Path(sys.argv[1]) / ('a' + suffix), pixels * scale)\n"
        "        except ResourceError: continue\n"
        "        sys.exit('not noticed: ' + suffix)"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_does_not_read_back_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "a.jpg", b"old")
    real = Path.open

    class Short:
        """A disk that writes half and reports nothing."""

        def __init__(self, file: Any) -> None:
            self.file = file

        def __enter__(self) -> Short:
            return self

        def __exit__(self, *error: object) -> None:
            self.file.close()

        def write(self, data: Any) -> int:
            return self.file.write(bytes(data)[: len(data) // 2])

    def short(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        file = real(self, mode, *args, **kwargs)
        return Short(file) if mode == "wb" else file

    monkeypatch.setattr(Path, "open", short)
    with pytest.raises(ResourceError, match="read back"):
        write_photo(Photo(scene()), path, overwrite=True)
    monkeypatch.undo()
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


@posix
@pytest.mark.parametrize("name", [b"-rf.png", b"\xff.png", "😀 .png".encode(), b"x" * 251 + b".png", b"a\n\x1b[1m.png"])
def test_odd_names_are_read_and_written_with_the_same_bytes(tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    try:
        path.touch()
        path.unlink()
    except OSError:
        pytest.skip("this file system does not allow the name")
    write_rgb(path, scene())
    assert [os.fsencode(p.name) for p in tmp_path.iterdir()] == [name]
    assert np.array_equal(read_rgb(path), scene())
    path.write_bytes(b"")
    with pytest.raises(DerainError) as caught:
        read_photo(path)
    assert "\n" not in str(caught.value) and "\x1b" not in str(caught.value)


@pytest.mark.skipif(not HAS_HEIF, reason="pillow-heif is not installed")
def test_heif_keeps_metadata(tmp_path: Path) -> None:
    write_photo(Photo(scene(), metadata=Metadata(exif()[6:], icc(), XMP % 1)), tmp_path / "a.heic")
    photo = read_photo(tmp_path / "a.heic")
    assert photo.format == "HEIF" and photo.metadata.icc_profile == icc()
    assert camera(tmp_path / "a.heic")[0] == "Maker"


def test_heif_without_the_plug_in_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("derain_cli.media.photo.opening.HAS_HEIF", False)
    path = put(tmp_path, "a.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100))
    with pytest.raises(InputError, match=r"HEIF.*pip install pillow-heif"):
        read_photo(path)
