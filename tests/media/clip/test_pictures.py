"""Numbered pictures and animations as clips."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from derain_cli.errors import InputError
from derain_cli.media.clip.pictures import named_sequence, sequence_in
from derain_cli.media.clip.reader import open_clip
from tests.jobs.clips.conftest import good, restore
from tests.sample_clips import picture, times_of


def numbered(folder: Path, pattern: str, numbers: range, size: tuple[int, int] = (48, 32)) -> Path:
    folder.mkdir(exist_ok=True)
    for number in numbers:
        Image.fromarray(picture(number, *size)).save(folder / (pattern % number))
    return folder


def images(count: int = 6) -> list[Image.Image]:
    return [Image.fromarray(picture(n, 64, 48)) for n in range(count)]


@pytest.mark.parametrize(
    ("pattern", "numbers"),
    [
        ("frame_%04d.png", range(1, 8)),
        ("%d.png", range(7, 13)),
        ("50%%_%03d.bmp", range(98, 104)),
        ("a%d.tif", range(3)),
    ],
)
def test_numbered_pictures_are_one_clip(tmp_path: Path, pattern: str, numbers: range) -> None:
    folder = numbered(tmp_path / "in", pattern, numbers)
    with open_clip(folder, rate=10) as clip:
        frames = list(clip)
    assert [round(frame.seconds, 3) for frame in frames] == [round(n / 10, 3) for n in range(len(numbers))]
    for frame, number in zip(frames, numbers, strict=True):
        assert np.abs(frame.pixels.astype(int) - picture(number)).mean() < (4 if pattern.endswith("jpg") else 0.01)
    assert clip.warnings == [f"{len(numbers)} numbered pictures are used as a clip, 10 per second"]


def test_what_is_no_sequence_is_none(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", "frame_%04d.png", range(4))
    assert sequence_in(folder) is not None
    (folder / "frame_0002.png").rename(folder / "frame_0009.png")
    assert sequence_in(folder) is None  # one is missing
    (folder / "frame_0009.png").rename(folder / "frame_0002.png")
    (folder / "notes.txt").write_text("seen")
    assert sequence_in(folder) is not None
    (folder / "other.png").write_bytes(b"")
    assert sequence_in(folder) is None
    assert sequence_in(tmp_path / "nowhere") is None
    with pytest.raises(InputError, match="a folder"):
        open_clip(folder)


def test_a_sequence_may_be_named_in_several_ways(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = numbered(tmp_path / "in", "frame_%04d.png", range(4))
    assert named_sequence(str(folder / "frame_%04d.png")) == str(folder.resolve())
    assert named_sequence(str(folder / "frame_%03d.png")) is None
    assert named_sequence(str(folder / "frame_0001.png")) is None
    assert named_sequence(f"{folder}/") == named_sequence(f"{folder}/./") == str(folder)
    assert named_sequence(f"{folder}/..") is None
    monkeypatch.chdir(folder)
    assert named_sequence(".") == str(folder.resolve())


def test_a_sequence_goes_through_at_its_rate(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", "%03d.png", range(12))
    assert good(restore(folder, tmp_path / "b.mp4", rate=12.5)).frames == 12
    assert [float(t) for t in times_of(tmp_path / "b.mp4")] == pytest.approx([0.08 * n for n in range(12)])


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_pictures_of_a_camera_stand_upright(tmp_path: Path, orientation: int) -> None:
    folder = numbered(tmp_path / "in", "IMG_%04d.jpg", range(3))
    for path in folder.iterdir():
        exif = Image.Exif()
        exif[274], exif[272] = orientation, "a camera"
        Image.open(path).save(path, exif=exif, quality=95)
    with open_clip(folder) as clip:
        first = next(iter(clip)).pixels
    turned = np.rot90(picture(0), {1: 0, 3: 2, 6: 3, 8: 1}[orientation])
    assert first.shape == turned.shape and np.abs(first.astype(int) - turned).mean() < 5


def test_pictures_of_several_sizes_are_no_clip(tmp_path: Path) -> None:
    folder = numbered(tmp_path / "in", "%03d.png", range(2))
    numbered(folder, "%03d.png", range(2, 4), (64, 32))
    outcome = restore(folder, tmp_path / "b.mp4")
    assert isinstance(outcome.error, InputError) and "size changes" in str(outcome.error)


@pytest.mark.parametrize("kind", ["webp", "png", "gif"])
def test_animations_are_clips_with_their_times(tmp_path: Path, kind: str) -> None:
    first, *others = images()
    path, lengths = tmp_path / f"a.{kind}", [80, 80, 200, 80, 80, 80]
    more = {"lossless": True} if kind == "webp" else {}
    first.save(path, save_all=True, append_images=others, duration=lengths, loop=0, **more)
    with open_clip(path) as clip:
        frames = list(clip)
    assert [round(frame.seconds, 3) for frame in frames] == [0, 0.08, 0.16, 0.36, 0.44, 0.52]
    if kind != "gif":
        assert all(
            np.array_equal(frame.pixels, np.asarray(image)) for frame, image in zip(frames, images(), strict=True)
        )
    assert good(restore(path, tmp_path / "b.mp4")).frames == 6
    assert [float(t) for t in times_of(tmp_path / "b.mp4")] == pytest.approx(
        [0, 0.08, 0.16, 0.36, 0.44, 0.52], abs=1e-3
    )


def test_the_animation_of_an_avif_is_the_clip_and_its_still_is_no_track(tmp_path: Path) -> None:
    first, *others = images()
    try:
        first.save(tmp_path / "a.avif", save_all=True, append_images=others, duration=80)
    except (KeyError, OSError):
        pytest.skip("Pillow without AVIF")
    outcome = good(restore(tmp_path / "a.avif", tmp_path / "b.mp4", preset="12"))
    assert outcome.frames == 6 and not any("with its rain" in note for note in outcome.notes)


@pytest.mark.parametrize("kind", ["avif", "webp", "png"])
def test_a_still_picture_is_no_clip(tmp_path: Path, kind: str) -> None:
    try:
        images(1)[0].save(tmp_path / f"a.{kind}")
    except (KeyError, OSError):
        pytest.skip(f"Pillow without {kind}")
    with pytest.raises(InputError, match=r"not a clip"):
        open_clip(tmp_path / f"a.{kind}")


def test_a_damaged_animation_is_told(tmp_path: Path) -> None:
    first, *others = images()
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=80)
    data = (tmp_path / "a.webp").read_bytes()
    (tmp_path / "a.webp").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError):
        open_clip(tmp_path / "a.webp")
