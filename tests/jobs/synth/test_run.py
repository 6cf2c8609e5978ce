"""Pairs with generated rain: content, names, reproducibility."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from derain_cli.datasets.finding import find_pairs
from derain_cli.errors import DestinationError, InputError
from derain_cli.jobs.synth.options import FORMATS, SynthOptions
from derain_cli.jobs.synth.plan import plan_synthesis
from derain_cli.jobs.synth.run import synthesize
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.rain.profiles import PROFILES
from tests.jobs.synth.making import content, make, manifest, pictures


def test_one_profile_lies_straight_in_the_folder(photos, tmp_path):
    out = tmp_path / "out"
    make(photos, out, profiles=("light",))
    found = find_pairs(out)
    assert [pair.name for pair in found.pairs] == ["a", "b", "rainbow"]
    assert found.rejected == ()
    assert len(pictures(out)) == 6


def test_several_profiles_are_groups(photos, tmp_path):
    out = tmp_path / "out"
    make(photos, out, profiles=tuple(PROFILES), variants=3, recursive=True)
    found = find_pairs(out)
    assert sorted(group.name for group in found.groups) == sorted(PROFILES)
    assert all(len(group.pairs) == 4 * 3 for group in found.groups)
    assert found.rejected == ()
    assert (out / "real/rain/sub__a-3.png").is_file()


@pytest.mark.parametrize("profile", ["light", "heavy"])
def test_added_rain_is_on_the_photo_itself(photos, tmp_path, profile):
    make(photos, tmp_path / "out", profiles=(profile,))
    for pair in find_pairs(tmp_path / "out").pairs:
        rainy, clean = read_rgb(pair.rainy).astype(int), read_rgb(pair.clean).astype(int)
        assert np.array_equal(clean, read_rgb(photos / pair.clean.name))
        assert (rainy >= clean).all()
    assert any(not np.array_equal(read_rgb(p.rainy), read_rgb(p.clean)) for p in find_pairs(tmp_path / "out").pairs)


def test_the_target_of_real_rain(photos, tmp_path):
    """Rainy pictures do not depend on the target; the clean ones are the photo, or the photo in haze."""
    for target in ("streak-free", "clean"):
        make(photos, tmp_path / target, target=target)
    free, clean = pictures(tmp_path / "streak-free"), pictures(tmp_path / "clean")
    for name in ("a.png", "b.png"):
        assert free[f"rain/{name}"] == clean[f"rain/{name}"]
        assert np.array_equal(read_rgb(tmp_path / "clean/norain" / name), read_rgb(photos / name))
        assert not np.array_equal(read_rgb(tmp_path / "streak-free/norain" / name), read_rgb(photos / name))


@pytest.mark.parametrize("format", [name for name, lossless in FORMATS.items() if lossless])
def test_formats_that_lose_nothing(photos, tmp_path, format):
    make(photos, tmp_path / "png", profiles=("heavy",))
    make(photos, tmp_path / "other", profiles=("heavy",), format=format)
    for side in ("rain", "norain"):
        other = tmp_path / "other" / side / f"a.{format}"
        assert np.array_equal(read_rgb(other), read_rgb(tmp_path / "png" / side / "a.png"))


def test_only_jpeg_is_called_lossy():
    assert {name for name in FORMATS if not SynthOptions(format=name).is_lossless} == {"jpg"}


def test_grey_deep_and_transparent_photos(tmp_path, picture):
    folder = tmp_path / "photos"
    folder.mkdir()
    whole = picture(30, 40)
    Image.fromarray(whole[..., 0]).save(folder / "grey.png")
    write_rgb(folder / "deep.png", whole.astype(np.uint16) * 257)
    Image.fromarray(np.dstack([whole, whole[..., :1]])).save(folder / "glass.png")
    _, outcomes = make(folder, tmp_path / "out", profiles=("light",))
    notes = {outcome.item.name: " ".join(outcome.notes) for outcome in outcomes}
    assert notes["grey"] == ""
    assert "16-bit" in notes["deep"]
    assert "transparency" in notes["glass"]
    for name in ("deep", "glass"):
        assert np.array_equal(read_rgb(tmp_path / f"out/norain/{name}.png"), whole)
    assert (read_rgb(tmp_path / "out/norain/grey.png") == whole[..., :1]).all()
    assert {Image.open(p).mode for p in (tmp_path / "out").glob("*/*.png")} == {"RGB"}


def test_photos_are_turned_upright(tmp_path, picture):
    (tmp_path / "photos").mkdir()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(picture(30, 40)).save(tmp_path / "photos/a.png", exif=exif)
    make(tmp_path / "photos", tmp_path / "out", profiles=("light",))
    for pair in find_pairs(tmp_path / "out").pairs:
        assert Image.open(pair.rainy).size == Image.open(pair.clean).size == (30, 40)
        assert Image.open(pair.clean).getexif().get(0x0112, 1) == 1


def test_larger_photos_are_made_smaller_first(photos, tmp_path):
    _, outcomes = make(photos, tmp_path / "out", max_side=30)
    assert [(outcome.width, outcome.height) for outcome in outcomes] == [(30, 20), (30, 20), (30, 21)]
    for pair in find_pairs(tmp_path / "out").pairs:
        assert max(Image.open(pair.rainy).size) == 30
    make(photos, tmp_path / "same", max_side=60)
    make(photos, tmp_path / "free")
    assert pictures(tmp_path / "same") == pictures(tmp_path / "free")


def test_neither_order_nor_threads_nor_folder_names_matter(photos, tmp_path):
    profiles = ("light", "real")
    make(photos, tmp_path / "one", profiles=profiles, variants=2, recursive=True)
    photos = photos.rename(tmp_path / "moved")
    make(photos, tmp_path / "two", profiles=profiles[::-1], variants=2, recursive=True, jobs=3)
    assert pictures(tmp_path / "one") == pictures(tmp_path / "two")


def test_every_choice_has_rain_of_its_own(tmp_path, picture):
    for name in ("a", "b"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        write_rgb(tmp_path / "photos" / f"{name}.png", picture(60, 60))
    for seed in (0, 1):
        make(tmp_path / "photos", tmp_path / f"out{seed}", variants=2, seed=seed)
    rainy = [p.read_bytes() for p in tmp_path.glob("out*/rain/*.png")]
    assert len(set(rainy)) == len(rainy) == 8


def test_more_photos_and_more_variants_leave_the_others_alone(photos, tmp_path, picture):
    make(photos, tmp_path / "out", variants=2)
    before = {name: p.stat().st_mtime_ns for name in pictures(tmp_path / "out") for p in [tmp_path / "out" / name]}
    write_rgb(photos / "0.png", picture(20, 20))
    todo, _ = make(photos, tmp_path / "out", variants=3)
    assert [(task.name, len(task.pairs)) for task in todo.items] == [("0", 3), ("a", 1), ("b", 1), ("rainbow", 1)]
    assert all((tmp_path / "out" / name).stat().st_mtime_ns == then for name, then in before.items())
    make(photos, tmp_path / "fresh", variants=3)
    assert content(tmp_path / "out") == content(tmp_path / "fresh")


@pytest.mark.parametrize("side", ["rain", "norain"])
def test_a_pair_that_lacks_one_is_made_again_and_complete_ones_stay(photos, tmp_path, side):
    out = tmp_path / "out"
    make(photos, out)
    before = content(out)
    (out / side / "a.png").unlink()
    (out / "rain" / "b.png").write_bytes(b"mine")
    todo, outcomes = make(photos, out)
    assert [outcome.item.name for outcome in outcomes] == ["a"]
    assert [task.name for task in todo.done] == ["b", "rainbow"]
    assert content(out) == before | {"rain/b.png": b"mine"}
    make(photos, out, overwrite=True)
    assert content(out) == before


def test_a_run_with_nothing_to_do_changes_nothing(photos, tmp_path):
    out = tmp_path / "out"
    make(photos, out)
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert make(photos, out)[1] == []
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == times


def test_photos_that_cannot_be_read_do_not_stop_the_others(photos, tmp_path):
    (photos / "0.png").write_bytes(b"")
    (photos / "b.png").write_bytes((photos / "b.png").read_bytes()[:400])
    _, outcomes = make(photos, tmp_path / "out", jobs=2)
    assert {o.item.name: type(o.error) for o in outcomes} == {
        "0": InputError,
        "a": type(None),
        "b": InputError,
        "rainbow": type(None),
    }
    assert sorted(pictures(tmp_path / "out")) == [
        "norain/a.png",
        "norain/rainbow.png",
        "rain/a.png",
        "rain/rainbow.png",
    ]


def test_a_link_in_the_output_is_not_written_through(photos, tmp_path):
    make(photos, tmp_path / "out")
    target = tmp_path / "out/rain/a.png"
    target.unlink()
    target.symlink_to(photos / "a.png")
    before = (photos / "a.png").read_bytes()
    with pytest.raises(DestinationError, match="link"):
        make(photos, tmp_path / "out", overwrite=True)
    assert (photos / "a.png").read_bytes() == before


def test_what_is_under_way_when_a_run_is_stopped_is_whole_and_told(photos, tmp_path):
    """Wherever the calling thread is interrupted, there are no partial files, and a second run completes the set."""
    out, told = tmp_path / "out", []
    options = SynthOptions(variants=2)
    todo = plan_synthesis([str(photos)], out, options)

    def stop_at_first(outcome):
        told.append(outcome.item.name)
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(todo, options, report=stop_at_first)
    for path in out.glob("*/*"):
        read_rgb(path)
    assert {f"rain/{name}-2.png" for name in told} <= set(content(out))
    assert manifest(out)["complete"] is False
    make(photos, out, variants=2)
    make(photos, tmp_path / "fresh", variants=2)
    assert content(out) == content(tmp_path / "fresh")


@pytest.mark.skipif(os.name == "nt", reason="names are text there")
def test_names_that_are_no_text(photos, tmp_path):
    odd = os.fsencode(photos) + b"/\xff \n.png"
    (photos / "b.png").rename(os.fsdecode(odd))
    _, outcomes = make(photos, tmp_path / "out")
    assert all(outcome.error is None for outcome in outcomes)
    assert len(find_pairs(tmp_path / "out").pairs) == 3
    assert make(photos, tmp_path / "out")[1] == []


def test_no_torch_is_needed():
    code = "import sys, derain_cli.jobs.synth.plan; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
