"""Weight files: one safetensors file each, written atomically, verified before use, never executed.

The metadata hold the network's `ModelConfig`, a `Card`, and a SHA-256 over both, the tensor table and the tensor data:
safetensors itself does not detect a flipped bit.
"""

from __future__ import annotations

import functools
import hashlib
import json
import struct
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from derain_cli.checkpoints.card import Card
from derain_cli.checkpoints.header import FORMAT, MAX_HEADER, META_KEY, refuse_irregular
from derain_cli.checkpoints.hub import WEIGHTS_FILE
from derain_cli.config import ModelConfig, from_mapping, to_mapping
from derain_cli.errors import UsageError, WeightsError
from derain_cli.model.architecture import tensor_shapes
from derain_cli.remedies import Remedy
from derain_cli.system.files import atomic_bytes

if TYPE_CHECKING:
    from torch import Tensor, nn

    from derain_cli.model import SemiDRDNet

__all__ = [
    "Weights",
    "load_weights",
    "network",
    "on_cpu",
    "read_weights",
    "save_state",
    "save_weights",
    "verified",
    "weights_bytes",
]

_MAX_TENSORS = 20_000
_DTYPES = {"F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8"}


@dataclass(frozen=True)
class Weights:
    """A verified weight file, read without torch.

    Attributes:
        path: of the file.
        config: of the network.
        arrays: its tensors; bfloat16 as float32.
        card: its record.
        sha256: of its content.
    """

    path: Path
    config: ModelConfig
    arrays: Mapping[str, NDArray[Any]]
    card: Card
    sha256: str

    @functools.cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """`arrays` as tensors of their own."""
        import torch

        return {name: torch.from_numpy(array.copy()) for name, array in self.arrays.items()}

    @property
    def name(self) -> str:
        """The file's name without its suffix; that on the card if all such files have the same one."""
        return self.card.name if self.path.name == WEIGHTS_FILE else self.path.stem


def _digest(meta: Mapping[str, Any], table: Mapping[str, Any], data: bytes | memoryview) -> str:
    text = json.dumps([meta, table], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode())
    digest.update(data)
    return digest.hexdigest()


def _parse(blob: bytes) -> tuple[dict[str, Any], dict[str, Any], memoryview]:
    """Metadata, tensor table and data section of a safetensors file; ValueError if they are invalid."""
    if len(blob) < 8:
        raise ValueError("too short")
    (length,) = struct.unpack("<Q", blob[:8])
    if length > min(MAX_HEADER, len(blob) - 8):
        raise ValueError("header longer than the file")
    header = json.loads(blob[8 : 8 + length])
    if not isinstance(header, dict) or len(header) > _MAX_TENSORS:
        raise ValueError("no tensor table")
    meta = header.pop("__metadata__", {})
    if not isinstance(meta, dict):
        raise ValueError("no metadata")
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.get("dtype") not in _DTYPES:
            raise ValueError(f"tensor {name} has an unsupported dtype")
    return meta, header, memoryview(blob)[8 + length :]


