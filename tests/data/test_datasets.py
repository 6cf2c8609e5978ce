"""Training patches: pure functions of (seed, i), in the configured mixture, from usable files only."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from derain_cli.config import DataConfig
from derain_cli.data.datasets import MAX_BAD_SHARE, PictureCache, Sources, TrainingPatches, check_sources, find_real
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.pairs import Pair, PairGroup, PairSet, list_photos, read_pair
from derain_cli.errors import InputError, NothingToDoError, TrainingError, UsageError
from derain_cli.media.photo import read_rgb, write_rgb

PATCH = 32


@pytest.fixture(scope="module")
def photo_folder(tmp_path_factory, picture) -> Path:
    """Eight photos of 40x44 pixels in colours that the pairs do not contain; read-only."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(8):
        write_rgb(folder / f"{number}.png", picture(40, 44, 50 + number))
    return folder


@pytest.fixture(scope="module")
def sources(pair_folder, photo_folder) -> Sources:
    found = find_pairs(pair_folder)
    return check_sources([found], [found], list_photos(photo_folder), PATCH)


def patches(sources, seed=0, length=64, **shares) -> TrainingPatches:
    return TrainingPatches(sources, DataConfig(patch=PATCH, **shares), seed, length)


def only(which: str) -> dict[str, float]:
    return {share: float(share == which) for share in ("pairs", "layers", "generated")}


# --- pairs and their check --------------------------------------------------------------------------------------


def test_a_pair_is_read_as_it_is(pair_folder):
    pair = find_pairs(pair_folder).pairs[2]
    rainy, clean = read_pair(pair)
    assert np.array_equal(rainy, read_rgb(pair.rainy))
    assert np.array_equal(clean, read_rgb(pair.clean))


def test_a_pair_of_different_sizes_is_never_resized(tmp_path, picture):
    one, other = tmp_path / "1.png", tmp_path / "2.png"
    write_rgb(one, picture(20, 30))
    write_rgb(other, picture(30, 20))
    with pytest.raises(InputError, match="sizes differ: 30x20, its clean partner 20x30"):
        read_pair(Pair(one, other))


def broken_pairs(folder: Path, pairs, picture, fault: str, count: int) -> PairSet:
    pairs(folder, count=count, height=40, width=40)
    target = folder / "rain" / "001.png"
    if fault == "size":
        write_rgb(target, picture(41, 40))
    elif fault == "small":
        for name in ("rain", "norain"):
            write_rgb(folder / name / "001.png", picture(PATCH - 1, 90))
    elif fault == "corrupt":
        target.write_bytes(b"no picture")
    elif fault == "empty":
        target.write_bytes(b"")
    elif fault == "partner":
        target.unlink()
    else:
        target.unlink()
        target.mkdir()
    return find_pairs(folder)


