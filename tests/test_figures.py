"""The figures script: all figures can be drawn from small networks and generated pictures; their numbers are right."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.weight_file import save_weights
from derain_cli.config import ModelConfig
from derain_cli.errors import UsageError
from derain_cli.losses.features import VGGFeatures
from derain_cli.media.photo import read_rgb, write_rgb
from scripts import figures
from scripts.figures import Scene, as_tensor, clouds, crops, draw_losses, energy_distance, gated_maps

TINY = ModelConfig(width=8, blocks=2)


def test_the_gated_maps_are_those_of_the_network(network, picture):
    model, rainy = network(TINY), as_tensor([picture(30, 36)])
    maps = gated_maps(model, rainy)
    assert [(g.shape, m.shape) for g, m in maps] == [((8,), (8, 30, 36))] * 2
    with torch.no_grad():
        start = model.rrn.act(model.rrn.head(rainy))
        branch = model.rrn.blocks[0].branch(start)
    assert torch.equal(maps[0][1], branch[0])
    assert torch.equal(maps[0][0], model.rrn.blocks[0].se.gates(branch).flatten())
    assert not any(module._forward_hooks for module in model.modules()), "no hook is left behind"


def test_a_network_without_gates_is_told(network, picture, tmp_path):
    scene = Scene(picture(30, 36), picture(30, 36))
    with pytest.raises(UsageError, match="no squeeze-and-excitation"):
        figures.draw_features(network(ModelConfig(width=8, blocks=1, se=False)), scene, tmp_path / "a.png")
    with pytest.raises(UsageError, match="no block 7"):
        figures.draw_features(network(TINY), scene, tmp_path / "a.png", 7)


def test_features_and_detail_of_the_user_s_pairs(tmp_path, network, pair_folder, capsys):
    save_weights(tmp_path / "w.safetensors", network(TINY), Card())
    argv = [str(tmp_path / "out"), "--model", str(tmp_path / "w.safetensors"), "--pairs", str(pair_folder)]
    assert figures.main([*argv, "--only", "features", "detail", "--pictures", "2"]) == 0
    for name in ("features", "detail"):
        drawn = read_rgb(tmp_path / "out" / f"{name}.png")
        assert min(drawn.shape[:2]) > 200 and drawn.std() > 5
    assert figures.main([*argv, "--only", "features", "--block", "9"]) == 2
    assert figures.main([str(tmp_path / "new"), "--model", str(tmp_path / "gone.safetensors")]) == 5
    assert "gone" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_clouds_of_the_user_s_photos(tmp_path, network, picture, vgg_file, capsys):
    save_weights(tmp_path / "w.safetensors", network(TINY), Card())
    for kind in ("real", "clean"):
        (tmp_path / kind).mkdir()
        for number in range(2):
            write_rgb(tmp_path / kind / f"{number}.png", picture(40, 44, number + 2 * (kind == "real")))
    argv = [str(tmp_path / "out"), "--model", str(tmp_path / "w.safetensors"), "--only", "clouds", "--crops", "6"]
    argv += ["--vgg", str(vgg_file), "--side", "32", "--real", str(tmp_path / "real")]
    assert figures.main(argv) == 2, "real photos against free ones would compare cameras"
    assert figures.main([*argv, "--clean", str(tmp_path / "clean")]) == 0
    assert "energy distance" in capsys.readouterr().out
    assert read_rgb(tmp_path / "out" / "clouds.png").std() > 5


def test_the_transform_brings_the_clouds_together(network, picture, vgg_weights):
    """AdaIN: dark smooth pictures compared with brightened ones; after the transfer they are closer."""
    features = VGGFeatures(vgg_weights)
    rainy = crops([picture(64, 64, 1), picture(64, 64, 2)], 64, 4)
    clean = [np.ascontiguousarray(crop // 3) for crop in crops([picture(64, 64, 5)], 64, 4)]
    found = clouds(network(ModelConfig(width=4, blocks=1)), features, rainy, clean, "statistics", layer=0)
    assert found.real.shape == found.clean.shape == found.moved.shape == (4, 128 * 16 * 16)
    assert energy_distance(found.real, found.moved) < energy_distance(found.real, found.clean)


def test_the_energy_distance_is_the_slow_one():
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, (6, 3)), rng.normal(1, 1, (5, 3))

    def mean(pairs):
        distances = [math.dist(x, y) for x, y in pairs]
        return sum(distances) / len(distances)

    across = 2 * mean([(x, y) for x in a for y in b])
    within = sum(mean([(p[i], p[j]) for i in range(len(p)) for j in range(len(p)) if i != j]) for p in (a, b))
    assert energy_distance(a, b) == pytest.approx((across - within) / across)
    many = rng.normal(0, 1, (400, 2))
    assert abs(energy_distance(many[:200], many[200:])) < 0.02
    assert energy_distance(np.zeros((3, 2)), np.ones((3, 2))) == pytest.approx(1, abs=1e-6)


def test_crops_take_turns_and_pass_over_what_is_too_small(picture):
    large, other, small = (np.full((40, 50, 3), v, np.uint8) for v in (10, 20, 30))
    found = crops([large, small[:8], other], 32, 5)
    assert [int(crop.max()) for crop in found] == [10, 20, 10, 20, 10]
    assert {crop.shape for crop in found} == {(32, 32, 3)}


def test_losses_are_drawn_from_the_table_of_ablate(tmp_path):
    table = tmp_path / "losses.csv"
    table.write_text(
        "row,seeds,light/psnr_rgb mean,light/psnr_rgb deviation,heavy/psnr_rgb mean,heavy/psnr_rgb deviation\n"
        "Ld,2,30.1,0.1,20.5,0.2\nall,2,31.0,,21.0,0.1\n"
    )
    draw_losses(table, tmp_path / "losses.png")
    assert read_rgb(tmp_path / "losses.png").std() > 5
    for content in ("", "a,b\n1,2\n", "row,seeds,light/psnr_rgb mean,light/psnr_rgb deviation\nLd,2,x,y\n"):
        table.write_text(content)
        with pytest.raises(UsageError, match="not a table"):
            draw_losses(table, tmp_path / "other.png")


def test_the_free_photographs_are_there():
    photos = figures.free_photos()
    assert {"china", "rocket", "chelsea", "astronaut", "coffee", "flower"} == set(photos)
    assert all(photo.dtype == np.uint8 and photo.shape[2] == 3 for photo in photos.values())