def on_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU: safetensors rejects tensors that share memory, such as those of a repeated block."""
    import torch

    return {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}


def weights_bytes(model: SemiDRDNet, card: Card) -> tuple[bytes, str]:
    """`model` and its card as the content of a weight file, and its SHA-256."""
    import safetensors.torch

    tensors = on_cpu(model.state_dict())
    meta = {"format": FORMAT, "config": to_mapping(model.config), "card": json.loads(json.dumps(asdict(card)))}
    plain = safetensors.torch.save(tensors, metadata={META_KEY: ""})
    _, table, data = _parse(plain)
    sha256 = _digest(meta, table, data)
    return safetensors.torch.save(tensors, metadata={META_KEY: json.dumps({**meta, "sha256": sha256})}), sha256


def save_weights(path: Path, model: SemiDRDNet, card: Card, *, overwrite: bool = True) -> str:
    """Write `model` and its card as one weight file, atomically; returns its SHA-256.

    Raises:
        ResourceError: the disk is full.
        DestinationError: the file exists and `overwrite` is off.
    """
    blob, sha256 = weights_bytes(model, card)
    atomic_bytes(path, blob, overwrite=overwrite)
    return sha256


def save_state(path: Path, module: nn.Module) -> None:
    """Write the tensors of any module as a plain safetensors file, atomically, for `module.load_state_dict`.

    The file does not describe its network; use `save_weights` for files that `load_weights` can read.

    Raises:
        ResourceError: the disk is full.
    """
    import safetensors.torch

    atomic_bytes(path, safetensors.torch.save(on_cpu(module.state_dict())), overwrite=True)


def read_weights(path: Path) -> bytes:
    """The content of a weight file, not verified.

    Raises:
        WeightsError: missing, or not a regular file.
    """
    refuse_irregular(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"cannot read the weights: {error.strerror or error}", path=path, remedy=Remedy.LIST_MODELS
        ) from error


def load_weights(path: Path) -> Weights:
    """Read and verify a weight file. Nothing in it is executed.

    Raises:
        WeightsError: missing, not a weight file, damaged (checksum), tensors that do not match the configuration, or
            non-finite values.
    """
    return verified(read_weights(path), path)


def verified(blob: bytes, path: Path) -> Weights:
    """The weights in the content of a weight file; `path` is where they are from. Errors as for `load_weights`."""

    def refuse(reason: str, cause: BaseException | None = None) -> WeightsError:
        error = WeightsError(reason, path=path, remedy=Remedy.LIST_MODELS)
        error.__cause__ = cause
        return error

    try:
        meta, table, data = _parse(blob)
        ours = json.loads(meta.get(META_KEY, ""))
        stated = ours.pop("sha256")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refuse("not a usable weights file", error) from error
    # The exact text counts too: 1e-05 and 1E-05 differ in one bit but parse to the same value.
    if _digest(ours, table, data) != stated or json.dumps({**ours, "sha256": stated}) != meta[META_KEY]:
        raise refuse("checksum mismatch, the weights file is damaged")
    if ours.get("format") != FORMAT:
        raise refuse(f"weights of format {ours.get('format')!r}; this program reads format {FORMAT}")
    try:
        config = from_mapping(ModelConfig, ours["config"])
        card = Card.from_mapping(ours["card"])
        arrays = {name: _array(entry) for name, entry in deserialize(blob)}  # type: ignore[no-untyped-call]
    except (SafetensorError, UsageError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise refuse(f"not a usable weights file: {error}", error) from error
    problem = _mismatch(config, arrays)
    if problem:
        raise refuse(problem)
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise refuse(f"non-finite values in {name}")
    return Weights(path, config, arrays, card, stated)


def _array(entry: Mapping[str, Any]) -> NDArray[Any]:
    """A tensor of safetensors as an array; bfloat16, which numpy lacks, as float32."""
    values = np.frombuffer(entry["data"], _DTYPES[entry["dtype"]])
    if entry["dtype"] == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.reshape(entry["shape"])


def _mismatch(config: ModelConfig, tensors: Mapping[str, NDArray[Any]]) -> str | None:
    """The first difference between `tensors` and the network of `config`; None if they match."""
    expected = tensor_shapes(config)
    missing, extra = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing:
        return f"weights of another network: {missing[0]} is missing ({len(missing)} in total)"
    if extra:
        return f"weights of another network: {extra[0]} is unknown ({len(extra)} in total)"
    for name, shape in expected.items():
        if shape != tensors[name].shape:
            return f"weights of another network: {name} is {list(tensors[name].shape)}, not {list(shape)}"
    return None


def network(weights: Weights) -> SemiDRDNet:
    """The trained network, fp32, in evaluation mode."""
    from derain_cli.model import build

    model = build(weights.config)
    model.load_state_dict(dict(weights.tensors))
    return model.eval()
