"""Patches of synthetic clips: a pure function of seed and index; the target is the middle frame without rain."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from derain_cli.config import ModelConfig
from derain_cli.data.clips import ClipPatches, disturbed, make_clip
from derain_cli.errors import UsageError
from derain_cli.media.photo import write_rgb
from tests.conftest import make_picture

CLIP = ModelConfig(width=4, blocks=1, detail="none", unshuffle=4, frames=3)


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for number, path in enumerate(paths):
        write_rgb(path, make_picture(96, 96, number))
    return paths


def patches(photos: list[Path], seed: int = 0, model: ModelConfig = CLIP) -> ClipPatches:
    return ClipPatches(photos, model, 32, seed, 2000)


def test_a_sample_is_the_frames_and_the_truth(photos: list[Path]) -> None:
    item = patches(photos)[0]
    assert item.pair.shape == (4, 3, 32, 32) and item.pair.dtype == torch.uint8
    assert item.real.shape == (0, 3, 32, 32) and item.bad == 0


def test_samples_depend_on_seed_and_index_alone(photos: list[Path]) -> None:
    one, other = patches(photos), pickle.loads(pickle.dumps(patches(photos)))
    ahead = [one[index].pair for index in (70, 0, 576)]
    assert all(torch.equal(a, other[index].pair) for a, index in zip(ahead, (70, 0, 576), strict=True))
    assert not torch.equal(ahead[1], patches(photos, seed=1)[0].pair)


def test_samples_of_one_clip_differ(photos: list[Path]) -> None:
    made = patches(photos)
    assert not torch.equal(made[3].pair, made[3 + 64].pair)
    assert len(made._kept) == 1  # both are of the same clip


def test_rain_is_in_the_frames_alone() -> None:
    added = []
    for seed in range(12):
        clip = make_clip(make_picture(96, 96, 0), make_picture(96, 96, 1), 64, 3, 2, np.random.default_rng(seed))
        assert [frame.shape for frame in clip.seen] == [(64, 64, 9)] * 2
        assert [frame.shape for frame in clip.clean] == [(64, 64, 3)] * 2
        pairs = zip(clip.seen, clip.clean, strict=True)
        added.append(np.mean([np.abs(seen[..., 3:6].astype(int) - clean).mean() for seen, clean in pairs]))
    assert max(added) > 1 and min(added) < max(added) / 2  # dry clips, light and heavy rain


def test_a_photo_that_cannot_be_read_is_passed_over_and_counted_once(photos: list[Path]) -> None:
    photos[0].write_bytes(b"nothing")
    made = patches(photos)
    counts = [made[index].bad for index in range(8)]
    assert sum(counts) > 0
    assert all(made[index + 64].bad == 0 for index in range(8))


def test_what_cannot_work_is_refused(photos: list[Path]) -> None:
    with pytest.raises(UsageError, match="frames"):
        patches(photos, model=ModelConfig())
    with pytest.raises(UsageError, match="two clean photos"):
        patches(photos[:1])


def test_disturbed_windows_lack_neighbours_or_have_them_out_of_place() -> None:
    window = np.random.default_rng(0).integers(0, 256, (50, 60, 15), np.uint8)
    before, kinds = window.copy(), {"whole": 0, "lacking": 0, "astray": 0}
    for seed in range(600):
        found = disturbed(window, np.random.default_rng(seed))
        frames, own = (np.split(each, 5, axis=2) for each in (found, window))
        assert np.array_equal(frames[2], own[2])  # what is to be restored stays
        same = [np.array_equal(a, b) for a, b in zip(frames, own, strict=True)]
        middle = [np.array_equal(frame, own[2]) for frame in frames]
        if all(same):
            kinds["whole"] += 1
        elif all(a or b for a, b in zip(same, middle, strict=True)):
            kinds["lacking"] += 1
            # The farther neighbours are lacking first.
            assert middle[0] or not middle[1]
            assert middle[4] or not middle[3]
        else:
            kinds["astray"] += 1
            assert same in ([False, False, True, True, True], [True, True, True, False, False])
    assert np.array_equal(window, before)
    assert 350 < kinds["whole"] < 430 and 110 < kinds["lacking"] < 190 and 30 < kinds["astray"] < 95
