"""Weight files and training checkpoints: written whole or not at all, checked before use, never executed.

A weight file is one safetensors file. Its metadata hold the network's `ModelConfig`, a `Card`, and a
SHA-256 over both, the tensor table and the tensor data; safetensors itself would accept a flipped bit.
A training checkpoint is a folder with a safetensors file, a JSON file and a manifest with their SHA-256
that is written last: a folder without a valid manifest does not count.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from derain_cli.config import ModelConfig, from_mapping, to_mapping
from derain_cli.errors import DerainError, UsageError, WeightsError, resource_error_from
from derain_cli.model import SemiDRDNet, average, build
from derain_cli.system.files import atomic_bytes
from derain_cli.system.provenance import program_version, today

__all__ = [
    "DEFAULT_MODEL",
    "Card",
    "Weights",
    "average_weights",
    "find_weights",
    "installed_models",
    "latest_checkpoint",
    "load_checkpoint",
    "load_weights",
    "network",
    "save_checkpoint",
    "save_state",
    "save_weights",
]

DEFAULT_MODEL = "fast"
_META_KEY = "derain"
_FORMAT = 1
_MAX_HEADER = 4 << 20
_MAX_TENSORS = 20_000
_DTYPES = {"F32", "F16", "BF16", "I64"}
_HINT = "`derain models` lists the installed ones"


@dataclass(frozen=True)
class Card:
    """What a weight file says of itself.

    Attributes:
        name: of the weights, such as `fast`.
        summary: one line on what they are for.
        trained_on: data sets with their role and licence, those of earlier runs included.
        recipe: every setting of the run (`TrainConfig` as a mapping).
        steps: optimiser steps behind the weights, earlier runs included.
        patches: training patches seen, earlier runs included.
        commit: of the program that trained them.
        scores: by data set and protocol, with the input's scores beside.
        licence: terms of use.
        date: of the training, ISO.
        limits: what they cannot do.
        hashes: perceptual hashes of the clean pictures they were trained on (`data.fingerprint`), so that a test
            picture that was trained on is noticed; empty in files from before they were kept.
        change: what they do to the real photos they were fine-tuned on (names in `metrics.no_reference.FIGURES`).
    """

    name: str = "unnamed"
    summary: str = ""
    trained_on: tuple[str, ...] = ()
    recipe: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 0
    patches: int = 0
    commit: str = ""
    scores: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    date: str = ""
    limits: str = ""
    hashes: tuple[str, ...] = ()
    change: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Weights:
    """A checked weight file: where it lay, its network, its tensors, its card and the SHA-256 in it."""

    path: Path
    config: ModelConfig
    tensors: Mapping[str, Tensor]
    card: Card
    sha256: str


def _digest(meta: Mapping[str, Any], table: Mapping[str, Any], data: bytes | memoryview) -> str:
    text = json.dumps([meta, table], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    digest = hashlib.sha256(text.encode())
    digest.update(data)
    return digest.hexdigest()


def _parse(blob: bytes) -> tuple[dict[str, Any], dict[str, Any], memoryview]:
    """Metadata, tensor table and data section of a safetensors file; ValueError when they make no sense."""
    if len(blob) < 8:
        raise ValueError("too short")
    (length,) = struct.unpack("<Q", blob[:8])
    if length > min(_MAX_HEADER, len(blob) - 8):
        raise ValueError("header longer than the file")
    header = json.loads(blob[8 : 8 + length])
    if not isinstance(header, dict) or len(header) > _MAX_TENSORS:
        raise ValueError("no tensor table")
    meta = header.pop("__metadata__", {})
    if not isinstance(meta, dict):
        raise ValueError("no metadata")
    for name, entry in header.items():
        if not isinstance(entry, dict) or entry.get("dtype") not in _DTYPES:
            raise ValueError(f"tensor {name} has an unknown kind")
    return meta, header, memoryview(blob)[8 + length :]


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU: safetensors takes no tensors that share memory, as those of a repeated block do."""
    return {k: v.detach().cpu().clone(memory_format=torch.contiguous_format) for k, v in tensors.items()}


def save_weights(path: Path, model: SemiDRDNet, card: Card, *, overwrite: bool = True) -> str:
    """Write `model` with its card as one weight file, atomically; returns the SHA-256 in it.

    Raises:
        ResourceError: the disk is full.
        DestinationError: the file exists and `overwrite` is off.
    """
    tensors = _apart(model.state_dict())
    meta = {"format": _FORMAT, "config": to_mapping(model.config), "card": json.loads(json.dumps(asdict(card)))}
    plain = safetensors.torch.save(tensors, metadata={_META_KEY: ""})
    _, table, data = _parse(plain)
    sha256 = _digest(meta, table, data)
    blob = safetensors.torch.save(tensors, metadata={_META_KEY: json.dumps({**meta, "sha256": sha256})})
    atomic_bytes(path, blob, overwrite=overwrite)
    return sha256


