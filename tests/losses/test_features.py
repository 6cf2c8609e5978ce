"""VGG-16 features compared with torchvision's own network, with random weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torchvision.models import vgg16

from derain_cli.errors import WeightsError
from derain_cli.losses.features import VGGFeatures


def test_the_outputs_are_those_of_the_three_pools(vgg_weights: dict[str, Tensor]) -> None:
    picture = torch.rand(2, 3, 70, 65)
    outputs = VGGFeatures(vgg_weights)(picture)
    with torch.device("meta"):
        reference = vgg16(weights=None).features
    reference.load_state_dict({k.removeprefix("features."): v for k, v in vgg_weights.items()}, assign=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (picture - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    for output, last in zip(outputs, (9, 16, 30), strict=True):
        torch.testing.assert_close(output, reference[: last + 1](x))
    assert [tuple(o.shape[1:]) for o in outputs] == [(128, 17, 16), (256, 8, 8), (512, 2, 2)]


def test_gradients_reach_the_picture_and_not_the_weights(vgg_weights: dict[str, Tensor]) -> None:
    features = VGGFeatures(vgg_weights)
    picture = torch.rand(1, 3, 32, 32, requires_grad=True)
    sum(o.sum() for o in features(picture)).backward()
    assert picture.grad is not None and float(picture.grad.abs().max()) > 0
    assert all(not p.requires_grad and p.grad is None for p in features.parameters())


@pytest.mark.parametrize("fault", ["missing", "shape", "nan"])
def test_another_network_is_refused_by_name(vgg_weights: dict[str, Tensor], fault: str) -> None:
    broken = dict(vgg_weights)
    if fault == "missing":
        del broken["features.28.bias"]
    elif fault == "shape":
        broken["features.28.bias"] = torch.zeros(7)
    else:
        broken["features.28.bias"] = torch.full((512,), torch.nan)
    with pytest.raises(WeightsError, match=r"features\.28\.bias"):
        VGGFeatures(broken)