FAULTS = {
    "size": "a pair of different sizes: 40x41 and 40x40",
    "small": "90x31 is smaller than the 32x32 patch",
    "corrupt": "not a readable image",
    "empty": "empty file",
    "partner": "no partner",
    "folder": "no partner",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.fault(64)
def test_unusable_pairs_are_rejected_with_the_reason(tmp_path, pairs, picture, fault):
    found = broken_pairs(tmp_path, pairs, picture, fault, count=21)
    for kept in (check_sources([found], [], [], PATCH), check_sources([], [found], [], PATCH)):
        assert len(kept.rejected) == 1
        assert FAULTS[fault] in str(kept.rejected[0])
        assert "001.png" in str(kept.rejected[0])
        used = [pair.name for group in (*kept.pairs, *kept.layers) for pair in group.pairs]
        assert used == [f"{n:03d}" for n in range(21) if n != 1]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.fault(64)
def test_more_than_a_twentieth_unusable_is_an_error(tmp_path, pairs, picture, fault):
    assert MAX_BAD_SHARE == 0.05
    found = broken_pairs(tmp_path, pairs, picture, fault, count=18)
    with pytest.raises(TrainingError, match="1 of 18 training files are unusable") as caught:
        check_sources([found], [], [], PATCH)
    assert FAULTS[fault] in str(caught.value)


def test_photos_are_checked_too(tmp_path, picture):
    for number in range(20):
        write_rgb(tmp_path / f"{number:02d}.png", picture(33, 33, number))
    assert check_sources([], [], list_photos(tmp_path), PATCH).rejected == ()
    write_rgb(tmp_path / "07.png", picture(31, 60))
    kept = check_sources([], [], list_photos(tmp_path), PATCH)
    assert len(kept.photos) == 19
    assert "07.png" in str(kept.rejected[0])
    (tmp_path / "08.png").write_bytes(b"x")
    with pytest.raises(TrainingError, match="2 of 20"):
        check_sources([], [], list_photos(tmp_path), PATCH)


def test_nothing_to_train_on(tmp_path, pairs):
    with pytest.raises(UsageError, match="nothing to train on"):
        check_sources([], [], [], PATCH)
    small = find_pairs(pairs(tmp_path, count=2, height=20, width=20))
    with pytest.raises(UsageError, match="smaller than the 32x32 patch"):
        check_sources([small], [], [], PATCH)


# --- patches ----------------------------------------------------------------------------------------------------


def test_a_patch_is_rainy_and_clean_in_bytes(sources):
    item, real, bad, _ = patches(sources)[0]
    assert item.dtype == torch.uint8
    assert item.shape == (2, 3, PATCH, PATCH)
    assert item.is_contiguous()
    assert bad == 0
    assert real.shape == (0, 3, PATCH, PATCH)


def test_item_is_a_pure_function_of_seed_and_index(sources):
    """Independent of what was read before, of the process, of the run length, and of the cache."""
    first = patches(sources, seed=3)
    forward = [first[i][0] for i in range(24)]
    backward = [patches(sources, seed=3, length=1000)[i][0] for i in reversed(range(24))][::-1]
    no_cache = patches(sources, seed=3)
    no_cache.read = PictureCache(budget=0)
    assert all(torch.equal(a, b) for a, b in zip(forward, backward, strict=True))
    assert all(torch.equal(forward[i], no_cache[i][0]) for i in (23, 0, 5, 5))
    np.random.seed(1)  # noqa: NPY002  (the global generators have no part in it)
    torch.manual_seed(5)
    assert torch.equal(first[7][0], forward[7])


def test_other_seed_or_index_other_patch(sources):
    data = patches(sources, seed=0)
    seen = {data[i][0].numpy().tobytes() for i in range(40)}
    seen |= {patches(sources, seed=1)[i][0].numpy().tobytes() for i in range(40)}
    assert len(seen) == 80


def test_indices_outside_the_run_are_refused(sources):
    data = patches(sources, length=5)
    assert len(data) == 5
    for index in (-1, 5, 100):
        with pytest.raises(IndexError):
            data[index]


def contains(picture: np.ndarray, patch: np.ndarray, turns: bool) -> bool:
    """Whether `patch` is a crop of `picture`, possibly flipped or rotated."""
    for quarter in range(4 if turns else 1):
        for mirrored in (patch, patch[:, ::-1], patch[::-1], patch[::-1, ::-1]):
            wanted = np.ascontiguousarray(np.rot90(mirrored, quarter))
            windows = np.lib.stride_tricks.sliding_window_view(picture, wanted.shape)[..., 0, :, :, :]
            for row, column in np.argwhere((windows[:, :, 0, 0] == wanted[0, 0]).all(-1)):
                if np.array_equal(windows[row, column], wanted):
                    return True
    return False


def as_pictures(item: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    rainy, clean = item.permute(0, 2, 3, 1).numpy()
    return rainy, clean


def test_patches_of_pairs_are_crops_of_both_at_the_same_place(sources, pair_folder):
    data = patches(sources, **only("pairs"))
    pairs_read = [np.concatenate(read_pair(pair), axis=-1) for pair in find_pairs(pair_folder).pairs]
    for index in range(12):
        both = np.concatenate(as_pictures(data[index][0]), axis=-1)
        assert sum(contains(whole, both, turns=False) for whole in pairs_read) == 1


def test_true_layers_go_onto_other_backgrounds(sources, pair_folder, photo_folder):
    data = patches(sources, **only("layers"))
    photos = [read_rgb(p) for p in list_photos(photo_folder)]
    cleans = [read_rgb(pair.clean) for pair in find_pairs(pair_folder).pairs]
    on_photos = layered = 0
    for index in range(16):
        rainy, clean = as_pictures(data[index][0])
        assert bool((rainy >= clean).all()), "rain adds light"
        layered += bool((rainy > clean).any())
        on_photo = any(contains(whole, clean, turns=True) for whole in photos)
        assert on_photo or any(contains(whole, clean, turns=True) for whole in cleans)
        on_photos += on_photo
    assert layered >= 12
    assert on_photos >= 4  # 8 of 14 backgrounds are photos


def test_the_layer_is_the_difference_of_its_pair(tmp_path, pairs):
    """With one pair and one black background, the patch is the layer itself."""
    found = find_pairs(pairs(tmp_path / "p", count=1, height=PATCH, width=PATCH))
    write_rgb(tmp_path / "black.png", np.zeros((PATCH, PATCH, 3), np.uint8))
    data = patches(Sources(layers=found.groups, photos=(tmp_path / "black.png",)), **only("layers"))
    data.backgrounds = [tmp_path / "black.png"]
    rainy, clean = read_pair(found.pairs[0])
    layer = np.clip(rainy.astype(int) - clean, 0, 255).astype(np.uint8)
    for index in range(4):
        found_rainy, found_clean = as_pictures(data[index][0])
        assert not found_clean.any()
        assert contains(layer, found_rainy, turns=False)


@pytest.mark.parametrize("profile", ["light", "heavy", "real"])
def test_generated_rain_lies_on_the_photos(sources, photo_folder, profile):
    shares = {name: float(name == profile) for name in ("light", "heavy", "real")}
    data = patches(sources, **only("generated"), **shares)
    photos = [read_rgb(p) for p in list_photos(photo_folder)]
    different = 0
    for index in range(6):
        rainy, clean = as_pictures(data[index][0])
        different += not np.array_equal(rainy, clean)
        if profile != "real":  # its target has the veil and noise of the rainy picture
            assert any(contains(whole, clean, turns=True) for whole in photos)
            assert bool((rainy >= clean).all())
    assert different >= 3


def test_dry_patches_are_photos_lookalikes_and_plain_colours(sources, photo_folder):
    """And both sides are the same."""
    data = patches(sources, length=400, clean_share=0.99)
    photos = [read_rgb(p) for p in list_photos(photo_folder)]
    plain = whole = 0
    for index in range(200):
        rainy, clean = as_pictures(data[index][0])
        if np.array_equal(rainy, clean):
            plain += len(np.unique(clean.reshape(-1, 3), axis=0)) <= 4
            whole += any(contains(photo, clean, turns=True) for photo in photos)
    assert 5 < plain < 60
    assert 20 < whole < 160


def test_lookalikes_lie_below_the_rain_and_stay_in_the_target(sources, photo_folder):
    photos = [read_rgb(p) for p in list_photos(photo_folder)]
    shares = {"light": 1.0, "heavy": 0.0, "real": 0.0, **only("generated")}
    found = {}
    for lookalikes in (0.0, 1.0):
        data = patches(sources, length=40, lookalikes=lookalikes, **shares)
        targets = [as_pictures(data[index][0]) for index in range(20)]
        assert all(bool((rainy >= clean).all()) for rainy, clean in targets)
        found[lookalikes] = sum(any(contains(photo, clean, turns=True) for photo in photos) for _, clean in targets)
    assert found[0.0] == 20
    assert found[1.0] < 12


def test_warped_backgrounds_are_no_crops(sources, photo_folder):
    photos = [read_rgb(p) for p in list_photos(photo_folder)]
    shares = {"light": 1.0, "heavy": 0.0, "real": 0.0, **only("generated")}
    data = patches(sources, length=40, warped=1.0, **shares)
    targets = [as_pictures(data[index][0])[1] for index in range(10)]
    assert not any(contains(photo, clean, turns=True) for photo in photos for clean in targets)


def counted(data: TrainingPatches, number: int) -> dict[str, int]:
    """How often each generator is called, and how often none (dry patches)."""
    counts = {"dry": number}

    def spy(make):
        def counting(rng):
            counts[make.__name__] = counts.get(make.__name__, 0) + 1
            counts["dry"] -= 1
            patch = np.zeros((PATCH, PATCH, 3), np.uint8)
            return patch, patch

        return counting

    data.makers = [(share, spy(make)) for share, make in data.makers]
    for index in range(number):
        data[index]
    return counts


def test_shares_are_those_asked_for(sources):
    data = patches(sources, length=3000, pairs=1, layers=2, generated=1, clean_share=0.2)
    counts = counted(data, 3000)
    expected = {"_from_pair": 0.2, "_from_layer": 0.4, "_from_generator": 0.2, "dry": 0.2}
    assert set(counts) == set(expected)
    for name, share in expected.items():
        assert counts[name] / 3000 == pytest.approx(share, abs=0.035)  # four standard deviations


def test_a_share_of_zero_is_never_drawn_and_a_source_that_is_missing_neither(sources):
    assert set(counted(patches(sources, length=200, layers=0), 200)) - {"dry"} == {"_from_pair", "_from_generator"}
    bare = Sources(pairs=sources.pairs)
    assert set(counted(patches(bare, length=50), 50)) - {"dry"} == {"_from_pair"}
    with pytest.raises(UsageError, match="mixture is zero"):
        patches(bare, pairs=0.0)


def test_dry_patches_have_no_rain(sources):
    data = patches(sources, length=300, clean_share=0.99, pairs=1.0, layers=0.0, generated=0.0)
    same = sum(np.array_equal(*as_pictures(data[i][0])) for i in range(100))
    assert same >= 93


def test_groups_are_drawn_alike_whatever_their_size(tmp_path, pairs):
    large = find_pairs(pairs(tmp_path / "large", count=9, height=PATCH, width=PATCH)).groups[0]
    small = find_pairs(pairs(tmp_path / "small", count=1, height=PATCH, width=PATCH)).groups[0]
    data = patches(Sources(pairs=(large, small)), length=400)
    first = np.sort(read_rgb(small.pairs[0].clean).reshape(-1, 3), axis=0)
    # The first picture is the same in both folders: count it, and allow for its share of the large group.
    hits = sum(np.array_equal(np.sort(as_pictures(data[i][0])[1].reshape(-1, 3), axis=0), first) for i in range(400))
    assert hits / 400 == pytest.approx(0.5 + 0.5 / 9, abs=0.1)


# --- faults -----------------------------------------------------------------------------------------------------


def test_a_file_that_turns_out_damaged_is_replaced_and_counted(tmp_path, pair_folder):
    shutil.copytree(pair_folder, tmp_path / "p")
    found = find_pairs(tmp_path / "p")
    sources = check_sources([found], [], [], PATCH)
    whole = patches(sources, length=60)
    before = [whole[i] for i in range(60)]
    victim = found.pairs[3].rainy
    victim.write_bytes(victim.read_bytes()[:300])  # its header is intact
    data = patches(check_sources([found], [], [], PATCH), length=60)
    after = [data[i] for i in range(60)]
    changed = [i for i in range(60) if not torch.equal(before[i][0], after[i][0])]
    assert changed
    assert [i for i in range(60) if after[i].bad] == changed  # each one counted, and everything else unchanged
    assert all(after[i][0].any() for i in changed)
    again = patches(sources, length=60)
    assert all(torch.equal(again[i][0], after[i][0]) for i in reversed(range(60)))


def test_when_nothing_can_be_read_it_ends(tmp_path, pair_folder):
    shutil.copytree(pair_folder, tmp_path / "p")
    found = find_pairs(tmp_path / "p")
    data = patches(Sources(pairs=found.groups))
    for pair in found.pairs:
        pair.rainy.unlink()
    with pytest.raises(InputError, match="no such file"):
        data[0]


def test_the_cache_keeps_to_its_budget_and_stays_at_home(tmp_path, picture):
    paths = [tmp_path / f"{n}.png" for n in range(3)]
    for number, path in enumerate(paths):
        write_rgb(path, picture(10, 10, number))
    cache = PictureCache(budget=2 * 300)
    first = [cache(path) for path in paths]
    assert cache(paths[0]) is first[0]
    assert cache(paths[1]) is first[1]
    assert cache(paths[2]) is not first[2]
    assert np.array_equal(cache(paths[2]), first[2])
    assert cache.__getstate__() == {"budget": 600, "_kept": {}, "_bytes": 0}


def test_the_cache_is_never_written_to(sources):
    data = patches(sources)
    _ = [data[i] for i in range(30)]
    kept = {path: p.copy() for path, p in data.read._kept.items()}
    assert kept
    _ = [data[i] for i in range(30)]
    assert all(np.array_equal(data.read._kept[path], p) for path, p in kept.items())


def test_one_group_alone(tmp_path, pairs):
    found = find_pairs(pairs(tmp_path, count=1, height=PATCH, width=PATCH))
    data = patches(Sources(pairs=(PairGroup("x", found.pairs),)))
    assert data[0][0].shape == (2, 3, PATCH, PATCH)


# --- real photos ------------------------------------------------------------------------------------------------


def with_real(sources: Sources, *places: Path) -> Sources:
    return replace(sources, real=find_real(places, PATCH)[0])


def test_real_photos_are_found_in_folders_and_by_name(photo_folder, tmp_path, picture):
    listed = tuple(list_photos(photo_folder))
    assert find_real([photo_folder], PATCH) == (listed, ())
    assert find_real([listed[3]], PATCH) == (listed[3:4], ())
    assert find_real([photo_folder, listed[3]], PATCH)[0] == listed, "each once"
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        write_rgb(tmp_path / part / "a.png", picture(40, 40))
    assert find_real([tmp_path], PATCH)[0] == (tmp_path / "train" / "a.png",)


def test_unusable_real_photos_are_named_whatever_their_share(tmp_path, picture):
    write_rgb(tmp_path / "good.png", picture(40, 40))
    write_rgb(tmp_path / "small.png", picture(PATCH - 1, 90))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    good, rejected = find_real([tmp_path], PATCH)
    assert [path.name for path in good] == ["good.png"]
    assert [error.path.name for error in rejected if error.path] == ["bad.png", "small.png"]
    assert "90x31 is smaller than the 32x32 patch" in str(rejected[1])


@pytest.mark.parametrize("fault", ["empty", "corrupt", "cut", "small"])
def test_no_usable_real_photo_ends_it_before_it_begins(tmp_path, picture, fault):
    for number in range(3 if fault != "empty" else 0):
        path = tmp_path / f"{number}.png"
        write_rgb(path, picture(20 if fault == "small" else 90, 90, number))
        if fault == "corrupt":
            path.write_bytes(b"no picture")
        elif fault == "cut":  # the header is intact
            path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(NothingToDoError) as caught:
        find_real([tmp_path], PATCH)
    assert caught.value.exit_code == 4
    assert (
        "no photos found" in str(caught.value) if fault == "empty" else "none of the 3 real photos" in str(caught.value)
    )


def test_a_real_file_that_is_not_there(tmp_path):
    with pytest.raises(NothingToDoError, match="the only real photo cannot be used"):
        find_real([tmp_path / "gone.png"], PATCH)


def test_real_patches_are_flipped_crops_and_pure_functions_too(sources, photo_folder):
    data = patches(with_real(sources, photo_folder), seed=3)
    photos = [read_rgb(path) for path in list_photos(photo_folder)]
    forward = [data[i].real for i in range(16)]
    assert {(tuple(item.shape), item.dtype) for item in forward} == {((1, 3, PATCH, PATCH), torch.uint8)}
    for item in forward:
        assert any(contains(whole, item[0].permute(1, 2, 0).numpy(), turns=False) for whole in photos)
    again = patches(with_real(sources, photo_folder), seed=3, length=999)
    assert all(torch.equal(again[i].real, forward[i]) for i in reversed(range(16)))
    other = patches(with_real(sources, photo_folder), seed=4)
    assert len({item.numpy().tobytes() for item in (*forward, *(other[i].real for i in range(16)))}) >= 28


def test_pairs_are_the_same_with_and_without_real_photos(sources, photo_folder):
    with_photos, without = patches(with_real(sources, photo_folder)), patches(sources)
    assert all(torch.equal(with_photos[i].pair, without[i].pair) for i in range(12))


def test_a_real_photo_that_turns_out_damaged_is_passed_over_and_counted(sources, tmp_path, picture):
    for number in range(4):
        write_rgb(tmp_path / f"{number}.png", picture(40, 44, number))
    usable = with_real(sources, tmp_path)
    victim = tmp_path / "2.png"
    victim.write_bytes(victim.read_bytes()[:300])
    items = [patches(usable)[i] for i in range(30)]
    assert {item.bad_real for item in items} == {0, 1}
    assert all(item.real.shape[0] == 1 and item.bad == 0 for item in items)
    for path in tmp_path.iterdir():
        path.unlink()
    with pytest.raises(NothingToDoError, match="none of the real photos can be read"):
        patches(usable)[0]
