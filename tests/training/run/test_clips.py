"""Runs of multi-frame networks: synthetic clips from photos for training and validation."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from derain_cli.checkpoints.weight_file import load_weights
from derain_cli.config import DataConfig, LoopConfig, ModelConfig, OptimConfig, TrainConfig, from_mapping, load_recipe
from derain_cli.engine.restorer import Restorer
from derain_cli.errors import NothingToDoError, UsageError
from derain_cli.media.photo import read_rgb, write_rgb
from derain_cli.model.architecture import macs_per_pixel
from derain_cli.motion.stacking import unstacked
from derain_cli.training.run import RunPlan, train
from derain_cli.training.run.data import prepare
from tests.conftest import make_picture

CONFIG = TrainConfig(
    model=ModelConfig(width=4, blocks=1, detail="none", unshuffle=4, frames=3),
    data=DataConfig(patch=32, batch=2, workers=0),
    optim=OptimConfig(steps=4, lr=1e-3, freeze_norm=0.5),
    loop=LoopConfig(log_every=1, validate_every=2, checkpoint_every=2, compile=False),
)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(5):
        write_rgb(folder / f"{number}.png", make_picture(72, 72, number))
    return folder


@pytest.fixture
def plan(tmp_path: Path, photos: Path) -> RunPlan:
    return RunPlan(out=tmp_path / "run", config=CONFIG, photos=(photos,), device="cpu")


def test_a_run_leaves_weights_that_see_frames(plan: RunPlan) -> None:
    result = train(plan)
    assert result.finished and result.weights is not None
    weights = load_weights(result.weights)
    assert weights.config == CONFIG.model
    assert list(weights.card.scores) == ["clips"]
    assert any("clips made from photos" in each for each in weights.card.trained_on)
    window = unstacked(read_rgb(plan.out / "validation" / "clips" / "rain" / "000.png"), 3)
    assert Restorer.from_pretrained(result.weights, device="cpu")(window).shape == (*window.shape[:2], 3)


def test_a_run_that_goes_on_ends_like_one_that_never_stopped(plan: RunPlan, tmp_path: Path) -> None:
    train(plan)
    broken = dataclasses.replace(plan, out=tmp_path / "broken", minutes=0.0)
    assert not train(broken).finished
    while not train(dataclasses.replace(broken, resume=True)).finished:
        pass
    one, other = (load_weights(each.out / "last.safetensors").tensors for each in (plan, broken))
    assert all((one[name] == other[name]).all() for name in one)


def test_photos_of_the_validation_are_not_trained_on(plan: RunPlan) -> None:
    sources, held = prepare(plan)
    assert len(sources.photos) == 2 and len(held) == 1
    assert not (plan.out / "validation" / "clips" / "rain" / "012.png").exists()
    before = [pair.rainy.read_bytes() for pair in held[0].pairs]
    assert [pair.rainy.read_bytes() for pair in prepare(plan)[1][0].pairs] == before


def test_what_does_not_go_with_clips_is_refused(plan: RunPlan, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="only on synthetic clips"):
        prepare(dataclasses.replace(plan, datasets=(photos,)))
    few = tmp_path / "few"
    few.mkdir()
    write_rgb(few / "a.png", make_picture(72, 72, 0))
    with pytest.raises(NothingToDoError, match="at least 4 photos"):
        prepare(dataclasses.replace(plan, photos=(few,)))


def test_the_recipe_costs_a_sixth_of_fast() -> None:
    clip, fast = (macs_per_pixel(from_mapping(TrainConfig, load_recipe(name)).model) for name in ("clip", "fast"))
    assert clip <= fast / 6
