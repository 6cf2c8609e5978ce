"""Weights of the feature network: from a checked file or from torchvision, never random or silently different."""

from __future__ import annotations

import errno
import os
import urllib.error

import pytest
import safetensors.torch
import torch
from torchvision.models import VGG16_Weights

from derain_cli.checkpoints.vgg import load_features
from derain_cli.cli.hints import line_of
from derain_cli.errors import ResourceError, WeightsError


@pytest.fixture
def torchvision_says(monkeypatch, tmp_path):
    """What torchvision's loader returns or raises, with an empty cache and no network."""

    def say(outcome):
        def get_state_dict(self, *args, **kwargs):
            assert kwargs["check_hash"] and kwargs["weights_only"]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        monkeypatch.setattr(type(VGG16_Weights.IMAGENET1K_V1), "get_state_dict", get_state_dict)

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return say


def test_a_file_in_half_precision_is_the_network_in_full(vgg_file, vgg_weights):
    features, digest = load_features(vgg_file)
    state = features.features.state_dict()
    assert {f"features.{k}" for k in state} == set(vgg_weights)
    assert all(torch.equal(v, vgg_weights[f"features.{k}"].half().float()) for k, v in state.items())
    assert load_features(vgg_file)[1] == digest


def test_the_digest_is_of_the_values_and_not_of_the_file(vgg_file, vgg_weights, tmp_path):
    state = {k: v.half().float() for k, v in vgg_weights.items()} | {"classifier.0.bias": torch.zeros(3)}
    safetensors.torch.save_file(state, tmp_path / "whole.safetensors")
    assert load_features(tmp_path / "whole.safetensors")[1] == load_features(vgg_file)[1]
    state["features.0.bias"][0] += 1e-3
    safetensors.torch.save_file(state, tmp_path / "other.safetensors")
    assert load_features(tmp_path / "other.safetensors")[1] != load_features(vgg_file)[1]


@pytest.mark.parametrize("fault", ["missing", "folder", "empty", "picture", "cut", "other"])
def test_an_unusable_file_is_refused_by_name(tmp_path, vgg_file, fault):
    path = tmp_path / "vgg.safetensors"
    if fault == "folder":
        path.mkdir()
    elif fault == "empty":
        path.touch()
    elif fault == "picture":
        path.write_bytes(b"\x89PNG\r\n" + bytes(100))
    elif fault == "cut":
        path.write_bytes(vgg_file.read_bytes()[:-7])
    elif fault == "other":
        safetensors.torch.save_file({"features.0.weight": torch.zeros(8, 3, 3, 3)}, path)
    with pytest.raises(WeightsError) as caught:
        load_features(path)
    assert caught.value.exit_code == 5
    assert "vgg.safetensors" in str(caught.value)
    assert "--contrast none" in line_of(caught.value)
    if fault == "other":
        assert "not a VGG-16: features.0.weight is [8, 3, 3, 3]" in str(caught.value)


def test_without_a_file_torchvision_is_asked_if_the_download_is_agreed_to(torchvision_says, vgg_weights, tmp_path):
    notes = []
    torchvision_says(vgg_weights | {"classifier.0.weight": torch.zeros(2, 2)})
    with pytest.raises(WeightsError, match="528 MB"):
        load_features(None, lambda question: False)
    features, _ = load_features(None, lambda question: notes.append(question) or True)
    assert torch.equal(features.features.state_dict()["0.bias"], vgg_weights["features.0.bias"])
    assert len(notes) == 1 and "528 MB" in notes[0]
    cached = tmp_path / "checkpoints" / VGG16_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    cached.parent.mkdir()
    cached.touch()
    load_features(None, lambda question: False)
    assert len(notes) == 1


@pytest.mark.parametrize(
    "failure",
    [
        urllib.error.URLError("no route to host"),
        RuntimeError('invalid hash value (expected "397923af", got "0")'),
        OSError(errno.EACCES, os.strerror(errno.EACCES)),
        EOFError(),
    ],
)
def test_no_weights_to_be_had_names_the_ways_out(torchvision_says, failure):
    torchvision_says(failure)
    with pytest.raises(WeightsError) as caught:
        load_features(None)
    assert caught.value.exit_code == 5
    assert all(way in line_of(caught.value) for way in ("--vgg FILE", "torchvision", "--contrast none"))


def test_a_full_disk_is_no_missing_network(torchvision_says):
    torchvision_says(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    with pytest.raises(ResourceError):
        load_features(None)
