"""`derain frames`: content of the data set, repeated runs, exit codes."""

from __future__ import annotations

import csv
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from derain_cli.data.datasets import find_real
from derain_cli.datasets.fingerprint import picture_hash
from derain_cli.jobs.frame_set import writing
from derain_cli.jobs.frame_set.layout import WORK
from derain_cli.media.photo import read_rgb, write_rgb
from tests.cli.conftest import Derain, snapshot
from tests.cli.test_process import start
from tests.scenes import Scene, scene, write_clip

RAIN = 60
MANY = ("--every", "0", "--similar", "0")
"""Adjusted to the clips of these tests, which are short and nearly static."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips: three with rain, one of them with a cut, and one without rain; read-only."""
    folder = tmp_path_factory.mktemp("clips")
    for number, name in enumerate("ab"):
        write_clip(folder / f"{name}.mkv", scene(Scene(seed=number, rain=RAIN, speed=1), 6))
    cut = scene(Scene(seed=5, rain=RAIN), 5) + scene(Scene(seed=6, rain=RAIN, brightness=60), 4)
    write_clip(folder / "cut.mkv", cut)
    write_clip(folder / "dry.mkv", scene(Scene(seed=9, speed=1), 6))
    return folder


@pytest.fixture
def clips(made: Path) -> Path:
    """The path without machine-specific parts."""
    Path("clips").symlink_to(made)
    return Path("clips")


