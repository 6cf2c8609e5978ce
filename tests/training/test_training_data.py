"""Training data of a run: data sets by name, side-by-side pictures, shared clean pictures; hashes on the card."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from derain_cli.checkpoints.weight_file import load_weights
from derain_cli.config import DataConfig, LoopConfig, ModelConfig, OptimConfig, TrainConfig
from derain_cli.data.datasets import TrainingPatches, check_sources
from derain_cli.datasets import fingerprint
from derain_cli.datasets.catalogue import DATASETS
from derain_cli.datasets.finding import find_pairs
from derain_cli.datasets.fingerprint import hash_files, overlap
from derain_cli.datasets.layouts import Layout
from derain_cli.datasets.opening import open_dataset
from derain_cli.datasets.pairs import Pair, list_photos
from derain_cli.errors import NothingToDoError, TrainingError, UsageError
from derain_cli.media.photo import write_rgb
from derain_cli.training.run import RunPlan, SilentListener, train
from derain_cli.training.run.data import prepare
from tests.standins import clean_picture, make_layout, make_standin, rainy_picture

CONFIG = TrainConfig(
    model=ModelConfig(width=4, blocks=1),
    data=DataConfig(patch=24, batch=2, workers=0),
    optim=OptimConfig(steps=2, precision="fp32"),
    loop=LoopConfig(validate_every=2, checkpoint_every=1, threads=1),
)


class Notes(SilentListener):
    """Records the notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A data root with stand-ins for a set of side-by-side pictures and one with several rainy pictures each."""
    for name in ("Rain800", "Rain1400"):
        make_standin(DATASETS[name], tmp_path / "data", "train", count=6)
        make_standin(DATASETS[name], tmp_path / "data", "test", count=3)
    monkeypatch.setenv("DERAIN_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def a_plan(root: Path, **changes) -> RunPlan:
    return RunPlan(out=root.parent / "run", config=CONFIG, device="cpu", **changes)


def test_data_sets_by_name_give_their_training_part(root):
    listener = Notes()
    sources, held = prepare(a_plan(root, datasets=("Rain800",), layers=("ddn",)), listener)
    used = [pair for group in (*sources.pairs, *sources.layers) for pair in group.pairs]
    assert used and held
    assert not any("test" in pair.rainy.parts for pair in used)
    assert any("Rain800 (train): 6 pairs found, 700 expected" in note for note in listener.notes)


def test_validation_never_falls_back_on_test_pictures(root):
    with pytest.raises(UsageError, match="has no split 'val'"):
        prepare(a_plan(root, datasets=("Rain800",), validation=("Rain800",)))


def test_what_is_no_set_of_pairs_is_refused(root, tmp_path):
    photos = tmp_path / "photos"
    make_layout(Layout("{n}"), photos, 2)
    for item, words in ((photos, "no pairs found"), (tmp_path / "nowhere", "no such folder")):
        with pytest.raises(NothingToDoError, match=words):
            prepare(a_plan(root, datasets=(item,)))


def test_held_back_pictures_are_not_given_away_by_other_rain_on_them(root):
    _, held = prepare(a_plan(root, datasets=("Rain1400",)))
    sources, _ = prepare(a_plan(root, datasets=("Rain1400",), layers=("Rain1400",)))
    hidden = {pair.clean for group in held for pair in group.pairs}
    used = {pair.clean for group in (*sources.pairs, *sources.layers) for pair in group.pairs}
    assert hidden and used
    assert not hidden & used


# --- side by side -----------------------------------------------------------------------------------------------------


def test_patches_of_side_by_side_pictures_are_cut_from_both_halves_at_the_same_place(tmp_path):
    """For training as for reading: light rain adds light, and the background is the clean half."""
    make_layout(Layout("{n}", halves="clean|rainy"), tmp_path, 4, (48, 56))
    groups = find_pairs(tmp_path)
    sources = check_sources([groups], [groups], [], 24)
    assert len(sources.pairs[0].pairs) == 4
    whole = {n: (rainy_picture(48, 56, n, "light", n), clean_picture(48, 56, n)) for n in range(4)}
    for shares in ({"pairs": 1.0, "layers": 0.0}, {"pairs": 0.0, "layers": 1.0}):
        data = TrainingPatches(sources, DataConfig(patch=24, generated=0.0, **shares), 0, 8)
        for index in range(8):
            rainy, clean = data[index][0].permute(0, 2, 3, 1).numpy()
            assert bool((rainy >= clean).all())
            windows = [
                np.lib.stride_tricks.sliding_window_view(c, (24, 24, 3))[..., 0, :, :, :] for _, c in whole.values()
            ]
            turned = [np.rot90(m, k) for k in range(4) for m in (clean, clean[:, ::-1])]
            assert any((w == t).all((-1, -2, -3)).any() for w in windows for t in turned)


def test_side_by_side_pictures_are_checked_by_their_halves(tmp_path):
    make_layout(Layout("{n}", halves="clean|rainy"), tmp_path, 4, (48, 40))
    found = find_pairs(tmp_path)
    assert len(check_sources([found], [], [], 40).pairs[0].pairs) == 4
    with pytest.raises((TrainingError, UsageError), match="40x48 is smaller than the 41x41 patch"):
        check_sources([found], [], [], 41)


# --- hashes on the card -----------------------------------------------------------------------------------------------


def test_weights_know_their_training_pictures(root, tmp_path, monkeypatch):
    photos = tmp_path / "photos"
    make_layout(Layout("{n}"), photos, 2, (40, 44))
    plan = a_plan(root, datasets=("Rain800",), photos=(photos,))
    train(plan)
    card = load_weights(plan.out / "best.safetensors").card
    sources, held = prepare(plan)
    trained_on: list[Pair | Path] = [pair for group in sources.pairs for pair in group.pairs]
    trained_on += list_photos(photos)
    assert card.hashes == hash_files(trained_on)
    assert overlap(card.hashes, trained_on) == tuple(trained_on)
    assert overlap(card.hashes, [pair for group in held for pair in group.pairs]) == ()
    seen = {pair.name for pair in overlap(card.hashes, open_dataset("Rain800").pairs)}
    assert seen == {pair.name for pair in open_dataset("Rain800").pairs} - {p.name for g in held for p in g.pairs}

    # A resumed run takes them from its folder, unless the data have changed.
    monkeypatch.setattr(fingerprint, "picture_hash", None)
    longer = dataclasses.replace(CONFIG, optim=OptimConfig(steps=4, precision="fp32"))
    train(dataclasses.replace(plan, config=longer, resume=True, force=True))
    assert load_weights(plan.out / "last.safetensors").card.hashes == card.hashes


def test_weights_know_what_the_weights_they_started_from_were_trained_on(root):
    photos = root.parent / "photos"
    photos.mkdir()
    for number in range(3):
        write_rgb(photos / f"{number}.png", clean_picture(40, 44, 100 + number))
    first = a_plan(root, datasets=("Rain800",))
    train(first)
    start = str(first.out / "last.safetensors")
    second = dataclasses.replace(first, out=root.parent / "second", datasets=(), photos=(photos,), start=start)
    train(second)
    before, after = (set(load_weights(p.out / "last.safetensors").card.hashes) for p in (first, second))
    kept = set(json.loads((second.out / "hashes.json").read_text())["hashes"])
    assert after == before | kept
    assert kept and not kept & before
