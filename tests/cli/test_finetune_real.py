"""`derain finetune-real`: flags, refusals, and a tiny run that adapts a network."""

from __future__ import annotations

from pathlib import Path

import pytest
from torchvision.models import VGG16_Weights

from derain_cli.checkpoints.weight_file import load_weights
from derain_cli.cli.finetune_real import FinetuneFlags
from derain_cli.cli.runs import RunFlags
from derain_cli.media.photo import write_rgb

SHORT = ("--set", "data.patch=32", "--set", "data.batch=2", "--set", "data.workers=0", "--set", "optim.steps=2")
SHORT += ("--set", "loop.threads=1", "--set", "contrast.warmup=0", "--set", "optim.precision=fp32")
SHORT += ("--set", "optim.lr=0.05", "--set", "optim.warmup=0", "--set", "optim.ema=0")
SHORT += ("--set", "contrast.max_change=255", "--set", "contrast.max_colour=255")


@pytest.fixture
def real(tmp_path, picture) -> Path:
    for number in range(3):
        path = tmp_path / "real" / "train" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rgb(path, picture(40, 50, number))
    return tmp_path / "real"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """torchvision has an empty cache and no network."""

    def fail(self, *args, **kwargs):
        raise OSError("network is unreachable")

    monkeypatch.setattr(type(VGG16_Weights.IMAGENET1K_V1), "get_state_dict", fail)


def test_the_help_of_both_commands_has_the_shared_flags(derain):
    train, finetune = derain("train", "--help"), derain("finetune-real", "--help")
    assert train.code == finetune.code == 0
    shared = ("--dataset", "--layers", "--clean", "--val", "--set", "--from", "--contrast", "--vgg", "--resume")
    assert all(flag in ended.out for flag in shared for ended in (train, finetune))
    assert "--real" in finetune.out and "--real" not in train.out


def test_photos_and_run_folder_are_required(derain, real):
    for argv in (("-o", "run"), ("--real", real)):
        ended = derain("finetune-real", *argv)
        assert ended.code == 2
        assert len(ended.errors) == 1


def test_the_network_is_that_of_the_weights_and_flags_win(real, weights, vgg_file):
    flags = FinetuneFlags(
        output=Path("run"), real=[real], clean=[real], from_=str(weights), vgg=vgg_file, contrast="positives"
    )
    plan = flags.plan(flags.real)
    assert plan.config.model == load_weights(weights).config
    assert (plan.config.contrast.mode, plan.config.optim.lr) == ("positives", 1e-4)
    assert (plan.real, plan.vgg, plan.start) == ((real,), vgg_file, str(weights))
    plain = RunFlags(output=Path("run"), clean=[real], set_=["contrast.mode=standard"]).plan()
    assert (plain.config.contrast.mode, plain.config.model.width, plain.real) == ("standard", 48, ())


def test_a_tiny_run_from_end_to_end(derain, real, pair_folder, weights, vgg_file):
    argv = ("--real", real, "--dataset", pair_folder, "--from", weights, "-o", "run", "--vgg", vgg_file, *SHORT)
    ended = derain("finetune-real", *argv, "--json")
    assert ended.code == 0, ended.err
    kinds = [record["kind"] for record in ended.records]
    assert kinds == ["validation", "real", "validation", "real", *3 * ["average"], "summary"]
    assert ended.records[1]["change"]["mean_change"] == 0.0  # these weights still change nothing
    assert "real photos: mean change 0.00" in ended.err
    card = load_weights(Path("run/last.safetensors")).card
    assert card.change["mean_change"] > 0
    assert "real photos without ground truth: " in " ".join(card.trained_on)
    started, ended_at = (record["scores"] for record in ended.records if record["kind"] == "validation")
    assert ended_at != started
    assert ended.records[0]["best"] is True, "what it starts from is the first candidate"
    assert ended.records[-1]["best_step"] == (2 if ended.records[2]["best"] else 0)
    assert derain("finetune-real", *argv).code == 7
    resumed = derain("finetune-real", *argv, "--resume")
    assert resumed.code == 0
    changed = derain("finetune-real", *argv, "--resume", "--set", "contrast.cap=7")
    assert changed.code == 2
    assert "config.contrast.cap" in changed.err


