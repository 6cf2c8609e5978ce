"""`derain PATH...`: outputs, exit codes, messages, records."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import derain_cli.jobs.photos.run
import derain_cli.jobs.photos.writing
from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import InputError, OutOfMemoryError
from derain_cli.media.photo import encode, read_photo, read_rgb, write_photo
from tests.cli.conftest import Derain, listed, noise, photo, snapshot


def temporary_files(folder: str | Path = ".") -> list[Path]:
    return list(Path(folder).rglob(".derain-*"))


# --- pictures -----------------------------------------------------------------------------------------------------


def test_the_output_is_what_the_restorer_gives(derain: Derain, weights: Path) -> None:
    photo("a.png")
    assert derain("a.png").code == 0
    expected = Restorer.from_pretrained(weights, device="cpu")(noise())
    assert np.array_equal(read_rgb("a_derained.png"), expected)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 7), (33, 31)])
@pytest.mark.fault(14)
def test_any_size_stays(derain: Derain, size: tuple[int, int]) -> None:
    photo("a.png", height=size[0], width=size[1])
    assert derain("a.png").code == 0
    assert read_rgb("a_derained.png").shape == (*size, 3)


@pytest.mark.fault(15, 16)
def test_depth_alpha_grey_and_metadata_stay(derain: Derain) -> None:
    Path("in").mkdir()
    deep = np.random.default_rng(1).integers(0, 65536, (9, 8), dtype=np.uint16)
    Image.fromarray(deep).save("in/deep.png")
    rgba = np.random.default_rng(2).integers(0, 256, (9, 8, 4), dtype=np.uint8)
    Image.fromarray(rgba).save("in/rgba.png")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    Image.fromarray(noise(8, 12)).save("in/turned.jpg", exif=exif, dpi=(300, 300))
    assert derain("in", "-o", "out").code == 0
    assert read_photo("out/deep.png").pixels.dtype == np.uint16
    assert read_photo("out/deep.png").grey
    alpha = read_photo("out/rgba.png").alpha
    assert alpha is not None
    assert np.array_equal(alpha, rgba[..., 3])
    with Image.open("out/turned.jpg") as turned:
        assert turned.size == (8, 12)
        assert turned.getexif().get(0x0112, 1) == 1
        assert turned.getexif()[0x010F] == "Maker"


def test_strength_zero_gives_the_photo_back(derain: Derain) -> None:
    photo("a.png")
    assert derain("a.png", "--strength", "0", "--precision", "fp32").code == 0
    assert np.array_equal(read_rgb("a_derained.png"), noise())


def test_quality_and_format(derain: Derain) -> None:
    photo("a.png", height=64, width=64)
    assert derain("a.png", "-o", "low.jpg", "--quality", "10").code == 0
    assert derain("a.png", "-o", "high.jpg").code == 0
    assert Path("low.jpg").stat().st_size * 2 < Path("high.jpg").stat().st_size
    assert derain("a.png", "--format", "webp").code == 0
    with Image.open("a_derained.webp") as picture:
        assert picture.format == "WEBP"


def test_compare_and_layers(derain: Derain) -> None:
    photo("a.jpg", height=24, width=32)
    ended = derain("a.jpg", "-o", "out/b.jpg", "--compare", "--save-layers", "--json")
    assert ended.code == 0
    assert listed("out") == ["b.jpg", "b_compare.jpg", "b_detail.png", "b_rain.png"]
    assert read_rgb("out/b_compare.jpg").shape == (24, 68, 3)
    assert read_rgb("out/b_rain.png").max() == 0  # this network finds no rain
    assert ended.records[0]["companions"] == ["out/b_compare.jpg", "out/b_rain.png", "out/b_detail.png"]


def test_a_gif_becomes_a_png_with_a_note(derain: Derain) -> None:
    Image.fromarray(noise()).convert("P").save("a.gif")
    ended = derain("a.gif")
    assert ended.code == 0
    assert "cannot write .gif" in ended.err
    assert read_rgb("a_derained.png").shape == (24, 32, 3)


# --- folders ------------------------------------------------------------------------------------------------------


def test_a_tree_is_mirrored_and_a_second_run_finds_it_done(derain: Derain) -> None:
    for number, name in enumerate(("in/a.png", "in/x/b.png", "in/x/y/c.jpg")):
        photo(name, seed=number)
    first = derain("-r", "in", "-o", "in/out", "--json")
    assert first.code == 0
    assert list(snapshot("in/out")) == ["in/out/a.png", "in/out/x/b.png", "in/out/x/y/c.jpg"]
    before = snapshot()
    again = derain("-r", "in", "-o", "in/out")
    assert again.code == 0
    assert "on cpu" not in again.err  # nothing was loaded
    assert "done: 0 ok, 3 skipped, 0 failed" in again.err
    assert snapshot() == before
    assert derain("-r", "in", "-o", "in/out", "--overwrite").code == 0
    assert snapshot() == before  # the same photos, whole


@pytest.mark.parametrize("jobs", [0, 1, 3])
def test_outcomes_come_in_order_whatever_the_threads_do(derain: Derain, jobs: int) -> None:
    names = [f"in/{n:02d}.png" for n in range(9)]
    for number, name in enumerate(names):
        photo(name, seed=number, height=10 + 13 * (number % 3), width=20)
    Path(names[4]).write_bytes(b"")
    records = derain("in", "-o", "out", "-j", str(jobs), "--json").records
    assert [r["input"] for r in records[:-1]] == names
    assert [r["status"] for r in records[:-1]] == ["ok"] * 4 + ["failed"] + ["ok"] * 4
    for number in (0, 3, 8):
        size = (10 + 13 * (number % 3), 20)
        expected = noise(*size, seed=number).astype(int)
        assert np.abs(read_rgb(f"out/{number:02d}.png").astype(int) - expected).max() <= 1


@pytest.mark.parametrize("jobs", [0, 1, 2])
@pytest.mark.parametrize("side", [30, 130])
@pytest.mark.fault(35)
def test_at_most_one_photo_more_than_jobs_is_in_memory(
    derain: Derain, side: int, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading
    import time

    lock, held, most = threading.Lock(), [0], [0]
    read, write = read_photo, write_photo

    def reading(*args: Any, **options: Any) -> Any:
        with lock:
            held[0] += 1
            most[0] = max(most[0], held[0])
        return read(*args, **options)

    def writing(*args: Any, **options: Any) -> Any:
        time.sleep(0.02)
        try:
            return write(*args, **options)
        finally:
            with lock:
                held[0] -= 1

    monkeypatch.setattr(derain_cli.jobs.photos.run, "read_photo", reading)
    monkeypatch.setattr(derain_cli.jobs.photos.writing, "write_photo", writing)
    for number in range(10 if side > 100 else 40):
        photo(f"in/{number}.png", seed=number, height=side, width=side)
    assert derain("in", "-j", str(jobs)).code == 0
    # Photos so small that the network processes eight at once; together they count as one.
    assert most[0] <= (jobs + 1) * (8 if side == 30 and jobs else 1)


def test_what_was_read_is_not_kept_while_the_result_is_written(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    import time
    import weakref

    read, write = read_photo, write_photo
    kept: list[weakref.ref[Any]] = []
    gone = []

    def reading(*args: Any, **options: Any) -> Any:
        found = read(*args, **options)
        kept.append(weakref.ref(found.pixels))
        return found

    def writing(*args: Any, **options: Any) -> Any:
        deadline = time.monotonic() + 5  # the calling thread is just finishing the photo
        while kept[-1]() is not None and time.monotonic() < deadline:
            time.sleep(0.01)
        gone.append(kept[-1]() is None)
        return write(*args, **options)

    monkeypatch.setattr(derain_cli.jobs.photos.run, "read_photo", reading)
    monkeypatch.setattr(derain_cli.jobs.photos.writing, "write_photo", writing)
    photo("a.png")
    assert derain("a.png").code == 0
    assert gone == [True]


def test_patterns_are_expanded(derain: Derain) -> None:
    photo("in/a.png")
    photo("in/x/b.png")
    assert derain("in/**/*.png", "-o", "out").code == 0
    assert sorted(snapshot("out")) == ["out/a.png", "out/x/b.png"]


@pytest.mark.fault(26)
def test_names_of_any_bytes(derain: Derain) -> None:
    names = ["-rf.png", "a\nb.png", "\x1b[31mred.png", os.fsdecode(b"\xff\xfe.png"), "🌧 .png", "n" * 251 + ".png"]
    for name in names:
        photo(f"in/{name}")
    ended = derain("in", "-o", "out", "--json")
    assert ended.code == 0
    assert listed("out") == sorted(names)
    assert {Path(r["input"]).name for r in ended.records[:-1]} == set(names)
    assert "\x1b" not in ended.err
    assert temporary_files("out") == []
    Path("in", names[2]).write_bytes(b"")
    (line,) = derain("in", "-o", "new").errors
    assert line == r"derain: error: in/\x1b[31mred.png: empty file"


def test_dry_run_prints_the_plan_and_writes_nothing(derain: Derain) -> None:
    photo("in/a.png")
    photo("in/x/b.png")
    before = snapshot()
    ended = derain("in", "-r", "-o", "out", "--compare", "--dry-run")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        "in/a.png -> out/a.png",
        "in/a.png -> out/a_compare.png",
        "in/x/b.png -> out/x/b.png",
        "in/x/b.png -> out/x/b_compare.png",
    ]
    assert snapshot() == before
    assert not Path("out").exists()
    records = derain("in", "-r", "-o", "out", "--dry-run", "--json").records
    assert [r.get("status") for r in records] == ["planned", "planned", None]


@pytest.mark.fault(50)
def test_left_overs_of_dead_processes_are_swept(derain: Derain) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    from derain_cli.system.files import _host

    photo("a.png")
    Path("out").mkdir()
    stale = Path(f"out/.derain-{_host()}-{dead.pid}-{'0' * 12}.tmp")
    alive = Path(f"out/.derain-{_host()}-{os.getpid()}-{'0' * 12}.tmp")
    for path in (stale, alive):
        path.write_bytes(b"half a photo")
    assert derain("a.png", "-o", "out").code == 0
    assert not stale.exists()
    assert alive.exists()


# --- unusable inputs ----------------------------------------------------------------------------------------------


def bad_inputs(folder: Path) -> dict[str, str]:
    """Broken files and their error messages."""
    folder.mkdir()
    png, jpeg = (
        photo("whole.png", height=64, width=64).read_bytes(),
        photo("whole.jpg", height=64, width=64).read_bytes(),
    )
    Path("whole.png").unlink()
    Path("whole.jpg").unlink()
    (folder / "1_empty.png").write_bytes(b"")
    (folder / "2_text.jpg").write_text("not a picture " * 50)
    (folder / "3_half.png").write_bytes(png[: len(png) // 2])
    (folder / "4_half.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    broken = bytearray(png)
    broken[len(png) // 2] ^= 0xFF
    (folder / "5_crc.png").write_bytes(broken)
    head = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    (folder / "6_bomb.png").write_bytes(head + b"\x00" * 4 + png[33:])
    (folder / "7_drawing.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'></svg>")
    os.mkfifo(folder / "8_pipe.png")
    (folder / "9_link.png").symlink_to("nowhere")
    return {
        "1_empty.png": "empty file",
        "2_text.jpg": "not a readable image",
        "3_half.png": "",
        "4_half.jpg": "truncated",
        "5_crc.png": "corrupt data",
        "6_bomb.png": "",
        "7_drawing.png": "",
        "8_pipe.png": "not a regular file",
        "9_link.png": "dangling symbolic link",
    }


@pytest.mark.fault(1, 2, 3)
def test_bad_files_do_not_stop_the_batch(derain: Derain) -> None:
    expected = bad_inputs(Path("in"))
    good = [photo("in/0_good.png", seed=1), photo("in/z_good.jpg", seed=2)]
    ended = derain("in", "--follow-symlinks", "-o", "out", "--json")
    assert ended.code == 3
    failed = {Path(r["input"]).name: r for r in ended.records[:-1] if r["status"] == "failed"}
    assert set(failed) == set(expected)
    for name, reason in expected.items():
        assert reason in failed[name]["error"]
        assert failed[name]["code"] == 3
    assert len(ended.errors) == len(expected)
    assert listed("out") == [p.name for p in good]
    assert f"done: 2 ok, 0 skipped, {len(expected)} failed" in ended.err
    assert ended.records[-1]["failed"] == len(expected)
    assert ended.records[-1]["code"] == 3


@pytest.mark.fault(23)
def test_a_socket_is_refused_not_opened(derain: Derain) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.png")
        ended = derain("s.png")
    assert ended.code == 3
    assert "not a regular file" in ended.err


@pytest.mark.fault(5)
def test_a_photo_without_end_marker_is_restored_with_a_note(derain: Derain) -> None:
    path = photo("a.jpg")
    path.write_bytes(path.read_bytes()[:-2])
    ended = derain("a.jpg")
    assert ended.code == 0
    assert "lacks its end marker" in ended.err


@pytest.mark.fault(11)
def test_max_pixels(derain: Derain) -> None:
    photo("a.png", height=24, width=32)
    ended = derain("a.png", "--max-pixels", "700")
    assert ended.code == 3
    assert "too large" in ended.err
    assert derain("a.png", "--max-pixels", "768").code == 0


def test_missing_inputs_do_not_stop_the_others(derain: Derain) -> None:
    photo("a.png")
    ended = derain("gone.png", "a.png")
    assert ended.code == 3
    assert ended.errors == ["derain: error: gone.png: no such file or folder"]
    assert Path("a_derained.png").is_file()


@pytest.mark.parametrize("argv", [["empty"], ["*.jpg"], ["gone.jpg"], ["empty", "gone", "*.png"], [""]])
@pytest.mark.fault(34)
def test_nothing_to_do_is_4(derain: Derain, argv: list[str]) -> None:
    Path("empty").mkdir()
    ended = derain(*argv, "--json")
    assert ended.code == 4
    assert len(ended.errors) == max(1, len([each for each in argv if each != "empty"]))
    assert len(argv) > 1 or len(ended.err.splitlines()) == 1
    assert argv != ["empty"] or "no images found" in ended.err
    assert ended.records[-1]["code"] == 4
    assert snapshot() == {}


def test_all_failed_is_3(derain: Derain) -> None:
    Path("a.png").write_bytes(b"")
    Path("b.png").write_bytes(b"junk")
    assert derain("a.png", "b.png").code == 3
    assert sorted(snapshot()) == ["a.png", "b.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
@pytest.mark.fault(32)
def test_an_unreadable_file_fails_alone(derain: Derain) -> None:
    photo("in/a.png").chmod(0)
    photo("in/b.png")
    assert derain("in").code == 3


@pytest.mark.fault(32)
def test_a_file_that_vanishes_fails_alone(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    photo("in/a.png")
    photo("in/b.png")
    load = Restorer.from_pretrained

    def late(*args: Any, **options: Any) -> Restorer:
        Path("in/a.png").unlink()
        return load(*args, **options)

    monkeypatch.setattr(Restorer, "from_pretrained", late)
    ended = derain("in", "-o", "out")
    assert ended.code == 3
    assert ended.errors == ["derain: error: in/a.png: no such file"]
    assert sorted(snapshot("out")) == ["out/b.png"]


@pytest.mark.parametrize("jobs", ["0", "1", "3"])
def test_fail_fast_stops_at_the_first_failure(derain: Derain, jobs: str) -> None:
    for number in range(6):
        photo(f"in/{number}.png")
    Path("in/1.png").write_bytes(b"")
    ended = derain("in", "-o", "out", "--fail-fast", "-j", jobs, "--json")
    assert ended.code == 3
    assert sorted(snapshot("out")) == ["out/0.png"]
    assert ended.records[-1]["not_tried"] == 4


# --- destinations -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
@pytest.mark.parametrize("out", ["a.png", "./a.png", "hard.png", "soft.png", "."])
@pytest.mark.fault(28)
def test_an_output_that_is_the_input_is_7(derain: Derain, out: str, flags: list[str]) -> None:
    photo("a.png")
    os.link("a.png", "hard.png")
    Path("soft.png").symlink_to("a.png")
    before = snapshot()
    ended = derain("a.png", "-o", out, "-m", "not loaded at all", *flags)
    assert ended.code == 7
    assert len(ended.err.splitlines()) == 1
    assert snapshot() == before


@pytest.mark.fault(27)
def test_two_inputs_on_one_output_are_7(derain: Derain) -> None:
    photo("in/a.png")
    photo("in/a.jpg")
    ended = derain("in", "-o", "out", "--format", "png", "-m", "not loaded at all")
    assert ended.code == 7
    assert "in/a.png" in ended.err
    assert "in/a.jpg" in ended.err
    assert not Path("out").exists()


@pytest.mark.fault(30)
def test_an_existing_output_is_skipped_or_refused_or_replaced(derain: Derain) -> None:
    photo("a.png")
    Path("a_derained.png").write_bytes(b"mine")
    for argv in (["a.png"], ["a.png", "-o", "a_derained.png"]):
        ended = derain(*argv)
        assert ended.code == 7
        assert ended.err.count("\n") == 1 and "--overwrite" in ended.err
    assert Path("a_derained.png").read_bytes() == b"mine"
    assert derain("a.png", "-o", "a_derained.png", "--overwrite").code == 0
    for argv in (["a.png"], ["a.png", "-o", "a_derained.png"]):
        ended = derain(*argv)
        assert ended.code == 0
        assert "skipped" in ended.err
    assert read_rgb("a_derained.png").shape == (24, 32, 3)


@pytest.mark.fault(30)
def test_a_failure_leaves_the_old_output(derain: Derain) -> None:
    Path("a.png").write_bytes(b"junk")
    Path("b.png").write_bytes(b"mine")
    assert derain("a.png", "-o", "b.png", "--overwrite").code == 3
    assert Path("b.png").read_bytes() == b"mine"


@pytest.mark.fault(31)
def test_destinations_refused_before_the_model_is_loaded(derain: Derain) -> None:
    photo("a.png")
    photo("b.png")
    Path("file").write_bytes(b"")
    Path("dir.png").mkdir()
    for code, argv in (
        (2, ["a.png", "-o", "x.xyz"]),
        (2, ["a.png", "b.png", "-o", "x.png"]),
        (7, ["a.png", "b.png", "-o", "file"]),
        (7, ["a.png", "-o", "file/x.png"]),
        (7, ["a.png", "b.png", "-o", "file/below"]),
    ):
        assert derain(*argv, "-m", "not loaded at all").code == code
    assert sorted(snapshot()) == ["a.png", "b.png", "file"]


def test_missing_parents_are_made(derain: Derain) -> None:
    photo("a.png")
    assert derain("a.png", "-o", "x/y/b.png").code == 0
    assert derain("a.png", "-o", "p/q/").code == 0
    assert sorted(snapshot("x") | snapshot("p")) == ["p/q/a.png", "x/y/b.png"]


def test_companions_that_exist_stay(derain: Derain) -> None:
    photo("a.png")
    Path("a_derained_compare.png").write_bytes(b"mine")
    ended = derain("a.png", "--compare")
    assert ended.code == 0
    assert "a_derained_compare.png already exists" in ended.err
    assert Path("a_derained_compare.png").read_bytes() == b"mine"


# --- weights, devices, resources ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["missing", "empty", "junk", "picture", "folder", "flipped", "unnamed"])
@pytest.mark.fault(53)
def test_unusable_weights_are_5_before_any_work(derain: Derain, kind: str, weights: Path) -> None:
    photo("a.png")
    bad = Path("bad.safetensors")
    if kind == "empty":
        bad.write_bytes(b"")
    elif kind == "junk":
        bad.write_bytes(os.urandom(4000))
    elif kind == "picture":
        bad.write_bytes(Path("a.png").read_bytes())
    elif kind == "folder":
        bad.mkdir()
    elif kind == "flipped":
        data = bytearray(weights.read_bytes())
        data[-5] ^= 1
        bad.write_bytes(data)
    ended = derain("a.png", "-m", "nosuchname" if kind == "unnamed" else str(bad), "--json")
    assert ended.code == 5
    assert len(ended.err.splitlines()) == 1
    assert ended.records[-1]["code"] == 5
    assert not Path("a_derained.png").exists()


@pytest.mark.fault(58)
def test_weights_with_infinite_values_are_5(derain: Derain, network: Any) -> None:
    model = network()
    next(iter(model.parameters())).data.view(-1)[0] = float("inf")
    save_weights(Path("inf.safetensors"), model, Card())
    photo("a.png")
    ended = derain("a.png", "-m", "inf.safetensors")
    assert ended.code == 5
    assert "non-finite" in ended.err


@pytest.mark.fault(44)
def test_a_device_that_is_not_there_is_6(derain: Derain) -> None:
    photo("a.png")
    ended = derain("a.png", "-d", "cuda:99")
    assert ended.code == 6
    assert "--device auto" in ended.err
    assert not Path("a_derained.png").exists()


def full_disk(monkeypatch: pytest.MonkeyPatch, after: int, number: int = errno.ENOSPC) -> None:
    """Lets `after` files be written, then reports a full disk."""
    atomic = encode.atomic_file  # type: ignore[attr-defined]
    count = iter(range(1000))

    @contextmanager
    def limited(path: Path, *, overwrite: bool) -> Iterator[Path]:
        with atomic(path, overwrite=overwrite) as temporary:
            if next(count) >= after:
                raise OSError(number, os.strerror(number))
            yield temporary

    monkeypatch.setattr(encode, "atomic_file", limited)


@pytest.mark.parametrize("jobs", ["0", "1"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
@pytest.mark.fault(39)
def test_a_full_disk_stops_all_with_6(derain: Derain, monkeypatch: pytest.MonkeyPatch, number: int, jobs: str) -> None:
    for each in range(8):
        photo(f"in/{each}.png", seed=each)
    full_disk(monkeypatch, after=2, number=number)
    ended = derain("in", "-o", "out", "-j", jobs, "--json")
    assert ended.code == 6
    assert ended.errors[0].startswith("derain: error: out/2.png: ")
    assert sorted(snapshot("out")) == ["out/0.png", "out/1.png"]
    assert temporary_files() == []
    assert ended.records[-1]["not_tried"] >= 3
    for each in range(2):
        assert np.abs(read_rgb(f"out/{each}.png").astype(int) - noise(seed=each)).max() <= 1


@pytest.mark.fault(42, 43)
def test_out_of_memory_concerns_its_own_file(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    photo("in/a.png", height=16, width=16)
    photo("in/b.png", height=16, width=18)
    run = Restorer.__call__

    def hungry(self: Restorer, image: Any, progress: Any = None) -> Any:
        if image.shape[1] == 16:
            raise OutOfMemoryError("out of memory even with the smallest tiles")
        return run(self, image, progress)

    monkeypatch.setattr(Restorer, "__call__", hungry)
    ended = derain("in", "-o", "out")
    assert ended.code == 3
    assert ended.errors == ["derain: error: in/a.png: out of memory even with the smallest tiles"]
    assert derain("in/a.png").code == 6  # the only outcome


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (MemoryError(), 6, "out of memory"),
        (InputError("the network returned non-finite values"), 3, "non-finite"),
        (RuntimeError("CUDA error: device-side assert"), 6, "the device failed"),
        (ValueError("a bug"), 1, "internal error: ValueError: a bug"),
    ],
)
def test_what_the_network_may_raise(
    derain: Derain, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int, words: str
) -> None:
    photo("a.png")

    def broken(*_: object) -> None:
        raise error

    monkeypatch.setattr(Restorer, "__call__", broken)
    ended = derain("a.png")
    assert ended.code == code
    (line,) = ended.errors
    assert line.startswith("derain: error: a.png: ")
    assert words in line
    assert not Path("a_derained.png").exists()


@pytest.mark.fault(44)
def test_a_lost_device_stops_all_and_a_bug_does_not(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in range(4):
        photo(f"in/{each}.png", height=16, width=16 + each)
    run = Restorer.__call__

    def raising(error: Exception) -> None:
        def call(self: Restorer, image: Any, progress: Any = None) -> Any:
            if image.shape[1] == 17:
                raise error
            return run(self, image, progress)

        monkeypatch.setattr(Restorer, "__call__", call)

    raising(KeyError("ours"))
    assert derain("in", "-o", "bug").code == 1
    assert len(snapshot("bug")) == 3
    raising(RuntimeError("CUDA error: unspecified launch failure"))
    assert derain("in", "-o", "lost").code == 6
    assert sorted(snapshot("lost")) == ["lost/0.png"]


# --- messages -----------------------------------------------------------------------------------------------------


def test_records(derain: Derain) -> None:
    photo("in/a.png", height=20, width=50)
    Path("in/b.png").write_bytes(b"")
    photo("in/c.png")
    assert derain("in/c.png", "-o", "out/").code == 0
    ended = derain("in", "-o", "out", "--json")
    skipped, ok, failed, summary = ended.records
    assert (ok["input"], ok["output"], ok["status"]) == ("in/a.png", "out/a.png", "ok")
    assert (ok["width"], ok["height"], ok["megapixels"], ok["notes"]) == (50, 20, 0.001, [])
    assert ok["seconds"] > 0
    assert (ok["error"], ok["code"]) == (None, 0)
    assert (failed["status"], failed["error"], failed["code"]) == ("failed", "empty file", 3)
    assert (skipped["status"], skipped["code"]) == ("skipped", 0)
    assert {k: summary[k] for k in ("ok", "skipped", "failed", "code")} == {
        "ok": 1,
        "skipped": 1,
        "failed": 1,
        "code": 3,
    }
    assert (summary["device"], summary["summary"]) == ("cpu", True)


def test_nothing_but_data_is_on_stdout(derain: Derain) -> None:
    photo("a.png")
    ended = derain("a.png")
    assert ended.out == ""
    lines = ended.err.splitlines()
    assert lines[0].startswith("same.safetensors on cpu, ")
    assert "a.png -> a_derained.png" in lines[1]
    assert lines[-1] == "done: 1 ok, 0 skipped, 0 failed"


def test_quiet_says_only_errors(derain: Derain) -> None:
    photo("a.png")
    Path("b.png").write_bytes(b"")
    ended = derain("a.png", "b.png", "-q")
    assert ended.code == 3
    assert ended.err == "derain: error: b.png: empty file\n"


def test_debug_shows_the_traceback_of_a_failed_file(derain: Derain) -> None:
    Path("b.png").write_bytes(b"")
    assert "Traceback" not in derain("b.png").err
    assert "Traceback" in derain("b.png", "--debug").err


def test_notes_of_the_restorer_are_told(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    photo("a.png")
    run = Restorer.__call__

    def noted(self: Restorer, image: Any, progress: Any = None) -> Any:
        result = run(self, image, progress)
        self.notes.append("out of memory with tiles of 1024 px: halved")
        return result

    monkeypatch.setattr(Restorer, "__call__", noted)
    ended = derain("a.png", "--json")
    assert "derain: note: a.png: out of memory with tiles of 1024 px: halved" in ended.err
    assert ended.records[0]["notes"] == ["out of memory with tiles of 1024 px: halved"]


def test_the_environment_chooses_model_and_device(
    derain: Derain, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    photo("a.png")
    monkeypatch.setenv("DERAIN_DEVICE", "cuda:99")
    assert derain("a.png").code == 6
    assert derain("a.png", "-d", "cpu").code == 0
    monkeypatch.setenv("DERAIN_MODEL", "gone.safetensors")
    assert derain("a.png", "-d", "cpu", "-o", "b.png").code == 5
    assert derain("a.png", "-d", "cpu", "-o", "b.png", "-m", weights).code == 0


def test_options_reach_the_restorer(derain: Derain, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[dict[str, Any]] = []
    load = Restorer.from_pretrained

    def spy(name: str, **options: Any) -> Restorer:
        seen.append(options)
        return load(name, **options)

    monkeypatch.setattr(Restorer, "from_pretrained", spy)
    photo("a.png")
    derain("a.png", "--tile", "128", "--precision", "fp32", "--strength", "0.5", "--engine", "torch")
    assert seen == [{"device": "cpu", "precision": "fp32", "tile": 128, "strength": 0.5, "engine": "torch"}]


def test_json_is_one_object_a_line(derain: Derain) -> None:
    photo("in/a\n.png")
    for line in derain("in", "--json").out.splitlines():
        assert isinstance(json.loads(line), dict)


def test_outcomes_cannot_be_changed() -> None:
    from derain_cli.jobs.items import Item

    outcome = derain_cli.jobs.photos.run.PhotoOutcome(Item("a", "b"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.fatal = True  # type: ignore[misc]