def manifest(folder: str | Path = "out") -> list[dict[str, str]]:
    with (Path(folder) / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files(folder: str | Path = "out") -> dict[str, bytes]:
    """The parts of a data set that users see."""
    found = {Path(name): content for name, content in snapshot(folder).items()}
    return {str(path.relative_to(folder)): content for path, content in found.items() if WORK not in path.parts}


@pytest.mark.fault(77)
def test_a_set_of_rainy_frames_split_by_clip(derain: Derain, clips: Path) -> None:
    ended = derain("frames", clips, "-o", "out", "--total", "9", "--test", "3", *MANY, "--json")
    assert ended.code == 0, ended.err
    rows = manifest()
    assert {row["file"] for row in rows} == {name for name in files() if name.endswith(".png")}
    assert [row["split"] for row in rows].count("test") == ended.records[-1]["test"] == 3
    assert [row["split"] for row in rows].count("train") == ended.records[-1]["train"] == 6
    by_clip = {(row["source"], row["split"]) for row in rows}
    assert len(by_clip) == len({source for source, _ in by_clip})  # no clip in both splits
    assert not any("dry" in row["source"] for row in rows)
    assert "dry.mkv: no usable frame (rain score 0." in ended.err
    for row in rows:
        picture = read_rgb(Path("out") / row["file"])
        assert picture.shape == (int(row["height"]), int(row["width"]), 3) == (120, 160, 3)
        assert row["hash"] == picture_hash(picture)
        assert float(row["rain"]) >= 1
        assert float(row["seconds"]) == pytest.approx(int(row["frame"]) / 10, abs=1e-3)
        shot = 1 if "cut" in row["source"] and int(row["frame"]) >= 5 else 0
        assert int(row["shot"]) == shot
    assert {name for name in files() if name.startswith("sheets/")} == {"sheets/test-001.jpg", "sheets/train-001.jpg"}
    good, rejected = find_real([Path("out")], 100)
    assert len(good) == 6
    assert rejected == ()


@pytest.mark.fault(77)
def test_the_same_files_again_and_with_other_threads_and_another_order(derain: Derain, clips: Path) -> None:
    settings = ("--total", "6", "--test", "2", *MANY)
    assert derain("frames", clips, "-o", "out", *settings).code == 0
    before = snapshot("out")
    times = {path: Path(path).stat().st_mtime_ns for path in before}
    assert derain("frames", clips, "-o", "out", *settings).code == 0
    assert {path: Path(path).stat().st_mtime_ns for path in snapshot("out")} == times
    named = [clips / f"{name}.mkv" for name in ("dry", "cut", "b", "a")]
    assert derain("frames", *named, "-o", "other", *settings, "-j", "3").code == 0
    assert files("other") == files("out")


def test_rejected_pictures_are_replaced_and_stay_away(derain: Derain, clips: Path) -> None:
    settings = (clips, "-o", "out", "--total", "5", "--test", "1", *MANY)
    derain("frames", *settings)
    first = {row["file"] for row in manifest()}
    assert Path("out/reject.txt").read_text().startswith("#")
    unwanted = sorted(first)[1]
    with Path("out/reject.txt").open("a") as file:
        file.write(f"{unwanted}\n")
    Path("out/train/my own.png").write_bytes(b"not of the set")
    assert derain("frames", *settings).code == 0
    second = {row["file"] for row in manifest()}
    assert len(second) == len(first) == 5
    assert first - second == {unwanted}
    assert not (Path("out") / unwanted).exists()
    assert Path("out/train/my own.png").read_bytes() == b"not of the set"
    Path("out/train/my own.png").unlink()
    third = sorted(second - first)[0]
    with Path("out/reject.txt").open("a") as file:
        file.write(f"  {Path(third).stem}  # this one, too\nnot-there-000001\n")
    ended = derain("frames", *settings)
    assert "these clips have no frame named not-there-000001" in ended.err
    assert not {unwanted, third} & {row["file"] for row in manifest()}
    # From scratch with the same list: the same set.
    Path("fresh").mkdir()
    (Path("fresh") / WORK).mkdir()
    Path("fresh/reject.txt").write_bytes(Path("out/reject.txt").read_bytes())
    derain("frames", clips, "-o", "fresh", *settings[3:])
    assert files("fresh") == files("out")


def test_no_more_than_so_many_of_a_clip(derain: Derain, clips: Path) -> None:
    ended = derain("frames", clips, "-o", "out", "--per-clip", "1", *MANY)
    assert ended.code == 0
    sources = [row["source"] for row in manifest()]
    assert len(sources) == len(set(sources)) == 3
    assert "only 3 of 2000 pictures found" in ended.err


@pytest.mark.fault(77)
def test_near_duplicates_are_left_out(derain: Derain, clips: Path) -> None:
    Path("twice").mkdir()
    Path("twice/copy.mkv").write_bytes((clips / "a.mkv").read_bytes())
    write_clip("twice/mine.mkv", scene(Scene(seed=0, rain=RAIN, speed=1), 6)[:5])  # the start of a.mkv
    assert derain("frames", clips / "a.mkv", "twice", "-o", "out", "--every", "0").code == 0
    hashes = [int(row["hash"], 16) for row in manifest()]
    assert len(hashes) <= 4  # not seven
    assert all((a ^ b).bit_count() > 6 for n, a in enumerate(hashes) for b in hashes[:n])


@pytest.mark.fault(77)
def test_black_and_blurred_frames_and_short_clips_give_nothing(derain: Derain) -> None:
    import cv2

    frames = scene(Scene(rain=RAIN), 6)
    write_clip("clips/black.mkv", [frame // 16 for frame in frames])
    write_clip("clips/blurred.mkv", [cv2.GaussianBlur(frame, (0, 0), 4) for frame in frames])
    write_clip("clips/short.mkv", frames[:2])
    write_clip("clips/still.mkv", [frames[0]] * 6)
    ended = derain("frames", "clips", "-o", "out", "--min-rain", "0", *MANY, "--json")
    assert ended.code == 4
    assert ended.records[-1]["code"] == 4
    assert "no usable frames: " in ended.errors[0]
    assert "too dark" in ended.errors[0]
    assert "blurred" in ended.errors[0]
    assert not Path("out/manifest.csv").exists()


def test_a_broken_clip_is_named_and_the_rest_is_done(derain: Derain, clips: Path) -> None:
    Path("mixed").mkdir()
    whole = (clips / "cut.mkv").read_bytes()
    Path("mixed/good.mkv").write_bytes((clips / "b.mkv").read_bytes())
    Path("mixed/junk.mp4").write_bytes(b"junk" * 100)
    Path("mixed/empty.mp4").write_bytes(b"")
    Path("mixed/half.mkv").write_bytes(whole[: len(whole) // 2])
    ended = derain("frames", "mixed", "missing.mkv", "-o", "out", *MANY)
    assert ended.code == 3
    assert sorted(line.split(": ")[2] for line in ended.errors) == [
        "missing.mkv",
        "mixed/empty.mp4",
        "mixed/half.mkv",
        "mixed/junk.mp4",
    ]
    assert {Path(row["source"]).name for row in manifest()} == {"good.mkv", "half.mkv"}
    again = derain("frames", "mixed", "missing.mkv", "-o", "out", *MANY)
    assert (again.code, again.errors) == (3, ended.errors)


def test_one_clip_has_no_test(derain: Derain, clips: Path) -> None:
    ended = derain("frames", clips / "a.mkv", "-o", "out", *MANY)
    assert ended.code == 0
    assert "no test split: splits share no clip" in ended.err
    assert {row["split"] for row in manifest()} == {"train"}
    assert not Path("out/test").exists()


def test_photos_are_added(derain: Derain, clips: Path) -> None:
    for number in range(4):
        path = Path(f"photos/{number}.png")
        path.parent.mkdir(exist_ok=True)
        write_rgb(path, scene(Scene(seed=20 + number), 1)[0])
    Path("photos/bad.png").write_bytes(b"junk")
    ended = derain("frames", clips / "a.mkv", "--photos", "photos", "-o", "out")
    assert ended.code == 3
    rows = {Path(row["source"]).name: row for row in manifest()}
    assert {"0.png", "1.png", "2.png", "3.png", "a.mkv"} == set(rows)
    assert rows["0.png"]["rain"] == rows["0.png"]["seconds"] == ""
    assert np.array_equal(read_rgb(Path("out") / rows["0.png"]["file"]), read_rgb("photos/0.png"))
    assert derain("frames", "--photos", "photos", "-o", "photos_only").code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["clips"], 2, "--output"),
        (["clips", "-o", ""], 2, "name is empty"),
        (["clips", "-o", "out", "--test", "2000"], 2, "--test"),
        (["empty", "-o", "out"], 4, "no clips found"),
        (["missing.mp4", "-o", "out"], 4, "missing.mp4"),
        (["-o", "out"], 4, "--photos"),
        (["clips", "-o", "foreign"], 7, "not created by"),
        (["clips", "-o", "foreign/note.txt"], 7, "a file"),
        (["foreign_set/train/a.mkv", "-o", "foreign_set"], 7, "is in the output folder"),
    ],
)
def test_what_is_refused_before_any_work(derain: Derain, clips: Path, arguments: list[str], code: int, words: str):
    for folder in ("empty", "foreign", "foreign_set/train", f"foreign_set/{WORK}"):
        Path(folder).mkdir(parents=True)
    Path("foreign/note.txt").write_text("mine")
    Path("foreign_set/train/a.mkv").write_bytes((clips / "a.mkv").read_bytes())
    before = snapshot()
    ended = derain("frames", *arguments)
    assert ended.code == code
    assert len(ended.errors) == 1
    assert words in ended.errors[0]
    assert snapshot() == before
    assert not Path("out").exists()


def test_a_dry_run_lists_the_clips(derain: Derain, clips: Path) -> None:
    ended = derain("frames", clips, "-o", "out", "--dry-run")
    assert ended.code == 0
    assert ended.out.splitlines() == [f"clips/{name}.mkv" for name in ("a", "b", "cut", "dry")]
    assert not Path("out").exists()


def test_a_damaged_record_of_measures_is_made_again(derain: Derain, clips: Path) -> None:
    settings = (clips / "a.mkv", "-o", "out", *MANY)
    derain("frames", *settings)
    before = files()
    for path in (Path("out") / WORK).glob("*.npz"):
        path.write_bytes(b"junk")
    assert derain("frames", *settings).code == 0
    assert files() == before


def test_killed_in_the_middle_and_gone_on_with(derain: Derain, clips: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("--total", "6", "--test", "2", *MANY)
    process = start("frames", str(clips), "-o", "out", *settings)
    work = Path("out") / WORK
    deadline = time.monotonic() + 120
    while not list(work.glob("*.npz")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    measured = {path: path.stat().st_mtime_ns for path in work.glob("*.npz")}
    assert derain("frames", clips, "-o", "out", *settings).code == 0
    assert {path: path.stat().st_mtime_ns for path in measured} == measured  # not analysed again

    # The same while pictures are being written.
    def stopped(path: Path, *arguments: object, **more: object) -> None:
        if len(list(Path("stopped").glob("*/*.png"))) == 2:
            raise KeyboardInterrupt
        write_rgb(path, *arguments, **more)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(writing, "write_rgb", stopped)
        assert derain("frames", clips, "-o", "stopped", *settings).code == 130
    assert not Path("stopped/manifest.csv").exists()
    assert derain("frames", clips, "-o", "stopped", *settings).code == 0
    assert files("stopped") == files("out")
    assert not [name for name in os.listdir("out") if name.endswith(".tmp")]  # noqa: PTH208