def save_state(path: Path, module: nn.Module) -> None:
    """Write the tensors of any module as a plain safetensors file, atomically, for `module.load_state_dict`.

    Nothing in it says which network they are of: files that `load_weights` takes are written by `save_weights`.

    Raises:
        ResourceError: the disk is full.
    """
    atomic_bytes(path, safetensors.torch.save(_apart(module.state_dict())), overwrite=True)


def _read(path: Path) -> bytes:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            raise WeightsError("not a usable weights file: not a regular file", path=path, hint=_HINT)
        return path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read the weights: {error.strerror or error}", path=path, hint=_HINT) from error


def load_weights(path: Path) -> Weights:
    """Read and check a weight file. Nothing in it is executed.

    Raises:
        WeightsError: missing, not a weight file, damaged (checksum), of another network, or with non-finite values.
    """

    def refuse(reason: str, cause: BaseException | None = None) -> WeightsError:
        error = WeightsError(reason, path=path, hint=_HINT)
        error.__cause__ = cause
        return error

    blob = _read(path)
    try:
        meta, table, data = _parse(blob)
        ours = json.loads(meta.get(_META_KEY, ""))
        stated = ours.pop("sha256")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise refuse("not a usable weights file", error) from error
    # The spelling counts too: 1e-05 and 1E-05 are one bit apart and mean the same.
    if _digest(ours, table, data) != stated or json.dumps({**ours, "sha256": stated}) != meta[_META_KEY]:
        raise refuse("checksum mismatch, the weights file is damaged")
    if ours.get("format") != _FORMAT:
        raise refuse(f"weights of format {ours.get('format')!r}; this program reads format {_FORMAT}")
    try:
        config = from_mapping(ModelConfig, ours["config"])
        card = from_mapping_card(ours["card"])
        tensors = safetensors.torch.load(blob)
    except (SafetensorError, UsageError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise refuse(f"not a usable weights file: {error}", error) from error
    problem = _mismatch(config, tensors)
    if problem:
        raise refuse(problem)
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise refuse(f"non-finite values in {name}")
    return Weights(path, config, tensors, card, stated)


def from_mapping_card(values: Mapping[str, Any]) -> Card:
    """A `Card` from JSON; keys that later versions may add are passed over."""
    known = {k: v for k, v in values.items() if k in Card.__dataclass_fields__}
    for name in ("trained_on", "hashes"):
        if name in known:
            known[name] = tuple(known[name])
    if not all(re.fullmatch("[0-9a-f]{16}", each) for each in known.get("hashes", ())):
        raise ValueError("hashes that are none")
    return Card(**known)


def _mismatch(config: ModelConfig, tensors: Mapping[str, Tensor]) -> str | None:
    """What first tells `tensors` apart from the network of `config`; None when they fit."""
    with torch.device("meta"):
        expected = build(config).state_dict()
    missing, extra = sorted(set(expected) - set(tensors)), sorted(set(tensors) - set(expected))
    if missing:
        return f"weights of another network: {missing[0]} is missing ({len(missing)} in all)"
    if extra:
        return f"weights of another network: {extra[0]} is unknown ({len(extra)} in all)"
    for name, tensor in expected.items():
        if tensor.shape != tensors[name].shape:
            return f"weights of another network: {name} is {list(tensors[name].shape)}, not {list(tensor.shape)}"
    return None


def average_weights(weights: Sequence[Weights], shares: Sequence[float]) -> tuple[SemiDRDNet, Card]:
    """The network between trained ones (see `model.average`) and its card.

    The card names the data and terms of all. Steps and patches are those of the one that has most: weights worth
    averaging have a start in common. It has no scores: they are to be measured.

    Raises:
        UsageError: networks of different shapes, or shares that do not add up to 1.
    """
    made = average([network(each) for each in weights], shares)
    cards = [each.card for each in weights]

    def all_of(texts: Iterable[str]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(text for text in texts if text))

    parts = [
        {"share": share, "sha256": each.sha256, "recipe": each.card.recipe}
        for each, share in zip(weights, shares, strict=True)
    ]
    card = Card(
        name=cards[0].name,
        summary=cards[0].summary,
        trained_on=all_of(line for card in cards for line in card.trained_on),
        recipe={"average": parts},
        steps=max(card.steps for card in cards),
        patches=max(card.patches for card in cards),
        commit=program_version(),
        licence="; ".join(all_of(card.licence for card in cards)),
        date=today(),
        limits="; ".join(all_of(card.limits for card in cards)),
        hashes=tuple(sorted({one for card in cards for one in card.hashes})),
    )
    return made, card


def network(weights: Weights) -> SemiDRDNet:
    """The trained network, fp32, in evaluation mode."""
    model = build(weights.config)
    model.load_state_dict(dict(weights.tensors))
    return model.eval()


def _weight_folders() -> list[Path]:
    # In the wheel the weights lie inside the package, in a checkout beside it.
    package = Path(__file__).parent
    return [folder for folder in (package / "weights", package.parent / "weights") if folder.is_dir()]


def installed_models() -> dict[str, Path]:
    """Weight files that came with the program, by name."""
    found: dict[str, Path] = {}
    for folder in _weight_folders():
        for path in sorted(folder.glob("*.safetensors")):
            found.setdefault(path.stem, path)
    return found


def find_weights(name_or_path: str) -> Path:
    """The weight file of an installed model's name, or the path itself.

    Raises:
        WeightsError: neither.
    """
    if name_or_path.startswith("hf:"):
        return _from_hub(name_or_path.removeprefix("hf:"))
    installed = installed_models()
    if name_or_path in installed:
        return installed[name_or_path]
    path = Path(name_or_path)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path
    known = ", ".join(installed) or "none"
    raise WeightsError(f"no model named {name_or_path!r}", hint=f"installed: {known}; or give a .safetensors file")


def _from_hub(repo: str) -> Path:
    """Weights of a Hugging Face Hub repository, by its own client and cache; offline when HF_HUB_OFFLINE says so."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(repo, "derain.safetensors"))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        full = resource_error_from(error)
        if full:
            raise full from error
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise WeightsError(
            f"cannot get hf:{repo}: {first}", hint="download derain.safetensors yourself and give its path"
        ) from error


_STEP = re.compile(r"step-(\d{9})")
_TENSORS, _STATE, _MANIFEST = "state.safetensors", "state.json", "manifest.json"


def save_checkpoint(
    folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any], *, keep: int = 2
) -> Path:
    """Write `folder/step-NNNNNNNNN`, its manifest last, then drop all but the `keep` newest checkpoints.

    Args:
        folder: of the run's checkpoints; made when missing.
        step: optimiser steps done.
        tensors: any tensors, by name.
        state: anything JSON holds.
        keep: how many stay.

    Raises:
        ResourceError: the disk is full; earlier checkpoints are untouched and no partial one counts.
    """
    place = folder / f"step-{step:09d}"
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / _MANIFEST).unlink(missing_ok=True)
        blobs = {
            _TENSORS: safetensors.torch.save(_apart(tensors)),
            _STATE: json.dumps(state).encode(),
        }
        for name, blob in blobs.items():
            atomic_bytes(place / name, blob, overwrite=True)
        sums = {name: hashlib.sha256(blob).hexdigest() for name, blob in blobs.items()}
        atomic_bytes(place / _MANIFEST, json.dumps({"step": step, "sha256": sums}).encode(), overwrite=True)
    except (OSError, DerainError) as error:
        shutil.rmtree(place, ignore_errors=True)
        raise resource_error_from(error, place) or error from error
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return place


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("step-*") if _STEP.fullmatch(p.name) and (p / _MANIFEST).is_file())


def load_checkpoint(place: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and state of one checkpoint folder, after its checksums.

    Raises:
        WeightsError: incomplete or damaged.
    """
    try:
        sums = json.loads((place / _MANIFEST).read_bytes())["sha256"]
        blobs = {name: (place / name).read_bytes() for name in (_TENSORS, _STATE)}
        for name, blob in blobs.items():
            if hashlib.sha256(blob).hexdigest() != sums[name]:
                raise WeightsError(f"checksum mismatch in {name}", path=place)
        return safetensors.torch.load(blobs[_TENSORS]), json.loads(blobs[_STATE])
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise WeightsError(f"not a usable checkpoint: {error}", path=place) from error


def latest_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[WeightsError]] | None:
    """The newest checkpoint that verifies, and what was wrong with newer ones; None where there is none at all.

    Raises:
        WeightsError: there are checkpoints, but none verifies.
    """
    passed_over: list[WeightsError] = []
    for place in reversed(_checkpoints(folder)):
        try:
            tensors, state = load_checkpoint(place)
        except WeightsError as error:
            passed_over.append(error)
        else:
            return tensors, state, passed_over
    if passed_over:
        raise passed_over[0]
    return None
