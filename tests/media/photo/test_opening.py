"""Broken, too large and unusual files are refused with their reason; none is read partially."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from derain_cli.errors import InputError, ResourceError
from derain_cli.media.photo import (
    probe_photo,
    read_photo,
    read_rgb,
    write_photo,
    write_rgb,
)
from tests.media.photo.samples import HAS_AVIF, chunk, coded, noise, png, posix, put, reason, scene


@pytest.mark.fault(1, 2, 6, 22, 24)
def test_reasons_of_the_usual_broken_files(tmp_path: Path) -> None:
    whole_png, whole_jpeg = coded(scene(), "PNG"), coded(scene(), "JPEG")
    assert reason(put(tmp_path, "a.png", b"")) == "empty file"
    assert reason(put(tmp_path, "b.jpg", b"this is text\n" * 20)) == "not a readable image"
    assert reason(put(tmp_path, "c.jpg", random.Random(1).randbytes(5000))) == "not a readable image"
    assert "truncated" in reason(put(tmp_path, "d.png", whole_png[: len(whole_png) // 2]))
    assert "truncated" in reason(put(tmp_path, "e.jpg", whole_jpeg[: len(whole_jpeg) // 2]))
    flipped = bytearray(whole_png)
    flipped[len(flipped) // 2] ^= 1
    assert "corrupt" in reason(put(tmp_path, "f.png", bytes(flipped)))
    assert "corrupt" in reason(put(tmp_path, "g.png", whole_png.replace(b"IDATx", b"IDATy", 1)))
    bad_stream = png(4, 4, 8, 2, b"")
    bad_stream = bad_stream[:33] + chunk(b"IDAT", b"\x78\x9c" + b"\xff" * 30) + chunk(b"IEND", b"")
    assert reason(put(tmp_path, "h.png", bad_stream)).startswith(("corrupt", "truncated"))
    assert "no such file" in reason(tmp_path / "none.png")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM", "GIF", "AVIF"])
@pytest.mark.fault(3, 4)
def test_a_file_cut_anywhere_is_refused_never_half_read(tmp_path: Path, kind: str) -> None:
    if kind == "AVIF" and not HAS_AVIF:
        pytest.skip("Pillow without AVIF")
    data = coded(scene(), kind)
    for part in range(32):
        why = reason(put(tmp_path, "a.img", data[: len(data) * part // 32]))
        assert why == "empty file" if part == 0 else "truncated" in why or "not a readable" in why or "corrupt" in why


@pytest.mark.fault(8)
def test_junk_behind_the_picture_is_ignored_and_not_copied(tmp_path: Path) -> None:
    for kind in ("PNG", "JPEG", "WEBP", "BMP"):
        path = put(tmp_path, f"a.{kind.lower()}", coded(scene(), kind) + b"JUNK" * 100)
        write_photo(read_photo(path), tmp_path / f"b.{kind.lower()}")
        assert b"JUNKJUNK" not in (tmp_path / f"b.{kind.lower()}").read_bytes()


def bomb(width: int, height: int) -> bytes:
    return png(width, height, 8, 2, b"\0" * 1000)


@pytest.mark.fault(10, 12)
def test_decompression_bombs_are_refused_from_the_header(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", bomb(60000, 60000))
    start = time.monotonic()
    assert reason(path).startswith("too large: 3.6 Gpx, limit 89.5 Mpx")
    assert time.monotonic() - start < 1
    assert "too large: 99 Mpx" in reason(put(tmp_path, "b.png", bomb(11000, 9000)))
    assert "too large" in reason(put(tmp_path, "c.png", bomb(2**31 - 1, 2**31 - 1)))
    assert "not a readable image" in reason(put(tmp_path, "d.png", bomb(0, 7)))
    with pytest.raises(InputError, match="too large"):
        probe_photo(path)
    assert Image.MAX_IMAGE_PIXELS is not None  # other users of Pillow in the process keep their limit


@pytest.mark.fault(11)
def test_max_pixels_is_the_limit_in_both_directions(tmp_path: Path) -> None:
    path = put(tmp_path, "a.png", coded(scene(), "PNG"))
    assert read_photo(path, max_pixels=96 * 128).pixels.shape == (96, 128, 3)
    assert "too large" in reason(path, max_pixels=96 * 128 - 1)
    assert "truncated" in reason(put(tmp_path, "b.png", bomb(11000, 9000)[:70]), max_pixels=10**9)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".webp", ".bmp", ".ppm"])
def test_our_limit_counts_not_the_one_of_pillow(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    write_rgb(tmp_path / f"a{suffix}", scene())
    assert read_rgb(tmp_path / f"a{suffix}").shape == (96, 128, 3)
    assert Image.MAX_IMAGE_PIXELS == 1000


@posix
@pytest.mark.fault(10)
def test_a_bomb_needs_no_memory(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from derain_cli.media.photo import read_photo\n"
        "from derain_cli.errors import InputError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_photo(sys.argv[1])\n"
        "except InputError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    path = put(tmp_path, "a.png", bomb(60000, 60000))
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code, str(path)], cwd=root, capture_output=True, timeout=60)
    assert int(done.stdout) < 100_000  # KiB


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
@pytest.mark.fault(20)
def test_several_frames_are_refused_with_their_number(tmp_path: Path, kind: str) -> None:
    frames = [Image.fromarray(noise(8, 8, seed=n)) for n in range(3)]
    path = put(tmp_path, "a.img", coded(frames[0], kind, save_all=True, append_images=frames[1:]))
    told = "3 pages" if kind == "TIFF" else "an animation with 3 frames"
    assert reason(path).startswith(told)
    with pytest.raises(InputError, match=told):
        probe_photo(path)


def test_the_main_picture_of_a_phone_jpeg_is_used_with_a_note(tmp_path: Path) -> None:
    main, extra = Image.fromarray(scene()), Image.fromarray(noise(8, 8))
    photo = read_photo(put(tmp_path, "a.jpg", coded(main, "MPO", save_all=True, append_images=[extra])))
    assert photo.format == "JPEG" and photo.pixels.shape == (96, 128, 3)
    assert any("main picture" in n for n in photo.notes)


@posix
@pytest.mark.fault(22, 23, 24)
def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "fifo.png")
    (tmp_path / "dangling.png").symlink_to("nowhere.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    assert "folder" in reason(tmp_path / "folder.png")
    assert "not a regular file" in reason(tmp_path / "fifo.png")  # opening it would block
    assert "dangling" in reason(tmp_path / "dangling.png")
    assert "loop" in reason(tmp_path / "loop.png")
    with tempfile.TemporaryDirectory() as short, socket.socket(socket.AF_UNIX) as server:
        server.bind(f"{short}/s.png")
        assert "not a regular file" in reason(Path(short) / "s.png")
    real = put(tmp_path, "real.png", coded(scene(), "PNG"))
    (tmp_path / "link.png").symlink_to(real)
    assert read_photo(tmp_path / "link.png").pixels.shape == (96, 128, 3)
    if os.geteuid() != 0:
        real.chmod(0)
        assert "cannot read the file" in reason(real)


def test_half_pictures_are_never_asked_for() -> None:
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


def test_running_out_of_memory_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path, "a.jpg", coded(scene(), "JPEG"))

    def exhausted(self: object) -> None:
        raise MemoryError

    monkeypatch.setattr(ImageFile.ImageFile, "load", exhausted)
    with pytest.raises(ResourceError):
        read_photo(path)


@pytest.mark.fault(33)
def test_a_file_that_changes_while_it_is_read_gives_one_of_its_pictures_or_an_error(tmp_path: Path) -> None:
    versions = [coded(scene(), "PNG"), coded(noise(40, 56), "PNG")]
    pictures = [read_rgb(put(tmp_path, f"{n}.png", data)) for n, data in enumerate(versions)]
    path, done = put(tmp_path, "a.png", versions[0]), threading.Event()

    def rewrite() -> None:
        while not done.is_set():
            for data in versions:
                path.write_bytes(data)  # in place: empty and half at times

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(100):
            with contextlib.suppress(InputError):
                read = read_rgb(path)
                assert any(np.array_equal(read, one) for one in pictures)
    finally:
        done.set()
        writer.join()