def test_when_nothing_beats_the_start_the_start_is_the_best_and_the_last_line_says_so(
    derain, real, pair_folder, weights, vgg_file
):
    argv = ("--real", real, "--dataset", pair_folder, "--from", weights, "-o", "run", "--vgg", vgg_file, *SHORT)
    ended = derain("finetune-real", *argv, "--set", "optim.lr=10")
    assert ended.code == 0, ended.err
    last = ended.err.splitlines()[-1]
    assert "no improvement over the initial weights" in last
    assert "best.safetensors is a copy" in last and "last.safetensors" in last
    assert Path("run/best.safetensors").read_bytes() == weights.read_bytes()
    assert load_weights(Path("run/last.safetensors")).card.steps == 2


def test_a_run_that_is_stopped_before_its_first_validation_does_not_say_that_nothing_was_better(
    derain, real, pair_folder, weights, vgg_file
):
    argv = ("--real", real, "--dataset", pair_folder, "--from", weights, "-o", "run", "--vgg", vgg_file, *SHORT)
    ended = derain("finetune-real", *argv, "--minutes", "0")
    assert ended.code == 0, ended.err
    assert "no validation yet" in ended.err.splitlines()[-1]
    assert "the trained weights are in last.safetensors" in ended.err
    card = load_weights(Path("run/last.safetensors")).card
    assert card.steps == 1
    assert card.scores == {}


@pytest.mark.parametrize(
    ("change", "code", "told"),
    [
        (("--real", "empty"), 4, "no photos found"),
        (("--real", "corrupt"), 4, "none of the 2 real photos can be used"),
        (("--real", "gone"), 4, "gone"),
        (("--vgg", "corrupt/a.png"), 5, "not a usable weights file"),
        (("--vgg", "gone"), 5, "no such file"),
        (("--from", "gone.safetensors"), 5, "gone.safetensors"),
        (("--set", "model.width=9"), 5, "the weights do not match the recipe's network: model.width 8, not 9 ("),
        (("--contrast", "dual"), 2, "--contrast"),
        (("--set", "contrast.mode=dual"), 2, "contrast.mode must be one of"),
    ],
)
def test_bad_input_is_told_and_nothing_is_made(derain, real, pair_folder, weights, vgg_file, change, code, told):
    Path("empty").mkdir()
    Path("corrupt").mkdir()
    for name in ("a.png", "b.jpg"):
        Path("corrupt", name).write_bytes(b"no picture")
    given = {"--real": real, "--dataset": pair_folder, "--from": weights, "--vgg": vgg_file, "-o": "run"}
    flag, value = change
    argv = [part for item in given.items() if item[0] != flag for part in item] + [flag, value]
    ended = derain("finetune-real", *argv, *SHORT)
    assert ended.code == code
    assert len(ended.errors) == 1
    assert told in ended.errors[0]
    assert not Path("run").exists()


@pytest.mark.fault(60)
def test_without_feature_weights_both_ways_out_are_named(derain, real, pair_folder, weights):
    argv = ("--real", real, "--dataset", pair_folder, "--from", weights, "-o", "run", *SHORT)
    ended = derain("finetune-real", *argv, "--yes")
    assert ended.code == 5
    assert all(way in ended.errors[0] for way in ("network is unreachable", "--vgg FILE", "torchvision"))
    ended = derain("finetune-real", *argv)  # there is no terminal to ask on
    assert ended.code == 5 and "528 MB" in ended.errors[0] and "--yes" in ended.errors[0]
    assert not Path("run").exists()
    assert derain("finetune-real", *argv, "--contrast", "none").code == 0
