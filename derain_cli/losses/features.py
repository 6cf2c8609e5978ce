"""ImageNet VGG-16 features, the space in which the contrastive terms compare pictures (section III-C)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from derain_cli.errors import WeightsError

__all__ = ["FEATURE_LAYERS", "FEATURE_WEIGHTS", "VGGFeatures"]

FEATURE_LAYERS = (9, 16, 30)
"""Indices into VGG-16's `features`: the 2nd, 3rd and 5th max-pool."""

FEATURE_WEIGHTS = (0.2, 0.5, 1.0)
"""omega_1 to omega_3 of eq. 6 and 8, in the order of `FEATURE_LAYERS`."""

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGGFeatures(nn.Module):
    """Frozen VGG-16 up to its last max-pool: (N, 3, H, W) in [0, 1] -> one tensor per entry of `FEATURE_LAYERS`.

    The outputs are (N, 128, H/4, W/4), (N, 256, H/8, W/8) and (N, 512, H/32, W/32), sizes rounded down. It computes
    in the dtype of its weights: use fp32 or bf16, since activations of the original Oxford weights reach several
    hundred, too much for fp16. Gradients flow to the input, never to the weights.

    Args:
        weights: `features.N.weight` and `features.N.bias` of the 13 convolutions (torchvision's names).

    Raises:
        WeightsError: the tensors are not those of a VGG-16, or contain non-finite values.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, weights: Mapping[str, Tensor]):
        super().__init__()
        from torchvision.models import vgg16

        # Built on the meta device: only the convolutions are needed, not the classifier's 120 million weights.
        with torch.device("meta"):
            features: nn.Sequential = vgg16(weights=None).features
        expected = {f"features.{name}": value.shape for name, value in features.state_dict().items()}
        for name, shape in expected.items():
            if name not in weights:
                raise WeightsError(f"not a VGG-16: {name} is missing")
            if weights[name].shape != shape:
                raise WeightsError(f"not a VGG-16: {name} is {list(weights[name].shape)}, not {list(shape)}")
            if not bool(torch.isfinite(weights[name].float()).all()):
                raise WeightsError(f"non-finite values in {name}")
        state = {name.removeprefix("features."): weights[name].float() for name in expected}
        features.load_state_dict(state, assign=True)
        for layer in features:
            if isinstance(layer, nn.ReLU):
                # An in-place ReLU would overwrite the convolution output that the backward pass needs.
                layer.inplace = False
        self.features = features.requires_grad_(False).eval()
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        x = (picture.to(self.mean.dtype) - self.mean) / self.std
        outputs = []
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in FEATURE_LAYERS:
                outputs.append(x)
        return outputs
