"""ImageNet VGG-16 weights for contrastive training, from a file or from torchvision."""

from __future__ import annotations

import hashlib
import urllib.error
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from derain_cli.errors import WeightsError, resource_error_from
from derain_cli.losses.features import VGGFeatures
from derain_cli.remedies import Remedy

__all__ = ["load_features", "state_digest"]

_PREFIX = "features."
_QUESTION = "Download torchvision's VGG-16 weights (528 MB) once? You can also pass them as a file."


def load_features(file: Path | None, agrees: Callable[[str], bool] | None = None) -> tuple[VGGFeatures, str]:
    """The frozen feature network, on the CPU in fp32, and a digest of its weights.

    Args:
        file: safetensors with torchvision's names (`features.0.weight`, ...) in any floating dtype, for inputs
            normalised with ImageNet's mean and standard deviation; other tensors (the classifier's) are ignored. None
            means torchvision's official weights, from its cache or downloaded.
        agrees: called with a question before a download; None always downloads.

    Raises:
        WeightsError: the file is missing, damaged or of another network, or torchvision's weights cannot be fetched.
        ResourceError: the disk is full.
    """
    weights = _from_file(file) if file is not None else _from_torchvision(agrees)
    try:
        features = VGGFeatures(weights)
    except WeightsError as error:
        raise WeightsError(error.reason, path=file, remedy=Remedy.OTHER_FEATURES) from error
    return features, state_digest(features.features.state_dict())


def state_digest(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and values: a run must be resumed with the features it was started with."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().data)
    return digest.hexdigest()


def _from_file(path: Path) -> dict[str, Tensor]:
    if not path.is_file():  # reading a pipe would block forever
        reason = "not a regular file" if path.exists() else "no such file"
        raise WeightsError(f"cannot read the VGG-16 weights: {reason}", path=path, remedy=Remedy.OTHER_FEATURES)
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(_PREFIX)]  # noqa: SIM118  (not a mapping)
            return {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(
            "not a usable weights file (safetensors)", path=path, remedy=Remedy.OTHER_FEATURES
        ) from error


def _from_torchvision(agrees: Callable[[str], bool] | None) -> dict[str, Tensor]:
    from torchvision.models import VGG16_Weights

    weights = VGG16_Weights.IMAGENET1K_V1
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
    if agrees is not None and not cached.exists() and not agrees(_QUESTION):
        raise WeightsError("torchvision's VGG-16 weights (528 MB) are not available", remedy=Remedy.FETCH_FEATURES)
    try:
        state = cast(dict[str, Any], weights.get_state_dict(progress=False, check_hash=True, weights_only=True))
    except Exception as error:  # the loader fails in many ways: no network, a wrong hash, a damaged cache
        full = resource_error_from(error, cached)
        if full is not None:
            raise full from error
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        first = (str(cause).strip().splitlines() or [type(error).__name__])[0]
        raise WeightsError(f"cannot get torchvision's VGG-16 weights: {first}", remedy=Remedy.FETCH_FEATURES) from error
    return {name: tensor for name, tensor in state.items() if name.startswith(_PREFIX)}
